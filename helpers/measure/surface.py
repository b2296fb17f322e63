"""Surface distances of two masks in millimetres: 95 % Hausdorff distance (HD95) and average distance (ASSD)."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, spatial

from helpers.measure.overlap import Mask, as_masks, empty_mask_score


def hd95(truth: ArrayLike, prediction: ArrayLike, spacing: Sequence[float]) -> float:
    """95 % Hausdorff distance: the larger of the two directed 95th percentiles.

    From every surface voxel of one mask, take the distance to the nearest surface voxel of the other, and the 95th
    percentile of these distances; do the same from the other mask; return the larger. This is the robust form of the
    Hausdorff distance in the BraTS benchmark (Menze et al. 2015, doi 10.1109/TMI.2014.2377694). MetricsReloaded takes
    the larger one too, and so does DeepMind's surface-distance, on which the BraTS 2023 evaluation is based; that one
    weights each voxel by its area of surface. MedPy's `hd95` pools both directions first, which gives smaller numbers
    (MedPy issue 138): check which one a paper used.

    Empty masks score by the rule of `overlap.empty_mask_score`: 0 mm where both are empty, the diagonal of the volume
    where one is.

    >>> hd95([[1, 0, 0, 0]], [[0, 0, 0, 1]], spacing=(1.0, 0.5))
    1.5
    >>> hd95([[0, 0, 0]], [[0, 0, 1]], spacing=(4.0, 1.0))
    5.0

    Args:
        truth: ground truth mask of any shape, boolean or 0 and 1.
        prediction: mask of the same shape.
        spacing: millimetres per voxel, one number per dimension.

    Returns:
        Millimetres, 0 where the surfaces coincide.

    Raises:
        ValueError: shapes differ, values other than 0 and 1, or a spacing that is not positive.
    """
    return _distance(truth, prediction, spacing, lambda *directed: max(np.percentile(one, 95) for one in directed))


def assd(truth: ArrayLike, prediction: ArrayLike, spacing: Sequence[float]) -> float:
    """Average symmetric surface distance (ASSD): mean distance from the surface voxels of each mask to the other's.

    The distances of both directions are pooled (Heimann et al. 2009, doi 10.1109/TMI.2009.2013851; MedPy's `assd`).
    Some take the mean of the two directed means instead, which differs where one surface is longer: check which one a
    paper used. Dice saturates where two contours of a large organ differ by a pixel; this distance does not.

    Args:
        truth: ground truth mask of any shape, boolean or 0 and 1.
        prediction: mask of the same shape.
        spacing: millimetres per voxel, one number per dimension; (1, 1) for X-rays whose files give no millimetres,
            and the result is in pixels.

    Returns:
        Millimetres; empty masks score by the rule of `overlap.empty_mask_score`, as in `hd95`.

    Raises:
        ValueError: shapes differ, values other than 0 and 1, or a spacing that is not positive.
    """
    return _distance(truth, prediction, spacing, lambda *directed: np.concatenate(directed).mean())


def surface_distances(
    truth: ArrayLike, prediction: ArrayLike, spacing: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances in mm from each surface voxel of one mask to the nearest of the other.

    Args:
        truth: ground truth mask of any shape, boolean or 0 and 1.
        prediction: mask of the same shape.
        spacing: millimetres per voxel, one number per dimension.

    Returns:
        Truth to prediction, shape (surface voxels of truth,), and prediction to truth, shape (surface voxels of
        prediction,), in file order; float64.

    Raises:
        ValueError: as `hd95`, and where a mask is empty: there is no surface to measure from.
    """
    truth, prediction = as_masks(truth, prediction)
    steps = _as_spacing(spacing, truth.ndim)
    if not (truth.any() and prediction.any()):
        raise ValueError("a mask is empty, so it has no surface; `overlap.empty_mask_score` has the rule for that case")
    # Nothing outside the box round both masks is needed, and points in millimetres replace a distance map of
    # every voxel: a stray voxel far away then costs nothing.
    box = _bounding_box(truth | prediction)
    truth_points = np.argwhere(_surface(truth[box])) * steps  # (surface voxels, dimensions), mm
    prediction_points = np.argwhere(_surface(prediction[box])) * steps
    to_prediction, _ = spatial.KDTree(prediction_points).query(truth_points)
    to_truth, _ = spatial.KDTree(truth_points).query(prediction_points)
    return to_prediction, to_truth


def _distance(
    truth: ArrayLike,
    prediction: ArrayLike,
    spacing: Sequence[float],
    summary: Callable[[NDArray[np.float64], NDArray[np.float64]], float],
) -> float:
    """The `summary` of the directed distances in mm, or the score of an empty mask."""
    truth, prediction = as_masks(truth, prediction)
    steps = _as_spacing(spacing, truth.ndim)
    diagonal = float(np.linalg.norm(np.array(truth.shape) * steps))
    empty = empty_mask_score(truth, prediction, best=0.0, worst=diagonal)
    if empty is not None:
        return empty
    return float(summary(*surface_distances(truth, prediction, spacing)))


def _surface(mask: Mask) -> Mask:
    """Voxels with a face on the background (6 neighbours in 3-D); beyond the edge of the volume is background."""
    return mask & ~ndimage.binary_erosion(mask)


def _bounding_box(mask: Mask) -> tuple[slice, ...]:
    """The smallest box that holds the mask, which is not empty."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        where = np.flatnonzero(mask.any(axis=others))
        box.append(slice(where[0], where[-1] + 1))
    return tuple(box)


def _as_spacing(spacing: Sequence[float], dimensions: int) -> NDArray[np.float64]:
    """The spacing as (dimensions,) float64, in mm.

    Raises:
        ValueError: another number of dimensions, or a spacing that is not positive.
    """
    steps = np.asarray(spacing, dtype=float)
    if steps.shape != (dimensions,) or not (np.isfinite(steps).all() and (steps > 0).all()):
        raise ValueError(
            f"spacing is {spacing!r}; expected {dimensions} positive numbers, the millimetres per voxel "
            "along each axis of the masks, for example (1.0, 1.0, 1.0)"
        )
    return steps
