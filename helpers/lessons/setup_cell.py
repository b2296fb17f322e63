"""The first code cell of every notebook: it installs `helpers` where it is missing, as on Kaggle.

JupyterLab shows it folded to a line: a learner needs to run it, not to read it.
"""

import helpers

HELPERS = "biomedseg-helpers"
"""Name of the data set with the wheel, on Kaggle."""

_CELL = """\
# At home the course is installed. On Kaggle it comes from an attached data set, or from its repository.
import importlib.util
import subprocess
import sys
from pathlib import Path

found = importlib.util.find_spec("helpers")
if found is None or found.origin is None:  # a bare folder of that name is no package, and gives way to one
    kaggle = Path("/kaggle/input")
    wheels = [*kaggle.glob("*/biomedseg_course-*.whl"), *kaggle.glob("datasets/*/*/biomedseg_course-*.whl")]
    source = ["--no-index", str(wheels[0])] if wheels else ["git+https://github.com/{repository}@v{version}"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *source]
    if subprocess.run(pip).returncode:
        raise ModuleNotFoundError("Attach the data set {dataset} (Add Input), or switch Internet on.")
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
