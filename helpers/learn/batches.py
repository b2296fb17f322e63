"""Batches of training from the slice store to the device: the one module that uses `tf.data`."""

import math
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from helpers.data.radiographs import UnlabelledStore
from helpers.data.store import Store
from helpers.learn.devices import local_rows
from helpers.prepare.augment import draw
from helpers.prepare.sampling import SliceSampler
from helpers.runtime import options

_BOUNDARY = 64
"""Bytes; tensors begin at multiples of it (EIGEN_MAX_ALIGN_BYTES)."""


def training_batches(
    store: Store,
    ids: Sequence[str],
    batch_size: int,
    seed: int,
    augmentation: str = "usual",
    focus: float = 0.5,
    first_step: int = 0,
) -> tf.data.Dataset:
    """Batches without end; batch number k depends on the seed and k alone. Each of several machines gets its part.

    They go to the device as stored, 16 and 8 bits; `helpers.learn.augmented_model.augment` makes floats of them and
    augments them there.

    Args:
        store: the slices.
        ids: patients, or radiographs, to draw slices from.
        batch_size: slices in a batch, over all machines.
        seed: of the order of slices and of their augmentation.
        augmentation: a name in `helpers.runtime.options.AUGMENTATIONS`.
        focus: share of a batch that is drawn from slices with tumour, see `helpers.prepare.sampling.SliceSampler`.
        first_step: number of the first batch.

    Yields:
        A dict of `images` (batch, size, size, modalities) float16, `soft_labels` (batch, size, size, 4) uint8, in
        255ths, and the arrays of an `AugmentationParams` by name, each with the batch as its first axis.
    """
    sampler = SliceSampler(store, ids, batch_size, seed, focus)
    size, channels = store.images.shape[1], store.images.shape[-1]
    transforms = options.load(options.AUGMENTATIONS, augmentation, "augmentation")

    def gather(step: int) -> dict[str, np.ndarray]:
        rows = sampler(step)
        drawn = draw(np.random.default_rng([seed, step, 1]), batch_size, size, channels, transforms)
        return {
            "images": gather_rows(store.images, rows),
            "soft_labels": gather_rows(store.soft_labels, rows),
            **drawn.arrays(),
        }

    return _endless(gather, first_step)


def adaptation_batches(
    source: Store,
    source_ids: Sequence[str],
    target: UnlabelledStore,
    batch_size: int,
    seed: int,
    augmentation: str = "none",
    shuffled: bool = False,
    first_step: int = 0,
) -> tf.data.Dataset:
    """Batches without end from two hospitals: radiographs with masks from one, radiographs alone from the other.

    Args:
        source: radiographs and masks of the source hospital.
        source_ids: the radiographs of the source to learn from; of the target all are taken.
        target: radiographs of the target hospital, without masks.
        batch_size: radiographs in a batch, of each hospital.
        seed: of the order of radiographs and of their augmentation.
        augmentation: a name in `helpers.runtime.options.AUGMENTATIONS`, for both hospitals; each radiograph gets its
            own parameters.
        shuffled: assign the domain labels at random. Nothing can be learned from that: whatever a discriminator
            seems to learn all the same is a fault.
        first_step: number of the first batch.

    Yields:
        What `training_batches` does, of the source, and `domain` (batch,) float32, 1 for the source; and, of the
        target, the same without soft labels, each name with `target_` before it, `target_domain` 0.
    """
    labelled = SliceSampler(source, source_ids, batch_size, seed, focus=0.0)
    rows, size = target.rows(target.ids), source.images.shape[1]
    transforms = options.load(options.AUGMENTATIONS, augmentation, "augmentation")

    def gather(step: int) -> dict[str, np.ndarray]:
        source_rows = labelled(step)
        rng = np.random.default_rng([seed, step, 2])
        target_rows = rng.choice(rows, batch_size, replace=batch_size > len(rows))
        domains = np.repeat(np.float32([1, 0]), batch_size)
        if shuffled:
            rng.shuffle(domains)
        batch = {
            "images": gather_rows(source.images, source_rows),
            "soft_labels": gather_rows(source.soft_labels, source_rows),
            "domain": domains[:batch_size],
        }
        batch |= draw(np.random.default_rng([seed, step, 1]), batch_size, size, 1, transforms).arrays()
        radiographs = {"images": gather_rows(target.images, target_rows), "domain": domains[batch_size:]}
        radiographs |= draw(np.random.default_rng([seed, step, 3]), batch_size, size, 1, transforms).arrays()
        return batch | {f"target_{name}": array for name, array in radiographs.items()}

    return _endless(gather, first_step)


def gather_rows(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`array[rows]`, in aligned memory that TensorFlow uses without a copy.

    Args:
        array: (n, ...), any dtype; a memory map too.
        rows: (batch,) integers below n.

    Returns:
        (batch, ...), the dtype of `array`, beginning at a multiple of 64 bytes.
    """
    shape = len(rows), *array.shape[1:]
    size = math.prod(shape) * array.itemsize
    memory = np.empty(size + _BOUNDARY, np.uint8)
    first = -memory.ctypes.data % _BOUNDARY
    out = memory[first : first + size].view(array.dtype).reshape(shape)
    return np.take(array, rows, axis=0, out=out, mode="clip")  # with "raise" it would go by way of a buffer


def _endless(gather: Callable[[int], dict[str, np.ndarray]], first_step: int) -> tf.data.Dataset:
    def local_part(step: int) -> dict[str, np.ndarray]:
        return {name: array[local_rows(len(array))] for name, array in gather(step).items()}

    pattern = local_part(0)  # numpy_function forgets names and shapes
    dtypes = [array.dtype for array in pattern.values()]

    def load(step: tf.Tensor) -> dict[str, tf.Tensor]:
        arrays = tf.numpy_function(
            lambda number: list(local_part(int(number)).values()), [step], dtypes, stateful=False
        )
        return {name: tf.ensure_shape(array, pattern[name].shape) for name, array in zip(pattern, arrays, strict=True)}

    steps = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max)
    batches = steps.map(load, num_parallel_calls=2, deterministic=True).prefetch(2)
    # There is nothing to tune, and an iterator that is deleted may wait for the tuning thread, which polls at intervals
    # that double each time: one that had been used for 25 s took 16 more to be deleted (TensorFlow 2.21).
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)


def xla_compiled(function: Callable) -> Callable:
    """A function of tensors, compiled by XLA on TensorFlow; unchanged on other backends.

    JAX compiles the whole training step. TensorFlow does on one GPU; on a CPU, and under a strategy, Keras leaves XLA
    out, and augmentation, many small operations, took seven times as long: so it is compiled by itself.

    Args:
        function: of tensors, without Python side effects.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    return tf.function(function, jit_compile=True, autograph=False)
