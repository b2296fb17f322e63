"""Voxels at which a viewer starts: inside the tumour core, or deepest in a mask."""

import numpy as np

from helpers.measure import regions


def core_centre(labels: np.ndarray) -> tuple[int, ...]:
    """A voxel central in the tumour core, or in the whole tumour where there is no core; see `deepest_voxel`.

    Args:
        labels: (rows, columns, slices) network labels.

    Raises:
        ValueError: there is no tumour.
    """
    core = regions.mask(labels, "TC")
    if not labels.any():
        raise ValueError("the mask is empty, so there is no core to cut through; give a centre")
    return deepest_voxel(core if core.any() else labels > 0)


def deepest_voxel(mask: np.ndarray) -> tuple[int, ...]:
    """The voxel of a mask nearest to its centre of mass, which itself may lie outside the mask, as for a ring.

    Args:
        mask: bool, any shape, not empty.

    Returns:
        One index per axis.
    """
    where = np.argwhere(mask)
    return tuple(int(i) for i in where[np.argmin(((where - where.mean(axis=0)) ** 2).sum(axis=1))])
