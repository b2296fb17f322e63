"""The anatomy of a phantom chest: attenuation of an X-ray beam, summed over the tissues it crosses.

Everything is a smooth function of position in millimetres, so a small and a large picture show the same chest. x runs
to the right of the picture (the patient's left), y down, and the origin lies between the lungs.
"""

from itertools import pairwise

import numpy as np

from helpers.data.phantoms.radiograph import RadiographPlan, expose, hidden_rows, landmarks

_EXTENT = 540.0  # mm across the square that random fields cover; no radiograph reaches beyond it


def take_xray(
    rng: np.random.Generator, radiograph: RadiographPlan, tuberculosis: bool, woman: bool
) -> tuple[np.ndarray, np.ndarray]:
    """An X-ray of a phantom chest and its lung mask.

    Args:
        rng: its state is the chest.
        radiograph: how it is framed and exposed.
        tuberculosis: whether the lungs have opacities.
        woman: whether the chest is a woman's.

    Returns:
        Grey levels (rows, columns) uint8 and mask (rows, columns) bool, of `radiograph.shape`.
    """
    x, y = landmarks(radiograph)
    attenuation, lungs = _chest(rng, x, y, tuberculosis, woman)
    lungs[radiograph.shape[0] - hidden_rows(radiograph) :] = False  # ground truth has no lungs where the image is black
    return expose(rng, attenuation, radiograph), lungs


def _chest(
    rng: np.random.Generator, x: np.ndarray, y: np.ndarray, tuberculosis: bool, woman: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Attenuation (about 0 in air, 1 in the mediastinum) and the lungs: beside the heart, not behind it."""
    wide, tall = rng.normal(1, 0.06) * (0.95 if woman else 1.02), np.clip(rng.normal(0.98, 0.07), 0.84, 1.1)
    tilt = rng.normal(0, 0.03)
    x, y = (x + tilt * y) / wide, (y - tilt * x) / tall  # from here on every chest has the same size
    wobble = [3.0 * _noise(rng, x, y, step) for step in (45, 45)]
    side = np.abs(x)

    heart = _ellipse(x, y, (rng.uniform(18, 26), 58), (rng.uniform(50, 66), 50), 0.45)
    middle = 24 + 6 * np.exp(-(((y + 5) / 40) ** 2)) + 5 * np.exp(-(((y + 65) / 18) ** 2)) * (x > 0)  # hila, aorta
    domes = [rng.normal(98, 7), rng.normal(108, 7)]  # mm: the liver lifts the patient's right half
    diaphragm = (
        domes[0]
        + (domes[1] - domes[0]) * _ramp(x, -25, 25)
        + 26 * np.clip((side - 62) / 58, -0.6, None) ** 2
        + wobble[0]
    )
    cage = _ellipse(side, y, (70 + 0.05 * y, 28), (65 + 0.08 * np.clip(y, -120, 90), 158), 0.0, power=2.3) + wobble[1]
    depth = np.minimum.reduce([cage, side - middle, diaphragm - y, -heart])
    lungs = depth > 0

    body = np.maximum(
        _ellipse(side, y, (0, 160), (178, 300), 0.0, power=3.5), _tube(side, y, (30, -92, 62), (182, -88, 48))
    )
    body = np.maximum(body, _tube(side, y, (0, -260, 54), (0, -130, 64)))
    body = np.maximum(body, _tube(side, y, (196, -95, 34), (216, 130, 30)))  # the arm
    total = 0.62 * _ramp(body, 0, 60) ** 0.6
    total += 0.30 * _ramp(middle - side, -5, 12) * _ramp(body, 0, 30) + 0.28 * _ramp(heart, 0, 30)
    total += 0.42 * _ramp(y - diaphragm, 0, 16) * _ramp(body, 0, 50)
    total -= 0.46 * _ramp(depth, 0, 16)
    total -= 0.10 * _ramp(_tube(x, y, (0, -230, 8), (2, -70, 7)), -2, 5)  # the windpipe
    if rng.random() < 0.7:
        bubble = _ellipse(x, y, (rng.uniform(50, 80), domes[1] + 22), (rng.uniform(14, 26), rng.uniform(8, 15)), 0.0)
        total -= 0.35 * _ramp(bubble, 0, 5)
    if woman:
        breast = _ellipse(side, y, (86, 62 + rng.normal(0, 8)), (58, 56), 0.0)
        total += rng.uniform(0.05, 0.14) * _ramp(breast, 0, 14)
    total += _bones(rng, x, y, side, body)
    inside = _ramp(depth, 0, 14)
    total += inside * _vessels(rng, x, y, side)
    if tuberculosis:
        total += _ramp(depth, -4, 8) * _opacities(rng, x, y)
    soft = 0.03 * _noise(rng, x, y, 60) + 0.025 * _noise(
        rng, x, y, 28
    )  # soft tissue is not as even as the solids above
    return total + soft * _ramp(body, 0, 20), lungs


def _bones(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, side: np.ndarray, body: np.ndarray) -> np.ndarray:
    """Anterior and posterior ribs, clavicles, scapulae, shoulder joints and the spine."""
    cage = _ramp(152 - side - 0.0022 * np.clip(-y - 20, 0, None) ** 2, 0, 8) * _ramp(body, 0, 10)
    start, gap = rng.normal(-122, 4), rng.normal(23.5, 1)
    bones = np.zeros(x.shape)
    for k in range(10):
        out = np.clip((side - 15) / 125, 0, 1)
        behind = start + gap * k - 14 * np.sin(np.pi * np.clip(out, 0, 0.6)) + (26 + 3 * k) * out**2.6
        bones += 0.085 * _rib(y - behind, 6.0) * cage * _ramp(side, 12, 22)
        if k < 7:
            before = start + 34 + gap * k + (52 + 3 * k) * (1 - out) ** 1.3
            bones += 0.05 * _rib(y - before, 6.5) * cage * _ramp(side, 45, 75)
    collar = _tube(side, y, (14, -104, 7), (70, -122, 5.5), (138, -134, 7))
    joint = _ellipse(side, y, (176, -112), (24, 24), 0.0)
    blade = _tube(side, y, (158, -108, 7), (128, -40, 4), (132, 10, 2))
    arm = _tube(side, y, (180, -100, 14), (212, 120, 12))
    bones += sum(w * _ramp(part, 0, 4) for w, part in ((0.16, collar), (0.14, joint), (0.06, blade), (0.14, arm)))
    spine = _ramp(19 - side, 0, 5) * (0.09 + 0.035 * np.cos(2 * np.pi * (y + rng.uniform(0, 25)) / 25))
    return bones + spine * _ramp(body, 0, 10)


def _vessels(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Pulmonary vessels that leave the hila and thin out, over a fine texture."""
    hilum = 0.13 * np.exp(-(((side - 36) / 14) ** 2) - ((y + 2) / 24) ** 2)
    branches = np.zeros(x.shape, np.float32)
    for sign in (-1, 1):
        for angle in rng.uniform(-1.25, 1.25, 7):
            length, bend = rng.uniform(45, 85), rng.normal(0, 0.3)
            turn = [(t, angle + bend * t) for t in (0, 0.5, 1)]
            knots = [
                (sign * (32 + length * t * np.cos(a)), 1.3 * length * t * np.sin(a), 2.6 * (1 - 0.8 * t))
                for t, a in turn
            ]
            near = _around(x, y, knots)
            branches[near] = np.maximum(branches[near], _ramp(_tube(x[near], y[near], *knots), -1.5, 1.5))
    return hilum + 0.05 * branches + 0.014 * _noise(rng, x, y, 7) + 0.02 * _noise(rng, x, y, 16)


def _opacities(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Opacities of tuberculosis, most of them in the upper half: consolidations, nodules, at times a cavity."""
    total = np.zeros(x.shape)
    for _ in range(rng.integers(1, 4)):
        centre = (
            rng.choice([-1, 1]) * rng.uniform(45, 95),
            rng.choice([rng.uniform(-95, -20), rng.uniform(0, 70)], p=[0.75, 0.25]),
        )
        reach = rng.uniform(16, 38)
        near = np.exp(-(((x - centre[0]) / reach) ** 2) - ((y - centre[1]) / (reach * rng.uniform(0.8, 1.4))) ** 2)
        grain = np.clip(0.7 + 0.5 * _noise(rng, x, y, 10) + 0.3 * _noise(rng, x, y, 22), 0, 1.6)
        total += rng.uniform(0.16, 0.34) * near * grain
        for _ in range(rng.integers(0, 5)):
            nodule = _ellipse(x, y, rng.normal(centre, reach * 0.7), (rng.uniform(3, 7),) * 2, 0.0)
            total += 0.10 * _ramp(nodule, 0, 3)
        if rng.random() < 0.25:
            radius = rng.uniform(9, 16)
            ring = _ellipse(x, y, centre, (radius, radius), 0.0)
            total += 0.14 * np.exp(-(((ring - 2) / 2.5) ** 2)) - 0.12 * _ramp(ring, 4, 7)
    return total


def _noise(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, step: float) -> np.ndarray:
    """Smooth noise of mean 0 and spread about 1, of features about `step` mm wide, the same on every grid."""
    lattice = rng.standard_normal((int(_EXTENT / step) + 4,) * 2)
    # Texture need not be rotated with the chest, so the coordinates of one row and one column suffice.
    along_y, along_x = (
        _cubic((line[:, None] + _EXTENT / 2) / step + 1 - np.arange(len(lattice)))
        for line in (y[:, y.shape[1] // 2], x[x.shape[0] // 2])
    )
    return 1.5 * along_y @ lattice @ along_x.T


def _cubic(distance: np.ndarray) -> np.ndarray:
    """The cubic B-spline: the weight of a lattice knot at a distance in steps."""
    d = np.abs(distance)
    return np.where(d < 1, 2 / 3 - d**2 + d**3 / 2, np.clip(2 - d, 0, None) ** 3 / 6).astype(np.float32)


def _ramp(depth: np.ndarray, start: float, end: float) -> np.ndarray:
    """0 below `start`, 1 above `end`, smooth between."""
    t = np.clip((depth - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def _rib(across: np.ndarray, half: float) -> np.ndarray:
    """A bone in profile: a plateau with brighter rims."""
    inside = _ramp(half - np.abs(across), 0, 2.5)
    return inside * (0.7 + 0.5 * np.exp(-(((half - 1.5 - np.abs(across)) / 1.5) ** 2)))


def _ellipse(
    x: np.ndarray, y: np.ndarray, centre: tuple[float, ...], radii: tuple[float, ...], angle: float, power: float = 2
) -> np.ndarray:
    """Depth (mm, about) inside an ellipse that is turned by `angle` (radians); a higher power makes it squarer."""
    dx, dy = x - centre[0], y - centre[1]
    along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    norm = ((np.abs(along) / radii[0]) ** power + (np.abs(across) / radii[1]) ** power) ** (1 / power)
    return (1 - norm) * np.minimum(radii[0], radii[1])


def _around(x: np.ndarray, y: np.ndarray, knots: list[tuple[float, float, float]]) -> tuple[slice, slice]:
    """The window of the picture that holds all knots of a tube and 12 mm more on every side."""
    window = []
    for line, knot_places in (
        (y[:, y.shape[1] // 2], [k[1] for k in knots]),
        (x[x.shape[0] // 2], [k[0] for k in knots]),
    ):
        first, last = np.searchsorted(line, (min(knot_places) - 12, max(knot_places) + 12))
        window.append(slice(first, last))
    return tuple(window)


def _tube(x: np.ndarray, y: np.ndarray, *knots: tuple[float, float, float]) -> np.ndarray:
    """Depth (mm) inside a tube through knots of x, y and radius."""
    depth = np.full(x.shape, -np.inf)
    for (x0, y0, r0), (x1, y1, r1) in pairwise(knots):
        way = np.array([x1 - x0, y1 - y0])
        along = np.clip(((x - x0) * way[0] + (y - y0) * way[1]) / (way @ way), 0, 1)
        gap = np.hypot(x - x0 - along * way[0], y - y0 - along * way[1])
        depth = np.maximum(depth, r0 + along * (r1 - r0) - gap)
    return depth
