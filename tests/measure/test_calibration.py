"""Laws of voxel calibration, held to scikit-learn and SciPy; a planted temperature is found again."""

import numpy as np
import pytest
from scipy import ndimage, special
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss

from helpers.measure.calibration import (
    adaptive_calibration_error,
    class_calibration_error,
    fit_temperature,
    near_foreground,
    reliability,
    with_temperature,
)
from helpers.measure.classification import calibration_error


def voxels(seed=0, count=20_000, classes=4, temperature=1.0):
    """Labels drawn from the softmax of scores, and the softmax of the scores times a temperature."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 2, (count, classes)) + np.array([2.0, 0, 0, -1])[:classes]
    p = special.softmax(scores, axis=1)
    labels = (rng.random((count, 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=classes - 1)
    return labels, special.softmax(scores * temperature, axis=1)


@pytest.mark.parametrize(("by", "strategy"), [("width", "uniform"), ("number", "quantile")])
@pytest.mark.parametrize("bins", [5, 15])
def test_reliability_is_that_of_scikit_learn(by, strategy, bins):
    labels, p = voxels()
    table = reliability(labels == 1, p[:, 1], bins, by)
    positive, predicted = calibration_curve(labels == 1, p[:, 1], n_bins=bins, strategy=strategy)
    np.testing.assert_allclose(table["fraction_positive"], positive, atol=1e-12)
    np.testing.assert_allclose(table["mean_predicted"], predicted, atol=1e-12)
    assert table["voxels"].sum() == labels.size


def test_bins_by_number_hold_equal_numbers():
    labels, p = voxels()
    counts = reliability(labels == 1, p[:, 1], 16, "number")["voxels"]
    assert counts.max() - counts.min() <= 1


def test_the_error_is_the_mean_over_bins_of_scikit_learn():
    labels, p = voxels(temperature=2)
    positive, predicted = calibration_curve(labels == 1, p[:, 1], n_bins=10, strategy="quantile")
    assert adaptive_calibration_error(labels == 1, p[:, 1], 10) == pytest.approx(np.abs(positive - predicted).mean())


def test_calibrated_voxels_have_no_error_and_the_overconfident_one():
    labels, calibrated = voxels()
    _, sure = voxels(temperature=3)
    assert class_calibration_error(labels, calibrated) < 0.01
    assert class_calibration_error(labels, sure) > 0.05


def test_equal_probabilities_stay_in_one_bin_wherever_they_lie():
    truth, p = np.tile([0, 1, 1, 0, 0], 20), np.full(100, 0.3)
    assert adaptive_calibration_error(truth, p) == pytest.approx(0.1)
    assert adaptive_calibration_error(np.sort(truth), p) == pytest.approx(0.1)


def test_background_dilutes_the_plain_error_and_not_the_one_near_the_foreground():
    rng = np.random.default_rng(0)
    truth = np.zeros((40, 40, 40), bool)
    truth[15:25, 15:25, 15:25] = True
    noisy = ndimage.gaussian_filter(rng.standard_normal(truth.shape), 2) * 30
    p = special.expit(8 * (ndimage.gaussian_filter(truth.astype(float), 2) - 0.5) * 4 + noisy * truth.mean() * 100)
    p[~near_foreground(truth, (1, 1, 1), 4)] = 0.0
    near = near_foreground(truth, (1, 1, 1), 3)
    assert calibration_error(truth.ravel(), p.ravel()) < adaptive_calibration_error(truth[near], p[near]) / 3


@pytest.mark.parametrize("spacing", [(1, 1, 1), (1, 1, 3), (0.5, 2, 1)])
def test_near_is_within_millimetres_of_the_nearest_foreground_voxel(spacing):
    rng = np.random.default_rng(1)
    truth = rng.random((14, 12, 10)) < 0.01
    truth[0, 0, 0] = True  # at the border
    places, grid = np.argwhere(truth), np.stack(np.indices(truth.shape), axis=-1).reshape(-1, 3)
    distance = np.linalg.norm((grid[:, None] - places) * np.array(spacing), axis=-1).min(axis=1).reshape(truth.shape)
    np.testing.assert_array_equal(near_foreground(truth, spacing, mm=2.5), distance <= 2.5)


def test_nothing_is_near_an_empty_mask():
    assert not near_foreground(np.zeros((4, 4, 4)), (1, 1, 1)).any()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_planted_temperature_is_found_again(temperature):
    labels, p = voxels(temperature=temperature)
    found = fit_temperature(labels, p)
    assert found == pytest.approx(temperature, rel=0.05)
    scaled = with_temperature(p, found)
    np.testing.assert_allclose(scaled.sum(axis=1), 1)
    assert (scaled.argmax(axis=1) == p.argmax(axis=1)).all()
    assert class_calibration_error(labels, scaled) < 0.01
    assert log_loss(labels, scaled) <= log_loss(labels, p) + 1e-9


class _Scores(ClassifierMixin, BaseEstimator):
    """A classifier whose scores are its input."""

    def fit(self, x, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, x):
        return x.argmax(axis=1)

    def decision_function(self, x):
        return x


def test_the_temperature_is_that_of_scikit_learn():
    labels, p = voxels(temperature=2.0)
    scores = np.log(p.clip(1e-7, 1))  # as ours, which no probability of 0 can upset
    model = CalibratedClassifierCV(FrozenEstimator(_Scores().fit(scores, labels)), method="temperature", ensemble=False)
    theirs = model.fit(scores, labels).predict_proba(scores)
    np.testing.assert_allclose(with_temperature(p, fit_temperature(labels, p)), theirs, atol=1e-4)


def test_the_temperature_has_the_lowest_log_loss():
    labels, p = voxels(seed=3, count=3000, temperature=1.7)
    found = fit_temperature(labels, p)
    best = log_loss(labels, with_temperature(p, found))
    assert all(best <= log_loss(labels, with_temperature(p, found * factor)) for factor in (0.9, 0.99, 1.01, 1.1))


def test_certain_and_wrong_voxels_do_not_end_in_infinity():
    p = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    assert np.isfinite(fit_temperature([0, 1, 0, 1], p))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="expected the same"):
        reliability([0, 1], [0.5])
    with pytest.raises(ValueError, match="not empty"):
        adaptive_calibration_error([], [])
    with pytest.raises(ValueError, match="outside of"):
        reliability([0, 1], [0.5, 1.5])
    with pytest.raises(ValueError, match="one axis more"):
        fit_temperature([0, 1], [0.5, 0.5])
    with pytest.raises(ValueError, match="sum to 1"):
        fit_temperature([0], [[0.5, 0.2]])
    with pytest.raises(ValueError, match="positive number"):
        with_temperature([[0.5, 0.5]], 0)
    with pytest.raises(ValueError, match="one per axis"):
        near_foreground(np.zeros((2, 2)), (1,))
