"""Laws of what labels cost: the bound holds on any masks, and a planted habit is found and undone."""

import numpy as np
import pytest

from helpers.measure.label_ceiling import best_margin, moved, schools
from helpers.measure.overlap import jaccard


def disc(radius, middle=(32, 32)):
    rows, columns = np.mgrid[:64, :64]
    return (rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 <= radius**2


def test_scores_of_two_models_differ_by_no_more_than_the_models_do():
    rng = np.random.default_rng(0)
    for share in (0.1, 0.5, 0.9):
        one, other, truth = rng.random((3, 1, 20, 20)) < share
        found = schools(one, other, truth)
        assert abs(jaccard(one[0], truth[0]) - jaccard(other[0], truth[0])) <= found["most"] + 1e-12


def test_models_of_one_school_leave_the_rest_to_the_truth():
    ours, truth = [disc(12)] * 3, [disc(10), disc(12), disc(14)]
    found = schools(ours, ours, truth)
    assert (found["each_other"], found["most"]) == (1, 0)
    assert found["one"] == found["other"] < 1


@pytest.mark.parametrize("margin", [-4, -1, 0, 2, 5])
def test_a_habit_of_drawing_wide_or_close_is_found_and_undone(margin):
    outlines = [disc(radius, (30, radius + 10)) for radius in (12, 15, 18)]
    truths = [disc(radius + margin, (30, radius + 10)) for radius in (12, 15, 18)]
    assert best_margin(outlines, truths) == margin
    for outline, truth in zip(outlines, truths, strict=True):
        assert jaccard(moved(outline, margin), truth) > 0.93


def test_what_is_missed_is_no_habit_of_the_edge():
    """A quarter of each disc is not found: nothing is moved."""
    quarter = np.add.outer(np.arange(64) > 32, np.arange(64) > 32) == 2
    truths = [disc(14), disc(16)]
    assert best_margin([truth & ~quarter for truth in truths], truths) == 0


def test_a_mask_moved_there_and_back_is_itself_nearly():
    assert jaccard(moved(moved(disc(15), 3), -3), disc(15)) > 0.97
    assert not moved(np.zeros((4, 4), bool), 2).any()
