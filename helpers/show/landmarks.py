"""Where in a volume to look first."""

import numpy as np

from helpers.measure import regions


def core_centre(labels: np.ndarray) -> tuple[int, ...]:
    """The voxel of the tumour core that lies `deepest_voxel` it; of the whole tumour where there is no core.

    Raises:
        ValueError: there is no tumour.
    """
    core = regions.mask(labels, "TC")
    if not labels.any():
        raise ValueError("the mask is empty, so there is no core to cut through; give a centre")
    return deepest_voxel(core if core.any() else labels > 0)


def deepest_voxel(mask: np.ndarray) -> tuple[int, ...]:
    """The voxel of a mask nearest its centre of mass, which itself may lie outside, as that of a ring does."""
    where = np.argwhere(mask)
    return tuple(int(i) for i in where[np.argmin(((where - where.mean(axis=0)) ** 2).sum(axis=1))])
