import numpy as np
import pytest
from scipy import ndimage

from helpers.data.phantoms.microscopy import border_weights, cells


def test_the_same_seed_draws_the_same_cells():
    (one, labels), (other, same) = cells(seed=3), cells(seed=3)
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(labels, same)
    assert not np.array_equal(cells(seed=4)[1], labels)


@pytest.mark.parametrize("seed", range(4))
def test_each_cell_is_one_piece_and_neighbours_touch(seed):
    picture, labels = cells(seed=seed)
    assert picture.dtype == np.float32
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert [ndimage.label(labels == name)[1] for name in np.unique(labels)[1:]] == [1] * labels.max()
    assert ndimage.label(labels > 0)[1] < labels.max()


def test_where_there_is_no_room_there_are_fewer_cells():
    assert 1 < len(np.unique(cells(size=60, count=50)[1])) - 1 < 50


def test_the_border_weighs_most_where_the_gap_is_narrowest():
    labels = np.zeros((9, 40), int)
    labels[:, 5:10], labels[:, 12:20], labels[:, 30:35] = 1, 2, 3
    weights = border_weights(labels)
    assert not weights[labels > 0].any()
    assert weights[4, 10] > 5 * weights[4, 24]
    # Two columns lie between the first two: distances 1 and 2 to their edges.
    np.testing.assert_allclose(weights[4, 10], 10 * np.exp(-(3**2) / 50))


def test_one_cell_has_no_border():
    with pytest.raises(ValueError, match="hold 1 cells"):
        border_weights(np.eye(3, dtype=int))
