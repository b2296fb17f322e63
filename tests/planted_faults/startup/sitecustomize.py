"""Python imports this when it starts, wherever this folder lies on PYTHONPATH. It plants the fault that the environment
names, as soon as the module is loaded that the fault is in, and stops the lesson at the first number that notices.

So no line of the package knows of faults, and a lesson runs as it always does.
"""

import importlib.abc
import importlib.machinery
import json
import os
import sys
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from types import ModuleType
from typing import Any

NAME, FOLDER = "COURSE_PLANTED_FAULT", "COURSE_PLANTED_FOLDER"
RECORD = "helpers.lessons.record"


class NoticedError(Exception):
    """A number has left its band: what comes after it would say no more of the fault."""


class _AfterImport(importlib.abc.MetaPathFinder):
    """Lets the other finders find a module, and changes it once its code has run."""

    def __init__(self, changes: dict[str, Callable[[ModuleType], None]]) -> None:
        self.changes = changes

    def find_spec(self, name: str, path: object, target: ModuleType | None = None) -> Any:
        if name not in self.changes:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        run, change = spec.loader.exec_module, self.changes.pop(name)

        def run_and_change(module: ModuleType) -> None:
            run(module)
            change(module)

        spec.loader.exec_module = run_and_change
        return spec


def plant(fault: Any, folder: Path, module: ModuleType) -> None:
    """Replace what the fault is in, and leave a mark."""
    *owners, last = fault.attribute.split(".")
    owner = module
    for name in owners:
        owner = getattr(owner, name)
    setattr(owner, last, fault.replace(getattr(owner, last)))
    (folder / "planted").touch()


def watch(folder: Path, module: ModuleType) -> None:
    """Hold each number to its band where it is recorded."""
    from helpers.lessons.bands import WORSE, Band, judge_all

    bands = {name: Band(**fields) for name, fields in json.loads((folder / "bands.json").read_text("utf-8")).items()}
    sound = module.record

    @wraps(sound)
    def record(name: str, value: Any) -> Any:
        result, numbers = sound(name, value), dict(module.leaves(module._plain(name, value), name))
        if left := judge_all({one: bands[one] for one in numbers if one in bands}, numbers)[WORSE]:
            raise NoticedError(", ".join(left.values()))
        return result

    module.record = record


if wanted := os.environ.get(NAME):
    from tests.planted_faults.catalogue import FAULTS

    planted, place = next(one for one in FAULTS if one.name == wanted), Path(os.environ[FOLDER])
    sys.meta_path.insert(
        0, _AfterImport({planted.module: partial(plant, planted, place), RECORD: partial(watch, place)})
    )
