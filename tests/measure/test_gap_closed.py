import numpy as np
import pytest

from helpers.measure.gap_closed import gap_closed


def planted(share, images=60, noise=0.01, seed=0):
    """Scores whose gap is 0.1, of which a share is closed; hard images are hard for all three."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(0, 0.05, images)
    return [0.8 + part + hard + rng.normal(0, noise, images) for part in (0, 0.1 * share, 0.1)]


@pytest.mark.parametrize("share", [-0.5, 0, 0.4, 1, 1.3])
def test_a_planted_share_is_found(share):
    value, (low, high) = gap_closed(*planted(share))
    assert value == pytest.approx(share, abs=0.05)
    assert low < value < high


def test_without_noise_the_share_is_exact_and_its_interval_has_no_width():
    value, interval = gap_closed(*planted(0.4, noise=0))
    assert (value, *interval) == pytest.approx((0.4,) * 3)


def test_doing_nothing_closes_nothing_and_the_ceiling_closes_all():
    source, _, ceiling = planted(0.5)
    assert gap_closed(source, source, ceiling) == (0, (0, 0))
    assert gap_closed(source, ceiling, ceiling) == (1, (1, 1))


def test_the_interval_covers_the_planted_share_about_as_often_as_it_says():
    found = [gap_closed(*planted(0.4, 40, 0.03, seed), samples=500)[1] for seed in range(300)]
    assert 0.91 <= np.mean([low <= 0.4 <= high for low, high in found]) <= 0.98


def test_pairing_makes_the_interval_narrower():
    source, adapted, ceiling = planted(0.5)
    low, high = gap_closed(source, adapted, ceiling)[1]
    mixed = np.random.default_rng(1).permutation(len(source))
    wide_low, wide_high = gap_closed(source, adapted[mixed], ceiling)[1]
    assert high - low < 0.5 * (wide_high - wide_low)


@pytest.mark.parametrize("lift", [0, -0.02, 0.002])
def test_where_there_is_no_gap_no_share_is_given(lift):
    source, adapted, _ = planted(0.5)
    noise = np.random.default_rng(1).normal(0, 0.05, len(source))
    with pytest.raises(ValueError, match="no gap to close"):
        gap_closed(source, adapted, source + lift + noise - noise.mean())
    with pytest.raises(ValueError, match="no gap"):
        gap_closed(source, adapted, source)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (([], [], []), "for every image"),
        (([0.1, 0.2], [0.1], [0.2, 0.3]), "for every image"),
        (([[0.1]], [[0.2]], [[0.3]]), "for every image"),
        (([0.1, np.nan], [0.1, 0.2], [0.2, 0.3]), "NaN"),
    ],
)
def test_scores_that_are_not_of_the_same_images_are_refused(scores, message):
    with pytest.raises(ValueError, match=message):
        gap_closed(*scores)


def test_a_confidence_outside_0_and_1_is_refused():
    with pytest.raises(ValueError, match="expected a share between 0 and 1"):
        gap_closed(*planted(0.5), confidence=95)
