"""Laws of varying a batch inside the training step."""

import keras
import numpy as np
import pytest

from helpers.learn import augmented_model
from helpers.learn.augmented_model import AugmentedModel, augment
from helpers.learn.batches import training_batches
from helpers.learn.losses import DiceCrossEntropy
from helpers.models.unet import unet


@pytest.fixture
def batch(store, split):
    (batch,) = training_batches(store, split.train, 4, seed=3, augmentation="all").take(1)
    return {name: array.numpy() for name, array in batch.items()}


def _compiled():
    keras.utils.set_random_seed(0)
    network = unet(32, 2, filters=2, dropout=0.0)
    model = AugmentedModel(network)
    model.compile(
        keras.optimizers.SGD(0.1), DiceCrossEntropy(), metrics=[keras.metrics.CategoricalAccuracy("accuracy")]
    )
    return network, model


def test_loss_and_metrics_are_those_of_varied_images_against_varied_shares(batch):
    network, model = _compiled()
    images, soft_labels = (keras.ops.convert_to_numpy(part) for part in augment(batch))
    probabilities = network.predict_on_batch(images)
    expected = keras.ops.mean(DiceCrossEntropy().call(soft_labels, probabilities))
    loss, accuracy = model.train_on_batch(batch)
    assert loss == pytest.approx(float(expected), rel=1e-4)
    right = (soft_labels.argmax(axis=-1) == probabilities.argmax(axis=-1)).mean()
    assert accuracy == pytest.approx(right, abs=1e-3)


def test_step_is_the_plain_networks_on_the_same_floats(batch):
    """Augmented inside the step or before it: the network learns the same."""
    inside, model = _compiled()
    model.train_on_batch(batch)
    outside, _ = _compiled()
    outside.compile(keras.optimizers.SGD(0.1), DiceCrossEntropy())
    outside.train_on_batch(*(keras.ops.convert_to_numpy(part) for part in augment(batch)))
    start, _ = _compiled()
    moved = 0.0
    for one, other, before in zip(inside.get_weights(), outside.get_weights(), start.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
        moved = max(moved, np.abs(one - before).max())
    assert moved > 1e-3


def test_a_step_is_traced_once(batch, monkeypatch):
    """The optimiser's variables are there before it; TensorFlow would trace the step a second time for them."""
    traces = []
    monkeypatch.setattr(augmented_model, "augment", lambda *given: traces.append(given) or augment(*given))
    _, model = _compiled()
    for _ in range(2):
        model.train_on_batch(batch)
    assert len(traces) == 1


def test_xla_takes_the_whole_step(batch):
    """Nothing in augmentation keeps the step from it, as `ops.image.affine_transform` would; Keras asks on a GPU."""
    _, model = _compiled()
    model.jit_compile = True
    assert np.isfinite(model.train_on_batch(batch)).all()


def test_images_enter_the_network_whole_under_half_precision(batch):
    """The parameters of an augmentation are not rounded to 16 bits on their way in."""
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        _, model = _compiled()
        soft_labels = keras.ops.convert_to_numpy(model(batch)["soft_labels"])
    finally:
        keras.mixed_precision.set_global_policy("float32")
    np.testing.assert_allclose(soft_labels, keras.ops.convert_to_numpy(augment(batch)[1]), atol=1e-6)


def test_one_channel_learns_as_two_that_sum_to_one(batch):
    """A sigmoid is scored as background and the rest: by the same loss, and by metrics of both."""
    lungs = {**batch, "foreground": batch["foreground"][:, :1]}
    network = unet(32, 2, classes=1, filters=2, dropout=0.0)
    model = AugmentedModel(network)
    model.compile(
        keras.optimizers.SGD(0.1), DiceCrossEntropy(), metrics=[keras.metrics.CategoricalAccuracy("accuracy")]
    )
    images, soft_labels = (keras.ops.convert_to_numpy(part) for part in augment(lungs))
    p = network.predict_on_batch(images)
    both = np.concatenate([1 - p, p], axis=-1)
    loss, accuracy = model.train_on_batch(lungs)
    assert loss == pytest.approx(float(keras.ops.mean(DiceCrossEntropy().call(soft_labels, both))), rel=1e-4)
    assert accuracy == pytest.approx((soft_labels.argmax(axis=-1) == both.argmax(axis=-1)).mean(), abs=1e-3)


def test_a_small_network_sees_the_crop_that_the_batch_names(batch):
    network = unet(16, 2, filters=2, depth=1)
    corner = np.arange(2 * len(batch["images"])).reshape(-1, 2).astype(np.int32) % 17
    seen = AugmentedModel(network)({**batch, "corner": corner})["soft_labels"]
    whole = keras.ops.convert_to_numpy(augment(batch)[1])
    for number, (row, column) in enumerate(corner):
        np.testing.assert_allclose(seen[number], whole[number, row : row + 16, column : column + 16], atol=1e-6)
