"""Laws of the target's style: amplitudes are exchanged, phases and masks stay."""

import numpy as np
import pytest

from helpers.tasks.adaptation.fourier import FourierStyle, exchange_amplitude
from tests.tasks.adaptation.both_hospitals import radiographs, start


def by_numpy(image, style, reach):
    """The same in NumPy's own order of frequencies, as Yang and Soatto write it."""
    own, other = np.fft.fft2(image), np.fft.fft2(style)
    near = np.abs(np.fft.fftfreq(len(image))) <= reach
    amplitude = np.where(np.outer(near, near), np.abs(other), np.abs(own))
    return np.fft.ifft2(amplitude * np.exp(1j * np.angle(own))).real


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    return rng.normal(1, 1, (2, 3, 32, 32, 1)).astype(np.float32)


@pytest.mark.parametrize("reach", [0, 0.04, 0.1, 0.5])
def test_exchange_is_that_of_numpy(pair, reach):
    found = np.asarray(exchange_amplitude(*pair, reach))
    expected = [by_numpy(one[..., 0], other[..., 0], reach) for one, other in zip(*pair, strict=True)]
    np.testing.assert_allclose(found[..., 0], expected, atol=1e-4)


def test_an_image_keeps_itself_in_its_own_style(pair):
    np.testing.assert_allclose(exchange_amplitude(pair[0], pair[0], 0.1), pair[0], atol=1e-5)


def test_the_mean_is_the_styles_and_what_is_fine_stays(pair):
    images, styles = pair
    mixed = np.asarray(exchange_amplitude(images, styles, 0.05))
    np.testing.assert_allclose(np.abs(mixed.mean(axis=(1, 2, 3))), np.abs(styles.mean(axis=(1, 2, 3))), rtol=1e-4)
    spectra = [np.fft.fft2(one[..., 0])[:, 3:-2, 3:-2] for one in (mixed, images)]
    np.testing.assert_allclose(*spectra, atol=1e-3)


def test_half_of_a_batch_stays_in_the_sources_own_style():
    step, batch = FourierStyle(start(), reach=0.1), radiographs(0)
    terms = np.asarray(step(batch, training=False)["segmentation"])
    batch["target_images"] = 3 * batch["target_images"] + 1
    other = np.asarray(step(batch, training=False)["segmentation"])
    np.testing.assert_allclose(terms[::2], other[::2], rtol=1e-6)
    assert (np.abs(terms[1::2] - other[1::2]) > 1e-4).all()
