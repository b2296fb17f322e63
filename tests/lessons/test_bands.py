"""Laws of bands: one-sided where a number has a direction, none lets the trivial predictor pass, and all are read."""

import pytest

from helpers.lessons.bands import Band, judge_all, read_baselines
from helpers.lessons.manifest import LessonError

INSIDE, BELOW, ABOVE = 0.6, 0.4, 0.8


def band(**fields):
    return {"kind": "band", "better": "higher", "min": 0.5, "max": 0.7, **fields}


@pytest.mark.parametrize(
    ("better", "verdicts"),
    [
        ("higher", ["same", "worse", "better"]),
        ("lower", ["same", "better", "worse"]),
        ("neither", ["same", "worse", "worse"]),
    ],
)
def test_a_number_regresses_one_way_and_improves_the_other(better, verdicts):
    held = Band(better=better, min=0.5, max=0.7)
    assert [held.judge(value) for value in (INSIDE, BELOW, ABOVE)] == verdicts


def test_a_band_holds_its_ends_and_nothing_that_is_no_number():
    held = Band(better="higher", min=0.5, max=0.7)
    assert [held.judge(end) for end in (0.5, 0.7)] == ["same", "same"]
    assert {held.judge(value) for value in (None, "0.6", True, float("nan"), float("inf"))} == {"worse"}


@pytest.mark.parametrize(("value", "wanted", "same"), [
    (20, 20, True), (20, 21, False), (0.1 + 0.2, 0.3, True), (0.3001, 0.3, False), ("a", "a", True), (None, 0, False),
    ("20", 20, False),
])  # fmt: skip
def test_an_exact_number_is_the_same_but_for_rounding(value, wanted, same):
    assert (Band("exact", value=wanted).judge(value) == "same") is same


def test_what_is_not_compared_never_regresses():
    assert Band("not compared", because="words").judge(None) == "same"


def test_a_cost_that_the_system_does_not_tell_is_no_regression():
    budget = Band("budget", better="lower", min=1.0, max=2.0)
    assert [budget.judge(value) for value in (None, 1.5, 3.0, 0.5)] == ["same", "same", "worse", "better"]


def test_a_sentence_for_each_number_that_left_its_band():
    bands = {
        "dice.WT": Band(better="higher", min=0.5, max=0.7),
        "n": Band("exact", value=20),
        "gone": Band(min=0.0),
        "m": Band(max=2.0),
    }
    judged = judge_all(bands, {"dice.WT": 0.8, "n": 19, "m": 3})
    assert judged == {
        "worse": {
            "n": "n is 19; it should be exactly 20",
            "m": "m is 3; the band is 2 or less",
            "gone": "gone was not recorded; the band is 0 or more",
        },
        "better": {"dice.WT": "dice.WT is 0.8; the band is 0.5 to 0.7"},
    }


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (band(trivial=0.6), "lets the trivial predictor pass"),
        (band(trivial=0.9), "lets the trivial predictor pass"),  # a lesson may not be worse than the trivial predictor
        (band(better="lower", trivial=0.1), "lets the trivial predictor pass"),
        ({"kind": "exact", "value": 20, "trivial": 20}, "lets the trivial predictor pass"),
        ({"kind": "band", "better": "higher", "max": 0.7}, r"lacks \['min'\]"),
        ({"kind": "band", "better": "neither", "max": 0.7}, r"lacks \['min'\]"),
        ({"kind": "band", "better": "upwards", "min": 0.5}, "better is one of higher, lower, neither"),
        ({"kind": "band", "min": 0.5}, "better is one of"),
        (band(typical=0.6), r"unknown fields \['typical'\]"),
        ({"kind": "exact"}, r"lacks \['value'\]"),
        ({"kind": "not compared"}, r"lacks \['because'\]"),
        ({"kind": "range"}, "needs a kind"),
        ({"min": 0.5}, "needs a kind"),
        (0.5, "needs a kind"),
        (band(min=0.8), "lies above"),
        (band(min=float("nan")), "lies above"),
    ],
)
def test_a_band_that_cannot_fail_is_refused(workshop, entry, message):
    workshop.baselines({"00_first": {"dice_wt": entry}})
    with pytest.raises(LessonError, match=message) as refused:
        read_baselines("quick", workshop.course)
    assert "quick.yml: 00_first, dice_wt" in str(refused.value)


def test_a_band_beside_the_trivial_predictor_is_read(workshop):
    workshop.baselines({"00_first": {"dice_wt": band(trivial=0.0), "error": band(better="lower", trivial=1)}})
    read = read_baselines("quick", workshop.course)["00_first"]
    assert (read["dice_wt"].trivial, read["error"].better) == (0.0, "lower")


def test_a_band_for_an_unknown_lesson_is_refused(workshop):
    workshop.baselines({"09_ninth": {"dice_wt": band()}})
    with pytest.raises(LessonError, match="no lesson '09_ninth'"):
        read_baselines("quick", workshop.course)
