"""Normalised surface distance (NSD), also called surface Dice: how much of two surfaces lies within a tolerance."""

import functools
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.measure.overlap import Mask, as_masks, empty_mask_score
from helpers.measure.surface import as_spacing, bounding_box


def nsd(truth: ArrayLike, prediction: ArrayLike, spacing: Sequence[float], tolerance: float) -> float:
    """Normalised surface distance: the share of both surfaces that lies within a tolerance of the other.

    The definition is that of DeepMind's surface-distance (Nikolov et al. 2021, doi 10.2196/26151), on which the BraTS
    evaluation rests. The surface runs between the voxels: in every cube of 2x2x2 neighbours that are not all alike lies
    a piece of it, and a piece counts by its area in mm^2, as marching cubes draws it (in 2-D, by its length). MONAI and
    MetricsReloaded count the surface voxels instead, each as one: check which one a paper used.

    Dice saturates on large organs and collapses on thin ones; this score asks how much of an outline a reader would
    have to redraw, if differences up to the tolerance are those of two readers.

    Empty masks score by the rule of `overlap.empty_mask_score`: 1 where both are empty, 0 where one is.

    >>> truth = np.zeros((9, 9, 9), bool)
    >>> truth[2:7, 2:7, 2:7] = True
    >>> nsd(truth, np.roll(truth, 1, axis=0), spacing=(1, 1, 1), tolerance=1)
    1.0
    >>> round(nsd(truth, np.roll(truth, 1, axis=0), spacing=(2, 1, 1), tolerance=1), 2)
    0.82

    Args:
        truth: ground truth mask of two or three axes, boolean or 0 and 1.
        prediction: mask of the same shape.
        spacing: millimetres per voxel, one number per axis.
        tolerance: millimetres up to which two surfaces count as the same; a distance that equals it does.

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: shapes differ, masks have another number of axes or other values than 0 and 1, or spacing or
            tolerance are not what is expected.
    """
    truth, prediction = as_masks(truth, prediction)
    steps = as_spacing(spacing, truth.ndim)
    if truth.ndim not in (2, 3):
        raise ValueError(f"masks have shape {truth.shape}; expected two or three axes")
    if not tolerance >= 0:
        raise ValueError(f"tolerance is {tolerance!r}; expected millimetres, 0 or more")
    empty = empty_mask_score(truth, prediction, best=1.0, worst=0.0)
    if empty is not None:
        return empty
    box = bounding_box(truth | prediction)
    codes = _codes(truth[box]), _codes(prediction[box])
    borders = [(code != 0) & (code != 2**2**code.ndim - 1) for code in codes]
    areas = _areas(steps)
    within = whole = 0.0
    for own, other in ((0, 1), (1, 0)):
        pieces = areas[codes[own][borders[own]]]  # (cubes,) mm^2
        near = _are_near(borders[own], borders[other], steps, tolerance)
        within, whole = within + pieces[near].sum(), whole + pieces.sum()
    return float(within / whole)


def _are_near(points: Mask, others: Mask, steps: NDArray[np.float64], tolerance: float) -> NDArray[np.bool_]:
    """Whether a point that is marked in one box has one within the tolerance that is marked in the other.

    Neighbours are looked up from the nearest on, and whoever has found one looks no further: for tolerances of a few
    voxels that is far quicker than distances.
    """
    tolerance *= 1 + 1e-9  # a distance that is the tolerance may pass it by rounding
    reach = np.minimum(tolerance // steps, np.array(points.shape) - 1).astype(int)
    grid = np.pad(others, [(int(voxels), int(voxels)) for voxels in reach])
    offsets = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), -1).reshape(-1, steps.size)
    lengths = np.linalg.norm(offsets * steps, axis=1)
    order = np.argsort(lengths, kind="stable")[: np.count_nonzero(lengths <= tolerance)]
    strides = np.array(grid.strides)  # of one byte each: bool
    at = (np.argwhere(points) + reach) @ strides  # (marked points,), places in the flat grid
    grid, near, left = grid.ravel(), np.zeros(at.size, bool), np.arange(at.size)
    for offset in offsets[order] @ strides:
        if not left.size:
            break
        hit = grid[at[left] + offset]
        near[left[hit]] = True
        left = left[~hit]
    return near


def _codes(mask: Mask) -> NDArray[np.uint8]:
    """Which corners of each 2x2x2 cube are in the mask: bit i for corner i, in file order; one longer on each axis."""
    padded = np.pad(mask, 1).view(np.uint8)
    codes = np.zeros([size + 1 for size in mask.shape], np.uint8)
    for bit, corner in enumerate(itertools.product((0, 1), repeat=mask.ndim)):
        codes |= padded[tuple(slice(at, at + size) for at, size in zip(corner, codes.shape, strict=True))] << bit
    return codes


def _areas(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area in mm^2 of the surface in a cube of each code, shape (256,); in 2-D its length in mm, shape (16,)."""
    pieces = _segments() if steps.size == 2 else _triangles()
    # A normal is stretched along an axis by the steps along the two others, a segment by the step along it.
    stretch = steps if steps.size == 2 else np.prod(steps) / steps
    return np.array([np.linalg.norm(vectors * stretch, axis=1).sum() for vectors in pieces])


@functools.cache
def _triangles() -> tuple[NDArray[np.float64], ...]:
    """Normals of the triangles in a cube of each code, as long as their areas at a spacing of 1: 256 of (triangles, 3).

    Marching cubes (Lorensen and Cline 1987) with vertices in the middle of edges. The surface of a cube with more than
    four corners inside is that of its complement, as in the table of surface-distance.
    """
    from skimage.measure import marching_cubes

    normals = []
    for code in range(256):
        inside = code if code.bit_count() <= 4 else 255 - code
        if inside == 0:
            normals.append(np.zeros((0, 3)))
            continue
        corners = (inside >> np.arange(8) & 1).reshape(2, 2, 2).astype(float)
        vertices, faces, _, _ = marching_cubes(corners, 0.5, method="lorensen", allow_degenerate=False)
        a, b, c = np.moveaxis(vertices[faces].astype(float), 1, 0)  # each (triangles, 3)
        normals.append(np.cross(b - a, c - a) / 2)
    return tuple(normals)


@functools.cache
def _segments() -> tuple[NDArray[np.float64], ...]:
    """Segments of the outline in a square of each code, as vectors at a spacing of 1: 16 of (segments, 2)."""
    cut = [[0.5, 0.5]]  # cuts off one corner
    segments = {0: [], 0b1111: [], 0b0011: [[0, 1]], 0b1100: [[0, 1]], 0b0101: [[1, 0]], 0b1010: [[1, 0]]}
    segments |= {0b0110: 2 * cut, 0b1001: 2 * cut}
    return tuple(np.reshape(segments.get(code, cut), (-1, 2)).astype(float) for code in range(16))
