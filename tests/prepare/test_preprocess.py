"""Laws of preprocessing: it does to a phantom what its name says, leaves the background alone, and says no in words."""

import numpy as np
import pytest
from scipy import ndimage

from helpers.prepare.preprocess import bias_field, clahe, match_histogram, median, noise_level, nonlocal_means
from helpers.runtime.errors import DataError

ALL = {
    "median": median,
    "nonlocal_means": nonlocal_means,
    "clahe": clahe,
    "match_histogram": lambda volume: match_histogram(volume, 2 * volume),
    "bias_field": lambda volume: volume / bias_field(volume, (4, 4, 4)),
}
DENOISERS = pytest.mark.parametrize("denoise", [median, nonlocal_means])


def _head(shape=(36, 40, 30)):
    """Two tissues, 300 and 500, in an ellipsoid; air round it."""
    place = np.stack(np.meshgrid(*[np.linspace(-1.1, 1.1, n) for n in shape], indexing="ij"))
    radius = np.sqrt((place**2).sum(axis=0))
    return np.where(radius < 1, np.where(radius < 0.7, 500, 300), 0).astype(np.float32)


def _deep(head, tissue, steps=2):
    """Voxels of a tissue, away from its border."""
    return ndimage.binary_erosion(head == tissue, iterations=steps)


@pytest.fixture(scope="module")
def noisy():
    """A head, and the same head with noise of standard deviation 20 in its brain."""
    head = _head()
    return head, head + 20 * np.random.default_rng(0).standard_normal(head.shape, np.float32) * (head > 0)


@pytest.mark.parametrize("name", ALL)
def test_the_background_stays_nothing_and_the_brain_something(noisy, name):
    _, volume = noisy
    result = ALL[name](volume)
    assert result.dtype == np.float32
    assert result.shape == volume.shape
    np.testing.assert_array_equal(result != 0, volume != 0)


@pytest.mark.parametrize("name", ALL)
def test_what_surrounds_the_head_does_not_matter(noisy, name):
    """Air is no dark tissue: with more of it round the head, the brain comes out the same."""
    _, volume = noisy
    wide = ALL[name](np.pad(volume, 5))
    np.testing.assert_allclose(wide[5:-5, 5:-5, 5:-5], ALL[name](volume), rtol=1e-4, atol=0.1)


@DENOISERS
def test_denoising_lowers_the_noise_and_keeps_the_tissue(noisy, denoise):
    head, volume = noisy
    calm = denoise(volume)
    for tissue in (300, 500):
        inside = _deep(head, tissue, 1)
        assert calm[inside].std() < 0.6 * volume[inside].std()
        assert calm[inside].mean() == pytest.approx(tissue, rel=0.02)


@DENOISERS
def test_denoising_leaves_a_constant_alone(denoise):
    flat = 300.0 * (_head() > 0)
    np.testing.assert_allclose(denoise(flat), flat, rtol=1e-5)


def test_nonlocal_means_keeps_the_edge_where_it_is(noisy):
    """Deep in the brain, either tissue stays nearer its own grey than halfway to the other's."""
    head, volume = noisy
    calm, inside = nonlocal_means(volume), ndimage.binary_erosion(head > 0, iterations=3)
    assert ((calm > 400) == (head > 400))[inside].mean() > 0.99


@pytest.mark.parametrize("sigma", [5, 20])
def test_noise_is_estimated_to_a_fifth(sigma):
    """A little too much rather than too little: where two tissues meet, an edge counts as noise."""
    head = _head((48, 48, 40))
    volume = head + sigma * np.random.default_rng(1).standard_normal(head.shape) * (head > 0)
    assert 0.95 * sigma < noise_level(volume) < 1.2 * sigma


def test_a_clean_head_has_no_noise():
    assert noise_level(_head()) == 0


def test_clahe_brings_out_what_is_faint_in_the_dark():
    """A wave of 5 in tissue of 100, beside tissue of 1,000, is a wave of much more afterwards."""
    shape = (48, 48, 16)
    wave = 5 * np.sin(np.arange(shape[1]) * 2 * np.pi / 6)[None, :, None]
    volume = np.where(np.arange(shape[0])[:, None, None] < 24, 100.0, 1000.0) + wave * np.ones(shape)
    seen, dark = clahe(volume, clip_limit=0.05), np.s_[4:16]
    assert seen[dark].std() > 3 * volume[dark].std()
    assert volume.min() - 0.01 <= seen.min()
    assert seen.max() <= volume.max() + 0.01


def test_matching_makes_the_quantiles_equal(noisy):
    _, volume = noisy
    rng = np.random.default_rng(3)
    reference = np.where(_head((30, 30, 30)) > 0, rng.gamma(4, 50, (30, 30, 30)) + 1, 0)
    matched = match_histogram(volume, reference)
    ranks = np.linspace(1, 99, 20)
    quantiles = np.percentile(matched[matched > 0], ranks)
    np.testing.assert_allclose(quantiles, np.percentile(reference[reference > 0], ranks), rtol=0.01)


def test_matching_keeps_the_order_of_greys(noisy):
    _, volume = noisy
    matched = match_histogram(volume, np.sqrt(volume) * 30)
    order = np.argsort(volume[volume > 0])
    assert (np.diff(matched[volume > 0][order]) >= 0).all()


def test_a_head_matched_to_itself_is_itself(noisy):
    _, volume = noisy
    np.testing.assert_allclose(match_histogram(volume, volume), volume, rtol=1e-5)


def test_a_planted_field_is_found_and_a_tissue_gets_even_again(noisy):
    head, volume = noisy
    x, y, _ = np.meshgrid(*[np.linspace(-1, 1, n) for n in head.shape], indexing="ij")
    planted = np.exp(0.35 * x - 0.2 * y * y)
    field = bias_field(volume * planted, (4, 4, 4))
    tissue, brain = _deep(head, 500), head > 0

    def unevenness(image):
        return image[tissue].std() / image[tissue].mean()

    mended = volume * planted / field
    assert unevenness(mended) < 0.5 * unevenness(volume * planted)
    assert np.corrcoef(np.log(field[brain]), np.log(planted[brain]))[0, 1] > 0.95
    assert np.log(field[brain]).mean() == pytest.approx(0, abs=1e-3)
    assert (field[~brain] == 1).all()


def test_an_even_head_has_an_even_field(noisy):
    head, volume = noisy
    assert np.log(bias_field(volume, (4, 4, 4))[head > 0]).std() < 0.05


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        (np.ones((4, 4)), "one modality"),
        (np.zeros((4, 4, 4)), "positive inside"),
        (np.full((4, 4, 4), np.nan), "positive inside"),
        (np.full((4, 4, 4), -1.0), "before z-scoring"),
    ],
)
@pytest.mark.parametrize("function", [median, nonlocal_means, clahe, noise_level, lambda v: bias_field(v, (1, 1, 1))])
def test_what_is_no_brain_volume_is_refused(function, volume, message):
    with pytest.raises(DataError, match=message):
        function(volume)


def test_an_even_window_is_refused():
    with pytest.raises(DataError, match="odd"):
        median(_head(), 4)
