"""Laws of training."""

import re

import keras
import numpy as np
import pandas as pd
import pytest

from helpers.learn import augmented_model
from helpers.learn.augmented_model import augment as augmented
from helpers.learn.budget import Budget
from helpers.learn.losses import DiceCrossEntropy
from helpers.models.unet import unet
from helpers.tasks.brain.inference import Segmenter
from helpers.tasks.brain.training import Recipe, fit_brain, validation_scores


@pytest.fixture(scope="module")
def trained(store, split, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    keras.utils.set_random_seed(0)
    model, lines, traces = unet(32, 2, filters=4), [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augmented_model, "augment", lambda *given: traces.append(given) or augmented(*given))
        history = fit_brain(model, store, split, folder, Budget(epochs=8), log=lines.append)
    return model, folder, history, lines, traces


def test_loss_falls_and_tumour_is_found(trained):
    history = trained[2]
    assert history.loss.iloc[-1] < 0.7 * history.loss.iloc[0]
    assert history.val_dice_wt.max() > 0.4


def test_best_model_by_validation_dice_is_kept(trained, store, split):
    model, folder, history, *_ = trained
    saved = keras.models.load_model(folder / "model.keras", compile=False)
    for candidate in (saved, model):
        segmenter = Segmenter(candidate, ("flair", "t1ce"), store.grid, flip=False)
        scores = validation_scores(segmenter, store, split.validation, DiceCrossEntropy())
        assert scores["val_dice"] == pytest.approx(history.val_dice.max(), abs=1e-6)


def test_history_file_is_the_history(trained):
    _, folder, history, *_ = trained
    pd.testing.assert_frame_equal(pd.read_csv(folder / "history.csv"), history)
    assert list(history.epoch) == list(range(1, 9))


def test_each_epoch_is_logged_with_the_time_that_is_left(trained):
    lines = trained[3]
    assert len(lines) == 8
    assert re.fullmatch(
        r"epoch 6: loss 0\.\d+, val_dice_wt 0\.\d+, val_dice_tc 0\.\d+, val_dice_et 0\.\d+, "
        r"\d+ s \(75% of the budget, \d+ (s|min) left\)",
        lines[5],
    )


def test_learning_rate_falls_to_nothing(trained):
    rates = trained[2].learning_rate[1:]  # the first epoch here is all warm-up
    assert (rates.diff().dropna() < 0).all()
    assert rates.iloc[-1] < 1e-5


def test_step_is_traced_once(trained):
    """Seconds of every training: for a variable that a step makes, of an optimiser or a metric, it is traced again."""
    assert len(trained[4]) == 1


def test_same_seed_trains_the_same_weights(store, split, tmp_path):
    def weights(name):
        keras.utils.set_random_seed(1)
        model = unet(32, 2, filters=2)
        fit_brain(model, store, split, tmp_path / name, Budget(epochs=1), log=lambda _: None)
        return model.get_weights()

    for one, other in zip(weights("a"), weights("b"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_time_budget_ends_training_in_time(store, split, tmp_path):
    """Less than an epoch is in the budget: training stops inside it, and still leaves a validated model."""
    budget = Budget(seconds=1)
    history = fit_brain(
        unet(32, 2, filters=4), store, split, tmp_path, budget, Recipe(batch_size=1), log=lambda _: None
    )
    assert (tmp_path / "model.keras").exists()
    assert len(history) == 1
    assert budget.fraction_spent(0) >= 1
