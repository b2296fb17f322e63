"""Laws of changing intensities."""

import numpy as np
import pytest
from keras import ops
from scipy.ndimage import gaussian_filter, zoom

from helpers.prepare.intensity import BIAS_POINTS, BLACK, GRAINS, bend, grain, remap, shade, soften


def _numpy(x):
    return ops.convert_to_numpy(x)


@pytest.fixture
def slices(rng):
    return rng.standard_normal((2, 24, 24, 2), np.float32)


def test_blur_is_scipys_gaussian_away_from_the_border(slices):
    blurred = _numpy(soften(slices, np.float32([[0.7, 1.5], [0, 1]]), None))
    for n, c, sigma in ((0, 0, 0.7), (0, 1, 1.5), (1, 1, 1.0)):
        expected = gaussian_filter(slices[n, ..., c], sigma, truncate=8)
        np.testing.assert_allclose(blurred[n, 8:-8, 8:-8, c], expected[8:-8, 8:-8], atol=1e-3)
    np.testing.assert_allclose(blurred[1, ..., 0], slices[1, ..., 0], atol=1e-6)


def test_low_resolution_is_averages_with_lines_between(slices):
    coarse = _numpy(soften(slices, None, np.float32([[2, 3], [1, 1]])))
    for channel, width in ((0, 2), (1, 3)):
        blocks = slices[0, ..., channel].reshape(24 // width, width, 24 // width, width).mean(axis=(1, 3))
        expected = zoom(blocks, width, order=1, grid_mode=True, mode="nearest")
        inside = np.s_[width:-width, width:-width]
        np.testing.assert_allclose(coarse[0, ..., channel][inside], expected[inside], atol=1e-5)
    np.testing.assert_allclose(coarse[1], slices[1], atol=1e-6)


@pytest.mark.parametrize("numbers", [{"blur": 2.0, "coarse": None}, {"blur": None, "coarse": 2.7}])
def test_softening_keeps_an_even_slice(numbers):
    even = np.full((1, 19, 19, 1), 0.8, np.float32)
    numbers = {name: value and np.float32([[value]]) for name, value in numbers.items()}
    np.testing.assert_allclose(_numpy(soften(even, **numbers)), 0.8, atol=1e-5)


def test_bias_multiplies_the_signal_above_black(slices):
    field = np.full((2, BIAS_POINTS, BIAS_POINTS, 2), np.log(1.1), np.float32)
    np.testing.assert_allclose(_numpy(shade(slices, field)) - BLACK, 1.1 * (slices - BLACK), rtol=1e-5)


def test_gamma_leaves_the_mean_intensity_where_it_was():
    exponent = np.float32([0.6, 1.4]).reshape(1, 1, 1, 2)
    np.testing.assert_allclose(_numpy(bend(np.zeros((1, 4, 4, 2), np.float32), exponent)), 0, atol=1e-5)


def test_gamma_keeps_the_order_of_intensities():
    grey = np.linspace(-5, 5, 50, dtype=np.float32).reshape(1, 1, 50, 1)
    assert (np.diff(_numpy(bend(grey, np.float32(1.7))).ravel()) > 0).all()


def test_noise_has_its_level_and_no_pattern():
    """Mean 0, the standard deviation asked for, channels and slices that have nothing to do with each other."""
    level = np.float32([[0.1, 0.4], [0.2, 0.0]]).reshape(2, 1, 1, 2)
    start = np.int32([7, GRAINS - 1000])  # the second runs over the end of the strip
    noise = _numpy(grain(np.zeros((2, 64, 64, 2), np.float32), level, start))
    np.testing.assert_allclose(noise.std(axis=(1, 2)), level[:, 0, 0], rtol=0.03)
    np.testing.assert_allclose(noise.mean(axis=(1, 2)), 0, atol=0.02)
    independent = np.corrcoef([noise[0, ..., 0].ravel(), noise[0, ..., 1].ravel(), noise[1, ..., 0].ravel()])
    np.testing.assert_allclose(independent, np.eye(3), atol=0.06)
    neighbours = np.corrcoef(noise[0, :, 1:, 0].ravel(), noise[0, :, :-1, 0].ravel())[0, 1]
    assert abs(neighbours) < 0.06


def test_a_curve_is_monotone_and_leaves_what_lies_beyond_its_ends():
    z = np.linspace(-5, 5, 201, dtype=np.float32).reshape(1, 1, 201, 1)
    slopes = np.float32([0.2, 2.0, 0.5, 1.8, 1.0, 0.5]).reshape(1, 1, 6)
    mapped = np.asarray(remap(z, slopes / slopes.mean())).ravel()
    assert (np.diff(mapped) > 0).all()
    beyond = np.abs(z.ravel()) >= 3
    np.testing.assert_allclose(mapped[beyond], z.ravel()[beyond], atol=1e-5)
    assert np.abs(mapped - z.ravel()).max() > 0.3


def test_a_curve_of_slope_one_changes_nothing():
    z = np.random.default_rng(0).normal(0, 2, (2, 5, 5, 3)).astype(np.float32)
    np.testing.assert_allclose(remap(z, np.ones((2, 3, 6), np.float32)), z, atol=1e-5)
