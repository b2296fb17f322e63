"""Laws of decoding: no mask and no nested labels have a higher expected Dice, of all that a picture has."""

import numpy as np
import pytest

from helpers.measure import decoding
from helpers.measure.decoding import argmax, dice_optimal, dice_optimal_labels, expected_dice
from helpers.measure.regions import REGIONS, mask


def every_mask(p):
    """The expected Dice of each of the 2^n masks, over each of the 2^n truths: (2^n,)."""
    bits = (np.arange(2**p.size)[:, None] >> np.arange(p.size) & 1).astype(float)
    chance = np.prod(np.where(bits == 1, p, 1 - p), axis=1)
    size = bits.sum(axis=1)
    total = size[:, None] + size
    return np.where(total > 0, 2 * bits @ bits.T / np.maximum(total, 1), 1.0) @ chance


def number_of(chosen):
    return int((chosen * 2 ** np.arange(chosen.size)).sum())


def best_nested(values, voxels):
    """The highest sum over all masks of which each lies in the one before, by the maximum over subsets."""
    best = np.zeros(2**voxels)
    for value in reversed(values):
        best = best + value
        for bit in range(voxels):
            pairs = best.reshape(-1, 2, 2**bit)
            pairs[:, 1] = np.maximum(pairs[:, 1], pairs[:, 0])
    return best[-1]


def picture(rng, voxels):
    """Probabilities of four classes, (voxels, 4): sure ones, undecided ones, and mixtures."""
    return rng.dirichlet(np.full(4, rng.choice([0.1, 0.5, 1, 5])), voxels)


def regions_of(p):
    return np.stack([p[..., list(labels)].sum(axis=-1) for labels in REGIONS.values()])


@pytest.mark.parametrize("voxels", [1, 2, 5, 8])
def test_no_mask_of_a_picture_has_a_higher_expected_dice(voxels):
    rng = np.random.default_rng(voxels)
    for _ in range(40):
        p = rng.beta(*rng.choice([0.2, 1, 4], 2), voxels)
        values, chosen = every_mask(p), dice_optimal(p)
        assert values[number_of(chosen)] == pytest.approx(values.max(), abs=1e-12)
        assert expected_dice(p, chosen) == pytest.approx(values.max(), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_no_mask_of_twelve_pixels_has_a_higher_expected_dice(seed):
    p = np.random.default_rng(seed).beta(0.7, 1.2, 12)
    values = every_mask(p)
    assert values[number_of(dice_optimal(p))] == pytest.approx(values.max(), abs=1e-12)
    other = np.random.default_rng(seed).random(12) < 0.5
    assert expected_dice(p, other) == pytest.approx(values[number_of(other)], abs=1e-12)


@pytest.mark.parametrize("voxels", [1, 3, 6, 8, 12])
def test_no_nested_labels_of_a_picture_have_a_higher_sum(voxels):
    rng = np.random.default_rng(10 + voxels)
    for _ in range(2 if voxels == 12 else 40):
        p = picture(rng, voxels)
        values = [every_mask(region) for region in regions_of(p)]
        labels = dice_optimal_labels(p)
        reached = sum(value[number_of(mask(labels, name))] for name, value in zip(REGIONS, values, strict=True))
        assert reached == pytest.approx(best_nested(values, voxels), abs=1e-9)


def test_best_masks_that_are_nested_are_kept():
    rng = np.random.default_rng(0)
    nested = 0
    for _ in range(50):
        p = picture(rng, 10)
        masks = [dice_optimal(region) for region in regions_of(p)]
        if not (masks[1] > masks[0]).any() and not (masks[2] > masks[1]).any():
            nested += 1
            labels = dice_optimal_labels(p)
            assert all((mask(labels, name) == one).all() for name, one in zip(REGIONS, masks, strict=True))
    assert nested > 5


def test_the_threshold_is_half_of_the_best_value():
    """Lipton et al. 2014, for many voxels."""
    p = np.random.default_rng(0).beta(0.3, 1.5, 5000)
    chosen = dice_optimal(p)
    half = expected_dice(p, chosen) / 2
    assert p[chosen].min() > half >= p[~chosen].max()
    assert half < 0.5


def test_the_mask_is_not_smaller_than_by_argmax():
    rng = np.random.default_rng(1)
    for voxels in (6, 200, 3000):
        p = rng.beta(0.5, 1, voxels)
        assert (dice_optimal(p) >= (p > 0.5)).all()


def test_the_threshold_costs_little_against_the_exact_mask():
    rng = np.random.default_rng(2)
    for _ in range(5):
        p = rng.beta(0.4, 1.0, 200)
        _, chosen = decoding._best_ratio(p, p.sum())
        assert expected_dice(p, dice_optimal(p)) - expected_dice(p, chosen) < 1e-4


def test_labels_of_a_large_picture_beat_argmax_and_are_as_good_as_the_exact_ones():
    p = picture(np.random.default_rng(3), decoding.EXACT)
    exact, wide = dice_optimal_labels(p), decoding._LABEL_OF_DEPTH[decoding._nested(regions_of(p))]

    def mean(labels):
        return np.mean([expected_dice(r, mask(labels, name)) for name, r in zip(REGIONS, regions_of(p), strict=True)])

    assert mean(exact) >= mean(wide) > mean(exact) - 1e-4
    assert mean(wide) > mean(argmax(p)) + 1e-3


@pytest.mark.parametrize("voxels", [20, 5000])
def test_what_is_surely_absent_is_left_empty_and_what_is_sure_is_drawn(voxels):
    p = np.zeros((voxels, 4), np.float32)
    p[:, 0] = 1
    assert not dice_optimal_labels(p).any()
    p[:4] = [0, 0, 0, 1]
    p[4:9] = [0, 0, 1, 0]
    p[9:12] = [0, 1, 0, 0]
    np.testing.assert_array_equal(dice_optimal_labels(p), argmax(p))


def test_a_region_that_is_probably_absent_is_left_empty_in_a_large_volume():
    """Two voxels may be enhancing, together with a chance of .1: an empty mask scores .9 then."""
    p = np.zeros((2000, 4))
    p[:, 0] = 1
    p[:600] = [0.1, 0.0, 0.9, 0]
    p[:2] = [0, 0.95, 0, 0.05]
    labels = dice_optimal_labels(p)
    assert not (labels == 3).any()
    assert (labels[:2] == 1).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_shape_stays_and_precision_does_not_matter(dtype):
    p = picture(np.random.default_rng(4), 60).reshape(3, 4, 5, 4)
    labels = dice_optimal_labels(p.astype(dtype))
    assert labels.shape == (3, 4, 5)
    assert labels.dtype == np.uint8
    assert np.mean(labels == dice_optimal_labels(p)) > 0.95


def test_what_is_no_probability_is_refused():
    with pytest.raises(ValueError, match="four classes"):
        dice_optimal_labels(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="from 0 to 1"):
        dice_optimal([0.2, 1.5])
    with pytest.raises(ValueError, match="from 0 to 1"):
        dice_optimal([np.nan])
    with pytest.raises(ValueError, match="expected the same"):
        expected_dice([0.2, 0.5], [True])


def test_thresholds_of_the_regions_give_the_best_masks_of_large_volumes(rng):
    """Decided by thresholds, a smooth tumour of nested regions has the labels of the full search, to a few voxels."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 40)] * 3, indexing="ij"))
    radius = np.sqrt((grid**2).sum(axis=0))
    whole, core, enhancing = (1 / (1 + np.exp((radius - edge) / 0.12)) for edge in (0.7, 0.45, 0.25))
    core, enhancing = core * whole, enhancing * core * whole
    p = np.stack([1 - whole, core - enhancing, whole - core, enhancing], axis=-1).astype(np.float32)
    labels = decoding.labels_above(p[..., 1:], decoding.dice_thresholds(p))
    assert (labels != decoding.dice_optimal_labels(p)).mean() < 0.002
    assert (labels > 0).sum() > (decoding.argmax(p) > 0).sum()


def test_decoding_a_sure_map_is_argmax(rng):
    truth = rng.integers(0, 4, (6, 7, 8))
    p = np.eye(4, dtype=np.float32)[truth]
    np.testing.assert_array_equal(decoding.labels_above(p[..., 1:], decoding.dice_thresholds(p)), truth)


def test_thresholds_hardly_depend_on_the_grid(rng):
    """Every probability eight times, as on a grid of half the spacing."""
    p = rng.dirichlet([8, 1, 1, 1], 5000).astype(np.float32)
    np.testing.assert_allclose(
        decoding.dice_thresholds(p), decoding.dice_thresholds(np.repeat(p, 8, axis=0)), atol=1e-6
    )
