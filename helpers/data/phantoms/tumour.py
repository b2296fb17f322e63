"""A glioma for a phantom head: a lobed core, a broken enhancing rim in it, oedema that spreads along white matter.

Everything is a function of position in millimetres. The extent of core and oedema is fixed once, on a coarse planning
grid, so that they have the wanted volumes; the same levels then apply on every grid.
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy

from helpers.data.phantoms.head import Head, make_head
from helpers.data.phantoms.shapes import Axes, frame_points, grid_axes, smooth_noise

_PLAN_MM = 4.0
_PLAN_AXES, _ = grid_axes((60, 60, 39), (_PLAN_MM,) * 3)


@dataclass(frozen=True)
class Plan:
    """A tumour before it is sampled on a grid. Lengths in mm.

    Attributes:
        centre: (3,), in the frame.
        push: largest displacement of tissue (mass effect).
        lobes: centres (lobes, 3) of the core's lobes, relative to `centre`.
        core_reach: level of the distance field at which the core ends.
        oedema_reach: level of the distance field at which the oedema ends.
        rim: mean thickness of the enhancing rim; 0 where nothing enhances.
        nodular: the enhancement is a few nodules and no ring, as in a low grade that begins to progress.
        softness: width over which oedema fades into healthy tissue.
    """

    centre: np.ndarray
    push: float
    lobes: np.ndarray
    core_reach: float
    oedema_reach: float
    rim: float
    nodular: bool
    softness: float


@dataclass(frozen=True)
class Tumour:
    """A tumour on a grid; every array of shape (points,), one value for each voxel of the brain.

    Attributes:
        labels: the ground truth: 0, 1 (necrotic and non-enhancing core), 2 (oedema) or 4 (enhancing), uint8.
        oedema: fraction of oedema in the voxel, 0 to 1.
        core: fraction of core in the voxel, 0 to 1, painted over the oedema.
        rim: fraction of enhancing rim in the voxel, 0 to 1, painted over the core.
        fluid: 0 where the core is solid, 1 where it is necrotic.
    """

    labels: np.ndarray
    oedema: np.ndarray
    core: np.ndarray
    rim: np.ndarray
    fluid: np.ndarray


def plan_tumour(seeds: tuple[int, int], grade: str) -> Plan:
    """Draw position, size and form of a tumour.

    Args:
        seeds: of the head and of the tumour.
        grade: "HGG" (high) or "LGG" (low).
    """
    rng = np.random.default_rng([seeds[1], 1])
    high = grade == "HGG"
    healthy = make_head(np.random.default_rng(seeds[0]), _PLAN_AXES)
    x, y, z = frame_points(_PLAN_AXES, healthy.brain)
    deep = (healthy.white > 1.5) & (healthy.ventricles < -5) & (healthy.hull > 14) & (healthy.hull < 46)
    supra = (healthy.hind < -12) & (np.abs(healthy.midline) > 14) & (z > 55) & (z < 112)
    place = rng.choice(np.flatnonzero(deep & supra))
    centre = np.array([x[place], y[place], z[place]])

    whole_ml = np.clip(np.exp(rng.normal(np.log(88 if high else 72), 0.5)), 22, 175)
    core_ml = whole_ml * np.clip(rng.normal(0.4 if high else 0.38, 0.13), 0.12, 0.75)
    lobes = rng.normal(0, [0.30, 0.36, 0.30], (rng.integers(1, 5), 3)) * core_ml ** (1 / 3) * 10
    draft = Plan(
        centre=centre,
        push=float(rng.uniform(0.3, 1) * np.clip(whole_ml / 11, 2, 9)),
        lobes=lobes,
        core_reach=0.0,
        oedema_reach=0.0,
        rim=float(rng.uniform(2.8, 5.5)) if high else (0.0 if rng.random() < 0.55 else 3.0),
        nodular=not high,
        softness=float(rng.uniform(0.8, 2.6)),
    )
    # The head without mass effect is good enough to plan on: the push moves tissue and hardly changes volumes.
    core, oedema = _distances(draft, np.random.default_rng([seeds[1], 2]), _PLAN_AXES, healthy)
    reach = _level(core, core_ml)
    spread = _level(np.where(core < reach, -np.inf, oedema), whole_ml)
    return replace(draft, core_reach=reach, oedema_reach=spread)


def _level(distance: np.ndarray, millilitres: float) -> float:
    """The level below which `distance` has that many millilitres of the planning grid."""
    voxels = int(millilitres * 1000 / _PLAN_MM**3)
    return float(np.partition(distance, voxels)[voxels])


def _distances(plan: Plan, rng: np.random.Generator, axes: Axes, head: Head) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the core, and weighted path length of the oedema (about mm); infinite where neither can be."""
    points = frame_points(axes, head.brain)

    def noise(step: float) -> np.ndarray:
        return smooth_noise(rng, axes, step)[head.brain]

    far = np.full(points[0].shape, np.inf, np.float32)
    for lobe in plan.lobes + plan.centre:
        away = [p - np.float32(c) for p, c in zip(points, lobe, strict=True)]
        far = np.minimum(far, np.sqrt(1.1 * away[0] ** 2 + 0.8 * away[1] ** 2 + 1.15 * away[2] ** 2))
    barred = (head.ventricles > -0.4) | (head.cortex < -2.0) | (head.hull < 1.0)
    core = far + 3.6 * noise(12) + 1.3 * noise(6) + np.clip(1 - head.cortex, 0, 3)
    # White matter conducts oedema, cortex stops it: so it extends like fingers into the gyri.
    way = np.clip(far, 4, None) + 5.0 * noise(17) + 1.8 * noise(8) - 1.5 * np.clip(head.white, -4, 5)
    side = np.sign(plan.centre[0] - 120)
    across = np.clip(-side * head.midline, 0, None)  # only through the corpus callosum, and late
    way += np.clip(4 * across, 0, 16) + 3 * np.clip(head.hind + 4, 0, 8) + 8 * (head.nuclei > 0)
    return np.where(barred, np.inf, core), np.where(barred, np.inf, way)


def grow_tumour(plan: Plan, seed: int, axes: Axes, head: Head) -> Tumour:
    """Sample a planned tumour on a grid.

    Args:
        plan: of the tumour.
        seed: of the tumour.
        axes: voxel centres (mm) along x, y and z.
        head: the head with the mass effect of this tumour, on the same grid.
    """
    rng = np.random.default_rng([seed, 2])
    core, way = _distances(plan, rng, axes, head)

    def noise(step: float) -> np.ndarray:
        return smooth_noise(rng, axes, step)[head.brain]

    depth = plan.core_reach - core
    spread = plan.oedema_reach - way
    rough = noise(9)
    if plan.rim == 0:
        rim = np.full(depth.shape, -np.inf, np.float32)
    elif plan.nodular:
        rim = np.minimum(2.2 * (rough + depth / 10 - 0.9), depth - 1)
    else:
        start = np.clip(2.2 * noise(16), 0, 4)  # some of the core lies outside the ring
        thick = plan.rim * np.clip(1 + 0.45 * rough, 0.3, 2)
        ring = np.minimum(depth - start, start + thick - depth)
        nodule = np.minimum(3 * (noise(9) - 1.1), depth)
        rim = np.minimum(np.maximum(ring, nodule), 3.5 * (noise(12) + 1.25))  # broken where that noise is low

    # A rater's outline follows the lesion to about a millimetre, and is sharp where the lesion fades.
    hand = noise(9)
    in_core = depth + 0.5 * hand > 0
    labels = np.zeros(depth.shape, np.uint8)  # (points,)
    labels[spread + 0.9 * hand > 0] = 2
    labels[in_core] = 1
    labels[in_core & (rim + 0.3 * hand > 0)] = 4
    labels[~_in_large_piece(labels > 0, axes, head.brain)] = 0

    fade = 1 / (1 + np.exp(-np.clip(spread / plan.softness, -20, 20)))
    fluid = np.clip((depth - plan.rim - 1) / 5 + 0.4 * rough, 0, 1) * (0.5 if plan.nodular else 1)
    return Tumour(labels, fade, np.clip(depth / 2 + 0.5, 0, 1), np.clip(rim / 1.6 + 0.5, 0, 1), fluid)


def _in_large_piece(mask: np.ndarray, axes: Axes, brain: np.ndarray) -> np.ndarray:
    """(points,) bool: in a connected component of at least half a millilitre. No rater outlines smaller ones."""
    volume = np.zeros(brain.shape, bool)
    volume[brain] = mask
    pieces, _ = scipy.ndimage.label(volume)
    voxel_ml = np.prod([axis[1] - axis[0] for axis in axes]) / 1000
    large = np.bincount(pieces.ravel()) * voxel_ml >= 0.5
    large[0] = False
    return large[pieces[brain]]
