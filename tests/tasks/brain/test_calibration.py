"""Laws of the calibration: what is learned on validation patients, kept in a folder, and shared by an ensemble."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.measure.islands import KEEP_ALL, IslandRule
from helpers.tasks.brain.calibration import UNCALIBRATED, Calibration, fit_calibration, median_calibration

SIDE = 24


def _ball(sharpness):
    """The probability of a ball of radius 6 whose edge is sharp or not."""
    grid = np.stack(np.meshgrid(*[np.arange(SIDE)] * 3, indexing="ij")) - SIDE / 2
    return 1 / (1 + np.exp(np.clip(sharpness * (np.sqrt((grid**2).sum(axis=0)) - 6), -50, 50)))


@pytest.fixture
def store():
    """Two patients, each with a ball of oedema whose edge is a matter of chance."""
    soft_labels = np.zeros((SIDE, SIDE, SIDE, 4), np.uint8)
    ball = np.random.default_rng(0).random((SIDE,) * 3) < _ball(1)
    soft_labels[..., 2], soft_labels[..., 0] = 255 * ball, 255 * ~ball
    return SimpleNamespace(
        volume=lambda identity: (np.ones((SIDE, SIDE, SIDE, 1), np.float16), soft_labels),
        patients={"a": {"spacing": (1, 1, 2)}, "b": {"spacing": (1, 1, 2)}},
        grid=SimpleNamespace(pixel_mm=2.0),
    )


def _segmenter(sharpness, speck=False):
    """One that finds the ball: the larger the sharpness, the surer it is; if asked, with a speck in a corner."""
    tumour = _ball(sharpness)
    if speck:
        tumour[:2, :2, :2] = 0.7
    p = np.zeros((*tumour.shape, 4), np.float32)
    p[..., 2], p[..., 0] = tumour, 1 - tumour
    return SimpleNamespace(network_probabilities=lambda images: p, reach=0)


@pytest.mark.parametrize("sharpness", [0.5, 1, 2])
def test_the_temperature_is_how_far_a_model_is_too_sure(sharpness, store):
    """The edge of the truth has sharpness 1: a model twice as sharp is twice too sure."""
    assert fit_calibration(_segmenter(sharpness), store, ("a", "b")).temperature == pytest.approx(sharpness, rel=0.15)


def test_a_speck_that_validation_patients_do_not_have_goes(store):
    calibration = fit_calibration(_segmenter(3, speck=True), store, ("a", "b"))
    assert calibration.islands != KEEP_ALL
    probabilities, _ = calibration.apply(_segmenter(3, speck=True).network_probabilities(None))
    assert (probabilities[:2, :2, :2, 0] == 1).all()
    assert probabilities[SIDE // 2, SIDE // 2, SIDE // 2, 2] > 0.9


def test_a_calibration_comes_back_from_its_folder():
    one = Calibration(1.5, IslandRule(0.1, None))
    assert Calibration.of(json.loads(json.dumps({"calibration": one.as_json()}))) == one
    assert Calibration.of({}) == UNCALIBRATED


def test_an_ensemble_has_the_median_of_its_members():
    members = [Calibration(1.0), Calibration(1.4, IslandRule(0.1, 0.8)), Calibration(2.0, IslandRule(0.2, None))]
    assert median_calibration(members) == Calibration(1.4, IslandRule(0.1, 0.8))
    assert median_calibration(members[:1]) == members[0]


def test_probabilities_that_are_calibrated_stay_as_they_are():
    p = np.random.default_rng(0).dirichlet([5, 1, 1, 1], (3, 4, 4)).astype(np.float32)
    np.testing.assert_allclose(UNCALIBRATED.apply(p)[0], p, atol=1e-6)
