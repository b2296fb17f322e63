"""Saliency maps of a vision transformer: attention rollout and Grad-CAM, at the size of the image.

A map is a claim about the network, and it can be wrong: some methods draw the edges of the image whatever the weights
are. So draw the map of the `shuffled` network too: one that stays the same explains the image and not the network
(Adebayo et al. 2018, "Sanity checks for saliency maps", arXiv 1810.03292).
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from helpers.models.transformer import SelfAttention


def rollout(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """How much of each patch reaches the class token (Abnar and Zuidema 2020, arXiv 2005.00928).

    A block mixes every token with the others: (A + I) / 2, with the attention A averaged over the heads and the
    identity I for the residual connection. The product over the blocks follows every patch to the class token. The map
    does not depend on the predicted class.

    Args:
        model: a `transformer`.
        images: (n, size, size, channels) float32, preprocessed as in training.

    Returns:
        (n, size, size) float32. The values of an image's patches sum to 1; between the patches' centres they are
        interpolated linearly.

    Raises:
        ValueError: the model is no `transformer`.
    """
    blocks = attention_weights(model, images)
    flow = ops.eye(blocks.shape[-1])
    for attention in blocks:  # (n, tokens, tokens)
        flow = ops.matmul(0.5 * (attention + ops.eye(attention.shape[-1])), flow)
    weights = flow[:, 0, 1:]  # of each patch in the class token
    return _image(weights / ops.sum(weights, axis=-1, keepdims=True), images.shape[1])


def attention_weights(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """What each token listens to in each block, averaged over the block's heads.

    Args:
        model: a `transformer`.
        images: (n, size, size, channels) float32, preprocessed as in training.

    Returns:
        (blocks, n, tokens, tokens) float32: a row for each token that listens, which sums to 1; the class token comes
        first, then the patches, row by row.

    Raises:
        ValueError: the model is no `transformer`.
    """
    attentions = _attentions(model)
    taps = keras.Model(model.input, [layer.input for layer in attentions])
    tokens = taps(ops.convert_to_tensor(images, "float32"))
    tokens = tokens if isinstance(tokens, list) else [tokens]  # Keras unpacks a list of one
    weights = [ops.mean(layer.weigh(inputs), axis=1) for layer, inputs in zip(attentions, tokens, strict=True)]
    return np.stack([ops.convert_to_numpy(ops.cast(one, "float32")) for one in weights])


def grad_cam(model: keras.Model, images: np.ndarray, column: int = 1) -> np.ndarray:
    """Grad-CAM: the patches whose features raise the score of a class.

    Selvaraju et al. 2017 (arXiv 1610.02391, equations 1 and 2), on the normalised tokens that enter the last block's
    attention. After it no patch can change the prediction any more, since the head reads the class token alone.

    Args:
        model: a `transformer`.
        images: (n, size, size, channels) float32, preprocessed as in training.
        column: the class.

    Returns:
        (n, size, size) float32, from 0 up, in units of the logit less the mean logit of all classes; interpolated as in
        `rollout`. All 0 where no patch raises the score.

    Raises:
        ValueError: the model is no `transformer`, or the backend is neither TensorFlow nor JAX.
    """
    norm = model.get_layer(_attentions(model)[-1].name.replace("attention", "norm_1"))
    taps = keras.Model(model.input, [norm.input, norm.output])
    rest = keras.Model([norm.input, norm.output], model.get_layer("head").output)
    residual, tokens = taps(ops.convert_to_tensor(images, "float32"))

    def score(values: keras.KerasTensor) -> keras.KerasTensor:
        scores = rest([residual, values])
        # A softmax does not change when all scores rise by the same amount, so their mean is taken away.
        return ops.sum(scores[:, column] - ops.mean(scores, axis=-1))

    gradient = _gradient(score, tokens)
    tokens, gradient = (ops.cast(values[:, 1:], "float32") for values in (tokens, gradient))  # (n, patches, width)
    weights = ops.mean(gradient, axis=1, keepdims=True)  # equation 1
    return _image(ops.relu(ops.sum(weights * tokens, axis=-1)), images.shape[1])  # equation 2


def shuffled(model: keras.Model, seed: int = 0) -> keras.Model:
    """A copy of the network with randomised weights: the values of each tensor are permuted.

    Args:
        model: any Keras model that can be cloned.
        seed: of the permutations.
    """
    rng = np.random.default_rng(seed)
    copy = keras.models.clone_model(model)
    copy.set_weights([rng.permutation(weight.ravel()).reshape(weight.shape) for weight in model.get_weights()])
    return copy


def _attentions(model: keras.Model) -> list[SelfAttention]:
    """The attention layers, from the first block to the last.

    Raises:
        ValueError: the model has none.
    """
    found = [layer for layer in model.layers if isinstance(layer, SelfAttention)]
    if not found:
        raise ValueError(f"{model.name} has no attention layers; expected a model made by `transformer`.")
    return found


def _image(patches: keras.KerasTensor, size: int) -> np.ndarray:
    """Maps of patches, (n, patches), interpolated to (n, size, size)."""
    side = round(patches.shape[-1] ** 0.5)
    grid = ops.reshape(patches, (-1, side, side, 1))
    return ops.convert_to_numpy(ops.image.resize(grid, (size, size), interpolation="bilinear"))[..., 0]


def _gradient(value: Callable[[keras.KerasTensor], keras.KerasTensor], at: keras.KerasTensor) -> keras.KerasTensor:
    """The gradient of a scalar, which keras.ops does not offer: each backend has its own way.

    Raises:
        ValueError: the backend is neither TensorFlow nor JAX.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(at)
            result = value(at)
        return tape.gradient(result, at)
    if backend == "jax":
        import jax

        return jax.grad(value)(at)
    raise ValueError(f"Grad-CAM needs a gradient, from TensorFlow or JAX; the backend is {backend}.")
