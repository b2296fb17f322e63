"""The geometry of a phantom head: a frame in millimetres, random fields in it, and a few solids.

A solid is given by its depth (a signed distance): how many millimetres a point lies inside it, negative outside. Depths
and random fields are functions of position, so a coarse and a fine grid sample the same head.
"""

from itertools import pairwise

import numpy as np
import scipy

FRAME_MM = (240.0, 240.0, 155.0)
"""Extent of the BraTS frame: x from the patient's right to the left, y from front to back, z from the feet up."""

_BOX_MM = ((38.0, 202.0), (34.0, 224.0), (0.0, 150.0))  # no head reaches beyond it

Axes = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Millimetre positions of the voxel centres along x, y and z."""

Points = list[np.ndarray]
"""x, y and z (mm) of a set of points, three arrays of one shape."""


def grid_axes(shape: tuple[int, ...], spacing: tuple[float, ...]) -> tuple[Axes, tuple[slice, ...]]:
    """The part of a grid that can hold the head.

    Args:
        shape: voxels in (rows, columns, slices) of the whole grid.
        spacing: millimetres per voxel.

    Returns:
        The voxel centres (mm) along each axis, float32, and the slices that select this part of the grid.
    """
    axes, box = [], []
    for n, step, (low, high) in zip(shape, spacing, _BOX_MM, strict=True):
        centres = (np.arange(n) + 0.5) * step
        inside = np.flatnonzero((centres >= low) & (centres <= high))
        box.append(slice(inside[0], inside[-1] + 1))
        axes.append(centres[box[-1]].astype(np.float32))
    return tuple(axes), tuple(box)


def frame_points(axes: Axes, brain: np.ndarray) -> Points:
    """Coordinates of the voxels of the brain.

    Args:
        axes: voxel centres (mm) along x, y and z.
        brain: (rows, columns, slices) bool.

    Returns:
        x, y and z (mm in the frame), each of shape (points,).
    """
    return [x[brain] for x in np.meshgrid(*axes, indexing="ij")]


def smooth_noise(rng: np.random.Generator, axes: Axes, step: float) -> np.ndarray:
    """Smooth noise of mean 0 and variance 1, of features about `step` mm wide.

    Random numbers on a lattice that covers the frame, interpolated with cubic B-splines. The same generator gives the
    same field on every grid.

    Args:
        rng: its state is the field.
        axes: voxel centres (mm) along x, y and z.
        step: spacing of the lattice, mm.

    Returns:
        (rows, columns, slices) float32.
    """
    field = rng.standard_normal([int(extent / step) + 5 for extent in FRAME_MM]).astype(np.float32)
    for axis in (2, 1, 0):  # the last pass is the largest, and along the first axis whole planes are copied
        positions = axes[axis]
        first = np.floor(positions / step).astype(int)
        t = (positions / step - first).astype(np.float32)
        taps = ((1 - t) ** 3 / 6, 2 / 3 - t**2 + t**3 / 2, 2 / 3 - (1 - t) ** 2 + (1 - t) ** 3 / 2, t**3 / 6)
        shape = [-1 if axis == other else 1 for other in range(3)]
        total = field.take(first, axis) * taps[0].reshape(shape)
        for k in (1, 2, 3):
            part = field.take(first + k, axis)
            part *= taps[k].reshape(shape)
            total += part
        field = total
    field /= np.float32((151 / 315) ** 1.5)  # the energy of a cubic B-spline, for three axes
    return field


def folds(rng: np.random.Generator, points: Points, wavelength: float) -> np.ndarray:
    """Distance (mm) to the nearest of many winding sheets that lie about half a wavelength apart.

    Band-passed noise crosses zero on a labyrinth of sheets, as sulci do between gyri.

    Args:
        rng: its state is the labyrinth.
        points: x, y and z (mm in the frame), arrays of one shape.
        wavelength: mm; the sheets are half of it apart.

    Returns:
        Millimetres, of the shape of the points.
    """
    step = 4.0
    lattice = rng.standard_normal([int(extent / step) + 1 for extent in FRAME_MM]).astype(np.float32)
    sigma = wavelength / step / 6
    lattice = scipy.ndimage.gaussian_filter(lattice, sigma) - scipy.ndimage.gaussian_filter(lattice, 1.6 * sigma)
    lattice /= lattice.std()
    noise = scipy.ndimage.map_coordinates(lattice, [p / step for p in points], order=1, mode="nearest")
    return np.abs(noise) * np.float32(wavelength / (2 * np.pi) / 1.1)


def ellipsoid(points: Points, centre: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    """Depth inside an ellipsoid, to first order: exact at its surface.

    Args:
        points: x, y and z (mm), arrays of one shape.
        centre: x, y and z (mm).
        radii: along x, y and z (mm).

    Returns:
        Millimetres, of the shape of the points.
    """
    scaled = [(p - c) / r for p, c, r in zip(points, centre, radii, strict=True)]
    norm = np.sqrt(sum(s * s for s in scaled)) + np.float32(1e-6)
    slope = np.sqrt(sum((s / r) ** 2 for s, r in zip(scaled, radii, strict=True))) + np.float32(1e-6)
    return np.minimum(norm * (1 - norm) / slope, min(radii))


def tube(points: Points, *knots: tuple[float, float, float, float]) -> np.ndarray:
    """Depth inside a tube.

    Args:
        points: x, y and z (mm), arrays of one shape.
        *knots: x, y, z and radius (mm) along the tube, two at least.

    Returns:
        Millimetres, of the shape of the points.
    """
    depth = np.full(points[0].shape, -np.inf, np.float32)
    for (*start, start_radius), (*end, end_radius) in pairwise(knots):
        way = [e - s for s, e in zip(start, end, strict=True)]
        offsets = [p - s for p, s in zip(points, start, strict=True)]
        along = sum(o * w for o, w in zip(offsets, way, strict=True)) / sum(w * w for w in way)
        along = np.clip(along, 0, 1)  # 0 at the start, 1 at the end
        gap = np.sqrt(sum((o - along * w) ** 2 for o, w in zip(offsets, way, strict=True)))
        depth = np.maximum(depth, start_radius + along * (end_radius - start_radius) - gap)
    return depth


def union(a: np.ndarray, b: np.ndarray, round_mm: float = 6.0) -> np.ndarray:
    """Smooth maximum of two depths: the union of two solids, its seam rounded.

    Args:
        a: depth in the first solid (mm), any shape.
        b: depth in the second solid (mm), the same shape.
        round_mm: width of the rounding.

    Returns:
        Millimetres, of the same shape.
    """
    overlap = np.clip(round_mm - np.abs(a - b), 0, None)
    return np.maximum(a, b) + overlap**2 / (4 * round_mm)
