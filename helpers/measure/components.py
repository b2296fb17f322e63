"""Connected components: lesions that are found, missed or invented, and false positive components."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from helpers.measure.overlap import Mask, as_masks, share
from helpers.measure.surface import as_spacing, bounding_box

DILATION = 3
"""Voxels by which BraTS 2023 grows the ground truth of gliomas before it counts lesions."""

MIN_LESION_MM3 = 50
"""Lesions of the ground truth up to this volume are left out, as in BraTS 2023."""


class Lesions(NamedTuple):
    """Lesions of one patient, as numbers.

    Attributes:
        found: lesions of the ground truth that a component of the prediction touches.
        missed: lesions of the ground truth that none touches.
        false: components of the prediction that touch no lesion.
    """

    found: int
    missed: int
    false: int

    @property
    def recall(self) -> float | None:
        """Share of the lesions that are found; None where there are none."""
        return share(self.found, self.found + self.missed)

    @property
    def precision(self) -> float | None:
        """Lesions found among those and the false ones; None where there are neither."""
        return share(self.found, self.found + self.false)


def lesions(
    truth: ArrayLike,
    prediction: ArrayLike,
    spacing: Sequence[float],
    dilation: int = DILATION,
    min_mm3: float = MIN_LESION_MM3,
) -> Lesions:
    """Count lesions as the BraTS 2023 evaluation does (Saluja et al., github.com/rachitsaluja/BraTS-2023-Metrics).

    The ground truth is grown by `dilation` steps to the 18 neighbours that share a face or an edge; what is then
    connected is one lesion. Components of the prediction, which is not grown, are voxels that meet at a face, an edge
    or a corner (26 neighbours). A lesion is found where a component touches its grown extent, if by one voxel. Lesions
    up to `min_mm3` are neither found nor missed, and components that touch one are not false; a small component
    elsewhere is.

    >>> lesions(truth=[1, 1, 0, 0, 0, 0, 0, 1], prediction=[0, 1, 0, 0, 1, 0, 0, 0], spacing=[60], dilation=1)
    Lesions(found=1, missed=1, false=1)

    Args:
        truth: ground truth mask of any shape, boolean or 0 and 1.
        prediction: mask of the same shape.
        spacing: millimetres per voxel along each axis.
        dilation: voxels by which the ground truth is grown, 0 or more; BraTS 2023 has 3 for gliomas and 1 for
            meningiomas and metastases.
        min_mm3: lesions must be larger, in mm^3; BraTS 2023 has 2 for metastases.

    Raises:
        ValueError: shapes differ, values other than 0 and 1, or a spacing that is not positive.
    """
    truth, prediction = as_masks(truth, prediction)
    voxel = float(np.prod(as_spacing(spacing, truth.ndim)))
    components, count, start = components_in_box(prediction)
    if not truth.any():
        return Lesions(0, 0, count)
    box = bounding_box(truth)
    # The box has room to grow on all sides. Beyond the edge of the volume lesions meet only if they do inside as well.
    padded = np.pad(truth[box], dilation)
    grown = padded
    if dilation:
        grown = scipy.ndimage.binary_dilation(
            padded, scipy.ndimage.generate_binary_structure(truth.ndim, 2), iterations=dilation
        )
    extents, number = scipy.ndimage.label(grown, np.ones((3,) * truth.ndim))
    counted = np.bincount(extents[padded], minlength=number + 1)[1:] * voxel > min_mm3  # (lesions,)
    corner = [part.start - dilation for part in box]
    lesion, component = _overlap(extents, corner, components, start)
    touching = (lesion > 0) & (component > 0)
    found = np.isin(np.arange(1, number + 1), lesion[touching])  # (lesions,)
    touched = np.unique(component[touching]).size
    return Lesions(int((counted & found).sum()), int((counted & ~found).sum()), count - touched)


def components_in_box(mask: Mask) -> tuple[NDArray[np.int32], int, list[int]]:
    """The connected components of a mask, in its bounding box alone.

    Args:
        mask: of any shape, bool; voxels that meet at a face, an edge or a corner are connected.

    Returns:
        Components numbered from 1 in the box, 0 elsewhere in it, int32; how many there are; and the first corner of the
        box in the mask. The box of an empty mask is empty.
    """
    if not mask.any():
        return np.zeros((0,) * mask.ndim, np.int32), 0, [0] * mask.ndim
    box = bounding_box(mask)
    components, count = scipy.ndimage.label(mask[box], np.ones((3,) * mask.ndim))
    return components, count, [part.start for part in box]


def _overlap(
    first: NDArray[np.int32], first_start: Sequence[int], second: NDArray[np.int32], second_start: Sequence[int]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The parts of two boxes that lie over each other; the boxes' first corners are given in one volume."""
    parts: tuple[list[slice], list[slice]] = ([], [])
    for axis in range(first.ndim):
        start = max(first_start[axis], second_start[axis])
        stop = max(start, min(first_start[axis] + first.shape[axis], second_start[axis] + second.shape[axis]))
        for part, offset in zip(parts, (first_start[axis], second_start[axis]), strict=True):
            part.append(slice(start - offset, stop - offset))
    return first[tuple(parts[0])], second[tuple(parts[1])]


def false_positive_components(truth: ArrayLike, prediction: ArrayLike, spacing: Sequence[float]) -> tuple[int, float]:
    """Connected components of the prediction that share no voxel with the ground truth, and their volume.

    Voxels that meet at a face, an edge or a corner are connected. Dice hardly changes with a small false positive; a
    reader of the mask finds a second tumour.

    >>> false_positive_components(truth=[1, 1, 0, 0, 0], prediction=[0, 1, 0, 1, 1], spacing=[500])
    (1, 1.0)

    Args:
        truth: ground truth mask of any shape, boolean or 0 and 1.
        prediction: mask of the same shape.
        spacing: millimetres per voxel along each axis.

    Returns:
        The number of components, and their total volume in millilitres.

    Raises:
        ValueError: shapes differ, or values other than 0 and 1.
    """
    truth, prediction = as_masks(truth, prediction)
    components, count = scipy.ndimage.label(prediction, np.ones((3,) * prediction.ndim))
    overlapping = np.unique(components[truth & prediction])
    voxels = np.bincount(components.ravel(), minlength=count + 1)
    false_positives = np.setdiff1d(np.arange(1, count + 1), overlapping)
    return len(false_positives), float(voxels[false_positives].sum() * np.prod(spacing) / 1000)
