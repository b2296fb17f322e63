"""The anatomy of one made-up head: where cortex, white matter, ventricles, vessels and tumour lie, in
millimetres.

Every structure is a depth: how many millimetres a point lies inside it (negative outside). Depths are
    functions of place, so
a coarse and a fine grid sample the same head. What is irregular in a head comes from random lattices that are
fixed in millimetres as well. The frame is BraTS's: 240 x 240 x 155 mm, x from the patient's right (file
order) to the left, y from the front to the back, z from the feet up.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import ndimage

FRAME_MM = (240.0, 240.0, 155.0)
"""Extent of the BraTS frame."""

_CENTRE = np.array([120.0, 131.0, 66.0])  # between the thalami
_BOX_MM = ((38.0, 202.0), (34.0, 224.0), (0.0, 150.0))  # no head reaches beyond it

Axes = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Millimetre positions of the voxel centres along x, y and z."""


@dataclass(frozen=True)
class Head:
    """Depths in millimetres, positive inside, float32 of shape (points,): one for each voxel of the brain.

    Attributes:
        brain: which voxels of the grid a skull-stripper would keep, bool, (rows, columns, slices).
        hull: below the surface of the brain.
        cortex: below the pial surface; negative is cerebrospinal fluid (sulci, fissures, cisterns).
        white: inside white matter; between `cortex` and `white` lies the grey ribbon.
        nuclei: thalamus, caudate, putamen.
        ventricles: lateral and third ventricles.
        vessels: sinus, surface vessels, choroid plexus.
        hind: cerebellum and brain stem.
        midline: distance to the right (negative) or left (positive) of the falx.
    """

    brain: np.ndarray
    hull: np.ndarray
    cortex: np.ndarray
    white: np.ndarray
    nuclei: np.ndarray
    ventricles: np.ndarray
    vessels: np.ndarray
    hind: np.ndarray
    midline: np.ndarray


def grid_axes(
    shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> tuple[Axes, tuple[slice, ...]]:
    """The voxel centres (mm) of the part of a grid that can hold the head, and the slices that cut it out."""
    axes, box = [], []
    for n, step, (low, high) in zip(shape, spacing, _BOX_MM, strict=True):
        centres = (np.arange(n) + 0.5) * step
        inside = np.flatnonzero((centres >= low) & (centres <= high))
        box.append(slice(inside[0], inside[-1] + 1))
        axes.append(centres[box[-1]].astype(np.float32))
    return tuple(axes), tuple(box)


def frame_points(axes: Axes, brain: np.ndarray) -> list[np.ndarray]:
    """x, y and z (mm in the frame) of the voxels of `brain`, each of shape (points,)."""
    return [x[brain] for x in np.meshgrid(*axes, indexing="ij")]


def smooth_noise(rng: np.random.Generator, axes: Axes, step: float) -> np.ndarray:
    """Smooth noise of mean 0 and variance 1, of features about `step` mm wide.

    Random numbers on a lattice that covers the frame, interpolated with cubic B-splines. The same generator
    gives the same field on every grid.
    """
    field = rng.standard_normal([int(extent / step) + 5 for extent in FRAME_MM]).astype(np.float32)
    for axis in (2, 1, 0):  # the last pass is the largest, and along the first axis whole planes are copied
        positions = axes[axis]
        first = np.floor(positions / step).astype(int)
        t = (positions / step - first).astype(np.float32)
        taps = ((1 - t) ** 3 / 6, 2 / 3 - t**2 + t**3 / 2, 2 / 3 - (1 - t) ** 2 + (1 - t) ** 3 / 2, t**3 / 6)
        shape = [-1 if axis == other else 1 for other in range(3)]
        terms = [
            np.multiply(part := field.take(first + k, axis), tap.reshape(shape), out=part)
            for k, tap in enumerate(taps)
        ]
        field = terms[0]
        for term in terms[1:]:
            field += term
    field /= np.float32((151 / 315) ** 1.5)  # the energy of a cubic B-spline, for three axes
    return field


def _folds(rng: np.random.Generator, points: list[np.ndarray], wavelength: float) -> np.ndarray:
    """Distance (mm) to the nearest of many winding sheets that lie about half a wavelength apart.

    Band-passed noise crosses zero on a labyrinth of sheets, as sulci do between gyri.
    """
    step = 4.0
    lattice = rng.standard_normal([int(extent / step) + 1 for extent in FRAME_MM]).astype(np.float32)
    sigma = wavelength / step / 6
    lattice = ndimage.gaussian_filter(lattice, sigma) - ndimage.gaussian_filter(lattice, 1.6 * sigma)
    lattice /= lattice.std()
    noise = ndimage.map_coordinates(lattice, [p / step for p in points], order=1, mode="nearest")
    return np.abs(noise) * np.float32(wavelength / (2 * np.pi) / 1.1)


def _ellipsoid(points: list[np.ndarray], centre: tuple, radii: tuple) -> np.ndarray:
    scaled = [(p - c) / r for p, c, r in zip(points, centre, radii, strict=True)]
    norm = np.sqrt(sum(s * s for s in scaled)) + np.float32(1e-6)
    slope = np.sqrt(sum((s / r) ** 2 for s, r in zip(scaled, radii, strict=True))) + np.float32(1e-6)
    return np.minimum(norm * (1 - norm) / slope, min(radii))


def _tube(points: list[np.ndarray], *knots: tuple[float, float, float, float]) -> np.ndarray:
    """Depth inside a tube through `knots` (x, y, z, radius)."""
    depth = np.full(points[0].shape, -np.inf, np.float32)
    for start, end in pairwise(knots):
        a, along = np.array(start[:3]), np.subtract(end[:3], start[:3])
        t = sum((p - a0) * d for p, a0, d in zip(points, a.tolist(), along.tolist(), strict=True)) / float(
            along @ along
        )
        t = np.clip(t, 0, 1)
        gap = sum((p - a0 - t * d) ** 2 for p, a0, d in zip(points, a.tolist(), along.tolist(), strict=True))
        depth = np.maximum(depth, start[3] + t * (end[3] - start[3]) - np.sqrt(gap))
    return depth


def _union(a: np.ndarray, b: np.ndarray, round_mm: float = 6.0) -> np.ndarray:
    """Smooth maximum of two depths: the seam between the parts is rounded."""
    overlap = np.clip(round_mm - np.abs(a - b), 0, None)
    return np.maximum(a, b) + overlap**2 / (4 * round_mm)


def make_head(rng: np.random.Generator, axes: Axes, push: tuple[np.ndarray, float] | None = None) -> Head:
    """A head on a grid.

    Args:
        rng: its state is the head; pass the same state for the same head.
        push: centre (mm, in the frame) and strength (mm) of a mass that pushes the tissue around it away.
    """
    scale = rng.normal(1.0, 0.025) * np.exp(rng.normal(0, 0.02, 3))
    roll, yaw, pitch = rng.normal(0, [0.04, 0.05, 0.06])
    atrophy, ventricle_size = rng.uniform(0.5, 1.9), rng.uniform(-1.2, 3.2)

    x, y, z = np.meshgrid(
        *(a - c for a, c in zip(axes, _CENTRE.astype(np.float32), strict=True)), indexing="ij"
    )
    x, y = x + yaw * y, y - yaw * x  # small angles
    x, z = x + roll * z, z - roll * x
    y, z = y + pitch * z, z - pitch * y
    bend = [smooth_noise(rng, axes, 34) for _ in range(3)]
    shift = rng.normal(0, 1.5, 3)
    points = [
        ((p + 2.2 * b - s) / f).astype(np.float32)
        for p, b, s, f in zip((x, y, z), bend, shift, scale, strict=True)
    ]
    cerebrum, cerebellum, stem = _lobes(points)
    hull = _union(_union(cerebrum, cerebellum), stem) + 0.4 + 0.7 * smooth_noise(rng, axes, 7)
    brain = hull > 0
    hull, points, bend = (
        hull[brain],
        [p[brain] for p in points],
        [b[brain] for b in bend],
    )  # (points,) from here on
    if push is not None:
        points = _push(points, frame_points(axes, brain), *push)

    cerebrum, cerebellum, stem = _lobes(points)
    midline = points[0] + 0.6 * bend[1]
    cortex = np.minimum(cerebrum - 0.6, _fissures([midline, *points[1:]]))
    cortex = np.minimum(cortex, _sulci(rng, points, cerebrum, bend[2]) - 0.5 * atrophy)
    white = cortex - (2.6 + 0.4 * bend[0])
    leaves = _leaves(points, cerebellum, bend[1]) - 0.4 * atrophy
    white = np.maximum(np.maximum(white, leaves - 2.0), stem - 0.5)
    cortex = np.maximum(np.maximum(cortex, leaves), stem)

    mirrored = [np.abs(midline), *points[1:]]
    ventricles = _ventricles(mirrored) + ventricle_size + 0.5 * bend[2]
    nuclei = np.maximum(
        _ellipsoid(mirrored, (11, 8, 2), (9, 15, 9)), _ellipsoid(mirrored, (27, -8, 0), (6.5, 17, 11))
    )
    nuclei = np.maximum(nuclei, _tube(mirrored, (13, -28, 2, 5.5), (17, -8, 14, 4), (19, 12, 16, 2.5)))
    nuclei = np.minimum(nuclei + 0.5 * bend[0], -ventricles - 0.5)

    # Where two sheets of noise cross they leave a thread: vessels, kept to the sulci and the surface.
    threads = 1.3 - np.hypot(*(6 * smooth_noise(rng, axes, 10)[brain] for _ in range(2)))
    threads = np.minimum(np.minimum(threads, 1.5 - cortex), 30 - hull)
    sinus = np.minimum(
        2.0 - np.abs(midline), np.minimum(3.0 - hull, np.maximum(points[1] - 15, points[2] - 45))
    )
    plexus = _tube(mirrored, (20, 26, 4, 2.2), (15, 16, 13, 1.2))
    vessels = np.maximum(np.maximum(threads, sinus), plexus)
    return Head(
        brain, hull, cortex, white, nuclei, ventricles, vessels, np.maximum(cerebellum, stem), midline
    )


def _push(
    points: list[np.ndarray], frame: list[np.ndarray], centre: np.ndarray, strength: float
) -> list[np.ndarray]:
    """Where each point's tissue was before a mass at `centre` pushed it outwards by up to `strength` mm."""
    away = [f - np.float32(c) for f, c in zip(frame, centre, strict=True)]
    far = np.sqrt(sum(a * a for a in away)) + np.float32(1)
    pull = (strength * np.exp(-((far / 38) ** 2)) * np.tanh(far / 12) / far).astype(np.float32)
    return [p - pull * a for p, a in zip(points, away, strict=True)]


def _lobes(points: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depths of the smooth cerebrum, cerebellum and brain stem."""
    x, y, z = points
    side = np.abs(x)
    narrow = x * (1 - 0.0016 * np.clip(y, -90, 50))  # the forehead is narrower than the back
    dome = _ellipsoid([narrow, y, z], (0, 0, 4), (67, 85, 68))
    floor = z + 20 - 0.10 * np.clip(y, -20, 60)  # higher at the back, above the cerebellum
    dome = -_union(-dome, -floor, 14)
    temporal = _ellipsoid([side, y, z], (40, -4, -20), (25, 44, 23))
    cerebrum = _union(dome, temporal, 10)
    cerebellum = _union(
        _ellipsoid([side, y, z], (22, 48, -35), (31, 29, 20)), _ellipsoid(points, (0, 50, -34), (14, 26, 20))
    )
    stem = _tube(points, (0, 8, -8, 15), (0, 12, -28, 15), (0, 22, -48, 10), (0, 30, -75, 8))
    return cerebrum, cerebellum, stem


def _fissures(points: list[np.ndarray]) -> np.ndarray:
    """Distance to the fissure between the hemispheres and to the Sylvian fissures, less half their width."""
    midline, y, z = points
    callosum = _ellipsoid(
        [np.zeros_like(midline), y, z], (0, 4, 6), (20, 42, 22)
    )  # a bridge that the fissure spares
    between = np.hypot(midline, np.clip(callosum + 3, 0, None)) - 0.9
    side = np.abs(midline)
    plane = z + 5 - 0.3 * y + 0.5 * (side - 50) + 1.5 * np.sin(y / 5)
    sylvian = (
        np.sqrt(np.clip(38 - side, 0, None) ** 2 + plane**2 + np.clip(np.abs(y + 2) - 26, 0, None) ** 2) - 0.9
    )
    return np.minimum(between, sylvian)


def _sulci(
    rng: np.random.Generator, points: list[np.ndarray], depth: np.ndarray, vary: np.ndarray
) -> np.ndarray:
    """Distance to the sulci: sheets that go some 20 mm down from the surface, more or less upright."""
    norm = np.sqrt(points[0] ** 2 + points[1] ** 2 + points[2] ** 2) + np.float32(1)
    upright = 0.75 * np.clip(
        (points[2] + 15) / 25, 0, 1
    )  # squeezing the radius sets the sheets upright; not at the base
    squeeze = upright * 62 / norm + (1 - upright)
    sheets = _folds(rng, [p * squeeze + np.float32(c) for p, c in zip(points, _CENTRE, strict=True)], 21)
    heart = _ellipsoid(points, (0, 2, -8), (40, 50, 30))  # no sulcus reaches the deep nuclei from below
    return np.hypot(np.clip(np.maximum(depth - 20 - 7 * vary, heart), 0, None), sheets)


def _leaves(points: list[np.ndarray], depth: np.ndarray, vary: np.ndarray) -> np.ndarray:
    """Depth inside the leaves of the cerebellum: thin shells around a point in front of it."""
    from_stem = np.sqrt(points[0] ** 2 * 0.5 + (points[1] - 20) ** 2 + (points[2] + 28) ** 2) + 1.5 * vary
    gaps = np.abs(np.sin(from_stem * np.float32(np.pi / 7))) * np.float32(7 / np.pi)
    return np.minimum(depth - 0.6, np.hypot(np.clip(depth - 13, 0, None), gaps))


def _ventricles(mirrored: list[np.ndarray]) -> np.ndarray:
    """Depth inside the ventricles; `mirrored` holds |x|, y, z."""
    horns = _tube(
        mirrored, (9, -32, 4, 2.5), (7, -18, 12, 4), (9, 4, 17, 4), (17, 24, 10, 4.5), (22, 34, 2, 4.0)
    )
    tails = _tube(mirrored, (22, 34, 2, 4.0), (20, 52, 0, 1.2))
    temples = _tube(mirrored, (22, 32, 2, 3.0), (31, 18, -14, 1.4), (30, -6, -20, 0.6))
    third = _ellipsoid(mirrored, (0, 4, -1), (2.6, 16, 10)) - 0.5
    return np.maximum(np.maximum(horns, tails), np.maximum(temples, third))
