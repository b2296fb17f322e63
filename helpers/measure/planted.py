"""Planted masks on which a fault of scoring shows, where the patients at hand spare it.

Each is made from a ground truth, so that it is known which number is right.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from helpers.measure.overlap import Mask
from helpers.measure.regions import REGIONS


def never_finds(labels: np.ndarray, region: str = "ET") -> np.ndarray:
    """A model's labels without one region: what was enhancing tumour becomes core, so that WT and TC stay as they are.

    Args:
        labels: network labels, any shape.
        region: "ET", or "TC", whose labels become oedema.

    Raises:
        ValueError: another region.
    """
    if region not in ("ET", "TC"):
        raise ValueError(f"region is {region!r}; expected 'ET' or 'TC'")
    inside = np.isin(labels, REGIONS[region])
    return np.where(inside, {"ET": 1, "TC": 2}[region], labels).astype(labels.dtype)


def ball(shape: Sequence[int], centre: Sequence[float], radius: float) -> Mask:
    """A ball of voxels.

    Args:
        shape: of the volume.
        centre: index of its middle.
        radius: in voxels.

    Returns:
        Mask of that shape, bool.
    """
    away = np.indices(tuple(shape)) - np.reshape(centre, (-1, *(1,) * len(shape)))
    return (away**2).sum(axis=0) <= radius**2


def one_large_many_small(small: int = 9) -> tuple[list[Mask], list[Mask]]:
    """A large tumour that is found, and small ones that are missed by half: truths and predictions.

    Args:
        small: how many patients have a small one.

    Returns:
        Masks (40, 40, 40), the patient with the large tumour first.
    """
    shape, middle = (40, 40, 40), (20, 20, 20)
    truths = [ball(shape, middle, 15)] + [ball(shape, middle, 3)] * small
    drawn = [ball(shape, middle, 14.5)] + [ball(shape, (20, 20, 23), 3)] * small
    return truths, drawn


def lifted(truth: np.ndarray, top: int) -> np.ndarray:
    """The same tumour nearer to the vertex: moved along the slices until its uppermost one is number `top`.

    Args:
        truth: (rows, columns, slices) network labels, with tumour.
        top: number of a slice.
    """
    highest = int(np.flatnonzero((truth > 0).any(axis=(0, 1)))[-1])
    return np.roll(truth, top - highest, axis=2)


def copies_neighbours(truth: np.ndarray, held_back: NDArray[np.bool_]) -> np.ndarray:
    """A model that has learnt nothing but by heart: each held-back slice gets the mask of the nearest other one.

    Args:
        truth: (slices, rows, columns) network labels of one patient.
        held_back: (slices,) bool, those that the training did not see.

    Returns:
        Labels of the same shape; the seen slices are the truth.

    Raises:
        ValueError: every slice is held back.
    """
    seen = np.flatnonzero(~held_back)
    if not seen.size:
        raise ValueError("every slice is held back; there is no neighbour to copy from")
    nearest = seen[np.abs(np.arange(len(truth))[:, None] - seen).argmin(axis=1)]
    return truth[nearest]


def sighted(labels: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """A model's labels with enhancing tumour where it truly is, a voxel off: one that finds it, whatever it was before.

    Args:
        labels: (rows, columns, slices) network labels.
        truth: the ground truth, the same shape.
    """
    found = np.where(labels == 3, 1, labels).astype(labels.dtype)
    found[np.roll(truth == 3, 1, axis=0) & (labels > 0)] = 3
    return found


def beside(labels: np.ndarray, voxels: int = 8) -> np.ndarray:
    """A model that knows of enhancing tumour, and draws it beside where it lies; what it leaves becomes core.

    Args:
        labels: (rows, columns, slices) network labels.
        voxels: by which it is moved along the rows.
    """
    moved = np.where(labels == 3, 1, labels).astype(labels.dtype)
    moved[np.roll(labels == 3, voxels, axis=0)] = 3
    return moved
