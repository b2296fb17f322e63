"""The Keras backend of a command, checked before Keras is imported: a missing one ends in one line.

TensorFlow is no dependency of this package, since Kaggle brings its own. Commands with networks need it whatever the
backend: on JAX too their batches come from `tf.data`.
"""

import os
from importlib.util import find_spec

from helpers.runtime.errors import DataError
from helpers.runtime.lean_import import spare_imports

BACKENDS = ("tensorflow", "jax")
"""What the course runs on; KERAS_BACKEND chooses."""

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
"""The precisions that the course computes in, by the names of Keras's policies."""

_INSTALL = 'Install it: pip install "biomedseg-course[cpu]", or [gpu] for an NVIDIA GPU.'


def check_backend() -> None:
    """Refuse a backend that is unknown or not installed, before a command with networks begins.

    Keras is then imported without what no command needs of it, see `helpers.runtime.lean_import`.

    Raises:
        DataError: KERAS_BACKEND names another backend, or a package is missing.
    """
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend not in BACKENDS:
        raise DataError(f"KERAS_BACKEND is {backend!r}; expected {' or '.join(BACKENDS)}, or no such variable.")
    for package in dict.fromkeys(("keras", "tensorflow", backend)):
        if find_spec(package) is None:
            raise DataError(backend_missing(package))
    spare_imports()


def backend_missing(package: str | None) -> str | None:
    """What to tell of a package that cannot be imported; None where it is no backend's.

    Args:
        package: its import name.
    """
    package = (package or "").partition(".")[0]
    if package in ("keras", "tensorflow"):
        name = {"keras": "Keras", "tensorflow": "TensorFlow"}[package]
        return f"{name} is not installed, and this command needs it. {_INSTALL}"
    if package in ("jax", "jaxlib"):
        return (
            "KERAS_BACKEND is jax, and JAX is not installed. Install it: pip install jax; or leave out KERAS_BACKEND, "
            "and TensorFlow is used."
        )
    return None
