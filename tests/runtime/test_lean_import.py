"""Laws of the import of Keras: what it only brings along stays away, and is there for whoever asks for it."""

import os
import subprocess
import sys

import pytest

from helpers.runtime.lean_import import SPARED

FOUND = """
import importlib.util, sys
from helpers.runtime.lean_import import SPARED, spare_imports
spare_imports()
spare_imports()
import keras
print(*(name for name in SPARED if name in sys.modules))
print(*(name for name in SPARED if importlib.util.find_spec(name)))
print(keras.__spec__.loader is keras.__loader__, type(keras.__loader__).__name__)
print([type(finder).__name__ for finder in sys.meta_path].count("_Hiding"))
"""


def _found(folder, backend="tensorflow"):
    paths = os.pathsep.join([str(folder), os.getcwd()])
    environment = {**os.environ, "PYTHONPATH": paths, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", FOUND], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-4:]


@pytest.fixture
def stand_in(tmp_path):
    """A Keras that imports all of them where it may, and packages that are empty."""
    for name in SPARED:
        (tmp_path / f"{name}.py").touch()
    (tmp_path / "keras.py").write_text(
        f"import importlib\nfor name in {SPARED}:\n    try:\n        importlib.import_module(name)\n"
        "    except ImportError:\n        pass\n"
    )
    return tmp_path


def test_the_real_keras_does_without_them(tmp_path):
    """It is what it would be where they were not installed; afterwards they can be imported."""
    loaded, there, loader, hiding = _found(tmp_path)
    assert loaded == ""
    assert {"sklearn", "matplotlib", "IPython"} <= set(there.split())
    assert loader == "True SourceFileLoader"
    assert hiding == "0"


@pytest.mark.parametrize(("backend", "loaded"), [("tensorflow", ""), ("jax", "jax")])
def test_jax_is_kept_where_keras_runs_on_it(stand_in, backend, loaded):
    assert _found(stand_in, backend)[:2] == [loaded, " ".join(SPARED)]


def test_other_threads_import_what_they_like(stand_in):
    path = stand_in / "keras.py"
    thread = "import threading\nother = threading.Thread(target=__import__, args=('sklearn',))\nother.start()\n"
    path.write_text(thread + "other.join()\n" + path.read_text())
    assert _found(stand_in)[0] == "sklearn"


def test_a_keras_that_cannot_be_imported_leaves_nothing_hidden(stand_in):
    (stand_in / "keras.py").write_text("raise ImportError('broken')\n")
    code = (
        "from helpers.runtime.lean_import import spare_imports\nspare_imports()\n"
        "try:\n    import keras\nexcept ImportError as error:\n    print(error)\nimport sklearn"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(stand_in), os.getcwd()])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "broken\n"
