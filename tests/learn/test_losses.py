"""Laws of the losses: the formulas, one value per sample, and a gradient that never dies."""

import keras
import numpy as np
import pytest

from helpers.learn.losses import CrossEntropy, DiceCrossEntropy, cross_entropy, soft_dice_loss


def _batch(rng, n=3, size=8):
    truth = np.eye(4, dtype=np.float32)[rng.integers(0, 4, (n, size, size))]
    probabilities = rng.dirichlet(np.ones(4), (n, size, size)).astype(np.float32)
    return truth, probabilities


def _numpy(x):
    return keras.ops.convert_to_numpy(x)


@pytest.mark.parametrize("loss", [CrossEntropy, DiceCrossEntropy])
def test_one_value_per_sample(rng, loss):
    truth, probabilities = _batch(rng)
    assert loss(reduction=None)(truth, probabilities).shape == (3,)


def test_cross_entropy_is_its_formula_and_keras_own(rng):
    truth, probabilities = _batch(rng)
    ours = _numpy(cross_entropy(truth, probabilities))
    np.testing.assert_allclose(ours, -(truth * np.log(probabilities)).sum(-1).mean((1, 2)), rtol=1e-5)
    theirs = _numpy(keras.losses.categorical_crossentropy(truth, probabilities)).mean((1, 2))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_dice_is_that_of_keras_without_background(rng):
    truth, probabilities = _batch(rng)
    theirs = [
        keras.losses.Dice(axis=(1, 2), reduction=None)(truth[..., c : c + 1], probabilities[..., c : c + 1])
        for c in (1, 2, 3)
    ]
    ours = _numpy(soft_dice_loss(truth, probabilities, smooth=1e-7))
    np.testing.assert_allclose(ours, np.mean([_numpy(t).reshape(3) for t in theirs], axis=0), atol=1e-5)


def test_perfect_prediction_costs_nothing(rng):
    truth, _ = _batch(rng)
    assert _numpy(DiceCrossEntropy()(truth, truth)) == pytest.approx(0, abs=1e-6)


def test_empty_slice_called_empty_costs_nothing():
    empty = np.eye(4, dtype=np.float32)[np.zeros((1, 8, 8), int)]
    assert _numpy(soft_dice_loss(empty, empty)) == pytest.approx(0)


def test_all_background_costs_dice_everything_on_a_tumour():
    truth = np.eye(4, dtype=np.float32)[np.arange(4).repeat(400).reshape(1, 40, 40)]
    background = np.eye(4, dtype=np.float32)[np.zeros((1, 40, 40), int)]
    assert _numpy(soft_dice_loss(truth, background))[0] > 0.99


def test_sums_do_not_overflow_in_half_precision():
    ones = np.eye(4, dtype=np.float16)[np.full((1, 512, 512), 2)]
    assert _numpy(soft_dice_loss(ones, ones))[0] == pytest.approx(0, abs=1e-6)


def test_gradient_lives_where_a_clipped_logarithm_has_none():
    """A network that is sure all is background (logits 30 apart) must still be pulled towards a tumour it misses."""
    import tensorflow as tf

    truth = tf.constant(np.eye(4, dtype=np.float32)[np.full((1, 4, 4), 3)])
    logits = tf.Variable(np.float32([[[[30, 0, 0, 0]] * 4] * 4]))
    with tf.GradientTape() as tape:
        loss = CrossEntropy()(truth, tf.nn.softmax(logits))
    pull = tape.gradient(loss, logits).numpy()[0, 0, 0]
    np.testing.assert_allclose(pull * 16, [1, 0, 0, -1], atol=1e-3)


def test_losses_are_found_again_by_name():
    for loss in (CrossEntropy(), DiceCrossEntropy()):
        again = keras.losses.deserialize(keras.losses.serialize(loss))
        assert type(again) is type(loss)
