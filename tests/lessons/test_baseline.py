"""Laws of a baseline: people say what numbers mean, runs say what they are, and no band hides a lesson that learnt
nothing.
"""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import helpers.lessons.baseline as subject
from helpers.cli import app
from helpers.lessons.bands import read_baselines
from helpers.lessons.execute import Execution
from helpers.lessons.manifest import LessonError, read_manifest
from helpers.lessons.meaning import Meaning, meaning_of, read_meaning
from helpers.lessons.record import MIME
from helpers.lessons.run import run_lessons

from .conftest import PARAMETERS

ROOT = Path(__file__).parents[2]
RECORD = (
    PARAMETERS
    + """
# %%
from helpers.lessons.record import record

record("patients", 20)
record("dice", {"WT": 0.8 + 0.01 * SEED, "ET": 0.2})
record("verdict", "helped")
"""
)
MEANING = {
    "00_first": {
        "patients": {"exact": True, "trivial": 0},
        "dice.WT": {"better": "higher", "trivial": "dice.ET"},
        "dice.*": {"better": "neither", "matters": 0.1},
        "verdict": {"not compared": "words, of which nobody takes the mean"},
    },
    "03_second": {},
}


@pytest.fixture(autouse=True)
def somebody_is_there(monkeypatch):
    monkeypatch.delenv("CI", raising=False)


@pytest.fixture
def made(workshop):
    """The small course with meanings; the first lesson records."""
    workshop.source("00_first", RECORD)
    workshop.build()
    say(workshop, MEANING)
    return workshop


def say(workshop, content):
    (workshop.root / "baselines" / "meaning.yml").write_text(yaml.safe_dump(content), encoding="utf-8")


@pytest.fixture
def play(monkeypatch):
    """Stands in for the kernel: a lesson records what `values` gives for its seed, and every execution is counted."""
    calls = []

    def values(seed):
        return {"patients": 20, "dice": {"WT": 0.8 + 0.01 * seed, "ET": 0.2}, "verdict": "helped"}

    def play(notebook, copy, overrides, *_):
        calls.append((notebook.stem, overrides["SEED"]))
        copy.write_text("{}")
        copy.with_name("kernel.log").touch()
        recorded = play.values(overrides["SEED"]) if notebook.stem == "00_first" else {}
        output = [{"data": {MIME: {"name": name, "value": value}}} for name, value in recorded.items()]
        return Execution({"cells": [{"cell_type": "markdown", "outputs": output}]}, play.errors.pop(calls[-1], None))

    play.values, play.errors, play.calls = values, {}, calls
    monkeypatch.setattr("helpers.lessons.run.execute", play)
    return play


def make(workshop, *names, seeds=3):
    out = workshop.root / "runs"
    return subject.make_baseline(names, seeds, out, 1, notebooks=workshop.notebooks, course=workshop.course)


def bands(workshop):
    return read_baselines("quick", workshop.course)["00_first"]


# -- the rule


@pytest.mark.parametrize(("runs", "factor"), [(3, 11.46), (5, 5.04), (10, 3.41)])
def test_few_runs_make_a_wide_band(runs, factor):
    assert subject.factor(runs) == pytest.approx(factor, abs=0.01)


@pytest.mark.parametrize("runs", [3, 10])
def test_one_more_run_leaves_the_band_in_about_one_case_of_a_hundred(runs):
    rng = np.random.default_rng(0)
    left = 0
    for _ in range(3000):
        *known, new = (0.5 + 0.1 * rng.standard_normal(runs + 1)).tolist()
        band = subject._interval("x", known, Meaning(better="neither", matters=0.0), None)
        left += band.judge(new) == "worse"
    assert 0.005 < left / 3000 < 0.02  # the middle is the median, which costs a little


def run_of(*values, name="dice"):
    return [{"values": {name: value}} for value in values]


def band_of(said, *values):
    found, problems = subject.bands_of(run_of(*values), {"dice": said})
    assert problems == []
    return found["dice"]


def test_a_band_is_at_least_what_matters_wide():
    assert band_of(Meaning(better="higher"), 0.8, 0.8, 0.8).min == pytest.approx(0.76)
    matters = band_of(Meaning(better="higher", matters=0.1), 0.8, 0.8, 0.8)
    assert (matters.min, matters.max) == pytest.approx((0.7, 0.9))


@pytest.mark.parametrize(("better", "trivial"), [("higher", 0.0), ("lower", 1.0), ("neither", 0.0), ("neither", 1.0)])
def test_a_band_keeps_a_quarter_of_the_way_from_the_trivial_predictor(better, trivial):
    band = band_of(Meaning(better=better, trivial=trivial), 0.4, 0.5, 0.6)
    ends = (band.min, band.max)
    assert ends[int(trivial > 0.5)] == pytest.approx(trivial + 0.25 * (0.5 - trivial))
    assert band.judge(trivial) == "worse"


def problems_of(said, *values):
    found, problems = subject.bands_of(run_of(*values), said)
    assert "dice" not in found
    return " ".join(problems)


@pytest.mark.parametrize(
    ("said", "values", "words"),
    [
        ({}, (0.8, 0.8, 0.8), "dice is not in meaning.yml"),
        ({"dice": Meaning(better="higher", trivial=0.0)}, (0.1, 0.3, 0.8), "would not hold the runs"),
        ({"dice": Meaning(better="higher", trivial=0.9)}, (0.1, 0.11, 0.12), "lets the trivial predictor pass"),
        ({"dice": Meaning(better="higher", trivial=0.5)}, (0.5, 0.5, 0.5), "would not hold the runs"),
        ({"dice": Meaning(exact=True)}, (1, 1, 2), "depends on the seed"),
        ({"dice": Meaning(exact=True, trivial=1)}, (1, 1, 1), "lets the trivial predictor pass"),
        ({"dice": Meaning(better="higher")}, (0.8, None, 0.8), "is no number in every run"),
        ({"dice": Meaning(better="higher")}, ("a", "a", "a"), "is no number in every run"),
        ({"dice": Meaning(better="neither")}, (0.0, 0.0, 0.0), "is 0 in every run"),
        ({"dice": Meaning(better="higher", trivial="nothing")}, (1, 1, 1), "held against nothing, which is no number"),
    ],
)
def test_a_number_of_which_no_band_can_be_made_is_named(said, values, words):
    assert words in problems_of(said, *values)


def test_what_a_lesson_costs_may_double():
    runs = [{"values": {}, "effort": effort} for effort in (100.0, 101.0, 99.0)]
    budget = subject.bands_of(runs, {})[0]["effort"]
    assert [budget.judge(value) for value in (199, 201, 51, 49)] == ["same", "worse", "same", "better"]


# -- the file


def test_every_number_gets_an_entry_and_people_s_words_stay(made, play):
    result = make(made)
    held = bands(made)
    assert set(held) >= {"patients", "dice.WT", "dice.ET", "verdict"}
    assert (held["patients"].kind, held["patients"].value, held["patients"].runs) == ("exact", 20, 3)
    wt = held["dice.WT"]
    assert (wt.value, wt.spread, wt.runs, wt.better, wt.trivial) == (0.81, pytest.approx(0.01), 3, "higher", 0.2)
    assert held["verdict"].because == "words, of which nobody takes the mean"
    assert {name for _, name, old, new in result.rows if old is None and new is not None} == set(held)
    assert "Written by `python -m helpers baseline`" in result.path.read_text(encoding="utf-8")


def test_all_runs_of_a_baseline_pass_it(made, play):
    make(made)
    for seed in range(3):
        values = {"patients": 20, "dice.WT": 0.8 + 0.01 * seed, "dice.ET": 0.2, "verdict": "helped"}
        assert {band.judge(values[name]) for name, band in bands(made).items() if name in values} == {"same"}


def test_a_finished_lesson_of_a_seed_is_not_run_again(made, play):
    make(made)
    assert sorted(play.calls) == sorted((name, seed) for seed in range(3) for name in ("00_first", "03_second"))
    play.calls.clear()
    make(made, seeds=4)
    assert play.calls == [("00_first", 3), ("03_second", 3)]


def test_a_stopped_baseline_takes_up_from_there(made, play, monkeypatch):
    def stop(seed):
        if seed == 1:
            raise KeyboardInterrupt
        return play_on(seed)

    play_on, play.values = play.values, stop
    with pytest.raises(KeyboardInterrupt):
        make(made)
    play.values = play_on
    play.calls.clear()
    make(made)
    assert ("00_first", 0) not in play.calls


def test_the_other_lessons_keep_their_bands(made, play):
    kept = {"kind": "band", "better": "higher", "min": 0.5, "max": 0.9}
    made.baselines({"03_second": {"dice": kept}, "00_first": {"gone": kept}})
    result = make(made, "00")
    assert {name for name, _ in play.calls} == {"00_first"}
    read = read_baselines("quick", made.course)
    assert (read["03_second"]["dice"].min, "gone" in read["00_first"]) == (0.5, False)
    assert [(name, new) for _, name, _, new in result.rows if name == "gone"] == [("gone", None)]


@pytest.mark.parametrize("trouble", ["meaning", "failure"])
def test_nothing_is_written_where_something_is_in_the_way(made, play, trouble):
    made.baselines({})
    before = (made.root / "baselines" / "quick.yml").read_bytes()
    if trouble == "meaning":
        say(made, {"00_first": {"patients": {"exact": True}}})
        words = "No baseline was written.\n00_first: dice.WT is not in meaning.yml.*\n.*dice.ET.*\n.*verdict"
    else:
        play.errors["00_first", 1] = "ValueError: broken"
        words = "00_first failed with seed 1.*No baseline was written"
    with pytest.raises(LessonError, match=words):
        make(made)
    assert (made.root / "baselines" / "quick.yml").read_bytes() == before


def test_a_baseline_never_makes_itself(made, play, monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(LessonError, match="not in CI"):
        make(made)
    assert play.calls == []
    for path in [ROOT / ".ci" / "run", *(ROOT / ".github").rglob("*.yml"), *(ROOT / "helpers").rglob("*.py")]:
        if path.is_file() and path.name not in ("baseline.py", "course.py"):
            assert not re.search(r"make baseline|make_baseline\(", path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("file", ["quick.yml", "meaning.yml"])
def test_a_damaged_file_is_told_before_anything_runs(made, play, file):
    (made.root / "baselines" / file).write_text("00_first: {dice: 0.5}")
    with pytest.raises(LessonError, match=rf"{file}: 00_first, dice holds 0\.5"):
        make(made)
    assert play.calls == []


@pytest.mark.parametrize("seeds", [0, 2])
def test_too_few_seeds_are_refused(made, play, seeds):
    with pytest.raises(LessonError, match="at least 3 seeds"):
        make(made, seeds=seeds)


def test_the_command_shows_old_and_new_side_by_side(made, play, monkeypatch):
    made.baselines({"00_first": {"dice.WT": {"kind": "band", "better": "higher", "min": 0.5, "max": 0.9}}})
    result = make(made)
    monkeypatch.setattr(subject, "make_baseline", lambda *_: result)
    shown = CliRunner().invoke(app, ["baseline", "--seeds", "3"])
    assert shown.exit_code == 0, shown.output
    assert re.search(r"00_first +dice\.WT +0\.5 to 0\.9 +0\.\d+ to 0\.\d+ +changed", shown.stdout)
    assert "look at it before you commit it" in shown.stdout


def test_a_baseline_comes_from_the_one_way_in_which_lessons_run():
    assert subject.run_lessons is run_lessons


# -- what people say


@pytest.mark.parametrize(
    "entry",
    [{}, {"better": "up"}, {"exact": False}, {"exact": True, "better": "higher"}, {"trivial": 0}, "exact",
     {"better": "higher", "wide": 1}, {"not compared": "why", "trivial": 0}],
)  # fmt: skip
def test_a_meaning_that_says_too_little_or_too_much_is_refused(workshop, entry):
    say(workshop, {"00_first": {"dice": entry}})
    with pytest.raises(LessonError, match=r"meaning\.yml: 00_first, dice holds"):
        read_meaning(workshop.course)


def test_a_name_goes_before_a_pattern_and_an_earlier_pattern_before_a_later_one():
    said = {"dice.*": Meaning(exact=True), "*": Meaning(better="lower"), "dice.WT": Meaning(better="higher")}
    assert meaning_of("dice.WT", said).better == "higher"
    assert meaning_of("dice.ET", said).exact
    assert meaning_of("loss", said).better == "lower"
    assert meaning_of("loss", {"dice.*": Meaning(exact=True)}) is None


def recorded_names(source: Path) -> set[str]:
    """What a lesson records, `*` for the parts of a name that are computed."""
    names = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "record":
            match node.args[0]:
                case ast.Constant(value=name):
                    names.add(name)
                case ast.JoinedStr(values=parts):
                    names.add("".join(part.value if isinstance(part, ast.Constant) else "*" for part in parts))
                case ast.Name():  # a loop's own word, as in lesson 06
                    pass
    return names


@pytest.mark.parametrize("lesson", [lesson.name for lesson in read_manifest().lessons])
def test_people_say_of_every_recorded_number_what_it_means(lesson):
    said = read_meaning(read_manifest())[lesson]
    recorded = recorded_names(ROOT / "notebooks" / "src" / f"{lesson}.py")
    silent = [
        name
        for name in recorded
        if meaning_of(name, said) is None
        and not any(pattern.startswith(name.partition("*")[0] if "*" in name else f"{name}.") for pattern in said)
    ]
    assert silent == [], "say in helpers/lessons/baselines/meaning.yml what these mean"


@pytest.mark.parametrize("lesson", [lesson.name for lesson in read_manifest().lessons])
def test_the_baseline_says_what_people_say(lesson):
    said = read_meaning(read_manifest())[lesson]
    for name, band in read_baselines("quick", read_manifest())[lesson].items():
        if name == "effort":
            assert band.kind == "budget"
            continue
        meaning = meaning_of(name, said)
        assert meaning is not None, name
        kind = "exact" if meaning.exact else "not compared" if meaning.not_compared else "band"
        assert (band.kind, band.because) == (kind, meaning.not_compared), name
        if kind == "band":
            assert band.better == meaning.better, name
