"""Laws of normalisation."""

import numpy as np

from helpers.data.normalise import zscore


def _head(rng, scale=1.0):
    images = np.zeros((12, 12, 6, 2), np.float32)
    images[2:10, 2:10, 1:5] = rng.normal(300, 40, (8, 8, 4, 2)) * scale
    return images


def test_brain_has_mean_zero_and_deviation_one_per_modality(rng):
    images = _head(rng)
    out = zscore(images)
    for m in range(2):
        inside = out[..., m][images[..., m] != 0]
        np.testing.assert_allclose([inside.mean(), inside.std()], [0, 1], atol=1e-3)


def test_background_stays_exactly_zero(rng):
    images = _head(rng)
    assert (zscore(images)[images == 0] == 0).all()


def test_scale_of_the_scanner_does_not_matter(rng):
    images = _head(rng)
    np.testing.assert_allclose(zscore(images), zscore(7.5 * images), atol=1e-5)


def test_another_modality_does_not_matter(rng):
    images = _head(rng)
    alone = zscore(images[..., :1])
    np.testing.assert_array_equal(zscore(images)[..., :1], alone)


def test_one_bright_vessel_is_clipped(rng):
    images = _head(rng)
    images[5, 5, 2, 0] = 1e5
    assert zscore(images).max() == 5


def test_constant_brain_becomes_zero():
    images = np.zeros((4, 4, 2, 1), np.float32)
    images[1:3] = 9
    assert (zscore(images) == 0).all()
