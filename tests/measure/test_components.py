"""Laws of false positive components: only what does not overlap the ground truth counts, in millilitres."""

import numpy as np
import pytest

from helpers.measure.components import false_positive_components


@pytest.fixture
def masks():
    truth, prediction = np.zeros((2, 20, 20, 10), bool)
    truth[2:8, 2:8, 2:6] = True
    prediction[5:12, 5:8, 2:6] = True  # overlaps the truth
    return truth, prediction


def test_component_that_overlaps_the_truth_is_no_false_positive(masks):
    assert false_positive_components(*masks, (1, 1, 1)) == (0, 0.0)
    assert false_positive_components(masks[0], masks[0], (1, 1, 1)) == (0, 0.0)


def test_false_positives_are_counted_and_measured(masks):
    truth, prediction = masks
    prediction[15:17, 15:17, 8] = True
    prediction[17, 17, 9] = True  # meets the one before at a corner: the same component
    prediction[0, 19, 0] = True
    assert false_positive_components(truth, prediction, (2, 2, 2.5)) == (2, pytest.approx(6 * 10 / 1000))


def test_without_truth_every_component_is_a_false_positive(masks):
    assert false_positive_components(np.zeros_like(masks[0]), masks[1], (1, 1, 1))[0] == 1
    assert false_positive_components(masks[0], np.zeros_like(masks[1]), (1, 1, 1)) == (0, 0.0)
