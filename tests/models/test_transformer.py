"""The vision transformer: its sizes, its attention against Keras's own, and its way through a file."""

import keras
import numpy as np
import pytest

from helpers.models.transformer import SHAPES, ClassToken, Positions, SelfAttention, Shape, transformer

SMALL = Shape(patch=8, width=16, depth=2, heads=2)
STEMMED = Shape(patch=8, width=16, depth=2, heads=2, mlp=2, stem=True)
BOTH = pytest.mark.parametrize("shape", [SMALL, STEMMED])


def images(size: int = 32, channels: int = 3, n: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, size, size, channels)).astype(np.float32)


def numbers(x: object) -> np.ndarray:
    return keras.ops.convert_to_numpy(x)


def stir(model: keras.Model) -> None:
    """Fresh weights are small and biases 0, which would hide one that is not used."""
    rng = np.random.default_rng(1)
    for weight in model.weights:
        noise = rng.normal(0, 0.2, weight.shape)
        weight.assign_add(np.abs(noise) if weight.path.endswith("variance") else noise)


def test_base_with_1000_classes_has_86_567_656_parameters():
    model = transformer(classes=1000)
    assert model.count_params() == 86_567_656
    assert model.input_shape == (None, 224, 224, 3)
    assert model.output_shape == (None, 1000)
    assert model.get_layer("positions").output.shape == (None, 197, 768)


@pytest.mark.parametrize(("name", "millions"), [("tiny", 5.7), ("compact", 1.0)])
def test_parameters_of_the_other_shapes_are_as_noted(name, millions):
    assert transformer(224, 3, 1000 if name == "tiny" else 2, name).count_params() / 1e6 == pytest.approx(
        millions, abs=0.06
    )


def test_attention_equals_keras_multi_head_attention():
    tokens = np.random.default_rng(0).normal(size=(3, 7, 12)).astype(np.float32)
    ours, theirs = SelfAttention(heads=4), keras.layers.MultiHeadAttention(num_heads=4, key_dim=3)
    ours(tokens), theirs(tokens, tokens)
    rng = np.random.default_rng(1)
    for dense in (ours.query, ours.key, ours.value, ours.out):
        for weight in (dense.kernel, dense.bias):
            weight.assign(rng.normal(0, 12**-0.5, weight.shape))  # answers near 1, where 1e-5 is what float32 can tell
    packed = [(12, 4, 3), (4, 3), (12, 4, 3), (4, 3), (12, 4, 3), (4, 3), (4, 3, 12), (12,)]
    theirs.set_weights([numbers(w).reshape(shape) for w, shape in zip(ours.weights, packed, strict=True)])
    expected, scores = theirs(tokens, tokens, return_attention_scores=True)
    np.testing.assert_allclose(numbers(ours(tokens)), numbers(expected), atol=1e-5)
    np.testing.assert_allclose(numbers(ours.weigh(tokens)), numbers(scores), atol=1e-5)


def test_attention_sums_to_one_over_the_tokens_that_are_taken_from():
    layer = SelfAttention(heads=2)
    tokens = np.random.default_rng(0).normal(size=(1, 5, 8)).astype(np.float32)
    layer(tokens)
    np.testing.assert_allclose(numbers(layer.weigh(tokens)).sum(axis=-1), 1, atol=1e-6)


def test_attention_does_not_know_the_order_of_its_tokens():
    """Which is why positions are added."""
    layer = SelfAttention(heads=2)
    tokens = np.random.default_rng(0).normal(size=(1, 5, 8)).astype(np.float32)
    order = [3, 1, 4, 0, 2]
    np.testing.assert_allclose(numbers(layer(tokens))[:, order], numbers(layer(tokens[:, order])), atol=1e-6)


def test_class_token_comes_first_and_patches_stay():
    layer, tokens = ClassToken(), np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32)
    out = numbers(layer(tokens))
    np.testing.assert_array_equal(out[:, 1:], tokens)
    np.testing.assert_array_equal(out[0, 0], out[1, 0])
    np.testing.assert_array_equal(out[0, 0], numbers(layer.token)[0, 0])


def test_positions_are_learned_and_one_for_each_token():
    layer, tokens = Positions(), np.zeros((2, 5, 8), np.float32)
    out = numbers(layer(tokens))
    assert layer.table.trainable
    assert layer.table.shape == (1, 5, 8)
    np.testing.assert_array_equal(out[1], numbers(layer.table)[0])


def test_patches_are_cut_row_by_row_and_multiplied_with_one_matrix():
    model, x = transformer(32, 3, 2, SMALL), images()
    cut = x.reshape(2, 4, 8, 4, 8, 3).transpose(0, 1, 3, 2, 4, 5).reshape(2, 16, 8 * 8 * 3)
    kernel, bias = model.get_layer("patches").get_weights()
    expected = cut @ kernel.reshape(-1, 16) + bias
    got = keras.Model(model.input, model.get_layer("class_token").input)(x)
    np.testing.assert_allclose(numbers(got), expected, atol=1e-5)


def test_the_mlp_uses_the_exact_gelu():
    """Its common approximation by tanh is off by up to 5e-4."""
    from scipy.stats import norm

    hidden = transformer(32, 3, 2, SMALL).get_layer("block_0_mlp_1").activation
    x = np.linspace(-3, 3, 61, dtype=np.float32)
    np.testing.assert_allclose(numbers(hidden(keras.ops.convert_to_tensor(x))), x * norm.cdf(x), atol=1e-6)


@BOTH
def test_probabilities_sum_to_one_and_are_the_softmax_of_the_head(shape):
    model = transformer(32, 3, 4, shape)
    stir(model)
    scores, probabilities = keras.Model(model.input, [model.get_layer("head").output, model.output])(images())
    assert probabilities.shape == (2, 4)
    np.testing.assert_allclose(numbers(probabilities).sum(axis=-1), 1, atol=1e-6)
    np.testing.assert_allclose(numbers(keras.ops.softmax(scores)), numbers(probabilities), atol=1e-6)


@BOTH
def test_every_weight_is_used(shape):
    """A layer that is built and not used would be counted and never learn."""
    model = transformer(32, 3, 2, shape)
    stir(model)
    scores = keras.Model(model.input, model.get_layer("head").output)
    before = numbers(scores(images()))
    for weight in model.weights:
        if weight.path.endswith("key/bias"):  # the same for every token that is asked: the softmax takes it out
            continue
        original = numbers(weight)
        weight.assign(original + np.random.default_rng(2).uniform(0.5, 1.5, original.shape))
        assert np.abs(numbers(scores(images())) - before).max() > 1e-4, weight.path
        weight.assign(original)


@BOTH
def test_saved_model_loads_without_custom_objects_and_predicts_the_same(shape, tmp_path):
    model, x = transformer(32, 3, 2, shape, dropout=0.1), images()
    stir(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_dropout_acts_in_training_only():
    model, x = transformer(32, 3, 2, SMALL, dropout=0.5), images()
    stir(model)
    first, second = (numbers(model(x, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 1e-4
    np.testing.assert_array_equal(numbers(model(x, training=False)), numbers(model(x, training=False)))


def test_output_is_float32_under_mixed_precision():
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = transformer(32, 3, 2, STEMMED)
    finally:
        keras.mixed_precision.set_global_policy(before)
    assert model.get_layer("block_0_attention").query.compute_dtype == "bfloat16"
    assert model.output.dtype == "float32"
    np.testing.assert_allclose(numbers(model(images())).sum(axis=-1), 1, atol=1e-5)


def test_a_few_steps_learn_which_image_is_bright():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    truth = np.arange(32) % 2
    x = (rng.normal(size=(32, 16, 16, 1)) + truth[:, None, None, None]).astype(np.float32)
    model = transformer(16, 1, 2, Shape(patch=8, width=16, depth=1, heads=2))
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    losses = model.fit(x, truth, epochs=20, batch_size=32, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]


def test_size_that_cannot_be_cut_is_refused_with_one_that_can():
    with pytest.raises(ValueError, match=r"100 pixels cannot be cut into patches of 16.* 96"):
        transformer(100)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: transformer(shape="huge"), "'huge' is not known; there are tiny, small, base, compact"),
        (lambda: Shape(16, 100, 2, 3), "100 cannot be split between 3 heads"),
        (lambda: Shape(12, 96, 2, 3, stem=True), "12 is no power of 2"),
    ],
)
def test_shapes_that_cannot_be_built_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_named_shapes_are_those_of_the_paper():
    assert SHAPES["base"] == Shape(patch=16, width=768, depth=12, heads=12, mlp=4)
