"""From the slice store to the device: the one module that speaks `tf.data`."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from helpers.data.store import Store
from helpers.prepare.augment import AUGMENTATIONS, draw
from helpers.prepare.sampling import SliceSampler


def training_batches(
    store: Store,
    ids: Sequence[str],
    batch_size: int,
    seed: int,
    augmentation: str = "usual",
    focus: float = 0.5,
    first_step: int = 0,
) -> tf.data.Dataset:
    """Batches without end; batch number k depends on the seed and k alone.

    They leave small, and as stored; `helpers.learn.varied.vary` makes floats of them and varies them, on the device.

    Args:
        augmentation: a name in `helpers.prepare.augment.AUGMENTATIONS`.

    Yields:
        A dict of `images` (batch, size, size, modalities) float16, `shares` (batch, size, size, 4) uint8, of 255, and
        the arrays of a `Variation` by name, each with the batch as its first axis.
    """
    sampler = SliceSampler(store, ids, batch_size, seed, focus)
    size, channels = store.images.shape[1], store.images.shape[-1]
    kinds = AUGMENTATIONS[augmentation]

    def gather(step: int) -> dict[str, np.ndarray]:
        rows = sampler(step)
        drawn = draw(np.random.default_rng([seed, step, 1]), batch_size, size, channels, kinds)
        return {"images": store.images[rows], "shares": store.shares[rows], **drawn.arrays()}

    pattern = gather(0)  # numpy_function forgets names and shapes
    dtypes = [array.dtype for array in pattern.values()]

    def load(step: tf.Tensor) -> dict[str, tf.Tensor]:
        arrays = tf.numpy_function(lambda number: list(gather(int(number)).values()), [step], dtypes, stateful=False)
        return {name: tf.ensure_shape(array, pattern[name].shape) for name, array in zip(pattern, arrays, strict=True)}

    steps = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max)
    return steps.map(load, num_parallel_calls=2, deterministic=True).prefetch(2)


def fused(function: Callable) -> Callable:
    """A function of tensors that runs as one piece.

    JAX compiles the whole training step. TensorFlow does on one GPU; on a CPU, and under a strategy, Keras leaves XLA
    out, and augmentation, many small operations, took seven times as long: so it is compiled by itself.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    return tf.function(function, jit_compile=True, autograph=False)
