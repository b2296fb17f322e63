"""Laws of the gate's training: its loss, and that an optional channel is removed from half of the slices."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import ops

from helpers.learn.budget import Budget
from helpers.learn.checkpoint import Checkpoint
from helpers.models.transformer import Shape, transformer
from helpers.tasks.gate.training import GateTrainer, fit_gate, slice_loss


def _soft_labels(n=2, size=16):
    """The first slice holds a square of oedema, the others none."""
    soft_labels = np.zeros((n, size, size, 4), np.float32)
    soft_labels[..., 0] = 1
    soft_labels[0, 2:7, 2:7] = 0, 0, 1, 0
    return soft_labels


def _patches(soft_labels, patch=8):
    n, size, _, classes = soft_labels.shape
    return soft_labels.reshape(n, size // patch, patch, size // patch, patch, classes).mean(axis=(2, 4))


def test_loss_is_the_cross_entropy_of_yes_for_slices_with_tumour():
    prediction = np.array([[0.2, 0.8], [0.7, 0.3]], np.float32)
    np.testing.assert_allclose(slice_loss(_soft_labels(), prediction), -np.log([0.8, 0.7]), rtol=1e-5)


def test_right_predictions_cost_nothing_even_where_a_patch_is_mixed():
    soft_labels, prediction = _soft_labels(), np.array([[0, 1], [1, 0]], np.float32)
    np.testing.assert_allclose(slice_loss(soft_labels, prediction, _patches(soft_labels)), 0, atol=1e-5)


def test_wrong_tissue_costs_the_slice_it_is_in():
    soft_labels, prediction = _soft_labels(), np.array([[0, 1], [1, 0]], np.float32)
    tissue = _patches(soft_labels)
    tissue[0, 0, 0] = 0.97, 0.01, 0.01, 0.01
    first, second = np.array(slice_loss(soft_labels, prediction, tissue))
    assert first > 0.1
    assert second == pytest.approx(0, abs=1e-5)


def _means(channels=3):
    """A network that outputs the means of the last two channels."""
    inputs = keras.Input((8, 8, channels))
    return keras.Model(inputs, ops.mean(inputs, axis=(1, 2))[:, -2:])


def _batch(n=400):
    return {"images": np.ones((n, 8, 8, 3), np.float16), "foreground": np.zeros((n, 3, 8, 8), np.uint8)}


def test_optional_channel_is_taken_from_half_of_the_slices_in_training_only():
    trainer = GateTrainer(_means(), optional=(2,))
    always, optional = np.array(trainer(_batch(), training=True)["prediction"]).T
    assert (always == 1).all()
    assert set(np.unique(optional)) == {0, 1}
    assert 0.4 < optional.mean() < 0.6
    _, optional = np.array(trainer(_batch(), training=False)["prediction"]).T
    assert (optional == 1).all()


def test_patches_of_a_transformer_are_classified_in_their_places():
    network = transformer(32, 3, shape=Shape(8, 16, 1, 2))
    batch = {"images": np.zeros((2, 32, 32, 3), np.float16), "foreground": np.zeros((2, 3, 32, 32), np.uint8)}
    outputs = GateTrainer(network)(batch)
    assert outputs["prediction"].shape == (2, 2)
    assert outputs["tissue"].shape == (2, 4, 4, 4)
    assert len(network.outputs) == 1


class _StopsAt(Checkpoint):
    """Crashes after so many steps, once they are saved."""

    stop = 4

    def save(self, trainer, seconds, within_epoch):
        super().save(trainer, seconds, within_epoch)
        if self.step == self.stop:
            raise RuntimeError("the power went")


def test_training_that_was_stopped_ends_as_one_that_was_not(store, split, tmp_path):
    """Dropout, the removal of a channel and the head on the patches are resumed where they were."""

    def train(checkpoint):
        keras.utils.set_random_seed(0)
        network = transformer(32, 2, shape=Shape(8, 16, 1, 2), dropout=0.2)
        history = fit_gate(network, store, split, Budget(epochs=2), lambda _: {}, "none", (1,), checkpoint=checkpoint)
        return network.get_weights(), history.drop(columns="seconds")

    weights, history = train(Checkpoint())
    assert len(history) == 2
    with pytest.raises(RuntimeError, match="the power went"):
        train(_StopsAt(tmp_path, seconds=0))
    again, other = train(Checkpoint(tmp_path))
    pd.testing.assert_frame_equal(history, other)
    for one, two in zip(weights, again, strict=True):
        np.testing.assert_array_equal(one, two)
