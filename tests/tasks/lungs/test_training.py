"""Laws of training on radiographs: what the curves show, and that the last weights stay."""

import keras
import numpy as np
import pytest

from helpers.data.chest import read_chest
from helpers.data.radiographs import open_radiographs, split_radiographs
from helpers.data.splits import Split
from helpers.learn import augmented_model
from helpers.learn.augmented_model import augment as augmented
from helpers.learn.budget import Budget
from helpers.learn.losses import DiceCrossEntropy
from helpers.measure import overlap
from helpers.models.unet import unet
from helpers.tasks.lungs.training import accuracy, dice, fit_lungs, jaccard, validation_scores


@pytest.fixture(scope="module")
def learns(chests):
    split = split_radiographs(read_chest(chests).require())
    return Split(split.train, split.validation, (), 0)


@pytest.fixture(scope="module")
def radiographs(chests, tmp_path_factory):
    return open_radiographs(read_chest(chests).require(), tmp_path_factory.mktemp("xray") / "store", 32)


def _fit(radiographs, split, rounds=2):
    keras.utils.set_random_seed(0)
    network = unet(32, 1, 1, 2)
    return network, fit_lungs(network, radiographs, split, Budget(epochs=rounds), "none", log=lambda _: None, steps=4)


@pytest.fixture(scope="module")
def trained(radiographs, learns):
    """Five rounds; and how often the training step was traced."""
    traces = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augmented_model, "augment", lambda *given: traces.append(given) or augmented(*given))
        return *_fit(radiographs, learns, rounds=5), len(traces)


def test_training_makes_the_loss_smaller_and_has_a_row_a_round(trained):
    _, history, _ = trained
    assert list(history["epoch"]) == [1, 2, 3, 4, 5]
    assert list(history["step"]) == [4, 8, 12, 16, 20]
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert history["val_loss"].iloc[-1] < history["val_loss"].iloc[0]


def test_step_is_traced_once(trained):
    assert trained[2] == 1


def test_last_weights_are_the_ones_that_the_last_row_tells_of(trained, radiographs, learns):
    network, history, _ = trained
    scores = validation_scores(network, radiographs, learns.validation, DiceCrossEntropy())
    assert scores == pytest.approx(history.iloc[-1][list(scores)].to_dict(), rel=1e-5)


def test_nobody_to_watch_means_no_validation_columns(radiographs, learns):
    _, history = _fit(radiographs, Split(learns.train, (), (), 0))
    assert not [name for name in history if name.startswith("val_")]


def test_curves_are_the_courses_dice_jaccard_and_accuracy_of_each_radiograph(rng):
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
