import json

import numpy as np
import pytest
from scipy import stats

from helpers.measure.statistics import (
    MIN_PATIENTS,
    bootstrap_ci,
    compare_paired,
    holm,
    mean_interval,
    patients_needed,
    sign_flip_p,
    summarise,
    with_holm,
)
from tests.measure.verdict_rates import rates


def scores(value):
    return {"WT": {"dice": value, "hd95_mm": 10 * value}, "TC": {"dice": value / 2, "hd95_mm": 1.0}}


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    intervals = [bootstrap_ci(rng.normal(0.75, 0.1, 40), samples=1_000) for _ in range(400)]
    covered = np.mean([low <= 0.75 <= high for low, high in intervals])
    assert 0.91 <= covered <= 0.98


def test_the_interval_agrees_with_the_normal_one_for_many_patients():
    values = np.random.default_rng(2).normal(0.75, 0.1, 200)
    half = 1.96 * values.std(ddof=1) / np.sqrt(200)
    assert bootstrap_ci(values) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(3).random(12)
    assert bootstrap_ci(values) == bootstrap_ci(values)
    assert bootstrap_ci(values, seed=1) != bootstrap_ci(values, seed=2)


def test_more_confidence_takes_a_wider_interval():
    values = np.random.default_rng(3).random(12)
    low, high = bootstrap_ci(values, confidence=0.5)
    wide_low, wide_high = bootstrap_ci(values, confidence=0.99)
    assert wide_low < low < values.mean() < high < wide_high


@pytest.mark.parametrize("value", [0.1, 0.0, 373.128664])
@pytest.mark.parametrize("patients", [1, 7])
def test_equal_values_give_an_interval_without_width(value, patients):
    assert bootstrap_ci([value] * patients) == (value, value)


@pytest.mark.parametrize(
    ("values", "message"),
    [([], "at least one"), ([[0.5]], "at least one"), ([0.5, np.nan], "NaN"), ([0.5, np.inf], "NaN")],
)
def test_values_that_cannot_be_averaged_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_ci(values)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_a_confidence_outside_0_and_1_is_refused(confidence):
    with pytest.raises(ValueError, match="expected a share between 0 and 1"):
        bootstrap_ci([0.5, 0.6], confidence=confidence)


def test_summary_holds_the_mean_and_the_interval_of_every_score():
    patients = [scores(value) for value in (0.6, 0.8, 0.9)]
    summary = summarise(patients)
    assert summary["WT"]["dice"]["mean"] == pytest.approx(2.3 / 3)
    assert summary["WT"]["dice"]["ci95"] == list(bootstrap_ci([0.6, 0.8, 0.9]))
    assert summary["TC"]["hd95_mm"] == {
        "mean": 1.0,
        "ci95": [1.0, 1.0],
        "interval": None,  # three patients
        "range": [1.0, 1.0],
        "n": 3,
        "undefined": 0,
    }
    assert json.loads(json.dumps(summary)) == summary


def test_a_mean_is_over_the_patients_who_have_the_score_and_says_how_many():
    patients = [{"WT": {"sensitivity": value}} for value in (0.5, None, 0.7)]
    summary = summarise(patients)["WT"]["sensitivity"]
    assert (summary["mean"], summary["n"], summary["undefined"]) == (pytest.approx(0.6), 2, 1)
    nobody = summarise([{"WT": {"sensitivity": None}}] * 3)["WT"]["sensitivity"]
    assert nobody == {"mean": None, "ci95": None, "interval": None, "range": None, "n": 0, "undefined": 3}


def test_a_summary_has_an_interval_from_eight_patients_on():
    patients = [scores(value) for value in np.random.default_rng(1).random(8)]
    assert summarise(patients)["WT"]["dice"]["interval"] == summarise(patients)["WT"]["dice"]["ci95"]
    assert summarise(patients[1:])["WT"]["dice"]["interval"] is None


def test_a_summary_of_nobody_is_refused():
    with pytest.raises(ValueError, match="no patients"):
        summarise([])


def test_patients_scored_differently_are_refused():
    with pytest.raises(ValueError, match="different regions or scores"):
        summarise([scores(0.5), {"WT": {"dice": 0.5, "hd95_mm": 1.0}}])


def test_below_eight_patients_there_is_no_interval():
    values = np.random.default_rng(3).random(MIN_PATIENTS)
    assert mean_interval(values) == bootstrap_ci(values)
    assert mean_interval(values[1:]) is None
    with pytest.raises(ValueError, match="NaN"):
        mean_interval([0.5, np.nan])


@pytest.mark.parametrize("patients", [2, 7, 12])
def test_exact_permutation_test_agrees_with_scipy(patients):
    differences = np.random.default_rng(patients).normal(0.5, 1, patients)
    expected = stats.permutation_test(
        (differences, np.zeros(patients)), lambda x, y, axis: np.mean(x - y, axis), permutation_type="samples"
    )
    assert sign_flip_p(differences) == pytest.approx(expected.pvalue, abs=1e-12)


def test_exact_and_random_signs_agree():
    differences = np.random.default_rng(4).normal(0.25, 1, 17)
    padded = np.append(differences, 0.0)  # a difference of 0 has no sign, so the exact p value is the same
    assert sign_flip_p(padded) == pytest.approx(sign_flip_p(differences), abs=0.01)
    assert sign_flip_p(padded, seed=3) == sign_flip_p(padded, seed=3) > 0


def test_signs_of_all_differences_do_not_change_the_p_value():
    differences = np.random.default_rng(5).normal(0.2, 1, 14)
    assert sign_flip_p(-differences) == sign_flip_p(differences) == sign_flip_p(differences[::-1])


@pytest.mark.parametrize("patients", [3, 20])
def test_equal_models_have_a_p_value_of_1(patients):
    comparison = compare_paired([0.5] * patients, [0.5] * patients)
    assert (comparison.difference, comparison.p, comparison.is_told) == (0, 1, False)
    assert comparison.patients_needed is None


def test_holm_multiplies_by_the_number_of_tests_that_are_left():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([0.04]) == [0.04]
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([1.5])


def test_seven_patients_never_rank_two_models_and_eight_may():
    better = np.linspace(0.1, 0.2, 8)
    assert compare_paired(np.zeros(8), better).is_told
    few = compare_paired(np.zeros(7), better[1:])
    assert (few.n, few.interval, few.is_told) == (7, None, False)
    assert few.p == 2 / 2**7


def test_models_whose_interval_spans_0_are_not_ranked():
    values = np.random.default_rng(6).normal(0, 0.1, 20)
    comparison = compare_paired(np.zeros(20), values - values.mean() + 0.01)
    low, high = comparison.interval
    assert low < 0 < comparison.difference < high
    assert not comparison.is_told
    assert comparison.patients_needed > 500


def test_many_comparisons_ask_for_more_than_one():
    alone = compare_paired(np.zeros(8), np.array([-0.05, 0.05, 0.06, 0.07, 0.08, 0.1, 0.12, 0.15]))
    assert 0.05 / 3 < alone.p < 0.05
    assert alone.is_told
    for one in with_holm([alone] * 3):
        assert (one.p, one.p_adjusted) == (alone.p, pytest.approx(3 * alone.p))
        assert not one.is_told


def test_seeds_are_averaged_within_a_patient_and_their_spread_stands_apart():
    rng = np.random.default_rng(7)
    first, second = rng.random((3, 12)), rng.random(12)
    comparison = compare_paired(first, second)
    assert comparison.differences == pytest.approx(second - first.mean(axis=0))
    assert comparison.spread_between_seeds == (pytest.approx(first.mean(axis=1).std(ddof=1)), None)
    assert comparison.p == compare_paired(first.mean(axis=0), second).p


def test_swapping_the_models_turns_the_difference_round():
    rng = np.random.default_rng(8)
    first, second = rng.random((2, 25))
    there, back = compare_paired(first, second), compare_paired(second, first)
    assert back.difference == -there.difference
    assert back.p == there.p
    assert back.interval == pytest.approx((-there.interval[1], -there.interval[0]), abs=0.01)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [([0.5], [0.5, 0.6], "1 patients.*2"), ([], [], "first has shape"), ([0.5], [np.nan], "second holds NaN")],
)
def test_scores_that_cannot_be_paired_are_refused(first, second, message):
    with pytest.raises(ValueError, match=message):
        compare_paired(first, second)


def test_so_many_patients_tell_a_difference_four_times_in_five():
    spread, difference = 0.1, 0.04
    sample = np.random.default_rng(9).normal(0, 1, 50)
    sample *= spread / sample.std(ddof=1)
    needed = patients_needed(sample, difference)
    rng = np.random.default_rng(10)
    told = [stats.ttest_1samp(rng.normal(difference, spread, needed), 0).pvalue < 0.05 for _ in range(2000)]
    assert np.mean(told) == pytest.approx(0.8, abs=0.03)
    assert patients_needed(sample, difference / 2) > 3 * needed
    assert patients_needed(sample, 100) == MIN_PATIENTS
    with pytest.raises(ValueError, match="power"):
        patients_needed(sample, difference, power=80)


def test_models_that_are_alike_are_ranked_in_one_of_twenty_comparisons_at_most():
    found = rates(200, 12, 0.0)
    assert found["second"] + found["first"] <= 0.09  # 5 % and twice the standard error


def test_a_large_difference_is_told_and_in_the_right_direction():
    found = rates(100, 20, 0.05)
    assert found["second"] > 0.95
    assert found["first"] == 0


def test_the_correction_holds_for_three_regions_together():
    found = rates(150, 10, 0.0, regions=3)
    assert found["second"] + found["first"] <= 0.09 < found["p"]
