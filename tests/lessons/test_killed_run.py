"""The law of a run that is killed: what was finished is kept, the rest is run, and the report is the same."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from .conftest import ENTRIES, PARAMETERS

NAMES = ("00_first", "01_third", "02_fourth", "03_second")


@pytest.fixture
def course(workshop):
    """Four lessons, of which two run at once."""
    more = [{**ENTRIES[0], "number": number, "slug": slug} for number, slug in (("01", "third"), ("02", "fourth"))]
    workshop.manifest([ENTRIES[0], *more, ENTRIES[1]])
    for name in NAMES:
        workshop.source(name, PARAMETERS)
    workshop.profile(lessons={name: {"parameters": {}} for name in NAMES})
    workshop.build()
    return workshop


def _start(root):
    command = [sys.executable, "-m", "tests.lessons.killed_run", root]
    return subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True)


def _finished(root):
    return [name for name in NAMES if (root / "out" / name / "metrics.json").exists()]


def _left(root):
    """What a run left: the report and the numbers of each lesson, without what it cost and when it was."""
    found = {"report": re.sub(r"\d+\.\d s|\d{4}-\d\d-\d\d|\d\d:\d\d", "", (root / "out" / "report.html").read_text())}
    for name in NAMES:
        found[name] = json.loads((root / "out" / name / "metrics.json").read_text())
        for word in ("seconds", "processor_seconds", "calibration_seconds", "effort", "finished"):
            del found[name][word]
    return found


def _kill_after(root, count):
    """Kill a run (SIGKILL) in the middle of a lesson, once so many are finished; None is left of its processes."""
    process = _start(root)
    while len(_finished(root)) < count or not [*(root / "out").glob("*/begun.txt")][count:]:
        assert process.poll() is None
        time.sleep(0.01)
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    _, alive = psutil.wait_procs(started, timeout=60)
    assert not alive
    return _finished(root)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_run_is_taken_up_where_it_was(course):
    """Killed in the first lessons, and again with one and with two or three finished."""
    whole = _start(course.root)
    assert whole.communicate()[0].splitlines()[-1] == "reused:"
    assert whole.returncode == 0
    expected = _left(course.root)
    (course.root / "out").rename(course.root / "whole")
    kept = [_kill_after(course.root, count) for count in (0, 1, 2)]
    assert [len(names) for names in kept] == sorted(len(names) for names in kept)
    assert len(kept[-1]) < len(NAMES)
    again = _start(course.root)
    assert again.communicate()[0].splitlines()[-1].split()[1:] == kept[-1]
    assert again.returncode == 0
    assert _left(course.root) == expected
