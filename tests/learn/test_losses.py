"""Laws of the losses: the formulas, one value per sample, and a gradient that never dies."""

import keras
import numpy as np
import pytest

from helpers.learn.losses import (
    CLASS_WEIGHTS,
    CrossEntropy,
    DiceCrossEntropy,
    Focal,
    Tversky,
    WeightedCrossEntropy,
    class_weights,
    cross_entropy,
    soft_dice_loss,
    tversky_index,
)
from helpers.runtime.options import LOSSES

EVERY_LOSS = pytest.mark.parametrize("name", LOSSES)


def _batch(rng, n=3, size=8):
    truth = np.eye(4, dtype=np.float32)[rng.integers(0, 4, (n, size, size))]
    probabilities = rng.dirichlet(np.ones(4), (n, size, size)).astype(np.float32)
    return truth, probabilities


def _numpy(x):
    return keras.ops.convert_to_numpy(x)


def _by_class(loss, truth, probabilities):
    """One of Keras's own overlap losses, a foreground class at a time: (batch, 3)."""
    values = [loss(truth[..., c : c + 1], probabilities[..., c : c + 1]) for c in (1, 2, 3)]
    return np.stack([_numpy(value).reshape(-1) for value in values], axis=-1)


@EVERY_LOSS
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 24)])
def test_one_value_per_sample_whatever_the_size(rng, name, shape):
    truth = np.eye(4, dtype=np.float32)[rng.integers(0, 4, shape)]
    values = _numpy(LOSSES[name].load()(reduction=None)(truth, np.roll(truth, 1, axis=1)))
    assert values.shape == shape[:1]
    assert (values > 0).all()


@EVERY_LOSS
def test_a_sample_s_value_does_not_depend_on_its_batch_mates(rng, name):
    truth, probabilities = _batch(rng)
    loss = LOSSES[name].load()(reduction=None)
    alone = [_numpy(loss(truth[i : i + 1], probabilities[i : i + 1]))[0] for i in range(3)]
    np.testing.assert_allclose(_numpy(loss(truth, probabilities)), alone, rtol=1e-5)


@EVERY_LOSS
def test_perfect_prediction_costs_nothing_and_a_better_one_less(rng, name):
    truth, probabilities = _batch(rng)
    loss = LOSSES[name].load()()
    better = 0.5 * truth + 0.5 * probabilities
    assert _numpy(loss(truth, truth)) == pytest.approx(0, abs=1e-4)
    assert _numpy(loss(truth, better)) < _numpy(loss(truth, probabilities))


@EVERY_LOSS
@pytest.mark.parametrize("sure", [0.0, 30.0, 200.0])
@pytest.mark.parametrize("tumour", [True, False])
def test_gradients_are_finite(name, sure, tumour):
    """Undecided, sure of the background, and so sure that every other probability is 0 in float32."""
    import tensorflow as tf

    labels = np.zeros((2, 8, 8), int)
    labels[:, 2:5, 2:5] = 3 if tumour else 0
    truth = tf.constant(np.eye(4, dtype=np.float32)[labels])
    logits = tf.Variable(np.broadcast_to(np.float32([sure, 0, 0, 0]), (2, 8, 8, 4)))
    with tf.GradientTape() as tape:
        value = LOSSES[name].load()()(truth, tf.nn.softmax(logits))
    assert np.isfinite(value)
    assert np.isfinite(tape.gradient(value, logits)).all()


def test_cross_entropy_is_its_formula_and_keras_own(rng):
    truth, probabilities = _batch(rng)
    ours = _numpy(cross_entropy(truth, probabilities))
    np.testing.assert_allclose(ours, -(truth * np.log(probabilities)).sum(-1).mean((1, 2)), rtol=1e-5)
    theirs = _numpy(keras.losses.categorical_crossentropy(truth, probabilities)).mean((1, 2))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_equal_weights_are_no_weights(rng):
    truth, probabilities = _batch(rng)
    weighted = WeightedCrossEntropy((1, 1, 1, 1), reduction=None)(truth, probabilities)
    np.testing.assert_allclose(_numpy(weighted), _numpy(cross_entropy(truth, probabilities)), rtol=1e-6)


def test_weights_are_those_of_the_true_class(rng):
    truth, probabilities = _batch(rng)
    weighted = WeightedCrossEntropy((0, 0, 0, 3), reduction=None)(truth, probabilities)
    by_hand = -3 * (truth[..., 3] * np.log(probabilities[..., 3])).mean((1, 2))
    np.testing.assert_allclose(_numpy(weighted), by_hand, rtol=1e-5)


def test_focal_is_that_of_keras(rng):
    truth, probabilities = _batch(rng)
    theirs = keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=2.0, reduction=None)(truth, probabilities)
    ours = _numpy(Focal(reduction=None)(truth, probabilities))
    np.testing.assert_allclose(ours, _numpy(theirs).mean((1, 2)), atol=1e-6)


def test_dice_is_that_of_keras_without_background(rng):
    truth, probabilities = _batch(rng)
    theirs = _by_class(keras.losses.Dice(axis=(1, 2), reduction=None), truth, probabilities)
    ours = _numpy(soft_dice_loss(truth, probabilities, smooth=1e-7))
    np.testing.assert_allclose(ours, theirs.mean(axis=1), atol=1e-6)


def test_tversky_is_that_of_keras_for_each_class(rng):
    # Keras documents alpha as the weight of false positives, but weighs the misses with it (3.15).
    truth, probabilities = _batch(rng)
    theirs = _by_class(keras.losses.Tversky(alpha=0.7, beta=0.3, axis=(1, 2), reduction=None), truth, probabilities)
    ours = _numpy(tversky_index(truth, probabilities, 0.3, 0.7, smooth=1e-7))
    np.testing.assert_allclose(1 - ours, theirs, atol=1e-6)


def test_tversky_minds_a_missed_pixel_more_than_an_invented_one():
    truth = np.eye(4, dtype=np.float32)[np.repeat([0, 2], 32).reshape(1, 8, 8)]
    less, more = (np.eye(4, dtype=np.float32)[np.repeat([0, 2], [n, 64 - n]).reshape(1, 8, 8)] for n in (40, 24))
    assert _numpy(Tversky()(truth, less)) > _numpy(Tversky()(truth, more))
    assert _numpy(soft_dice_loss(truth, less))[0] > 0


def test_focal_minds_easy_pixels_less():
    """Against cross-entropy, a pixel that is 90 % right is a hundredth of its cost, one that is 10 % right most."""
    truth = np.eye(4, dtype=np.float32)[np.zeros((1, 2, 2), int)]
    ratio = []
    for p in (0.9, 0.1):
        given = np.full((1, 2, 2, 4), (1 - p) / 3, np.float32)
        given[..., 0] = p
        ratio.append(float(_numpy(Focal()(truth, given)) / _numpy(CrossEntropy()(truth, given))))
    assert ratio == pytest.approx([0.01, 0.81], rel=1e-4)


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


def test_weights_rise_as_classes_get_rarer_and_leave_the_mean_pixel_at_one():
    pixels = np.array([900, 60, 30, 10])
    weights = class_weights(pixels)
    assert (np.diff(weights) > 0).all()
    assert (weights * pixels).sum() / pixels.sum() == pytest.approx(1)
    assert weights[3] / weights[0] == pytest.approx(np.sqrt(90))


def test_no_weight_for_a_class_without_pixels():
    with pytest.raises(ValueError, match="positive count"):
        class_weights(np.array([10, 0, 3, 2]))


def test_the_default_weights_are_of_this_kind(real_data):
    """The constant is `class_weights` of real patients, to a tenth."""
    from helpers.data.brats import read_catalogue
    from helpers.data.resample import Grid, soft_labels_on
    from helpers.data.volumes import read_scan

    pixels, grid = np.zeros(4), Grid(64)
    for patient in read_catalogue(real_data / "brats18").require(("flair",)):
        scan = read_scan(patient, ("flair",))
        soft_labels = soft_labels_on(scan.seg, grid, scan.spacing, grid.brain_centre(scan.images, scan.spacing))
        pixels += soft_labels[scan.images.any(axis=(0, 1, 3))].sum(axis=(0, 1, 2)) / 255
    np.testing.assert_allclose(class_weights(pixels), CLASS_WEIGHTS, atol=0.1)


@EVERY_LOSS
def test_losses_are_found_again_by_name(name):
    loss = LOSSES[name].load()()
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()


def test_weights_travel_with_the_loss():
    again = keras.losses.deserialize(keras.losses.serialize(WeightedCrossEntropy((1, 2, 3, 4))))
    assert again.weights == (1, 2, 3, 4)


def test_the_sum_is_the_sum_of_its_parts(rng):
    truth, probabilities = _batch(rng)
    parts = _numpy(cross_entropy(truth, probabilities)) + _numpy(soft_dice_loss(truth, probabilities))
    np.testing.assert_allclose(_numpy(DiceCrossEntropy(reduction=None)(truth, probabilities)), parts, rtol=1e-6)
