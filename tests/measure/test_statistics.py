import json

import numpy as np
import pytest

from helpers.measure.statistics import bootstrap_ci, summarise


def scores(value):
    return {"WT": {"dice": value, "hd95_mm": 10 * value}, "TC": {"dice": value / 2, "hd95_mm": 1.0}}


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    intervals = [bootstrap_ci(rng.normal(0.75, 0.1, 40), samples=1_000) for _ in range(400)]
    covered = np.mean([low <= 0.75 <= high for low, high in intervals])
    assert 0.91 <= covered <= 0.98


def test_the_interval_agrees_with_the_normal_one_for_many_patients():
    values = np.random.default_rng(2).normal(0.75, 0.1, 200)
    half = 1.96 * values.std(ddof=1) / np.sqrt(200)
    assert bootstrap_ci(values) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(3).random(12)
    assert bootstrap_ci(values) == bootstrap_ci(values)
    assert bootstrap_ci(values, seed=1) != bootstrap_ci(values, seed=2)


def test_more_confidence_takes_a_wider_interval():
    values = np.random.default_rng(3).random(12)
    low, high = bootstrap_ci(values, confidence=0.5)
    wide_low, wide_high = bootstrap_ci(values, confidence=0.99)
    assert wide_low < low < values.mean() < high < wide_high


@pytest.mark.parametrize("value", [0.1, 0.0, 373.128664])
@pytest.mark.parametrize("patients", [1, 7])
def test_equal_values_give_an_interval_without_width(value, patients):
    assert bootstrap_ci([value] * patients) == (value, value)


@pytest.mark.parametrize(
    ("values", "message"),
    [([], "at least one"), ([[0.5]], "at least one"), ([0.5, np.nan], "NaN"), ([0.5, np.inf], "NaN")],
)
def test_values_that_cannot_be_averaged_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_ci(values)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_a_confidence_outside_0_and_1_is_refused(confidence):
    with pytest.raises(ValueError, match="expected a share between 0 and 1"):
        bootstrap_ci([0.5, 0.6], confidence=confidence)


def test_summary_holds_the_mean_and_the_interval_of_every_score():
    patients = [scores(value) for value in (0.6, 0.8, 0.9)]
    summary = summarise(patients)
    assert summary["WT"]["dice"]["mean"] == pytest.approx(2.3 / 3)
    assert summary["WT"]["dice"]["ci95"] == list(bootstrap_ci([0.6, 0.8, 0.9]))
    assert summary["TC"]["hd95_mm"] == {"mean": 1.0, "ci95": [1.0, 1.0]}
    assert json.loads(json.dumps(summary)) == summary


def test_a_summary_of_nobody_is_refused():
    with pytest.raises(ValueError, match="no patients"):
        summarise([])


def test_patients_scored_differently_are_refused():
    with pytest.raises(ValueError, match="different regions or scores"):
        summarise([scores(0.5), {"WT": {"dice": 0.5, "hd95_mm": 1.0}}])
