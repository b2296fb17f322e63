"""Laws of comparing runs: equal is equal to the last digit, noise is what repeats show, and nothing is left out."""

import json

import pytest
from typer.testing import CliRunner

from helpers.cli import app
from helpers.lessons.compare_runs import compare_runs
from helpers.lessons.manifest import LessonError


def _run(folder, **values):
    lesson = folder / "00_first"
    lesson.mkdir(parents=True)
    (lesson / "metrics.json").write_text(json.dumps({"lesson": "00_first", "values": values}))
    return folder


@pytest.fixture
def runs(tmp_path):
    return (
        _run(tmp_path / "old", dice={"WT": 0.80, "ET": 0.5}, speed=100, word="a", gone=1),
        _run(tmp_path / "again", dice={"WT": 0.80, "ET": 0.5}, speed=110, word="a", gone=1),
        _run(tmp_path / "new", dice={"WT": 0.80, "ET": 0.5000001}, speed=95, word="b", come=1),
    )


def test_each_value_gets_the_verdict_it_deserves(runs):
    old, again, new = runs
    verdicts = compare_runs(old, new, [again]).set_index("name")["verdict"].to_dict()
    assert verdicts == {
        "dice.WT": "same",
        "dice.ET": "changed",
        "speed": "within noise",
        "word": "changed",
        "gone": "in one run only",
        "come": "in one run only",
    }


def test_without_a_repeat_nothing_is_noise(runs):
    old, _, new = runs
    assert "within noise" not in set(compare_runs(old, new)["verdict"])


def test_the_command_fails_where_a_value_changed_and_names_it(runs):
    old, again, new = map(str, runs)
    good = CliRunner().invoke(app, ["compare-runs", old, again, "--repeat", again])
    bad = CliRunner().invoke(app, ["compare-runs", old, new, "--repeat", again])
    assert (good.exit_code, bad.exit_code) == (0, 1)
    assert "dice.ET" in bad.stdout
    assert "dice.ET" not in good.stdout


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(LessonError, match="holds no run of lessons"):
        compare_runs(tmp_path, tmp_path)
