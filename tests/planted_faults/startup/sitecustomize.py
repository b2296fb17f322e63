"""Python imports this when it starts, wherever this folder lies on PYTHONPATH: it plants the fault that the environment
names, as soon as the module is loaded that the fault is in, and writes its name to the file that the environment names.

So no line of the package knows of faults, and a lesson runs as it always does.
"""

import importlib.abc
import importlib.machinery
import os
import sys
from types import ModuleType

NAME, MARK = "COURSE_PLANTED_FAULT", "COURSE_PLANTED_MARK"


class _Planter(importlib.abc.MetaPathFinder):
    """Lets the other finders find the module, and changes it once its code has run."""

    def __init__(self, fault: "PlantedFault") -> None:  # noqa: F821 - imported below, where there is a fault to plant
        self.fault = fault

    def find_spec(self, name: str, path: object, target: ModuleType | None = None) -> object:
        if name != self.fault.module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        run = spec.loader.exec_module

        def run_and_plant(module: ModuleType) -> None:
            run(module)
            plant(self.fault, module)

        spec.loader.exec_module = run_and_plant
        return spec


def plant(fault: "PlantedFault", module: ModuleType) -> None:  # noqa: F821
    """Replace what the fault is in."""
    *owners, last = fault.attribute.split(".")
    owner = module
    for name in owners:
        owner = getattr(owner, name)
    setattr(owner, last, fault.replace(getattr(owner, last)))
    with open(os.environ[MARK], "a", encoding="utf-8") as mark:  # a kernel's standard error belongs to its notebook
        mark.write(f"{fault.name}\n")


if wanted := os.environ.get(NAME):
    from tests.planted_faults.catalogue import FAULTS

    sys.meta_path.insert(0, _Planter(next(one for one in FAULTS if one.name == wanted)))
