"""A made-up microscopy picture: cells that touch, their outlines, and the border weights of the first U-Net's paper."""

import numpy as np
from scipy import ndimage


def cells(
    size: int = 160, count: int = 24, radius: tuple[float, float] = (9.0, 15.0), seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw cells as phase contrast shows them: a grey body, a dark edge and a bright halo on an uneven ground.

    A cell may touch others, and never covers one: where two would overlap, the nearer middle has the pixel.

    Args:
        size: pixels along each side.
        count: how many cells; fewer where there is no more room.
        radius: smallest and largest, in pixels.
        seed: the same seed draws the same cells.

    Returns:
        The picture (size, size) float32 in [0, 1], and which cell each pixel belongs to, (size, size) int, 0 for none.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((size, size), dtype=float)
    middles: list[tuple[float, float, float]] = []
    for _ in range(60 * count):
        row, column = rng.uniform(radius[1], size - radius[1], 2)
        reach = rng.uniform(*radius)
        # Middles may come nearer than two radii, so that neighbours touch and flatten each other.
        if all(np.hypot(row - r, column - c) > 0.8 * (reach + other) for r, c, other in middles):
            middles.append((row, column, reach))
        if len(middles) == count:
            break
    angle = [np.arctan2(rows - r, columns - c) for r, c, _ in middles]
    wobble = rng.uniform(0.03, 0.10, len(middles)), rng.uniform(0, 2 * np.pi, len(middles))
    # Distance from each middle in radii, which wobble round the cell: (cells, size, size).
    away = np.stack([
        np.hypot(rows - r, columns - c) / (reach * (1 + strength * np.cos(3 * turn - phase)))
        for (r, c, reach), turn, strength, phase in zip(middles, angle, *wobble, strict=True)
    ])  # fmt: skip
    nearest = away.argmin(axis=0)
    labels = np.where(away.min(axis=0) < 1, nearest + 1, 0)
    return _picture(labels, rng), labels


def border_weights(labels: np.ndarray, strength: float = 10.0, sigma: float = 5.0) -> np.ndarray:
    """Weigh the background between two cells, so that a loss minds when they grow together.

    w = strength * exp(-(d1 + d2)^2 / (2 sigma^2)) in the background, d1 and d2 the distances to the nearest and to the
    second nearest cell (Ronneberger et al. 2015, equation 2, without the weights of the classes).

    Args:
        labels: (rows, columns) int, which cell each pixel belongs to, 0 for none.
        strength: of the weight where two cells touch.
        sigma: how quickly it falls with the width of the gap, in pixels.

    Returns:
        (rows, columns) float, 0 within cells.

    Raises:
        ValueError: there are fewer than two cells.
    """
    names = np.unique(labels[labels != 0])
    if len(names) < 2:
        raise ValueError(f"the labels hold {len(names)} cells; a border lies between two or more")
    distances = np.stack([ndimage.distance_transform_edt(labels != name) for name in names])
    nearest, second = np.sort(distances, axis=0)[:2]
    return np.where(labels == 0, strength * np.exp(-((nearest + second) ** 2) / (2 * sigma**2)), 0.0)


def _picture(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Phase contrast of these cells: (rows, columns) float32 in [0, 1]."""
    inside = labels != 0
    within = ndimage.distance_transform_edt(ndimage.minimum_filter(labels, 3) == ndimage.maximum_filter(labels, 3))
    outside = ndimage.distance_transform_edt(~inside)
    ground = 0.5 + 0.08 * _smooth(rng, labels.shape, 25)
    body = ground + 0.05 * _smooth(rng, labels.shape, 3) - 0.25 * np.exp(-((within / 1.5) ** 2))
    halo = ground + 0.3 * np.exp(-((outside / 2.5) ** 2))
    picture = ndimage.gaussian_filter(np.where(inside, body, halo), 0.7)
    return (picture + rng.normal(0, 0.02, labels.shape)).clip(0, 1).astype(np.float32)


def _smooth(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> np.ndarray:
    """Noise of this coarseness, with deviation 1."""
    field = ndimage.gaussian_filter(rng.normal(size=shape), sigma)
    return field / field.std()
