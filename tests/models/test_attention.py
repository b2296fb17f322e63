"""Attention rollout and Grad-CAM: their arithmetic, and that they depend on the network and not on the image alone."""

import keras
import numpy as np
import pytest
from scipy.ndimage import zoom

from helpers.models.attention import attention_weights, grad_cam, rollout, shuffled
from helpers.models.transformer import Shape, transformer
from helpers.models.unet import unet

SMALL = Shape(patch=7, width=16, depth=3, heads=2)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    made = transformer(28, 3, 2, SMALL)
    for weight in made.weights:  # fresh weights are so small that every attention is even
        weight.assign_add(np.random.default_rng(1).normal(0, 0.3, weight.shape))
    return made


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(3, 28, 28, 3)).astype(np.float32)


def set_even(model: keras.Model) -> None:
    """No token asks for anything, so every token takes the same from each."""
    for layer in model.layers:
        if layer.name.endswith("attention"):
            layer.query.kernel.assign(np.zeros(layer.query.kernel.shape))
            layer.query.bias.assign(np.zeros(layer.query.bias.shape))


def patches_of(maps: np.ndarray) -> np.ndarray:
    """(n, 4, 4): the patches' own values, which stand in their middles, from maps of 4 x 4 patches of 7 pixels."""
    return maps[:, 3::7, 3::7]


@pytest.mark.parametrize("saliency", [rollout, grad_cam])
def test_a_map_has_the_size_of_the_image_and_no_negative_value(saliency, model, images):
    maps = saliency(model, images)
    assert maps.shape == (3, 28, 28)
    assert maps.dtype == np.float32
    assert maps.min() >= 0
    assert maps.max() > 0


@pytest.mark.parametrize("saliency", [rollout, grad_cam])
def test_the_map_changes_when_the_weights_are_shuffled(saliency, model, images):
    """Adebayo et al. 2018: a map that survives it explains the image."""
    trained, lost = saliency(model, images), saliency(shuffled(model), images)
    for one, other in zip(trained, lost, strict=True):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.9


@pytest.mark.parametrize("saliency", [rollout, grad_cam])
def test_the_map_of_an_image_does_not_depend_on_its_neighbours_in_the_batch(saliency, model, images):
    np.testing.assert_allclose(saliency(model, images)[1:2], saliency(model, images[1:2]), atol=1e-5)


def test_rollout_is_the_product_of_half_attention_half_identity(model, images):
    flow = np.eye(17)
    for i in range(SMALL.depth):
        layer = model.get_layer(f"block_{i}_attention")
        entering = keras.Model(model.input, layer.input)(images[:1])
        attention = keras.ops.convert_to_numpy(layer.weigh(entering))[0].mean(axis=0)  # over the heads
        flow = 0.5 * (attention + np.eye(17)) @ flow
    expected = (flow[0, 1:] / flow[0, 1:].sum()).reshape(4, 4)
    np.testing.assert_allclose(patches_of(rollout(model, images[:1]))[0], expected, atol=1e-6)


def test_rollout_of_even_attention_is_even(images):
    model = transformer(28, 3, 2, SMALL)
    set_even(model)
    np.testing.assert_allclose(rollout(model, images), 1 / 16, atol=1e-6)


def test_rollout_follows_a_token_that_all_attend_to(images):
    """All tokens attend to one patch: the map is brightest there."""
    model = transformer(28, 3, 2, SMALL)
    loud = images[:1].copy()
    loud[:, 7:14, 14:21] += 4  # row 1, column 2
    layer = model.get_layer("block_0_attention")
    entering = keras.ops.convert_to_numpy(keras.Model(model.input, layer.input)(loud))[0]  # (17, 16)
    # Every token asks for what is the loud patch's own.
    layer.query.kernel.assign(np.zeros((16, 16)))
    layer.query.bias.assign(3 * entering[1 + 6])
    layer.key.kernel.assign(np.eye(16))
    brightest = patches_of(rollout(model, loud))[0].argmax()
    assert brightest == 6


def test_grad_cam_is_zero_where_no_patch_reaches_the_prediction(images):
    model = transformer(28, 3, 2, SMALL)
    last = model.get_layer(f"block_{SMALL.depth - 1}_attention")
    last.value.kernel.assign(np.zeros((16, 16)))
    assert not grad_cam(model, images).any()


def test_grad_cam_agrees_with_finite_differences(model, images):
    """The weights of the features, measured by moving every patch's feature a little."""
    norm = model.get_layer("block_2_norm_1")
    past, tokens = keras.Model(model.input, [norm.input, norm.output])(images[:1])
    rest = keras.Model([norm.input, norm.output], model.get_layer("head").output)
    past, tokens = np.asarray(past), np.asarray(tokens)
    step, weights = 0.02, []
    for feature in range(16):
        moved = np.zeros_like(tokens)
        moved[:, 1:, feature] = step
        up, down = (np.asarray(rest([past, tokens + sign * moved]))[0] @ [-0.5, 0.5] for sign in (1, -1))
        weights.append((up - down) / (2 * step) / 16)  # 16 patches moved together: their mean gradient
    expected = np.maximum(tokens[0, 1:] @ np.array(weights), 0).reshape(4, 4)
    got = patches_of(grad_cam(model, images[:1]))[0]
    np.testing.assert_allclose(got, expected, atol=0.05 * expected.max())


def test_grad_cam_of_two_classes_differs(model, images):
    assert np.abs(grad_cam(model, images, 0) - grad_cam(model, images, 1)).max() > 1e-3


def test_maps_are_interpolated_about_the_patches_middles(model, images):
    side = patches_of(rollout(model, images))[0]
    expected = zoom(side, 7, order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(rollout(model, images)[0], expected, atol=1e-5)


def test_shuffled_keeps_every_tensors_values_and_leaves_the_model_alone(model):
    before = model.get_weights()
    for old, new, after in zip(before, shuffled(model).get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(np.sort(old, axis=None), np.sort(new, axis=None))
        np.testing.assert_array_equal(old, after)


@pytest.mark.parametrize("saliency", [rollout, grad_cam])
def test_a_network_without_attention_is_refused(saliency):
    with pytest.raises(ValueError, match="no attention layers"):
        saliency(unet(16, 3, filters=2, depth=1), np.zeros((1, 16, 16, 3), np.float32))


def test_each_token_shares_its_attention_among_all(model, images):
    weights = attention_weights(model, images)
    assert weights.shape == (3, 3, 17, 17)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
    set_even(even := keras.models.clone_model(model))
    np.testing.assert_allclose(attention_weights(even, images), 1 / 17, rtol=1e-5)


def test_a_network_without_attention_has_no_weights(images):
    with pytest.raises(ValueError, match="has no attention layers"):
        attention_weights(unet(32, 3, filters=2), images)
