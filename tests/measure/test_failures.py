"""The reason given for a patient is the largest error that was planted."""

import numpy as np
import pytest

from helpers.measure.failures import reason
from helpers.measure.planted import ball

SHAPE, MM = (30, 30, 30), (2, 2, 2)


@pytest.fixture
def truth():
    labels = np.zeros(SHAPE, np.uint8)
    for label, radius in ((2, 9), (1, 6), (3, 4)):
        labels[ball(SHAPE, (15, 15, 15), radius)] = label
    return labels


def test_each_error_is_named_where_it_is_planted(truth):
    assert reason(truth, 0 * truth, MM).startswith("finds nothing of ")
    half = truth.copy()
    half[:15] = 0
    assert reason(truth, half, MM).startswith("misses ")
    large = np.where(ball(SHAPE, (15, 15, 15), 13) & (truth == 0), 2, truth)
    assert reason(truth, large, MM).startswith("draws ")
    assert "of oedema for another class" in reason(truth, np.where(truth == 2, 1, truth), MM)
    assert reason(truth, np.where(truth == 3, 1, truth), MM).endswith("and finds no ET")


def test_millilitres_are_those_of_the_spacing(truth):
    ml = (truth > 0).sum() * 8 / 1000
    assert f"of {ml:.0f} ml" in reason(truth, 0 * truth, MM)


def test_nothing_to_find_is_said():
    blank = np.zeros(SHAPE, np.uint8)
    assert "there is nothing" in reason(blank, blank, MM)
