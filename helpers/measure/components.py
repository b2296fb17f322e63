"""False positive components: connected parts of a prediction that do not overlap the ground truth."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from helpers.measure.overlap import as_masks


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
    components, count = ndimage.label(prediction, np.ones((3,) * prediction.ndim))
    overlapping = np.unique(components[truth & prediction])
    voxels = np.bincount(components.ravel(), minlength=count + 1)
    false_positives = np.setdiff1d(np.arange(1, count + 1), overlapping)
    return len(false_positives), float(voxels[false_positives].sum() * np.prod(spacing) / 1000)
