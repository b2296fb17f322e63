"""Surface distances of two masks in millimetres: 95 % Hausdorff distance (HD95) and average distance (ASSD)."""

from collections.abc import Callable, Sequence

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

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
    return _distance(truth, prediction, spacing, largest_95)


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
    return _distance(truth, prediction, spacing, mean_of_both)


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
    steps = as_spacing(spacing, truth.ndim)
    if not (truth.any() and prediction.any()):
        raise ValueError("a mask is empty, so it has no surface; `overlap.empty_mask_score` has the rule for that case")
    box = bounding_box(truth | prediction)
    surfaces = _surface(truth[box]), _surface(prediction[box])
    return _nearest(surfaces[0], surfaces[1], steps), _nearest(surfaces[1], surfaces[0], steps)


def largest_95(to_prediction: NDArray[np.float64], to_truth: NDArray[np.float64]) -> float:
    """HD95 of the distances that `surface_distances` gives: the larger of the two 95th percentiles.

    Args:
        to_prediction: from each surface voxel of the truth, shape (surface voxels of truth,), mm.
        to_truth: from each surface voxel of the prediction, shape (surface voxels of prediction,), mm.
    """
    return float(max(np.percentile(one, 95) for one in (to_prediction, to_truth)))


def mean_of_both(to_prediction: NDArray[np.float64], to_truth: NDArray[np.float64]) -> float:
    """ASSD of the distances that `surface_distances` gives: the mean of all of them.

    Args:
        to_prediction: from each surface voxel of the truth, shape (surface voxels of truth,), mm.
        to_truth: from each surface voxel of the prediction, shape (surface voxels of prediction,), mm.
    """
    return float(np.concatenate((to_prediction, to_truth)).mean())


def bounding_box(mask: Mask) -> tuple[slice, ...]:
    """The smallest box that holds a mask.

    Args:
        mask: of any shape, bool, not empty.

    Returns:
        A slice for each axis.
    """
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        where = np.flatnonzero(mask.any(axis=others))
        box.append(slice(where[0], where[-1] + 1))
    return tuple(box)


def as_spacing(spacing: Sequence[float], dimensions: int) -> NDArray[np.float64]:
    """The spacing as an array.

    Args:
        spacing: millimetres per voxel, one number per dimension.
        dimensions: how many there are.

    Returns:
        (dimensions,) float64, in mm.

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


def diagonal_mm(shape: tuple[int, ...], steps: NDArray[np.float64]) -> float:
    """The diagonal of a volume, the score of a distance where one mask is empty.

    Args:
        shape: of the volume, in voxels.
        steps: millimetres per voxel, shape (axes,).
    """
    return float(np.linalg.norm(np.array(shape) * steps))


def _distance(
    truth: ArrayLike,
    prediction: ArrayLike,
    spacing: Sequence[float],
    summary: Callable[[NDArray[np.float64], NDArray[np.float64]], float],
) -> float:
    """The `summary` of the directed distances in mm, or the score of an empty mask."""
    truth, prediction = as_masks(truth, prediction)
    steps = as_spacing(spacing, truth.ndim)
    empty = empty_mask_score(truth, prediction, best=0.0, worst=diagonal_mm(truth.shape, steps))
    if empty is not None:
        return empty
    return summary(*surface_distances(truth, prediction, spacing))


def _surface(mask: Mask) -> Mask:
    """Voxels with a face on the background (6 neighbours in 3-D); beyond the edge of the volume is background."""
    padded, inner = np.pad(mask, 1), mask.copy()
    for axis in range(mask.ndim):
        for start in (0, 2):  # the neighbours before and after
            inner &= padded[
                tuple(slice(start, start + n) if axis == a else slice(1, -1) for a, n in enumerate(mask.shape))
            ]
    return mask & ~inner


def _nearest(points: Mask, others: Mask, steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance in mm from each voxel that is marked in one box to the nearest one in another, (marked voxels,).

    Points in millimetres replace a distance map of every voxel: a stray voxel far away then costs nothing. Voxels that
    are marked in both are 0 mm apart, and most are where a prediction is good, so they are not searched for.
    """
    apart = ~others[points]
    distances = np.zeros(apart.size)
    if apart.any():
        # Without compact nodes and balance a tree is quicker to build.
        tree = scipy.spatial.KDTree(np.argwhere(others) * steps, compact_nodes=False, balanced_tree=False)
        distances[apart], _ = tree.query(np.argwhere(points & ~others) * steps)
    return distances
