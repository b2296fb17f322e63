"""Pairs of masks on which every metric is held to another implementation, and masks drawn by hypothesis."""

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from scipy import ndimage

laws = settings(
    max_examples=25, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
"""A few dozen masks, the same in each run."""


def body(seed, shape=(22, 20, 14), level=0.7):
    """An irregular body, in several pieces, that may touch the border."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.8)
    return noise > level * noise.std()


def voxel(*place, shape=(9, 8, 7)):
    mask = np.zeros(shape, bool)
    mask[place] = True
    return mask


def block(*bounds, shape=(24, 22, 18)):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*bound) for bound in bounds)] = True
    return mask


EMPTY = np.zeros((9, 8, 7), bool)

PAIRS = {
    "random": (body(0), body(1), (1.0, 1.0, 1.0)),
    "random, anisotropic": (body(2), body(3), (0.7, 1.1, 5.0)),
    "thick slices": (body(4), body(5), (0.5, 0.5, 3.0)),
    "moved": (body(6), np.roll(body(6), (1, 0, 1), axis=(0, 1, 2)), (1.0, 1.0, 1.0)),
    "same": (body(7), body(7), (1.0, 2.0, 3.0)),
    "single voxels": (voxel(2, 3, 4), voxel(6, 3, 2), (1.0, 1.0, 2.5)),
    "one voxel in a block": (voxel(2, 3, 4), block((0, 5), (1, 6), (2, 7), shape=(9, 8, 7)), (1.0, 1.0, 1.0)),
    "voxels in corners": (voxel(0, 0, 0), voxel(8, 7, 6), (2.0, 1.0, 1.0)),
    "whole volume": (~EMPTY, voxel(4, 4, 3), (1.0, 1.0, 1.0)),
    "at the border": (block((0, 9), (0, 6), (0, 5)), block((0, 8), (0, 9), (10, 18)), (1.0, 0.5, 2.0)),
    "far apart": (block((0, 3), (0, 3), (0, 3)), block((20, 24), (18, 22), (15, 18)), (1.0, 1.0, 1.0)),
}
"""Truth, prediction and spacing; neither mask is empty."""

EMPTY_PAIRS = {
    "both empty": (EMPTY, EMPTY, (1.0, 1.0, 2.0)),
    "truth empty": (EMPTY, voxel(2, 3, 4), (1.0, 1.0, 2.0)),
    "prediction empty": (voxel(2, 3, 4), EMPTY, (1.0, 1.0, 2.0)),
}


@st.composite
def pairs(draw):
    """Two masks of one shape, neither empty, and a spacing."""
    shape = tuple(draw(st.integers(2, 9)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    masks = [rng.random(shape) < draw(st.sampled_from([0.02, 0.2, 0.5, 0.9])) for _ in range(2)]
    for mask in masks:
        mask[tuple(int(rng.integers(size)) for size in shape)] = True
    return *masks, tuple(draw(st.sampled_from([0.5, 1.0, 1.25, 3.0])) for _ in range(3))
