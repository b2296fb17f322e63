"""Histogram matching of radiographs: grey levels of equal rank become equal."""

from collections.abc import Iterable, Sequence

import numpy as np


def histogram(radiographs: Iterable[np.ndarray]) -> np.ndarray:
    """The mean grey-level histogram of radiographs; every radiograph has the same weight, whatever its size.

    Args:
        radiographs: (rows, columns) uint8 each.

    Returns:
        (256,) float64, frequencies that sum to 1.
    """
    frequencies = [np.bincount(radiograph.ravel(), minlength=256) / radiograph.size for radiograph in radiographs]
    return np.mean(frequencies, axis=0)


def match_histogram(radiograph: np.ndarray, counts: Sequence[float]) -> np.ndarray:
    """Give a radiograph another histogram.

    Each grey level becomes the one that has the same fraction of pixels below it; so the order of grey levels stays.

    >>> dark, bright = np.uint8([[0, 50], [100, 150]]), np.uint8([[100, 150], [200, 250]])
    >>> match_histogram(dark, histogram([bright])).tolist()
    [[100, 150], [200, 250]]

    Args:
        radiograph: (rows, columns) uint8.
        counts: (256,), the target histogram, as `histogram` makes it: counts or frequencies.

    Returns:
        (rows, columns) uint8.
    """
    target, own = np.asarray(counts, float), np.bincount(radiograph.ravel(), minlength=256) / radiograph.size
    # The rank of a grey level is that of the middle of its pixels.
    ranks = [np.cumsum(frequencies) - frequencies / 2 for frequencies in (own, target / target.sum())]
    table = np.interp(*ranks, np.arange(256))
    return table.round().astype(np.uint8)[radiograph]
