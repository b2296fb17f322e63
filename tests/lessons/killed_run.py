"""Runs a small course side by side, with a stand-in for papermill that takes its time; `test_killed_run.py` kills it.

`python -m tests.lessons.killed_run ROOT` writes into ROOT/out, and prints the lessons that were reused. The processes
that it starts import this module as well, and with it the stand-in.
"""

import json
import sys
import time
from pathlib import Path

from helpers.lessons import execute as execution
from helpers.lessons.manifest import read_manifest
from helpers.lessons.run import run_lessons

SECONDS = 1.0


def play(notebook, copy, *_):
    """A lesson that has begun, and ends a moment later."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    (copy.parent / "begun.txt").touch()
    time.sleep(SECONDS)
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            cell["execution_count"] = 1
    copy.write_text(json.dumps(content), encoding="utf-8")


execution._papermill = play

if __name__ == "__main__":
    root = Path(sys.argv[1])
    course = read_manifest(root / "course.yml")
    result = run_lessons((), "quick", root / "out", at_once=2, notebooks=root / "notebooks", course=course)
    print("reused:", *(lesson.lesson for lesson in result.lessons if lesson.reused))
    sys.exit(result.exit_code)
