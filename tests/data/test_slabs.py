"""Laws of 2.5-D: a slice with its neighbours, and what stands for them at the ends of a volume."""

import numpy as np
import pytest

from helpers.data.slabs import middle, slab_rows, slabs


@pytest.fixture
def volume(rng):
    return rng.normal(size=(5, 3, 3, 2)).astype(np.float32)


def test_a_slab_holds_the_slice_below_the_slice_and_the_one_above(volume):
    slab = slabs(volume, 1)
    assert slab.shape == (5, 3, 3, 6)
    np.testing.assert_array_equal(slab[2], np.concatenate([volume[1], volume[2], volume[3]], axis=-1))


def test_the_first_and_the_last_slice_stand_for_those_beyond_them(volume):
    slab = slabs(volume, 2)
    np.testing.assert_array_equal(slab[0], np.concatenate(volume[[0, 0, 0, 1, 2]], axis=-1))
    np.testing.assert_array_equal(slab[-1], np.concatenate(volume[[2, 3, 4, 4, 4]], axis=-1))


@pytest.mark.parametrize("reach", [0, 1, 3])
def test_the_middle_of_slabs_is_the_volume(reach, volume):
    np.testing.assert_array_equal(middle(slabs(volume, reach), reach), volume)


def test_neighbours_never_come_from_another_volume():
    first, last = np.array([0, 0, 3, 3]), np.array([2, 2, 6, 6])
    rows = slab_rows(first, last, np.array([0, 2, 3, 6]), 1)
    assert rows.tolist() == [[0, 0, 1], [1, 2, 2], [3, 3, 4], [5, 6, 6]]
