import time

import numpy as np
import pytest
from scipy import ndimage

from helpers.measure.surface import assd, hd95, surface_distances

SPACING = (0.9, 1.3, 2.5)


def blob(seed, shape=(30, 34, 22), size=2.5):
    """An irregular body, sometimes in several pieces, away from the edge of the volume."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), size)
    mask = np.zeros(shape, bool)
    mask[4:-4, 4:-4, 4:-4] = (noise > 0.6 * noise.std())[4:-4, 4:-4, 4:-4]
    return mask


def point(*position, shape=(20, 20, 20)):
    mask = np.zeros(shape, bool)
    mask[position] = True
    return mask


def test_equal_masks_are_0_mm_apart():
    assert hd95(blob(0), blob(0), SPACING) == 0.0


def test_two_points_are_as_far_apart_as_the_ruler_says():
    assert hd95(point(2, 3, 4), point(5, 3, 4), SPACING) == pytest.approx(3 * 0.9)
    assert hd95(point(2, 3, 4), point(2, 3, 6), SPACING) == pytest.approx(2 * 2.5)
    assert hd95(point(2, 3, 4), point(3, 4, 5), SPACING) == pytest.approx(np.linalg.norm(SPACING))


def test_the_larger_direction_counts_not_the_pooled_percentile():
    truth, prediction = np.zeros((2, 1, 200), bool)
    truth[0, :95] = True
    prediction[0, :95] = True
    prediction[0, 180:190] = True  # 9.5 % of one surface, but 5 % of both together
    to_prediction, to_truth = surface_distances(truth, prediction, (1.0, 1.0))
    assert hd95(truth, prediction, (1, 1)) == pytest.approx(np.percentile(to_truth, 95))
    assert np.percentile(np.hstack([to_prediction, to_truth]), 95) < hd95(truth, prediction, (1, 1))


def test_two_empty_masks_are_0_mm_apart():
    empty = np.zeros((5, 6, 7), bool)
    assert hd95(empty, empty, (1, 1, 1)) == 0.0


def test_one_empty_mask_scores_the_diagonal_of_the_volume():
    empty, filled = np.zeros((240, 240, 155), bool), point(9, 9, 9, shape=(240, 240, 155))
    assert hd95(empty, filled, (1, 1, 1)) == pytest.approx(373.13, abs=0.005)
    assert hd95(filled, empty, (1, 1, 1)) == hd95(empty, filled, (1, 1, 1))
    assert hd95(filled, empty, (2, 2, 2)) == pytest.approx(2 * hd95(filled, empty, (1, 1, 1)))


def test_average_distance_counts_every_surface_voxel_of_both_masks_once():
    truth, prediction = np.zeros((2, 1, 100), bool)
    truth[0, 10:12] = True
    prediction[0, 10:14] = True  # ways to truth 0, 0, 1, 2; back 0, 0: six in all
    assert assd(truth, prediction, (1.0, 1.0)) == pytest.approx(3 / 6)
    assert assd(prediction, truth, (1.0, 2.0)) == pytest.approx(6 / 6)


def test_average_distance_has_the_rule_of_hd95_for_empty_masks():
    empty, filled = np.zeros((3, 4), bool), np.ones((3, 4), bool)
    assert assd(empty, empty, (1, 1)) == assd(filled, filled, (1, 1)) == 0
    assert assd(empty, filled, (1, 1)) == assd(filled, empty, (1, 1)) == 5


@pytest.mark.parametrize("seed", range(4))
def test_hd95_is_symmetric(seed):
    assert hd95(blob(seed), blob(seed + 50), SPACING) == hd95(blob(seed + 50), blob(seed), SPACING) > 0


def test_twice_the_spacing_is_twice_the_distance():
    doubled = tuple(2 * step for step in SPACING)
    assert hd95(blob(1), blob(2), doubled) == pytest.approx(2 * hd95(blob(1), blob(2), SPACING))


def test_moving_both_masks_changes_nothing():
    moved = [np.roll(blob(seed), (3, -2, 1), axis=(0, 1, 2)) for seed in (1, 2)]
    assert hd95(*moved, SPACING) == pytest.approx(hd95(blob(1), blob(2), SPACING))


def test_room_round_the_masks_changes_nothing():
    """The box that is cut out must hold all that counts."""
    padded = [np.pad(blob(seed), ((9, 0), (0, 17), (5, 5))) for seed in (1, 2)]
    assert hd95(*padded, SPACING) == pytest.approx(hd95(blob(1), blob(2), SPACING))


@pytest.mark.parametrize("seed", range(4))
def test_distances_equal_a_distance_map_of_the_whole_volume(seed):
    truth, prediction = blob(seed), blob(seed + 50)
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in (truth, prediction)]
    maps = [ndimage.distance_transform_edt(~surface, sampling=SPACING) for surface in surfaces]
    to_prediction, to_truth = surface_distances(truth, prediction, SPACING)
    np.testing.assert_allclose(to_prediction, maps[1][surfaces[0]], atol=1e-9)
    np.testing.assert_allclose(to_truth, maps[0][surfaces[1]], atol=1e-9)


def test_a_voxel_at_the_edge_of_the_volume_is_surface():
    everything = np.ones((5, 5, 5), bool)
    to_prediction, _ = surface_distances(everything, everything, (1, 1, 1))
    assert to_prediction.shape == (5**3 - 3**3,)


def test_a_voxel_that_touches_the_outside_only_by_a_corner_is_not_surface():
    mask = np.zeros((7, 7, 7), bool)
    mask[1:6, 1:6, 1:6] = True
    mask[1, 1, 1] = False
    to_prediction, _ = surface_distances(mask, mask, (1, 1, 1))
    assert to_prediction.shape == (5**3 - 3**3 - 1,)  # (2, 2, 2) sees the hole by its corner alone


def test_a_full_volume_takes_well_under_half_a_second():
    i, j, k = np.ogrid[:240, :240, :155]
    truth = (i - 100) ** 2 + (j - 120) ** 2 + (k - 80) ** 2 < 35**2
    prediction = (i - 104) ** 2 + (j - 118) ** 2 + (k - 82) ** 2 < 33**2
    prediction[230, 230, 5] = True  # a stray voxel far away must not cost seconds
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        hd95(truth, prediction, (1, 1, 1))
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5


@pytest.mark.parametrize("spacing", [(1, 1), (1, 1, 0), (1, 1, -1), (1, 1, np.nan), 1.0, (1, 1, 1, 1)])
def test_a_wrong_spacing_is_refused(spacing):
    with pytest.raises(ValueError, match="expected 3 positive numbers"):
        hd95(point(1, 1, 1), point(2, 2, 2), spacing)


def test_masks_on_different_grids_are_refused():
    with pytest.raises(ValueError, match="one grid"):
        hd95(point(1, 1, 1), point(1, 1, 1, shape=(20, 20, 21)), (1, 1, 1))


def test_an_empty_mask_has_no_surface_distances():
    with pytest.raises(ValueError, match="empty"):
        surface_distances(point(1, 1, 1), np.zeros((20, 20, 20), bool), (1, 1, 1))
