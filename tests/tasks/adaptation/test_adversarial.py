"""Laws of adversarial adaptation."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers.learn.augmented_model import AugmentedModel
from helpers.learn.losses import DiceCrossEntropy, PrecomputedLoss
from helpers.learn.precision import policy_scope
from helpers.models.unet import unet
from helpers.tasks.adaptation.adversarial import (
    ADDA,
    Discriminator,
    GradientReversal,
    OutputAlignment,
    encoder,
    patch_accuracy,
    patch_bce,
    reversal_schedule,
    reverse_gradient,
)
from helpers.tasks.adaptation.base import LayerwiseAdam
from tests.tasks.adaptation.both_hospitals import COMPARED, made, radiographs, ready, start

if keras.backend.backend() != "tensorflow":
    pytest.skip("gradients are computed with TensorFlow's tape", allow_module_level=True)


def gradients(step, name, variables, batch=None):
    """Of the mean of one term."""
    with tf.GradientTape() as tape:
        term = tf.reduce_mean(step(batch or radiographs(0), training=True)[name])
    return tape.gradient(term, [variable.value for variable in variables])


def gone(found):
    return all(one is None or not np.any(one) for one in found)


def test_reversed_gradient_is_minus_lambda_times_the_plain_one(rng):
    x, w = tf.constant(rng.normal(size=(3, 4)), tf.float32), rng.normal(size=(3, 4)).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = reverse_gradient(x, 0.3)
        value = tf.reduce_sum(y**2 * w)
    np.testing.assert_allclose(y, x, atol=1e-6)
    np.testing.assert_allclose(tape.gradient(value, x), -0.3 * 2 * x * w, rtol=1e-4)


def test_the_encoder_gets_the_discriminators_gradient_turned_round():
    """At strength -1 reversal is no reversal: that is the plain gradient."""

    def found(strength):
        step = GradientReversal(start(), strength=strength)
        step.fraction_spent.assign(1.0)
        step.discriminator.set_weights(ready("reversal").discriminator.get_weights())
        return [
            gradients(step, "discriminator", part.trainable_variables)
            for part in (encoder(step.network), step.discriminator)
        ]

    (plain, weights), (turned, as_before) = found(-1.0), found(0.2)
    for one, other in zip(plain, turned, strict=True):
        np.testing.assert_allclose(other, -0.2 * one.numpy(), rtol=1e-3, atol=1e-5)
    for one, other in zip(weights, as_before, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-5)
    assert max(np.abs(one).max() for one in plain) > 1e-4


@pytest.mark.parametrize("step", [ADDA(start()), OutputAlignment(start())], ids=["adda", "output"])
def test_each_side_learns_from_its_own_loss_alone(step):
    network = step.encoder if isinstance(step, ADDA) else step.network
    sides = network.trainable_variables, step.discriminator.trainable_variables
    assert gone(gradients(step, "discriminator", sides[0]))
    assert gone(gradients(step, "adversarial", sides[1]))
    assert not gone(gradients(step, "discriminator", sides[1]))
    assert not gone(gradients(step, "adversarial", sides[0]))


def test_tzengs_adda_trains_the_target_encoder_and_nothing_else():
    network = start()
    step = ADDA(network)
    step.compile(LayerwiseAdam(1e-3), PrecomputedLoss())
    before, source = network.get_weights(), step.source.get_weights()
    step.train_on_batch(radiographs(0))
    learns = {id(variable) for variable in encoder(network).weights}
    for variable, was in zip(network.weights, before, strict=True):
        moved = not np.array_equal(keras.ops.convert_to_numpy(variable), was)
        assert moved == (id(variable) in learns)
    for one, was in zip(step.source.get_weights(), source, strict=True):
        np.testing.assert_array_equal(one, was)


def test_adda_whose_encoder_stands_still_is_the_source_model():
    network = start()
    before, step = network.get_weights(), ADDA(network)
    step.compile(LayerwiseAdam(1e-3, {"discriminator": 1.0, "": 0.0}), PrecomputedLoss())
    untrained = step.discriminator.get_weights()
    for seed in range(3):
        step.train_on_batch(radiographs(seed))
    for one, was in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, was)
    moved = zip(step.discriminator.get_weights(), untrained, strict=True)
    assert any(not np.array_equal(one, was) for one, was in moved)


def test_each_part_has_its_own_pace():
    """Adam's first step is as long as the learning rate, whatever the gradient."""
    step = ready("adda", LayerwiseAdam(1e-3, {"discriminator": 0.25}, epsilon=1e-12))
    parts = {0.25e-3: step.discriminator, 1e-3: step.encoder}
    before = {length: part.get_weights() for length, part in parts.items()}
    step.train_on_batch(radiographs(0))
    for length, part in parts.items():
        moved = [np.abs(new - old) for new, old in zip(part.get_weights(), before[length], strict=True)]
        assert max(one.max() for one in moved) == pytest.approx(length, rel=0.01)


def test_on_shuffled_labels_there_is_nothing_to_learn(rng):
    """Two hospitals that differ are told apart at once; by labels of chance they are not."""

    def accuracy(shuffled):
        step = ready("adda", LayerwiseAdam(3e-3, {"discriminator": 1.0, "": 0.0}))
        seen = []
        for seed in range(60):
            batch = radiographs(seed)
            if shuffled:
                domains = rng.permutation(np.repeat(np.float32([0, 1]), 4))
                batch |= {"domain": domains[:4], "target_domain": domains[4:]}
            step.reset_metrics()
            seen.append(step.train_on_batch(batch, return_dict=True)["accuracy"])
        return np.mean(seen[30:])

    assert accuracy(False) > 0.9
    assert 0.4 < accuracy(True) < 0.6


@functools.cache
def first_step(name):
    """What a method reports of its first step, in the precision of the policy that is set.

    By plain gradient descent, of which TensorFlow traces a step in half the time; `tests/tasks/test_precisions.py`
    trains with Adam.
    """
    keras.utils.set_random_seed(0)
    step = ready(name, keras.optimizers.SGD(1e-3))
    step.fraction_spent.assign(0.5)
    return step.train_on_batch(radiographs(0), return_dict=True)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", COMPARED)
def test_each_method_steps_in_half_precision(name, policy):
    """Its own sums, and the strength of a reversal, stay whole: they are what a step in float32 has, nearly."""
    whole = first_step(name)
    with policy_scope(policy):
        half = first_step.__wrapped__(name)
    assert half["loss"] != whole["loss"]
    assert half["loss"] == pytest.approx(whole["loss"], rel=0.03)


def test_a_shift_of_greys_is_undone_where_an_anchor_holds():
    """Half of the target is outlined as it comes; the source's radiographs are outlined nearly as well afterwards.

    Of radiographs of 32 pixels the discriminator sees all levels: the third is 8 by 8 here, too coarse for what
    shifted.
    """
    keras.utils.set_random_seed(0)
    network = unet(32, 1, 1, filters=4, dropout=0.0)
    trainer = AugmentedModel(network)
    trainer.compile(keras.optimizers.Adam(3e-3), DiceCrossEntropy())
    for seed in range(120):
        batch = radiographs(seed, n=8)
        trainer.train_on_batch({name: batch[name] for name in ("images", "foreground")})
    before = dice(network, "images"), dice(network, "target_images")
    step = ADDA(network, levels=range(5), anchor=1.0)
    step.compile(LayerwiseAdam(1e-3, beta_1=0.5), PrecomputedLoss())
    for seed in range(500, 620):
        step.train_on_batch(radiographs(seed, n=8))
    assert dice(network, "images") > before[0] - 0.1
    assert dice(network, "target_images") > before[1] + 0.15


def dice(network, which):
    """Mean over 64 radiographs."""
    predicted = network.predict_on_batch(radiographs(99, n=64)[which].astype(np.float32))[..., 0] > 0.5
    masks = made(99, 64)[1][..., 1] > 0
    truth = masks[:64] if which == "images" else masks[64:]
    return np.mean(2 * (predicted & truth).sum(axis=(1, 2)) / (predicted.sum(axis=(1, 2)) + truth.sum(axis=(1, 2))))


@pytest.mark.parametrize("levels", [None, [0], [4], [0, 3], [1, 2, 4]])
def test_discriminator_judges_patches_of_the_levels_it_sees(levels):
    network = start()
    maps = encoder(network, levels)(radiographs(0)["images"].astype(np.float32))
    maps = maps if isinstance(maps, list) else [maps]
    assert [m.shape[1] for m in maps] == [32 // 2**level for level in (levels or range(5))]
    logits = Discriminator(4)(maps)
    assert logits.shape[:2] == (4, logits.shape[2])
    assert 1 <= logits.shape[1] <= 16


@pytest.mark.parametrize("levels", [[5], [-1], []])
def test_a_level_that_is_not_there_is_refused(levels):
    with pytest.raises(ValueError, match="this network has 0 to 4, the last its bottleneck"):
        encoder(start(), levels)


def test_a_network_without_skips_is_refused():
    plain = keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Conv2D(1, 3)])
    with pytest.raises(ValueError, match="is no U-Net"):
        encoder(plain)


def test_a_radiographs_verdict_does_not_depend_on_its_neighbours():
    maps = encoder(start())(radiographs(0)["images"].astype(np.float32))
    discriminator = Discriminator(4)
    together, alone = discriminator(maps), discriminator([one[:1] for one in maps])
    np.testing.assert_allclose(alone, together[:1], atol=1e-5)


def test_judging_is_binary_cross_entropy_a_radiograph(rng):
    logits, labels = rng.normal(size=(3, 2, 2)).astype(np.float32), np.float32([0, 0.9, 1])
    p = 1 / (1 + np.exp(-logits))
    expected = -(labels[:, None, None] * np.log(p) + (1 - labels[:, None, None]) * np.log(1 - p)).mean(axis=(1, 2))
    np.testing.assert_allclose(patch_bce(logits, labels), expected, rtol=1e-4)
    np.testing.assert_allclose(patch_accuracy(logits, np.float32([0, 1, 1])), [
        (logits[0] <= 0).mean(), (logits[1] > 0).mean(), (logits[2] > 0).mean()
    ])  # fmt: skip


def test_the_ramp_is_dann_s():
    np.testing.assert_allclose([float(reversal_schedule(p)) for p in (0.0, 0.1, 1.0)], [0, 0.46212, 0.99991], atol=1e-4)
