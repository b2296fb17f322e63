"""Laws of another hospital's greys."""

import numpy as np
import pytest
from skimage import exposure

from helpers.prepare.greys import grey_counts, match_greys


@pytest.fixture
def films(rng):
    """A dark film and a bright one."""
    return tuple(np.clip(rng.normal(mean, 30, (64, 48)), 0, 255).astype(np.uint8) for mean in (90, 160))


def test_films_own_greys_change_nothing(films):
    np.testing.assert_array_equal(match_greys(films[0], grey_counts(films[:1])), films[0])


def test_every_film_counts_the_same_whatever_its_size(films):
    small = films[0][:8, :8]
    shares = grey_counts([small, films[1]])
    assert shares.shape == (256,)
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(shares, (grey_counts([small]) + grey_counts(films[1:])) / 2)


def test_greys_become_those_asked_for_and_keep_their_order(films):
    dark, bright = films
    matched = match_greys(dark, grey_counts([bright]))
    assert matched.dtype == np.uint8
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert np.quantile(matched, share) == pytest.approx(np.quantile(bright, share), abs=2)
    order = np.argsort(dark.ravel(), kind="stable")
    assert (np.diff(matched.ravel()[order].astype(int)) >= 0).all()


def test_is_the_usual_matching(films):
    """scikit-image's, against one film; it takes the end of each grey's ranks, and we the middle."""
    dark, bright = films
    theirs = exposure.match_histograms(dark, bright)
    assert np.abs(match_greys(dark, grey_counts([bright])) - theirs.astype(float)).mean() < 1
