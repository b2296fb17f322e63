"""2.5-D: a slice together with its neighbours, the slices below and above it, as further channels of a 2-D network.

The channels of a slab are those of the lowest slice, then those of the next, up to the highest. Beyond the first and
the last slice of a volume its own end is repeated.
"""

import numpy as np


def slab_rows(first: np.ndarray, last: np.ndarray, rows: np.ndarray, reach: int) -> np.ndarray:
    """The rows of the slices of slabs.

    Args:
        first: (n,) first row of each slab's volume.
        last: (n,) its last row.
        rows: (n,) rows of the slabs' middle slices.
        reach: neighbours to each side.

    Returns:
        (n, 2 reach + 1) integers, from the lowest slice to the highest.
    """
    offsets = np.arange(-reach, reach + 1)
    return np.clip(rows[:, None] + offsets, first[:, None], last[:, None])


def slabs(volume: np.ndarray, reach: int) -> np.ndarray:
    """Every slice of a volume with its neighbours.

    Args:
        volume: (slices, rows, columns, channels), all slices of one patient in order.
        reach: neighbours to each side; 0 gives the volume itself.

    Returns:
        (slices, rows, columns, (2 reach + 1) channels), the same dtype.
    """
    if reach == 0:
        return volume
    count = len(volume)
    rows = slab_rows(np.zeros(count, int), np.full(count, count - 1), np.arange(count), reach)
    return np.concatenate([volume[column] for column in rows.T], axis=-1)


def middle(slab: np.ndarray, reach: int) -> np.ndarray:
    """The slice in the middle of slabs.

    Args:
        slab: (..., (2 reach + 1) channels).
        reach: neighbours to each side.

    Returns:
        (..., channels), a view.
    """
    channels = slab.shape[-1] // (2 * reach + 1)
    return slab[..., reach * channels : (reach + 1) * channels]
