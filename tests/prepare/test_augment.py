"""Laws of varying image and mask together."""

from dataclasses import fields

import keras
import numpy as np
import pytest

from helpers.prepare.augment import Variation, apply, draw


def _still(n, size, channels):
    """A variation that changes nothing."""
    one, zero = np.ones((n, 1, 1, channels), np.float32), np.zeros((n, size, size, channels), np.float32)
    identity = np.tile(np.float32([1, 0, 0, 0, 1, 0, 0, 0]), (n, 1))
    return Variation(identity, one, 0 * one, one, zero)


def _scene(n=8, size=48):
    """A bright square on a brain, and the same square as oedema."""
    images = np.zeros((n, size, size, 2), np.float32)
    images[:, 6:-6, 6:-6] = -0.5
    shares = np.zeros((n, size, size, 4), np.float32)
    shares[..., 0] = 1
    images[:, 14:24, 18:30] = 2
    shares[:, 14:24, 18:30] = (0, 0, 1, 0)
    return images, shares


def _numpy(pair):
    return [keras.ops.convert_to_numpy(x) for x in pair]


def test_identity_changes_nothing():
    images, shares = _scene()
    out = _numpy(apply(images, shares, _still(8, 48, 2)))
    np.testing.assert_allclose(out[0], images, atol=1e-5)
    np.testing.assert_allclose(out[1], shares, atol=1e-6)


def test_same_seed_gives_the_same_batch():
    one, other = (draw(np.random.default_rng(5), 4, 32, 2) for _ in range(2))
    for field in fields(Variation):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_image_and_mask_move_together(rng):
    """The square's middle in the image and in the mask ends in the same place, to half a pixel."""
    images, shares = _scene()
    moved = draw(rng, 8, 48, 2)
    still = _still(8, 48, 2)
    geometry = Variation(moved.transform, still.gain, still.offset, still.gamma, still.noise)
    images, shares = _numpy(apply(images, shares, geometry))
    y, x = np.mgrid[:48, :48]
    for image, share in zip(images, shares, strict=True):
        bright, mask = np.clip(image[..., 0] - 0.5, 0, None), share[..., 2]
        for axis in (y, x):
            assert (bright * axis).sum() / bright.sum() == pytest.approx((mask * axis).sum() / mask.sum(), abs=0.5)


def test_geometry_really_moves(rng):
    images, shares = _scene()
    _, out = _numpy(apply(images, shares, draw(rng, 8, 48, 2)))
    assert np.abs(out - shares).max(axis=(1, 2, 3)).min() > 0.5


def test_shares_still_sum_to_one(rng):
    images, shares = _scene()
    _, out = _numpy(apply(images, shares, draw(rng, 8, 48, 2)))
    np.testing.assert_allclose(out.sum(axis=-1), 1, atol=1e-5)
    assert out.min() > -1e-5


def test_background_stays_zero(rng):
    images, shares = _scene()
    images[:4] = 0
    out, _ = _numpy(apply(images, shares, draw(rng, 8, 48, 2)))
    assert (out[:4] == 0).all()
    assert (out[4:] == 0).any()


def test_a_modality_that_ends_early_stays_empty_there(rng):
    images, shares = _scene()
    images[..., 1] = 0
    out, _ = _numpy(apply(images, shares, draw(rng, 8, 48, 2)))
    assert (out[..., 1] == 0).all()


def test_mean_intensity_is_not_moved_by_gamma():
    images = np.zeros((1, 8, 8, 1), np.float32) + 1e-6
    still = _still(1, 8, 1)
    bent = Variation(still.transform, still.gain, still.offset, still.gamma * 1.4, still.noise)
    out, _ = _numpy(apply(images, np.eye(4, dtype=np.float32)[np.zeros((1, 8, 8), int)], bent))
    np.testing.assert_allclose(out, 0, atol=1e-4)
