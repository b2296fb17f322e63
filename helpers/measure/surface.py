"""How far apart the surfaces of two masks lie, in millimetres: at worst (95 % Hausdorff distance), and on average."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, spatial

from helpers.measure.overlap import Mask, as_masks


def hd95(truth: ArrayLike, prediction: ArrayLike, spacing: Sequence[float]) -> float:
    """95 % Hausdorff distance: the larger of the two directed 95th percentiles.

    From every surface voxel of one mask, measure the way to the nearest surface voxel of the other; take the
    95th percentile of those ways; do the same from the other mask; keep the larger. This is the robust form
    of the Hausdorff distance in the BraTS benchmark (Menze et al. 2015, doi 10.1109/TMI.2014.2377694).
    MetricsReloaded keeps the larger one too, and so does DeepMind's surface-distance, on which the BraTS 2023
    evaluation stands; that one weighs each voxel by its share of surface. MedPy's `hd95` pools both
    directions first, which gives smaller numbers (MedPy issue 138): see which one a paper used.

    Two empty masks are 0 mm apart. Where one is empty there is no distance, and leaving the patient out would
    reward a model for finding nothing, so it scores the worst there is: the diagonal of the volume, 373.13 mm
    for 240x240x155 voxels of 1 mm. Both are the BraTS rule.

    Args:
        truth: mask of any number of dimensions, boolean or 0 and 1.
        prediction: mask of the same shape.
        spacing: millimetres per voxel, one number per dimension.

    Returns:
        Millimetres, 0 where the surfaces coincide.

    Raises:
        ValueError: shapes differ, values other than 0 and 1, or a spacing that is not positive.
    """
    return _distance(truth, prediction, spacing, lambda *directed: max(np.percentile(way, 95) for way in directed))


def assd(truth: ArrayLike, prediction: ArrayLike, spacing: Sequence[float]) -> float:
    """Average symmetric surface distance: the mean over the surface voxels of both masks of the way to the other's.

    All ways are pooled, those from truth to prediction and those back (Heimann et al. 2009, doi
    10.1109/TMI.2009.2013851; MedPy's `assd`). Some take the mean of the two directed means instead, which differs where
    one surface is longer: see which one a paper used. Dice saturates where two outlines of a large organ differ by a
    pixel; this distance does not. Arguments, empty masks and errors as in `hd95`; for X-rays, which do not tell the
    millimetres, give spacing (1, 1) and read pixels.
    """
    return _distance(truth, prediction, spacing, lambda *directed: np.concatenate(directed).mean())


def surface_distances(
    truth: ArrayLike, prediction: ArrayLike, spacing: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances in mm from each surface voxel of one mask to the nearest of the other.

    Returns:
        Truth to prediction, shape (surface voxels of truth,), and prediction to truth, in file order.

    Raises:
        ValueError: as `hd95`, and where a mask is empty: there is no surface to measure from.
    """
    truth, prediction = as_masks(truth, prediction)
    steps = _as_spacing(spacing, truth.ndim)
    if not (truth.any() and prediction.any()):
        raise ValueError("a mask is empty, so it has no surface; `hd95` holds the rule for that case")
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
    """What `summary` makes of the directed distances, with the rule for empty masks that `hd95` states."""
    truth, prediction = as_masks(truth, prediction)
    steps = _as_spacing(spacing, truth.ndim)
    filled = truth.any(), prediction.any()
    if not any(filled):
        return 0.0
    if not all(filled):
        return float(np.linalg.norm(np.array(truth.shape) * steps))
    return float(summary(*surface_distances(truth, prediction, spacing)))


def _surface(mask: Mask) -> Mask:
    """Voxels with a face on the outside (6 neighbours in 3-D); the edge of the volume counts as outside."""
    return mask & ~ndimage.binary_erosion(mask)


def _bounding_box(mask: Mask) -> tuple[slice, ...]:
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        where = np.flatnonzero(mask.any(axis=others))
        box.append(slice(where[0], where[-1] + 1))
    return tuple(box)


def _as_spacing(spacing: Sequence[float], dimensions: int) -> NDArray[np.float64]:
    steps = np.asarray(spacing, dtype=float)
    if steps.shape != (dimensions,) or not (np.isfinite(steps).all() and (steps > 0).all()):
        raise ValueError(
            f"spacing is {spacing!r}; expected {dimensions} positive numbers, the millimetres per voxel "
            "along each axis of the masks, for example (1.0, 1.0, 1.0)"
        )
    return steps
