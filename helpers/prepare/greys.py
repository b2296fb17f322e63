"""Another hospital's greys for a film, by rank alone: equal ranks, equal greys."""

from collections.abc import Iterable, Sequence

import numpy as np


def grey_counts(films: Iterable[np.ndarray]) -> np.ndarray:
    """How often each grey is seen on these films, (256,) as shares that sum to 1; every film counts the same.

    Args:
        films: (rows, columns) uint8 each.
    """
    shares = [np.bincount(film.ravel(), minlength=256) / film.size for film in films]
    return np.mean(shares, axis=0)


def match_greys(film: np.ndarray, counts: Sequence[float]) -> np.ndarray:
    """Give a film the histogram that `counts` are, as `grey_counts` makes them.

    Each grey becomes the one that has the same share of pixels below it; so the order of greys stays.

    Args:
        film: (rows, columns) uint8.

    Returns:
        The same shape, uint8.
    """
    wanted, held = np.asarray(counts, float), np.bincount(film.ravel(), minlength=256) / film.size
    ranks = [np.cumsum(shares) - shares / 2 for shares in (held, wanted / wanted.sum())]  # of the middle of each grey
    table = np.interp(*ranks, np.arange(256))
    return table.round().astype(np.uint8)[film]
