"""Trainings that several lessons need and none of them teaches: done once in a run of the course.

The runner gives its lessons a folder to share, one for each state of the code. Where there is none, as in a learner's
own Jupyter, a lesson trains by itself.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers.runtime.lock import lock_folder
from helpers.runtime.outputs import scratch_folder

SHARED = "COURSE_TRAININGS"
"""Environment variable with the folder that the lessons of a run share."""

_PATIENCE = 3600.0  # seconds to wait for another lesson that has begun the same training


def train_once(train: Callable[[Path], Any], own: Path, name: str, **made: Any) -> Path:
    """The folder of a training: one that another lesson of this run has done, else a new one.

    Args:
        train: trains, and writes into the folder that it is given.
        own: where to train if nothing is shared.
        name: of the training, for people; part of its folder's name.
        made: all that the training depends on but the code: data, split, sizes, seed; ready for JSON.

    Returns:
        `own`, or a folder that must not be written to.

    Raises:
        DataError: another lesson has trained it for an hour and has not finished.
    """
    shared = os.environ.get(SHARED)
    if not shared:
        own.mkdir(parents=True, exist_ok=True)
        train(own)
        return own
    key = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:12]
    place = Path(shared) / f"{name}_{key}"
    finished = place / "training"
    with lock_folder(place, "trains into", wait=_PATIENCE):
        if not finished.is_dir():
            with scratch_folder(finished) as scratch:
                train(scratch)
                scratch.rename(finished)
    return finished
