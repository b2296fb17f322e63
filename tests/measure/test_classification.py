"""Laws of the classification metrics: scikit-learn's numbers, patients resampled, thresholds that hold."""

import numpy as np
import pytest
from sklearn import metrics

from helpers.measure import classification
from helpers.measure.classification import SlicePredictions


def _slices(rng, n=200, separation=1.5):
    truth = rng.random(n) < 0.4
    return truth, 1 / (1 + np.exp(-rng.normal(separation * (truth - 0.5))))


def _patients(rng, count=6, **options):
    return [SlicePredictions(f"p{i}", *_slices(rng, 60, **options), 0.4, without_brain=10) for i in range(count)]


def test_auc_of_a_constant_is_one_half(rng):
    truth, _ = _slices(rng)
    assert classification.auc(truth, np.full(truth.size, 0.3)) == 0.5


def test_auc_is_the_chance_that_a_slice_with_tumour_gets_more(rng):
    truth, predicted = _slices(rng)
    pairs = predicted[truth][:, None] - predicted[~truth][None]
    assert classification.auc(truth, predicted) == pytest.approx((np.sign(pairs) / 2 + 0.5).mean())


def test_auc_does_not_change_under_any_rising_function(rng):
    truth, predicted = _slices(rng)
    assert classification.auc(truth, predicted) == pytest.approx(classification.auc(truth, predicted**3))


def test_auc_of_one_class_of_slices_is_refused():
    with pytest.raises(ValueError, match="3 of 3 slices have tumour"):
        classification.auc(np.ones(3, bool), np.zeros(3))


def test_sensitivity_and_specificity_agree_with_scikit_learn(rng):
    truth, predicted = _slices(rng)
    assert classification.sensitivity(truth, predicted > 0.6) == pytest.approx(
        metrics.recall_score(truth, predicted > 0.6)
    )
    expected = metrics.recall_score(truth, predicted > 0.6, pos_label=False)
    assert classification.specificity(truth, predicted > 0.6) == pytest.approx(expected)


@pytest.mark.parametrize("target", [0.5, 0.9, 0.98, 1.0])
def test_threshold_reaches_its_sensitivity_and_no_higher_one_does(rng, target):
    truth, predicted = _slices(rng)
    threshold = classification.threshold_for(truth, predicted, target)
    assert classification.sensitivity(truth, predicted >= threshold) >= target
    assert classification.sensitivity(truth, predicted > threshold) < target


def test_sensitivity_at_a_specificity_can_be_had_by_a_threshold(rng):
    truth, predicted = _slices(rng)
    best = max(
        classification.sensitivity(truth, predicted >= threshold)
        for threshold in predicted
        if classification.specificity(truth, predicted >= threshold) >= 0.9
    )
    assert classification.sensitivity_at(truth, predicted, 0.9) == pytest.approx(best)


def test_a_gate_whose_probabilities_are_the_frequencies_is_calibrated(rng):
    predicted = rng.random(200_000)
    truth = rng.random(predicted.size) < predicted
    assert classification.calibration_error(truth, predicted) < 0.01
    assert classification.calibration_error(truth, predicted**4) > 0.2


def test_reliability_counts_every_slice_once(rng):
    truth, predicted = _slices(rng)
    predicted[:2] = 0, 1
    table = classification.reliability(truth, predicted)
    assert table["slices"].sum() == truth.size
    assert np.average(table["fraction_positive"], weights=table["slices"]) == pytest.approx(truth.mean())
    assert ((table["mean_predicted"] >= table.index / 10) & (table["mean_predicted"] <= (table.index + 1) / 10)).all()


def test_interval_resamples_patients_not_slices(rng):
    """Copies of one patient add no information: whichever is drawn, the slices are the same."""
    truth, predicted = _slices(rng)
    low, high = classification.interval([(truth, predicted)] * 5, classification.auc, samples=50)
    assert low == pytest.approx(high)
    parts = list(zip(np.array_split(truth, 5), np.array_split(predicted, 5), strict=True))
    low, high = classification.interval(parts, classification.auc, samples=50)
    assert low < classification.auc(truth, predicted) < high


def test_interval_of_one_patient_is_a_point(rng):
    truth, predicted = _slices(rng)
    value = classification.auc(truth, predicted)
    assert classification.interval([(truth, predicted)], classification.auc, samples=20) == (value, value)


def test_interval_leaves_out_draws_without_both_classes(rng):
    healthy, ill = (np.zeros(9, bool), rng.random(9)), (np.ones(9, bool), rng.random(9))
    low, high = classification.interval([healthy, ill], classification.auc, samples=50)
    assert np.isfinite([low, high]).all()
    with pytest.raises(ValueError, match="both kinds"):
        classification.interval([ill, ill], classification.auc, samples=5)


def test_summary_holds_values_inside_their_intervals(rng):
    patients = _patients(rng)
    summary = classification.summarise(patients)
    for name in ("auc", "average_precision", "sensitivity_at_specificity_0.9", "sensitivity", "specificity", "skipped"):
        low, high = summary[name]["ci95"]
        assert 0 <= low <= summary[name]["value"] <= high <= 1
    assert sum(summary["confusion"].values()) == sum(patient.truth.size for patient in patients)


def test_skipped_is_a_fraction_of_all_slices_also_those_without_brain(rng):
    truth, predicted = _slices(rng, 30)
    summary = classification.summarise([SlicePredictions("p", truth, predicted, 0.4, without_brain=70)])
    assert summary["skipped"]["value"] == pytest.approx((70 + (predicted < 0.4).sum()) / 100)


def test_each_patient_is_scored_at_the_threshold_of_its_fold(rng):
    truth, predicted = _slices(rng, 50)
    all_pass, none_passes = SlicePredictions("a", truth, predicted, 0.0), SlicePredictions("b", truth, predicted, 1.0)
    assert classification.summarise([all_pass, none_passes])["sensitivity"]["value"] == 0.5


def test_predictions_survive_a_file(rng):
    (patient,) = _patients(rng, 1)
    again = SlicePredictions.from_json(patient.to_json())
    np.testing.assert_array_equal(again.probabilities, patient.probabilities)
    np.testing.assert_array_equal(again.passed, patient.passed)


@pytest.mark.parametrize(
    ("truth", "predicted"), [([0, 1], [0.1, 0.2]), ([False, True], [0.1]), ([True], [np.nan]), ([True], [1.5])]
)
def test_malformed_predictions_are_refused(truth, predicted):
    with pytest.raises(ValueError, match="p1"):
        SlicePredictions("p1", np.array(truth), np.array(predicted))
