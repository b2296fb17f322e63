"""Laws of another hospital's greys."""

import numpy as np
import pytest
from skimage import exposure

from helpers.prepare.histogram_matching import histogram, match_histogram


@pytest.fixture
def radiographs(rng):
    """A dark radiograph and a bright one."""
    return tuple(np.clip(rng.normal(mean, 30, (64, 48)), 0, 255).astype(np.uint8) for mean in (90, 160))


def test_radiographs_own_greys_change_nothing(radiographs):
    np.testing.assert_array_equal(match_histogram(radiographs[0], histogram(radiographs[:1])), radiographs[0])


def test_every_radiograph_counts_the_same_whatever_its_size(radiographs):
    small = radiographs[0][:8, :8]
    shares = histogram([small, radiographs[1]])
    assert shares.shape == (256,)
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(shares, (histogram([small]) + histogram(radiographs[1:])) / 2)


def test_greys_become_those_asked_for_and_keep_their_order(radiographs):
    dark, bright = radiographs
    matched = match_histogram(dark, histogram([bright]))
    assert matched.dtype == np.uint8
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert np.quantile(matched, share) == pytest.approx(np.quantile(bright, share), abs=2)
    order = np.argsort(dark.ravel(), kind="stable")
    assert (np.diff(matched.ravel()[order].astype(int)) >= 0).all()


def test_is_the_usual_matching(radiographs):
    """scikit-image's, against one radiograph; it takes the end of each grey's ranks, and we the middle."""
    dark, bright = radiographs
    theirs = exposure.match_histograms(dark, bright)
    assert np.abs(match_histogram(dark, histogram([bright])) - theirs.astype(float)).mean() < 1
