"""Another hospital's greys for a radiograph, by rank alone: equal ranks, equal greys."""

from collections.abc import Iterable, Sequence

import numpy as np


def histogram(radiographs: Iterable[np.ndarray]) -> np.ndarray:
    """How often each grey is seen on these radiographs, (256,) as shares that sum to 1; every radiograph counts the
    same.

    Args:
        radiographs: (rows, columns) uint8 each.
    """
    shares = [np.bincount(radiograph.ravel(), minlength=256) / radiograph.size for radiograph in radiographs]
    return np.mean(shares, axis=0)


def match_histogram(radiograph: np.ndarray, counts: Sequence[float]) -> np.ndarray:
    """Give a radiograph the histogram that `counts` are, as `histogram` makes them.

    Each grey becomes the one that has the same share of pixels below it; so the order of greys stays.

    Args:
        radiograph: (rows, columns) uint8.

    Returns:
        The same shape, uint8.
    """
    wanted, held = np.asarray(counts, float), np.bincount(radiograph.ravel(), minlength=256) / radiograph.size
    ranks = [np.cumsum(shares) - shares / 2 for shares in (held, wanted / wanted.sum())]  # of the middle of each grey
    table = np.interp(*ranks, np.arange(256))
    return table.round().astype(np.uint8)[radiograph]
