"""Run staged lessons as Kaggle runs them: `make kaggle`, or `python tests/kaggle_run.py --image DIR [LESSON...]`.

DIR is a virtual environment with the numerical stack of the Kaggle image and without `helpers`. Each lesson starts
there anew: the wheel is mounted under /kaggle/input, pip has no network, papermill executes the notebook that `push`
would send, in an empty /kaggle/working. So it needs the right to make /kaggle, which it removes afterwards, and it
leaves a /kaggle that exists alone.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KAGGLE = Path("/kaggle")
WORKING = KAGGLE / "working"
DEAD = "http://127.0.0.1:9"  # nothing answers there


def main() -> int:
    """Stage, run, and say how each lesson went; 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("lessons", nargs="*", default=["02"], metavar="LESSON")
    parser.add_argument("--image", type=Path, required=True, metavar="DIR")
    wanted = parser.parse_args()
    python = wanted.image.absolute() / "bin" / "python"
    if KAGGLE.exists():
        sys.exit(f"{KAGGLE} exists. This would write into it and remove it, so it does nothing.")

    push = [sys.executable, "-m", "helpers", "push", "--user", "someone", "--dry-run", "--profile", "quick"]
    staged = subprocess.run([*push, *wanted.lessons], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    helper, *lessons = (ROOT / line.removeprefix("Built ") for line in staged.splitlines())
    metadata = json.loads((helper / "dataset-metadata.json").read_text(encoding="utf-8"))
    _forget_helpers(python)
    try:
        KAGGLE.mkdir()
    except OSError as error:
        sys.exit(f"{KAGGLE} cannot be made ({error.strerror}): run this as root, in a container for instance.")
    try:
        mount = KAGGLE / "input" / "datasets" / metadata["id"]
        mount.mkdir(parents=True)
        for wheel in helper.glob("*.whl"):
            shutil.copy(wheel, mount)
        passed = [_run(lesson, python) for lesson in lessons]
    finally:
        shutil.rmtree(KAGGLE)
    return int(not all(passed))


def _run(lesson: Path, python: Path) -> bool:
    """Execute one staged lesson; whether it came to its end and left its numbers."""
    shutil.rmtree(WORKING, ignore_errors=True)
    WORKING.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COURSE_", "PYTHON"))}
    environment |= {"KAGGLE_KERNEL_RUN_TYPE": "Batch", "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), DEAD)
    metadata = json.loads((lesson / "kernel-metadata.json").read_text(encoding="utf-8"))
    executed = lesson.parent / f"{lesson.name}-executed.ipynb"
    papermill = [python, "-m", "papermill", lesson / metadata["code_file"], executed, "--kernel", "python3"]
    start = time.monotonic()
    answer = subprocess.run(
        [*papermill, "--no-progress-bar", "--execution-timeout", "300"],
        cwd=WORKING,
        env=environment,
        capture_output=True,
        text=True,
    )
    numbers = WORKING / "metrics.json"
    passed = answer.returncode == 0 and numbers.is_file()  # its last cell writes it
    print(
        f"{lesson.name}: {'passed' if passed else 'failed'} in {time.monotonic() - start:.0f} s, see {executed}",
        flush=True,
    )
    if passed:
        metrics = json.loads(numbers.read_text(encoding="utf-8"))
        print(f"  {len(metrics['values'])} numbers, {metrics['versions']}", flush=True)
    else:
        print(answer.stderr[-3000:], flush=True)
    _forget_helpers(python)
    return passed


def _forget_helpers(python: Path) -> None:
    """Take the package out again: every session on Kaggle starts from the bare image."""
    uninstall = [python, "-m", "pip", "uninstall", "--yes", "--quiet", "biomedseg-course"]
    subprocess.run(uninstall, check=True, capture_output=True)
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if subprocess.run([python, "-c", "import helpers"], cwd="/", env=bare, capture_output=True).returncode == 0:
        sys.exit(f"{python} has helpers from somewhere else; it would not be Kaggle's image.")


if __name__ == "__main__":
    sys.exit(main())
