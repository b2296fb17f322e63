"""The first code cell of every notebook: it installs `helpers` where it is missing, as on Kaggle and Colab."""

import re
from importlib.metadata import PackageNotFoundError, requires, version

import helpers

HELPERS = "biomedseg-helpers"
"""Name of the data set with the wheel, on Kaggle."""

_NO_LESSON_NEEDS = {"jupyterlab", "setuptools"}  # the notebook is open already, and they would replace parts of it

_CELL = """\
# At home the course is installed. On Kaggle it comes from an attached data set, on Colab from its repository.
import importlib.util
import subprocess
import sys
from pathlib import Path

found = importlib.util.find_spec("helpers")
if found is None or found.origin is None:  # a bare folder of that name is no package, and gives way to one
    kaggle = Path("/kaggle/input")
    wheels = [*kaggle.glob("*/biomedseg_course-*.whl"), *kaggle.glob("datasets/*/*/biomedseg_course-*.whl")]
    source = ["--no-index", str(wheels[0])] if wheels else ["git+https://github.com/{repository}@v{version}"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-warn-conflicts"]
    if subprocess.run([*pip, "--no-deps", *source]).returncode:
        raise ModuleNotFoundError("Attach the data set {dataset} (Add Input), or switch Internet on.")
    importlib.invalidate_caches()
    # Packages that are there stay as they are: replacing one that is loaded would ask for a restart.
    lacking = [] if wheels else importlib.import_module("helpers.lessons.setup_cell").lacking()
    if lacking and subprocess.run([*pip, *lacking]).returncode:
        raise ModuleNotFoundError("pip could not install what the lessons need: " + ", ".join(lacking))
    importlib.invalidate_caches()
elif not (Path(found.origin).parent / "lessons" / "course.yml").is_file():
    raise ImportError(f"{{found.origin}} hides the course's helpers: rename or move it, then restart the kernel.")
_ = importlib.import_module("helpers")  # before TensorFlow, which it tells to compute with oneDNN"""


def setup_cell(repository: str) -> str:
    """Give the cell's code.

    Args:
        repository: owner and name on GitHub; the tag of this version is installed where there is internet.
    """
    return _CELL.format(repository=repository, version=helpers.__version__, dataset=HELPERS)


def lacking(distribution: str = "biomedseg-course") -> list[str]:
    """List what the installed course needs and this Python has not, in any version; extras and JupyterLab left out.

    Args:
        distribution: the course's name for pip.

    Returns:
        Requirements as pip takes them, such as "highdicom>=0.26".
    """
    base = [line for line in requires(distribution) or () if "extra ==" not in line]
    return [line for line in base if _name(line) not in _NO_LESSON_NEEDS and not _is_installed(_name(line))]


def _name(requirement: str) -> str:
    return re.match(r"[\w.-]+", requirement)[0]


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
