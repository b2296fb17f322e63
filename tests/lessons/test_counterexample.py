"""Answers of lesson 08: what shows a fault is taken, what does not is told why."""

import numpy as np
import pytest

from helpers.lessons.counterexample import counterexample, hd95_mistake, right_dice, right_labels, right_mean
from helpers.measure.overlap import dice
from helpers.measure.planted import ball
from helpers.measure.surface import hd95, surface_distances

NONE, ALL = np.zeros(6, bool), np.ones(6, bool)


def no_rule(truth, prediction):
    return 2 * (truth & prediction).sum() / (truth.sum() + prediction.sum() + 1e-7)


def skips_missed(truths, predictions):
    return np.mean([dice(t, p) for t, p in zip(truths, predictions, strict=True) if p.any()])


def with_background(truth, prediction):
    return np.mean([dice(truth == label, prediction == label) for label in np.unique([truth, prediction])])


@pytest.mark.parametrize(
    ("score", "right", "case"),
    [
        (no_rule, right_dice, (NONE, NONE)),
        (skips_missed, right_mean, ([ALL, ALL], [ALL, NONE])),
        (skips_missed, right_mean, ([ALL], [NONE])),  # a mean of nothing, nan
        (with_background, right_labels, (np.array([0, 0, 3]), np.array([0, 0, 0]))),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_case_that_shows_the_fault_is_taken(score, right, case):
    assert counterexample(score, right, case) is None


@pytest.mark.parametrize(
    ("score", "right", "case"),
    [
        (no_rule, right_dice, (ALL, NONE)),
        (skips_missed, right_mean, ([ALL], [ALL])),
        (with_background, right_labels, (np.array([1, 2, 3]), np.array([1, 2, 3]))),
    ],
)
def test_a_case_where_the_function_is_right_is_told_so(score, right, case):
    assert "which is right; look for" in counterexample(score, right, case)


@pytest.mark.parametrize("case", [(..., ...), None, (ALL,), 5])
def test_an_unfilled_case_is_missing(case):
    assert "there is no pair" in counterexample(no_rule, right_dice, case)


@pytest.mark.parametrize(
    ("right", "case"),
    [
        (right_dice, ([1, 0], [0, 1])),
        (right_dice, (ALL, NONE[:3])),
        (right_dice, ("a", "b")),
        (right_mean, (ALL, ALL)),
        (right_mean, ([], [])),
        (right_labels, (ALL, ALL)),
        (right_labels, (np.array([0.5]), np.array([0.5]))),
    ],
)
def test_nonsense_is_no_case(right, case):
    assert "these are no truth and prediction" in counterexample(no_rule, right, case)


def test_every_usual_mistake_in_hd95_has_a_message_of_its_own():
    one = ball((20, 20, 12), (8, 8, 6), 5)
    two = ball((20, 20, 12), (9, 9, 6), 4) | ball((20, 20, 12), (16, 15, 6), 2)
    mm = (1, 2, 3)
    forth, back = surface_distances(one, two, mm)
    both, each = np.concatenate([forth, back]), [np.percentile(way, 95) for way in (forth, back)]
    mistakes = [hd95(one, two, (1, 1, 1)), both.max(), np.percentile(both, 95), min(each), np.mean(each)]
    said = [hd95_mistake(value, one, two, mm) for value in mistakes]
    assert len(set(said)) == len(mistakes)
    assert not any(message.startswith("expected") for message in said)
    assert hd95_mistake(-1.0, one, two, mm).startswith("expected")
    assert all(not np.isclose(value, hd95(one, two, mm)) for value in mistakes)
