"""Laws of planted faults: each reaches the kernel and nothing else, and what is caught is caught by a number or an
error.
"""

import importlib
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.lessons.manifest import read_manifest
from tests.lessons.conftest import PARAMETERS, make_workshop
from tests.planted_faults import __main__ as command
from tests.planted_faults.catalogue import FAULTS
from tests.planted_faults.harness import CAUGHT, NOT_PLANTED, UNNOTICED, Outcome, judge, meet, planted

ROOT = Path(__file__).parents[2]
FAULT = next(one for one in FAULTS if one.name == "background-dice")
LESSON = (
    PARAMETERS
    + """
# %%
import numpy as np
from helpers.lessons.record import record
from helpers.measure.overlap import dice

record("sound", 1)
record("dice", {"WT": dice(np.arange(10) < 2, np.arange(10) < 1)})
raise SystemError("the lesson was not stopped")
"""
)


@pytest.mark.parametrize(
    ("source", "verdict", "by"),
    [
        (LESSON, CAUGHT, "dice.WT is 0.941176; the band is 0.6 to 0.7"),
        (PARAMETERS, NOT_PLANTED, "lesson 03 never loads helpers.measure.overlap"),
    ],
)
def test_a_fault_reaches_the_kernel_of_a_toy_lesson(tmp_path, source, verdict, by):
    workshop = make_workshop(tmp_path)
    workshop.source("03_second", source)
    workshop.build()
    if source == LESSON:
        band = {"kind": "band", "better": "neither", "min": 0.6, "max": 0.7}
        workshop.baselines({"03_second": {"dice.WT": band, "sound": {"kind": "exact", "value": 1}}})
    out = {"notebooks": workshop.notebooks, "course": workshop.course}
    outcome = meet(replace(FAULT, lesson="03"), tmp_path / "out", **out)
    assert (outcome.verdict, outcome.by) == (verdict, by)
    assert "COURSE_PLANTED_FAULT" not in os.environ


METRICS = {"status": "passed", "error": None}


@pytest.mark.parametrize(
    ("metrics", "reached", "verdict", "by"),
    [
        (METRICS, False, NOT_PLANTED, "never loads"),
        (METRICS, True, UNNOTICED, "every number"),
        ({"status": "out of band", "error": "a is 1\nb is 2"}, True, CAUGHT, "a is 1, b is 2"),
        ({"status": "failed", "error": "File x\n\nDataError: no\n"}, True, CAUGHT, "DataError: no"),
        ({"status": "failed", "error": "File x\n\nNoticedError: a is 1"}, True, CAUGHT, "a is 1"),
        ({"status": "failed", "error": "DataError: no"}, False, NOT_PLANTED, "never loads"),
    ],
)
def test_a_fault_counts_as_caught_only_where_it_was_planted(metrics, reached, verdict, by):
    outcome = judge(FAULT, metrics, reached)
    assert outcome.verdict == verdict
    assert by in outcome.by


def test_the_environment_is_as_before_even_after_an_error(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    before = dict(os.environ)

    def stop():
        with planted(FAULT, {}):
            first, *rest = os.environ["PYTHONPATH"].split(os.pathsep)
            assert (Path(first) / "sitecustomize.py").is_file()
            assert rest == ["elsewhere"]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert dict(os.environ) == before


def test_every_lesson_has_a_fault_of_its_own():
    assert {one.lesson for one in FAULTS} == {lesson.number for lesson in read_manifest().lessons}
    assert len({one.name for one in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_in_something_that_there_is(fault):
    sound = importlib.import_module(fault.module)
    for name in fault.attribute.split("."):
        sound = getattr(sound, name)
    assert fault.replace(sound) is not sound


def test_no_line_of_the_package_knows_of_faults():
    for path in (ROOT / "helpers").rglob("*.py"):
        assert not re.search("PLANTED_FAULT|sitecustomize|planted_faults", path.read_text(encoding="utf-8")), path


def met(fault, verdict=CAUGHT):
    return Outcome(fault, verdict, "dice is 0.1; the band is 0.6 to 0.7", 61.0)


def test_the_table_says_fault_lesson_and_by_which_number_it_was_caught(capsys):
    command.table([met(FAULTS[0]), met(FAULTS[-1], UNNOTICED)])
    shown = capsys.readouterr().out
    assert "Planted faults, 2 minutes: 1 caught, 1 not caught" in shown
    row = next(line for line in shown.splitlines() if FAULTS[0].name in line)
    assert re.search(rf"{FAULTS[0].lesson} +{FAULTS[0].name} +{FAULTS[0].what} +caught +dice is 0\.1", row)


@pytest.mark.parametrize(
    ("verdicts", "words", "status"),
    [
        ([CAUGHT, CAUGHT], ["01"], 0),
        ([CAUGHT, UNNOTICED], ["01"], 1),
        ([NOT_PLANTED], [FAULTS[0].name], 1),
        ([], ["x"], 1),
    ],
)
def test_the_command_ends_with_1_where_a_fault_is_not_caught(monkeypatch, verdicts, words, status):
    left = iter(verdicts)
    monkeypatch.setattr(command, "meet", lambda fault, _: met(fault, next(left)))
    assert command.main(words) == status
