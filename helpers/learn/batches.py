"""From the slice store to the network: the one module that speaks `tf.data`."""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import tensorflow as tf

from helpers.data.store import Store
from helpers.prepare import augment
from helpers.prepare.sampling import SliceSampler


def training_batches(
    store: Store,
    ids: Sequence[str],
    batch_size: int,
    seed: int,
    augmented: bool,
    focus: float = 0.5,
    first_step: int = 0,
) -> tf.data.Dataset:
    """Batches without end; batch number k depends on the seed and k alone.

    Yields:
        images (batch, size, size, modalities) float32 and class shares (batch, size, size, 4) float32.
    """
    sampler = SliceSampler(store, ids, batch_size, seed, focus)
    size, channels = store.images.shape[1], store.images.shape[-1]

    def gather(step: np.ndarray) -> list[np.ndarray]:
        rows = sampler(int(step))
        arrays = [store.images[rows], store.shares[rows]]
        if augmented:
            rng = np.random.default_rng([seed, int(step), 1])
            drawn = augment.draw(rng, batch_size, size, channels)
            arrays += [getattr(drawn, field.name) for field in fields(drawn)]
        return arrays

    drawn_types = [tf.float32] * (len(fields(augment.Variation)) if augmented else 0)

    def load(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, shares, *drawn = tf.numpy_function(gather, [step], [tf.float16, tf.uint8, *drawn_types], stateful=False)
        images.set_shape((batch_size, size, size, channels))
        shares.set_shape((batch_size, size, size, 4))
        images, shares = tf.cast(images, tf.float32), tf.cast(shares, tf.float32) / 255
        if augmented:
            for tensor, shape in zip(drawn, _shapes(batch_size, size, channels), strict=True):
                tensor.set_shape(shape)
            images, shares = augment.apply(images, shares, augment.Variation(*drawn))
        return images, shares

    steps = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max)
    return steps.map(load, num_parallel_calls=2, deterministic=True).prefetch(2)


def _shapes(n: int, size: int, channels: int) -> list[tuple[int, ...]]:
    """Static shapes of a Variation's fields, which `numpy_function` forgets."""
    return [(n, 8), *[(n, 1, 1, channels)] * 3, (n, size, size, channels)]
