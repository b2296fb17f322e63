"""What the lessons of a run share: a folder in which the same thing is built once, whoever asks first."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from helpers.runtime.disk import explain_full_disk
from helpers.runtime.lock import lock_folder
from helpers.runtime.outputs import scratch_folder

SHARED = "COURSE_SHARED"
"""Environment variable with that folder; nothing is shared without."""

_PATIENCE = 3600.0  # seconds to wait for another lesson that has begun to build the same


def built_once(name: str, made: Mapping[str, Any], build: Callable[[Path], Any]) -> Path | None:
    """The shared folder of what `build` makes, which is built now unless another lesson has; None if nothing is shared.

    Args:
        name: of the thing, for people; part of its folder's name.
        made: all that it depends on but the code, ready for JSON.
        build: writes into the folder that it is given; the finished folder must not be written to.

    Raises:
        DataError: another lesson has built it for an hour and has not finished, or the disk is full.
    """
    if not (shared := os.environ.get(SHARED)):
        return None
    key = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:12]
    place = Path(shared) / f"{name}_{key}"
    finished = place / "finished"
    with lock_folder(place, "builds into", wait=_PATIENCE):
        if not finished.is_dir():
            with explain_full_disk(finished), scratch_folder(finished) as scratch:
                build(scratch)
                scratch.rename(finished)
    return finished
