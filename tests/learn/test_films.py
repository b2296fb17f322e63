"""Laws of training on films: what the curves show, and that the last weights stay."""

import keras
import numpy as np
import pytest

from helpers.data.chest import read_chest
from helpers.data.films import open_films, split_films
from helpers.data.splits import Split
from helpers.learn.budget import Budget
from helpers.learn.films import accuracy, dice, fit_films, jaccard, validation_scores
from helpers.learn.losses import DiceCrossEntropy
from helpers.measure import overlap
from helpers.models.unet import unet


@pytest.fixture(scope="module")
def learns(chests):
    split = split_films(read_chest(chests).require())
    return Split(split.train, split.validation, (), 0)


@pytest.fixture(scope="module")
def films(chests, tmp_path_factory):
    return open_films(read_chest(chests).require(), tmp_path_factory.mktemp("films") / "store", 32)


def _fit(films, split, rounds=2):
    keras.utils.set_random_seed(0)
    network = unet(32, 1, 1, 2)
    return network, fit_films(network, films, split, Budget(epochs=rounds), "none", say=lambda _: None, steps=4)


def test_training_makes_the_loss_smaller_and_has_a_row_a_round(films, learns):
    _, history = _fit(films, learns, rounds=5)
    assert list(history["epoch"]) == [1, 2, 3, 4, 5]
    assert list(history["step"]) == [4, 8, 12, 16, 20]
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert history["val_loss"].iloc[-1] < history["val_loss"].iloc[0]


def test_last_weights_are_the_ones_that_the_last_row_tells_of(films, learns):
    network, history = _fit(films, learns)
    scores = validation_scores(network, films, learns.validation, DiceCrossEntropy())
    assert scores == pytest.approx(history.iloc[-1][list(scores)].to_dict(), rel=1e-5)


def test_nobody_to_watch_means_no_validation_columns(films, learns):
    _, history = _fit(films, Split(learns.train, (), (), 0))
    assert not [name for name in history if name.startswith("val_")]


def test_curves_are_the_courses_dice_jaccard_and_accuracy_of_each_film(rng):
    p = rng.random((3, 16, 16)).astype(np.float32)
    truth = (rng.random((3, 16, 16)) < 0.3).astype(np.float32)
    truth[2] = 0
    p[2] *= 0.4  # nothing there and nothing found
    y_true, y_pred = (np.stack([1 - one, one], axis=-1) for one in (truth, p))
    for mine, other in ((dice, overlap.dice), (jaccard, overlap.jaccard)):
        expected = [other(t > 0.5, q > 0.5) for t, q in zip(truth, p, strict=True)]
        np.testing.assert_allclose(keras.ops.convert_to_numpy(mine(y_true, y_pred)), expected, atol=1e-6)
    right = ((truth > 0.5) == (p > 0.5)).mean(axis=(1, 2))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(accuracy(y_true, y_pred)), right, atol=1e-6)
