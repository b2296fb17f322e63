"""The U-Net of the paper, its shapes and numbers, and Sharp U-Net, with sharpened skip connections."""

import keras
import numpy as np
import pytest
from keras import layers
from scipy.signal import correlate

from helpers.models.unet import sharp_unet, sharpen, unet
from helpers.runtime.errors import DataError

MODELS = pytest.mark.parametrize("make", [unet, sharp_unet])


@pytest.fixture(scope="module")
def paper() -> keras.Model:
    return unet()


def images(size: int, channels: int = 2, n: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, size, size, channels)).astype(np.float32)


def outputs_of(model: keras.Model, kind: type) -> list[tuple[int, ...]]:
    return [tuple(layer.output.shape[1:]) for layer in model.layers if type(layer) is kind]


def trainable(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def test_shapes_are_those_of_the_papers_section_2(paper):
    assert paper.input_shape == (None, 128, 128, 2)
    assert outputs_of(paper, layers.MaxPooling2D) == [(64, 64, 32), (32, 32, 64), (16, 16, 128), (8, 8, 256)]
    assert outputs_of(paper, layers.Dropout) == [(8, 8, 512)]  # the bottleneck
    assert outputs_of(paper, layers.UpSampling2D) == [(16, 16, 512), (32, 32, 256), (64, 64, 128), (128, 128, 64)]
    # After each up-sampling half comes across and half from below.
    assert outputs_of(paper, layers.Concatenate) == [(16, 16, 512), (32, 32, 256), (64, 64, 128), (128, 128, 64)]
    assert paper.output_shape == (None, 128, 128, 4)


def test_parameters_are_7_759_908(paper):
    assert paper.count_params() == trainable(paper) == 7_759_908


def test_every_level_has_two_3x3_convolutions_and_a_2x2_one_on_the_way_up(paper):
    kernels = [tuple(layer.kernel.shape) for layer in paper.layers if isinstance(layer, layers.Conv2D)]
    sides = [kernel[0] for kernel in kernels]
    assert sides == [3] * 10 + [2, 3, 3] * 4 + [1]
    down = [kernel[2:] for kernel in kernels[:10]]
    assert down == [
        (2, 32),
        (32, 32),
        (32, 64),
        (64, 64),
        (64, 128),
        (128, 128),
        (128, 256),
        (256, 256),
        (256, 512),
        (512, 512),
    ]


def test_up_sampling_is_nearest_and_dropout_a_fifth(paper):
    assert {layer.interpolation for layer in paper.layers if isinstance(layer, layers.UpSampling2D)} == {"nearest"}
    assert [layer.rate for layer in paper.layers if isinstance(layer, layers.Dropout)] == [0.2]


@MODELS
@pytest.mark.parametrize(
    ("size", "channels", "classes", "filters", "depth"), [(16, 1, 2, 2, 2), (32, 4, 3, 3, 3), (24, 2, 4, 1, 1)]
)
def test_width_depth_input_and_classes_are_parameters(make, size, channels, classes, filters, depth):
    model = make(size, channels, classes, filters, depth)
    assert model.predict(images(size, channels), verbose=0).shape == (2, size, size, classes)
    bottleneck = [layer.output.shape[1:] for layer in model.layers if isinstance(layer, layers.Dropout)]
    assert bottleneck == [(size // 2**depth, size // 2**depth, filters * 2**depth)]


def test_sharp_unet_trains_as_many_parameters():
    assert trainable(sharp_unet(32, filters=4)) == trainable(unet(32, filters=4))
    assert trainable(sharp_unet()) == 7_759_908


def test_sharpening_removes_what_is_constant_and_keeps_edges():
    plain, edge = np.full((1, 6, 6, 3), 7.0, np.float32), np.zeros((1, 6, 6, 3), np.float32)
    edge[:, :, 3:] = 1
    inside = keras.ops.convert_to_numpy(sharpen(plain))[0, 1:-1, 1:-1]
    np.testing.assert_allclose(inside, 0, atol=1e-5)
    row = keras.ops.convert_to_numpy(sharpen(edge))[0, 2, 1:-1, 0]
    np.testing.assert_allclose(row, [0, -3, 3, 0], atol=1e-5)


def test_sharpening_is_the_laplacian_of_every_feature_alone():
    x = images(9, channels=3, n=1)
    laplacian = np.full((3, 3), -1.0)
    laplacian[1, 1] = 8
    expected = np.stack([correlate(x[0, ..., f], laplacian, mode="same") for f in range(3)], axis=-1)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(sharpen(x))[0], expected, atol=1e-4)


def test_sharpening_changes_the_output_and_every_skip_is_sharpened():
    plain, sharp = unet(32, filters=2), sharp_unet(32, filters=2)
    for mine, theirs in zip(sharp.trainable_weights, plain.trainable_weights, strict=True):
        mine.assign(theirs)
    x = images(32)
    assert np.abs(plain.predict(x, verbose=0) - sharp.predict(x, verbose=0)).max() > 1e-3
    for model, untouched in ((plain, 4), (sharp, 0)):
        joins = [layer for layer in model.layers if isinstance(layer, layers.Concatenate)]
        sources = [layer.input[0]._keras_history.operation for layer in joins]
        assert sum(isinstance(source, layers.Conv2D) for source in sources) == untouched


@MODELS
def test_saved_model_loads_without_custom_objects_and_predicts_the_same(make, tmp_path):
    model, x = make(16, filters=2, depth=2), images(16)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


@MODELS
def test_probabilities_sum_to_one_in_every_pixel(make):
    probabilities = make(32, filters=2).predict(5 * images(32), verbose=0)
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-5)


def test_one_class_is_a_probability_of_its_own():
    x = 0.1 * images(32, 1)  # and so are the logits, for biases are 0: far from where float32 rounds to 0 or 1
    probabilities = unet(32, 1, classes=1, filters=2).predict(x, verbose=0)
    assert probabilities.shape == (2, 32, 32, 1)
    assert 0 < probabilities.min() < probabilities.max() < 1


def test_normalisation_stands_between_every_convolution_and_its_relu():
    model = unet(32, 1, classes=1, filters=2, normalisation="batch")
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    assert len(norms) == 22  # ten 3x3 on the way down, four times one 2x2 and two 3x3 on the way up
    for norm in norms:
        assert norm.momentum == 0.9
        before = norm.input._keras_history.operation
        assert isinstance(before, layers.Conv2D)
        assert before.activation is keras.activations.linear
        assert isinstance(norm._outbound_nodes[0].operation, layers.ReLU)
    assert model.predict(images(32, 1), verbose=0).shape == (2, 32, 32, 1)


def test_normalisation_adds_two_parameters_a_feature_and_takes_its_bias():
    plain, normal = unet(32, 1, classes=1, filters=2), unet(32, 1, classes=1, filters=2, normalisation="batch")
    features = sum(layer.filters for layer in plain.layers if isinstance(layer, layers.Conv2D)) - 1
    assert trainable(normal) == trainable(plain) + features


@MODELS
def test_output_is_float32_under_mixed_precision(make):
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = make(16, filters=2, depth=2)
    finally:
        keras.mixed_precision.set_global_policy(before)
    assert next(layer for layer in model.layers if isinstance(layer, layers.Conv2D)).compute_dtype == "float16"
    assert model.output.dtype == "float32"


@MODELS
def test_size_that_cannot_be_halved_is_refused_with_one_that_can(make):
    with pytest.raises(ValueError, match=r"100 cannot be halved 4 times.* 96"):
        make(100)


def test_forward_pass_equals_one_computed_with_scipy():
    """The same network, written again with plain arrays."""
    keras.utils.set_random_seed(0)
    model = unet(8, channels=2, classes=3, filters=2, depth=2)
    for weight in model.weights:  # biases start at 0, which would hide one that is not added
        weight.assign_add(np.random.default_rng(1).normal(0, 0.1, weight.shape))
    weights = iter(model.get_weights())
    x = images(8, n=1)

    def convolve(a: np.ndarray) -> np.ndarray:
        kernel, bias = next(weights), next(weights)
        # Padding is 0 all round; an even kernel's extra zero comes after, as TensorFlow has it.
        before, after = (kernel.shape[0] - 1) // 2, kernel.shape[0] // 2
        a = np.pad(a, [(before, after), (before, after), (0, 0)])
        maps = [correlate(a, kernel[..., f], mode="valid")[..., 0] for f in range(kernel.shape[-1])]
        return np.stack(maps, axis=-1) + bias

    def relu(a: np.ndarray) -> np.ndarray:
        return np.maximum(a, 0)

    a, skips = x[0].astype(np.float64), []
    for _ in range(2):
        a = relu(convolve(relu(convolve(a))))
        skips.append(a)
        a = a.reshape(a.shape[0] // 2, 2, a.shape[1] // 2, 2, -1).max(axis=(1, 3))
    a = relu(convolve(relu(convolve(a))))
    for skip in reversed(skips):
        a = relu(convolve(a.repeat(2, axis=0).repeat(2, axis=1)))
        a = relu(convolve(relu(convolve(np.concatenate([skip, a], axis=-1)))))
    logits = np.exp(convolve(a))
    expected = logits / logits.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(model.predict(x, verbose=0)[0], expected, atol=1e-5)


@pytest.mark.parametrize("normalisation", ["batch", "instance", "group"])
def test_every_normalisation_stands_22_times_and_none_remembers_but_batch(normalisation):
    model = unet(32, 1, filters=8, normalisation=normalisation)
    kinds = layers.BatchNormalization if normalisation == "batch" else layers.GroupNormalization
    assert sum(isinstance(layer, kinds) for layer in model.layers) == 22
    assert bool(model.non_trainable_variables) or normalisation != "batch"
    remembered = [weight for weight in model.non_trainable_weights if "moving" in weight.path]
    assert bool(remembered) == (normalisation == "batch")


def test_instance_normalisation_forgets_contrast():
    """The same slice with fifty times the contrast gives the same mask; without normalisation another one."""
    x = images(16, 1)
    for normalisation, forgets in (("instance", True), ("none", False)):
        model = unet(16, 1, filters=4, depth=2, normalisation=normalisation)
        change = np.abs(model.predict(50 * x, verbose=0) - model.predict(x, verbose=0)).max()
        assert (change < 0.02) == forgets


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("normalisation", ["batch", "instance"])
def test_a_step_in_half_precision_is_finite_and_close_to_that_in_float32(normalisation, policy):
    x, before = images(16, 2), keras.mixed_precision.global_policy()
    truth = keras.ops.one_hot((x[..., 0] > 0).astype(int), 4)
    losses, weights = {}, None
    for name in ("float32", policy):
        keras.mixed_precision.set_global_policy(name)
        try:
            model = unet(16, 2, filters=4, depth=1, dropout=0.0, normalisation=normalisation, residual=True)
            model.compile(keras.optimizers.Adam(1e-3), "categorical_crossentropy")
        finally:
            keras.mixed_precision.set_global_policy(before)
        weights = weights or model.get_weights()
        model.set_weights(weights)
        losses[name] = [model.train_on_batch(x, truth) for _ in range(2)]
        assert all(np.isfinite(one).all() for one in model.get_weights())
    np.testing.assert_allclose(losses[policy], losses["float32"], rtol=0.02)


def test_an_unknown_normalisation_is_refused():
    with pytest.raises(DataError, match="normalisation 'spectral' is not known; there are none, batch"):
        unet(16, normalisation="spectral")


def test_a_residual_block_whose_convolutions_are_zero_passes_its_input_on():
    model = unet(16, 1, filters=2, depth=1, residual=True)
    adds = [layer for layer in model.layers if isinstance(layer, layers.Add)]
    assert len(adds) == 3  # one on the way down, the bottleneck, one on the way up
    for add in adds:
        around, through = (tensor._keras_history.operation for tensor in add.input)
        assert around.kernel_size == (1, 1)
        assert through.kernel_size == (3, 3)


def test_the_plain_network_is_that_of_the_paper():
    """Options that are off leave it as it is, layer by layer."""
    names = [type(layer).__name__ for layer in unet(32, 2, filters=2).layers]
    assert set(names) == {"InputLayer", "Conv2D", "MaxPooling2D", "Dropout", "UpSampling2D", "Concatenate"}
    assert unet(128).count_params() == 7_759_908
