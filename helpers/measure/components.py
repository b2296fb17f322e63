"""Islands: parts of a prediction that touch no part of the truth."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from helpers.measure.overlap import as_masks


def false_positive_components(truth: ArrayLike, prediction: ArrayLike, spacing: Sequence[float]) -> tuple[int, float]:
    """Connected components of the prediction that share no voxel with the truth, and their volume.

    Voxels that meet at a face, an edge or a corner are connected. Dice hardly sees a small island; a reader of the
    mask sees a second tumour.

    Args:
        truth: mask of any number of dimensions, boolean or 0 and 1.
        prediction: mask of the same shape.
        spacing: millimetres per voxel along each axis.

    Returns:
        How many there are, and millilitres in all.

    Raises:
        ValueError: shapes differ, or values other than 0 and 1.
    """
    truth, prediction = as_masks(truth, prediction)
    parts, count = ndimage.label(prediction, np.ones((3,) * prediction.ndim))
    touched = np.unique(parts[truth & prediction])
    voxels = np.bincount(parts.ravel(), minlength=count + 1)
    false = np.setdiff1d(np.arange(1, count + 1), touched)
    return len(false), float(voxels[false].sum() * np.prod(spacing) / 1000)
