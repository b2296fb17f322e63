"""Imports Keras without the packages that it brings along for whoever may want them.

Keras imports scikit-learn, with it most of SciPy, Matplotlib and IPython, and TensorFlow imports JAX: for wrappers,
galleries and converters, each of which does without where its package is not installed. No command needs them, and they
took a third of the seconds in which one starts. So they are hidden while Keras is imported, and found again afterwards.
"""

import os
import sys
import threading
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

SPARED = ("sklearn", "matplotlib", "IPython", "jax")
"""Packages that Keras and TensorFlow import if they are there, and that no command with networks needs through them."""


def spare_imports() -> None:
    """From now on, whoever imports Keras imports it without `SPARED`; nothing changes where it has been imported.

    JAX is kept where Keras is to run on it.
    """
    if "keras" not in sys.modules and not any(isinstance(finder, _LeanKeras) for finder in sys.meta_path):
        sys.meta_path.insert(0, _LeanKeras())


class _LeanKeras(MetaPathFinder):
    """Finds Keras, and has it imported with packages hidden."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "keras":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _LeanLoader(spec.loader)
        return spec


class _LeanLoader(Loader):
    """Runs a module with packages hidden, and leaves it with the loader that found it."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = module.__spec__.loader = self._loader
        hiding = _Hiding()
        sys.meta_path.insert(0, hiding)
        try:
            self._loader.exec_module(module)
        finally:
            sys.meta_path.remove(hiding)


class _Hiding(MetaPathFinder):
    """Finds no package of `SPARED` for the thread that made it; others import meanwhile what they like."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._hidden = {name for name in SPARED if name != os.environ.get("KERAS_BACKEND")}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if threading.get_ident() == self._thread and fullname.partition(".")[0] in self._hidden:
            raise ModuleNotFoundError(f"{fullname} is hidden while Keras is imported", name=fullname)
        return None
