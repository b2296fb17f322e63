"""Laws of islands: specks go, second tumours stay, nothing is added, and what gains nothing is not done."""

import numpy as np
import pytest

from helpers.measure.islands import CERTAINTIES, KEEP_ALL, SHARES, IslandCase, IslandRule, fit_islands

SPACING = (2.0, 2.0, 2.5)
SPECK, SECOND = np.s_[36:38, 36:38, 1:3], np.s_[28:33, 28:33, 8:12]


def _case(second=0.0, speck=0.0, true_second=True):
    """A tumour; where their probability is above 0, a second one, that is true or not, and a speck that is none."""
    truth = np.zeros((40, 40, 16), np.uint8)
    truth[4:16, 4:16, 3:11] = 2
    truth[7:12, 7:12, 5:8] = 3
    truth[8:10, 8:10, 6] = 1
    labels, tumour = truth.copy(), np.where(truth > 0, 0.9, 0.02).astype(np.float32)
    for place, probability, true in ((SECOND, second, true_second), (SPECK, speck, False)):
        if probability:
            labels[place], tumour[place] = 3, probability
            truth[place] = 3 * true
    return IslandCase(labels, tumour, truth, SPACING)


def _random(rng):
    labels = rng.integers(0, 4, (12, 11, 10)).astype(np.uint8) * (rng.random((12, 11, 10)) < 0.1)
    return labels, rng.random(labels.shape)


RULES = [IslandRule(share, certainty) for share in (*SHARES, 1.0, 2.0) for certainty in CERTAINTIES]


def test_nothing_is_ever_added_and_no_tumour_gets_another_label(rng):
    for labels, tumour in (_random(rng) for _ in range(5)):
        for rule in RULES:
            kept = rule.apply(labels, tumour)
            assert kept.dtype == np.uint8
            np.testing.assert_array_equal(kept[kept > 0], labels[kept > 0])


def test_twice_is_once(rng):
    changed = 0
    for labels, tumour in (_random(rng) for _ in range(5)):
        for rule in RULES:
            once = rule.apply(labels, tumour)
            changed += (once != labels).any()
            np.testing.assert_array_equal(rule.apply(once, tumour), once)
    assert changed > len(RULES)


def test_the_largest_part_stays_under_every_rule_of_a_share_up_to_one(rng):
    case = _case(second=0.5, speck=0.3)
    for rule in RULES:
        if rule.min_share <= 1:
            assert (rule.apply(case.labels, case.tumour)[4:16, 4:16, 3:11] == case.truth[4:16, 4:16, 3:11]).all()


def test_a_stricter_rule_keeps_no_more(rng):
    labels, tumour = _random(rng)
    left = [np.count_nonzero(IslandRule(share).apply(labels, tumour)) for share in (0.0, *SHARES)]
    assert left == sorted(left, reverse=True)
    assert left[0] == np.count_nonzero(labels) > left[-1]


def test_a_far_speck_goes_and_a_second_tumour_stays():
    cases = [_case(second=0.85, speck=0.4), _case(speck=0.45), _case(second=0.8)]
    rule = fit_islands(cases)
    assert rule != KEEP_ALL
    for case in cases:
        np.testing.assert_array_equal(rule.apply(case.labels, case.tumour), case.truth)
    stranger = _case(second=0.9, speck=0.3)
    np.testing.assert_array_equal(rule.apply(stranger.labels, stranger.tumour), stranger.truth)


def test_a_small_tumour_that_the_network_is_sure_of_stays():
    """Its size alone is that of the speck of another patient."""
    small = _case(speck=0.95)
    small.truth[SPECK] = 3
    rule = fit_islands([small, _case(speck=0.4)])
    assert rule.min_certainty is not None
    np.testing.assert_array_equal(rule.apply(small.labels, small.tumour), small.truth)
    other = _case(speck=0.4)
    np.testing.assert_array_equal(rule.apply(other.labels, other.tumour), other.truth)


@pytest.mark.parametrize("cases", [[], [_case()], [_case(second=0.8)], [_case(second=0.6), _case(second=0.9)]])
def test_where_nothing_is_gained_everything_is_kept(cases):
    assert fit_islands(cases) == KEEP_ALL


def test_where_every_rule_costs_dice_or_distance_everything_is_kept():
    """Specks that are true in one patient and false in another, alike in size and certainty."""
    true = _case(speck=0.4)
    true.truth[SPECK] = 3
    assert fit_islands([true, true, _case(speck=0.4)]) == KEEP_ALL


def test_of_rules_that_do_the_same_the_middle_one_is_taken():
    """Between the specks of these patients and their second tumours; where there is neither, between all."""
    case = _case(speck=0.4)
    middle = IslandRule(SHARES[(len(SHARES) - 1) // 2], CERTAINTIES[(len(CERTAINTIES) - 1) // 2])
    assert fit_islands([case]) == middle
    tumour = case.tumour[4:16, 4:16, 3:11].sum()
    assert 2 * case.tumour[SPECK].sum() < middle.min_share * tumour  # a speck twice as large goes too
    larger = _case(speck=0.8)
    assert not middle.apply(larger.labels, np.minimum(larger.tumour, 0.79))[SPECK].any()
    small = IslandCase(*(array.copy() for array in _case(second=0.45)[:3]), SPACING)  # and it must stay
    share = small.tumour[SECOND].sum() / tumour
    assert fit_islands([case, small]).min_share < share


def test_the_order_of_patients_does_not_matter():
    cases = [_case(second=0.85, speck=0.4), _case(speck=0.95), _case(second=0.4, true_second=False)]
    assert fit_islands(cases) == fit_islands(cases[::-1])


def test_keeping_all_changes_nothing_and_an_empty_prediction_stays_empty(rng):
    labels, tumour = _random(rng)
    np.testing.assert_array_equal(KEEP_ALL.apply(labels, tumour), labels)
    before = labels.copy()
    IslandRule(0.5).apply(labels, tumour)
    np.testing.assert_array_equal(labels, before)
    empty = np.zeros((4, 4, 4), np.uint8)
    np.testing.assert_array_equal(IslandRule(0.5, 0.9).apply(empty, np.zeros((4, 4, 4))), empty)
    assert fit_islands([IslandCase(empty, np.zeros((4, 4, 4)), empty, SPACING)]) == KEEP_ALL


@pytest.mark.parametrize(
    ("labels", "tumour", "message"),
    [
        ([0, 1], [0.5], r"labels have shape \(2,\) and tumour \(1,\)"),
        ([0, 1], [0.5, np.nan], "tumour runs from nan"),
        ([0, 1], [0.5, 1.5], "expected probabilities from 0 to 1"),
        ([0, 4], [0.5, 0.5], "4"),
    ],
)
def test_what_is_no_prediction_is_refused(labels, tumour, message):
    with pytest.raises(ValueError, match=message):
        KEEP_ALL.apply(labels, tumour)
