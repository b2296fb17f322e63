"""Geometry of the augmentation: an affine map, an elastic field, and one bilinear interpolation for both.

Everything here is made of gathers and matrix products, so that it compiles into the training step on TensorFlow and on
JAX. `keras.ops.image.affine_transform`, and the Keras layers built on it, do not: TensorFlow has no XLA kernel for
their operation, and none of them takes a field of displacements.
"""

from functools import cache

import keras
import numpy as np
from keras import ops
from scipy.interpolate import BSpline

ELASTIC_POINTS = 7
"""Control points along each side of an elastic field."""

FOLD = 0.48
"""A cubic B-spline field of displacements cannot fold while no control point moves further than this fraction of the
distance between two (1 / 2.046; Choi and Lee, Injectivity conditions of 2D and 3D uniform cubic B-spline functions,
2000)."""


def affine(size: int, degrees: np.ndarray, scale: np.ndarray, shift: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """The maps from output to input pixels of n slices, about the middle of the slice.

    Args:
        size: pixels along each side.
        degrees: (n,) rotation, anticlockwise in an array whose rows are drawn downwards.
        scale: (n, 2) along columns, along rows; 1.1 enlarges by a tenth.
        shift: (n, 2) pixels, along columns, along rows.
        mirrored: (n,) bool; rows of a volume run left to right (file order), so mirroring the rows exchanges the sides
            of the brain. They are nearly symmetric; front and back are not, so there is no other mirror.

    Returns:
        (n, 2, 3) float32: input column and input row from (output column, output row, 1).
    """
    cos, sin, mirror = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees)), np.where(mirrored, -1.0, 1.0)
    linear = np.array(
        [[cos / scale[:, 0], -sin * mirror / scale[:, 1]], [sin / scale[:, 0], cos * mirror / scale[:, 1]]]
    )
    linear = np.moveaxis(linear, -1, 0)  # (n, 2, 2)
    middle = (size - 1) / 2
    offset = middle - np.einsum("nij,nj->ni", linear, middle + shift)
    return np.concatenate([linear, offset[..., None]], axis=-1).astype(np.float32)


def elastic(patterns: np.ndarray, strength: np.ndarray, size: int) -> np.ndarray:
    """Displacements of control points, clipped where the field might fold (after Ronneberger et al. 2015, section 3.1).

    Args:
        patterns: (n, ELASTIC_POINTS, ELASTIC_POINTS, 2), standard normal.
        strength: (n,) standard deviation of the displacements, as a fraction of the slice's side.
        size: pixels along each side of the slice.

    Returns:
        (n, ELASTIC_POINTS, ELASTIC_POINTS, 2) float32, the displacements along columns, along rows, in pixels.
    """
    spacing = (size - 1) / (ELASTIC_POINTS - 3)
    return np.clip(patterns * strength[:, None, None, None] * size, -FOLD * spacing, FOLD * spacing).astype(np.float32)


def smooth(control: keras.KerasTensor, size: int) -> keras.KerasTensor:
    """The cubic B-spline surface over control points.

    Args:
        control: (n, points, points, fields), values at the control points.
        size: pixels along each side of the slice.

    Returns:
        (n, size, size, fields).
    """
    basis = _basis(control.shape[1], size)  # (size, points)
    return ops.einsum("rp,npqf,cq->nrcf", basis, control, basis)


@cache
def _basis(points: int, size: int) -> np.ndarray:
    """(size, points) float32, the weight of each control point in each pixel; rows sum to 1."""
    knots = np.arange(-3.0, points + 1)
    return BSpline.design_matrix(np.linspace(0, points - 3, size), knots, 3).toarray().astype(np.float32)


Corners = list[tuple[keras.KerasTensor, keras.KerasTensor]]
"""The four pixels round every position: index in the batch (n, size, size) int32, weight (n, size, size, 1) float32."""


def corners(
    n: int, size: int, affine: keras.KerasTensor | None = None, elastic: keras.KerasTensor | None = None
) -> Corners:
    """Sampling positions: where each pixel of n slices comes from, through an elastic field, an affine map, or both.

    Args:
        n: number of slices.
        size: pixels along each side of a slice.
        affine: (n, 2, 3) float32, as `affine` makes it.
        elastic: (n, ELASTIC_POINTS, ELASTIC_POINTS, 2) float32, as `elastic` makes it.

    Returns:
        The four pixels round every position, with their bilinear weights.
    """
    pixels = np.arange(size, dtype=np.float32)
    columns, rows = ops.convert_to_tensor(pixels[None, None]), ops.convert_to_tensor(pixels[None, :, None])
    if elastic is not None:
        field = smooth(elastic, size)  # (n, size, size, 2)
        columns, rows = columns + field[..., 0], rows + field[..., 1]
    if affine is not None:
        a = ops.expand_dims(ops.expand_dims(affine, 1), 1)  # (n, 1, 1, 2, 3)
        columns, rows = (a[..., i, 0] * columns + a[..., i, 1] * rows + a[..., i, 2] for i in (0, 1))
    return _bilinear(columns, rows, n, size)


def _bilinear(columns: keras.KerasTensor, rows: keras.KerasTensor, n: int, size: int) -> Corners:
    """The pixels round positions, (n, size, size) columns and rows, and their weights."""
    first = ops.reshape(ops.arange(n, dtype="int32") * size * size, (-1, 1, 1))  # of each slice

    def neighbours(position: keras.KerasTensor) -> list[tuple[keras.KerasTensor, keras.KerasTensor]]:
        """The pixel before a position and the pixel after it; one outside the slice has weight 0."""
        before = ops.floor(position)
        fraction = position - before
        return [
            (ops.cast(ops.clip(index, 0, size - 1), "int32"), ops.where((index >= 0) & (index < size), weight, 0.0))
            for index, weight in ((before, 1 - fraction), (before + 1, fraction))
        ]

    return [
        (first + row * size + column, ops.expand_dims(row_weight * column_weight, -1))
        for row, row_weight in neighbours(rows)
        for column, column_weight in neighbours(columns)
    ]


def look_up(slices: keras.KerasTensor, corners: Corners) -> keras.KerasTensor:
    """Bilinear interpolation at sampling positions; 0 comes from outside.

    Args:
        slices: (n, size, size, channels).
        corners: sampling positions, as `corners` returns them.

    Returns:
        (n, size, size, channels).
    """
    flat = ops.reshape(slices, (-1, slices.shape[-1]))  # one gather serves all slices of the batch
    return sum(ops.take(flat, index, axis=0) * weight for index, weight in corners)
