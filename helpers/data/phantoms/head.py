"""The anatomy of a phantom head: cortex, white matter, ventricles, deep nuclei and vessels.

Positions are millimetres from the middle of the head, between the thalami.
"""

from dataclasses import dataclass

import numpy as np

from helpers.data.phantoms.shapes import Axes, Points, ellipsoid, folds, frame_points, smooth_noise, tube, union

_CENTRE = np.array([120, 131, 66], np.float32)  # in the frame


@dataclass(frozen=True)
class Head:
    """Depths in millimetres, positive inside, float32 of shape (points,): one for each voxel of the brain.

    Attributes:
        brain: the voxels of the grid that skull-stripping leaves, (rows, columns, slices) bool.
        hull: below the surface of the brain.
        cortex: below the pial surface; negative is cerebrospinal fluid (sulci, fissures, cisterns).
        white: inside white matter; grey matter lies between `cortex` and `white`.
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


def make_head(rng: np.random.Generator, axes: Axes, push: tuple[np.ndarray, float] | None = None) -> Head:
    """A head on a grid.

    Args:
        rng: its state is the head; pass the same state for the same head.
        axes: voxel centres (mm) along x, y and z.
        push: centre (mm, in the frame) and strength (mm) of a mass that pushes the tissue around it away.
    """
    scale = rng.normal(1.0, 0.025) * np.exp(rng.normal(0, 0.02, 3))
    roll, yaw, pitch = rng.normal(0, [0.04, 0.05, 0.06])
    atrophy, ventricle_size = rng.uniform(0.5, 1.9), rng.uniform(-1.2, 3.2)

    x, y, z = np.meshgrid(*(a - c for a, c in zip(axes, _CENTRE, strict=True)), indexing="ij")
    x, y = x + yaw * y, y - yaw * x  # small angles
    x, z = x + roll * z, z - roll * x
    y, z = y + pitch * z, z - pitch * y
    bend = [smooth_noise(rng, axes, 34) for _ in range(3)]
    shift = rng.normal(0, 1.5, 3)
    points = [
        ((p + 2.2 * b - s) / f).astype(np.float32) for p, b, s, f in zip((x, y, z), bend, shift, scale, strict=True)
    ]
    cerebrum, cerebellum, stem = _lobes(points)
    hull = union(union(cerebrum, cerebellum), stem) + 0.4 + 0.7 * smooth_noise(rng, axes, 7)
    brain = hull > 0
    hull = hull[brain]  # (points,) from here on
    points, bend = [p[brain] for p in points], [b[brain] for b in bend]
    if push is not None:
        points = _push(points, frame_points(axes, brain), *push)

    cerebrum, cerebellum, stem = _lobes(points)
    midline = points[0] + 0.6 * bend[1]
    cortex = np.minimum(cerebrum - 0.6, _fissures([midline, *points[1:]]))
    cortex = np.minimum(cortex, _sulci(rng, points, cerebrum, bend[2]) - 0.5 * atrophy)
    white = cortex - (2.6 + 0.4 * bend[0])
    leaves = _leaves(points, cerebellum, bend[1]) - 0.25 * atrophy
    white = np.maximum(np.maximum(white, leaves - 1.6), stem - 0.5)
    cortex = np.maximum(np.maximum(cortex, leaves), stem)

    mirrored = [np.abs(midline), *points[1:]]
    ventricles = _ventricles(mirrored) + ventricle_size + 0.5 * bend[2]
    thalamus, putamen = ellipsoid(mirrored, (11, 8, 2), (9, 15, 9)), ellipsoid(mirrored, (27, -8, 0), (6.5, 17, 11))
    caudate = tube(mirrored, (13, -28, 2, 5.5), (17, -8, 14, 4), (19, 12, 16, 2.5))
    nuclei = np.maximum(np.maximum(thalamus, putamen), caudate)
    nuclei = np.minimum(nuclei + 0.5 * bend[0], -ventricles - 0.5)

    # The zero sets of two noise fields cross in threads: vessels, restricted to the sulci and the surface.
    threads = 1.3 - np.hypot(*(6 * smooth_noise(rng, axes, 10)[brain] for _ in range(2)))
    threads = np.minimum(np.minimum(threads, 1.5 - cortex), 30 - hull)
    top_or_back = np.maximum(points[1] - 15, points[2] - 45)
    sinus = np.minimum(np.minimum(2.0 - mirrored[0], 3.0 - hull), top_or_back)
    plexus = tube(mirrored, (20, 26, 4, 2.2), (15, 16, 13, 1.2))
    vessels = np.maximum(np.maximum(threads, sinus), plexus)
    hind = np.maximum(cerebellum, stem)
    return Head(brain, hull, cortex, white, nuclei, ventricles, vessels, hind, midline)


def _push(points: Points, frame: Points, centre: np.ndarray, strength: float) -> Points:
    """Where each point's tissue was before a mass at `centre` pushed it outwards by up to `strength` mm."""
    away = [f - np.float32(c) for f, c in zip(frame, centre, strict=True)]
    far = np.sqrt(sum(a * a for a in away)) + np.float32(1)
    pull = (strength * np.exp(-((far / 38) ** 2)) * np.tanh(far / 12) / far).astype(np.float32)
    return [p - pull * a for p, a in zip(points, away, strict=True)]


def _lobes(points: Points) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depths of the smooth cerebrum, cerebellum and brain stem."""
    x, y, z = points
    side = np.abs(x)
    narrow = x * (1 - 0.0016 * np.clip(y, -90, 50))  # the forehead is narrower than the back
    dome = ellipsoid([narrow, y, z], (0, 0, 4), (67, 85, 68))
    floor = z + 20 - 0.10 * np.clip(y, -20, 60)  # higher at the back, above the cerebellum
    dome = -union(-dome, -floor, 14)
    temporal = ellipsoid([side, y, z], (40, -4, -20), (25, 44, 23))
    cerebrum = union(dome, temporal, 10)
    cerebellum = union(
        ellipsoid([side, y, z], (22, 48, -35), (31, 29, 20)), ellipsoid(points, (0, 50, -34), (14, 26, 20))
    )
    stem = tube(points, (0, 8, -8, 15), (0, 12, -28, 15), (0, 22, -48, 10), (0, 30, -75, 8))
    return cerebrum, cerebellum, stem


def _fissures(points: Points) -> np.ndarray:
    """Distance to the fissure between the hemispheres and to the Sylvian fissures, less half their width."""
    midline, y, z = points
    # The corpus callosum is a bridge that the fissure spares.
    callosum = ellipsoid([np.zeros_like(midline), y, z], (0, 4, 6), (20, 42, 22))
    between = np.hypot(midline, np.clip(callosum + 3, 0, None)) - 0.9
    side = np.abs(midline)
    plane = z + 5 - 0.3 * y + 0.5 * (side - 50) + 1.5 * np.sin(y / 5)
    before, beyond = np.clip(38 - side, 0, None), np.clip(np.abs(y + 2) - 26, 0, None)
    return np.minimum(between, np.sqrt(before**2 + plane**2 + beyond**2) - 0.9)


def _sulci(rng: np.random.Generator, points: Points, depth: np.ndarray, variation: np.ndarray) -> np.ndarray:
    """Distance to the sulci: sheets that go some 20 mm down from the surface, more or less upright."""
    norm = np.sqrt(sum(p * p for p in points)) + np.float32(1)
    upright = 0.75 * np.clip((points[2] + 15) / 25, 0, 1)  # squeezing the radius sets them upright; not at the base
    squeeze = upright * 62 / norm + (1 - upright)
    sheets = folds(rng, [p * squeeze + c for p, c in zip(points, _CENTRE, strict=True)], 21)
    heart = ellipsoid(points, (0, 2, -8), (40, 50, 30))  # no sulcus reaches the deep nuclei from below
    return np.hypot(np.clip(np.maximum(depth - 20 - 7 * variation, heart), 0, None), sheets)


def _leaves(points: Points, depth: np.ndarray, variation: np.ndarray) -> np.ndarray:
    """Depth inside the leaves of the cerebellum: thin shells around a point in front of it."""
    from_stem = np.sqrt(points[0] ** 2 * 0.5 + (points[1] - 20) ** 2 + (points[2] + 28) ** 2)
    from_stem += 3 * variation + 1.5 * np.sin(points[0] / 9)
    gaps = np.abs(np.sin(from_stem * np.float32(np.pi / 6))) * np.float32(6 / np.pi)
    return np.minimum(depth - 0.6, np.hypot(np.clip(depth - 13, 0, None), gaps))


def _ventricles(mirrored: Points) -> np.ndarray:
    """Depth inside the ventricles; `mirrored` holds |x|, y, z."""
    horns = tube(mirrored, (9, -32, 4, 2.5), (7, -18, 12, 4), (9, 4, 17, 4), (17, 24, 10, 4.5), (22, 34, 2, 4.0))
    tails = tube(mirrored, (22, 34, 2, 4.0), (20, 52, 0, 1.2))
    temples = tube(mirrored, (22, 32, 2, 3.0), (31, 18, -14, 1.4), (30, -6, -20, 0.6))
    third = ellipsoid(mirrored, (0, 4, -1), (2.6, 16, 10)) - 0.5
    return np.maximum(np.maximum(horns, tails), np.maximum(temples, third))
