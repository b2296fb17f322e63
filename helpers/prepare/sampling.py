"""Sampling: which slices a training batch holds.

Tumour is in two slices of five, enhancing tumour in fewer still. A batch drawn uniformly is mostly easy; one drawn from
tumour alone has no healthy slices. Half a batch comes from any slice with brain, a quarter from slices with tumour, a
quarter from slices with enhancing tumour.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class SlicePool(Protocol):
    """What slices are drawn from: a `helpers.data.store.Store`, or anything else that knows which slices hold what."""

    @property
    def has_brain(self) -> np.ndarray:
        """(n,) bool: slices with at least one brain voxel."""

    @property
    def voxels_per_class(self) -> np.ndarray:
        """(n, 4) float32: pixels of each class per slice."""

    def rows(self, ids: Sequence) -> np.ndarray:
        """The slices of these patients, (slices,) int."""


class SliceSampler:
    """Draws the slices of batch number `step`: the same numbers for the same seed and step, whatever came before.

    Args:
        store: the slices.
        ids: the patients to draw from.
        batch_size: slices in a batch.
        seed: of the draw.
        focus: fraction of a batch that is drawn from slices with tumour; half of it from slices with enhancing tumour.
    """

    def __init__(self, store: SlicePool, ids: Sequence, batch_size: int, seed: int, focus: float = 0.5) -> None:
        rows = store.rows(ids)
        rows = rows[store.has_brain[rows]]
        voxels = store.voxels_per_class[rows]
        tumour, enhancing = rows[voxels[:, 1:].sum(axis=1) > 0], rows[voxels[:, 3:].sum(axis=1) > 0]
        focused = round(focus * batch_size)
        # A set without (enhancing) tumour still trains: what cannot be drawn is drawn from the next larger pool.
        tumour = tumour if len(tumour) else rows
        enhancing = enhancing if len(enhancing) else tumour
        self._pools = [(rows, batch_size - focused), (tumour, focused - focused // 2), (enhancing, focused // 2)]
        self._seed = seed
        self.slices = len(rows)
        self.batch_size = batch_size

    def __call__(self, step: int) -> np.ndarray:
        """The slices of batch number `step`: (batch_size,) integer positions in the store."""
        rng = np.random.default_rng([self._seed, step])
        drawn = [rng.choice(pool, count, replace=count > len(pool)) for pool, count in self._pools]
        return np.concatenate(drawn)


class RehearsalSampler:
    """Draws half of a batch from some patients and half from others: the new hospital's and the old one's.

    So the old patients are as many in a batch whether three are rehearsed or three hundred.

    Args:
        store: the slices.
        ids: the patients of the one half.
        rehearsed: those of the other; without any, this is a `SliceSampler`.
        batch_size: slices in a batch; of an odd number the first half has one more.
        seed: of the draw.
        focus: as in `SliceSampler`, of each half.
    """

    def __init__(
        self, store: SlicePool, ids: Sequence, rehearsed: Sequence, batch_size: int, seed: int, focus: float = 0.5
    ) -> None:
        old = batch_size // 2 if len(rehearsed) else 0
        self._halves = [SliceSampler(store, ids, batch_size - old, seed, focus)]
        if old:
            self._halves.append(SliceSampler(store, rehearsed, old, seed, focus))

    def __call__(self, step: int) -> np.ndarray:
        """The slices of batch number `step`: (batch_size,) integer positions in the store."""
        return np.concatenate([half(step) for half in self._halves])
