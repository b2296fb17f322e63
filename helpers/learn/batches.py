"""Batches of training from the slice store to the device: the one module that uses `tf.data`.

TensorFlow is imported where a pipeline is made: `batch_reader` does without.
"""

from __future__ import annotations

import math
import weakref
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import keras
import numpy as np
from numpy.typing import DTypeLike

from helpers.data.radiographs import UnlabelledStore
from helpers.data.slabs import slab_rows
from helpers.data.store import Store
from helpers.learn.devices import local_rows
from helpers.prepare.augment import draw, drop_modalities
from helpers.prepare.sampling import RehearsalSampler, SliceSampler
from helpers.runtime import options

if TYPE_CHECKING:
    import tensorflow as tf

_BOUNDARY = 64
"""Bytes; tensors begin at multiples of it (EIGEN_MAX_ALIGN_BYTES)."""
_SPARE = 8
"""Blocks that wait for the next batch: more than are on their way at any moment."""


def training_batches(
    store: Store,
    ids: Sequence[str],
    batch_size: int,
    seed: int,
    augmentation: str = "usual",
    focus: float = 0.5,
    reach: int = 0,
    modality_dropout: float = 0.0,
    crop: int | None = None,
    first_step: int = 0,
    rehearsed: Sequence[str] = (),
) -> tf.data.Dataset:
    """Batches without end; batch number k depends on the seed and k alone. Each of several machines gets its part.

    They go to the device as stored, 16 and 8 bits, and without the background, which is 255 less the sum of the other
    classes; `helpers.learn.augmented_model.augment` makes floats of them, adds it, and augments them there.

    Args:
        store: the slices.
        ids: patients, or radiographs, to draw slices from.
        batch_size: slices in a batch, over all machines.
        seed: of the order of slices and of their augmentation.
        augmentation: a name in `helpers.runtime.options.AUGMENTATIONS`.
        focus: share of a batch that is drawn from slices with tumour, see `helpers.prepare.sampling.SliceSampler`.
        reach: neighbours of a slice to each side that are further channels of it, see `helpers.data.slabs`.
        modality_dropout: chance of each modality of a slice to be missing, see `helpers.prepare.augment`.
        crop: pixels along each side of the part that a network will see of each slice; all of it without.
        first_step: number of the first batch.
        rehearsed: further patients, from whom half of each batch is drawn.

    Yields:
        A dict of `images` (batch, size, size, channels) float16, `foreground` (batch, classes - 1, size, size) uint8,
        the soft labels of all classes but the background, in 255ths, the arrays of an `AugmentationParams` by name, and
        for a crop `corner` (batch, 2) int32, its first row and column, each with the batch as its first axis.
    """
    reader = batch_reader(store, ids, batch_size, seed, augmentation, focus, reach, modality_dropout, crop, rehearsed)
    return _endless(reader, first_step)


def batch_reader(
    store: Store,
    ids: Sequence[str],
    batch_size: int,
    seed: int,
    augmentation: str = "usual",
    focus: float = 0.5,
    reach: int = 0,
    modality_dropout: float = 0.0,
    crop: int | None = None,
    rehearsed: Sequence[str] = (),
) -> Callable[[int], dict[str, np.ndarray]]:
    """A function that reads batch number k of `training_batches`, whose arguments these are.

    Args:
        store: the slices.
        ids: patients, or radiographs, to draw slices from.
        batch_size: slices in a batch, over all machines.
        seed: of the order of slices and of their augmentation.
        augmentation: a name in `helpers.runtime.options.AUGMENTATIONS`.
        focus: share of a batch that is drawn from slices with tumour.
        reach: neighbours of a slice to each side that are further channels of it.
        modality_dropout: chance of each modality of a slice to be missing.
        crop: pixels along each side of the part that a network will see of each slice; all of it without.
        rehearsed: further patients, from whom half of each batch is drawn.
    """
    sampler = RehearsalSampler(store, ids, rehearsed, batch_size, seed, focus)
    size, channels = store.images.shape[1], store.images.shape[-1]
    transforms = options.load(options.AUGMENTATIONS, augmentation, "augmentation")
    memory = BatchMemory()

    def gather(step: int) -> dict[str, np.ndarray]:
        rows = sampler(step)
        drawn = draw(np.random.default_rng([seed, step, 1]), batch_size, size, channels, transforms)
        if modality_dropout:
            shown = drop_modalities(np.random.default_rng([seed, step, 2]), batch_size, channels, modality_dropout)
            drawn = replace(drawn, shown=shown)
        if reach:
            drawn = drawn.for_slabs(reach)
        corner = {}
        if crop and crop < size:
            numbers = np.random.default_rng([seed, step, 3])
            corner["corner"] = numbers.integers(0, size - crop + 1, (batch_size, 2), np.int32)
        return {
            "images": gather_slabs(store, rows, reach, memory) if reach else gather_rows(store.images, rows, memory),
            "foreground": gather_foreground(store.label_planes, rows, memory),
            **drawn.arrays(),
            **corner,
        }

    return gather


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
        target, the same without `foreground`, each name with `target_` before it, `target_domain` 0.
    """
    labelled = SliceSampler(source, source_ids, batch_size, seed, focus=0.0)
    rows, size = target.rows(target.ids), source.images.shape[1]
    transforms = options.load(options.AUGMENTATIONS, augmentation, "augmentation")
    memory = BatchMemory()

    def gather(step: int) -> dict[str, np.ndarray]:
        source_rows = labelled(step)
        rng = np.random.default_rng([seed, step, 2])
        target_rows = rng.choice(rows, batch_size, replace=batch_size > len(rows))
        domains = np.repeat(np.float32([1, 0]), batch_size)
        if shuffled:
            rng.shuffle(domains)
        batch = {
            "images": gather_rows(source.images, source_rows, memory),
            "foreground": gather_foreground(source.label_planes, source_rows, memory),
            "domain": domains[:batch_size],
        }
        batch |= draw(np.random.default_rng([seed, step, 1]), batch_size, size, 1, transforms).arrays()
        radiographs = {"images": gather_rows(target.images, target_rows, memory), "domain": domains[batch_size:]}
        radiographs |= draw(np.random.default_rng([seed, step, 3]), batch_size, size, 1, transforms).arrays()
        return batch | {f"target_{name}": array for name, array in radiographs.items()}

    return _endless(gather, first_step)


class BatchMemory:
    """Memory for batches, which is filled again when nobody holds the batch any more.

    Fresh memory comes from the system page by page, and each page (4 KiB) costs a fault and is zeroed first: together
    six times as long as copying the slices there. What is handed out comes back when the last array and the last tensor
    that lie in it are gone; a few blocks wait for the next batch, and the rest goes back to the system.
    """

    def __init__(self) -> None:
        self._unused: defaultdict[int, deque[np.ndarray]] = defaultdict(partial(deque, maxlen=_SPARE))

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
        """An array of any values, in aligned memory that TensorFlow uses without a copy.

        Args:
            shape: of the array.
            dtype: of the array.

        Returns:
            An array that begins at a multiple of 64 bytes.
        """
        size = math.prod(shape) * np.dtype(dtype).itemsize
        unused = self._unused[size]
        try:
            block = unused.pop()
        except IndexError:
            block = np.empty(size + _BOUNDARY, np.uint8)
        # All views keep `whole`, whose own base is no array, alive; views of a slice of `block` would keep `block`.
        whole = np.frombuffer(memoryview(block), np.uint8)
        weakref.finalize(whole, unused.append, block).atexit = False
        first = -whole.ctypes.data % _BOUNDARY
        return whole[first : first + size].view(dtype).reshape(shape)


def gather_rows(array: np.ndarray, rows: np.ndarray, memory: BatchMemory) -> np.ndarray:
    """`array[rows]`, in memory that TensorFlow uses without a copy.

    Args:
        array: (n, ...), any dtype; a memory map too.
        rows: (batch,) integers below n.
        memory: where the result lies.

    Returns:
        (batch, ...), the dtype of `array`.
    """
    out = memory.empty((len(rows), *array.shape[1:]), array.dtype)
    return np.take(array, rows, axis=0, out=out, mode="clip")  # with "raise" it would go by way of a buffer


def gather_slabs(store: Store, rows: np.ndarray, reach: int, memory: BatchMemory) -> np.ndarray:
    """Slices of a store with their neighbours.

    Args:
        store: the slices.
        rows: (batch,) integers, the middle slices.
        reach: neighbours to each side.
        memory: where the result lies.

    Returns:
        (batch, size, size, (2 reach + 1) modalities), the dtype of the store's images, see `helpers.data.slabs`.
    """
    _, *plane, channels = store.images.shape
    out = memory.empty((len(rows), *plane, (2 * reach + 1) * channels), store.images.dtype)
    first, last = (ends[rows] for ends in store.volume_ends)
    for number, column in enumerate(slab_rows(first, last, rows, reach).T):
        out[..., number * channels : (number + 1) * channels] = store.images[column]
    return out


def gather_foreground(label_planes: np.ndarray, rows: np.ndarray, memory: BatchMemory) -> np.ndarray:
    """`label_planes[rows, 1:]`: the soft labels of all classes but the background.

    Args:
        label_planes: (n, classes, size, size) uint8, see `helpers.data.store.Store`.
        rows: (batch,) integers below n.
        memory: where the result lies.

    Returns:
        (batch, classes - 1, size, size) uint8.
    """
    n, classes, *plane = label_planes.shape
    planes = rows[:, None] * classes + np.arange(1, classes)
    return gather_rows(label_planes.reshape(n * classes, *plane), planes.ravel(), memory).reshape(len(rows), -1, *plane)


def _endless(gather: Callable[[int], dict[str, np.ndarray]], first_step: int) -> tf.data.Dataset:
    import tensorflow as tf

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
    import tensorflow as tf

    return tf.function(function, jit_compile=True, autograph=False)
