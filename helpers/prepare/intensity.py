"""What another scanner would have made of the same head: shading, sharpness, contrast, noise."""

from functools import cache

import keras
import numpy as np
from keras import ops

from helpers.prepare.deform import smooth

BLACK = -5.0
"""The z-score taken for no signal: z-scores are clipped to [-5, 5] (`helpers.data.normalise`)."""

SPAN = 10.0

BIAS_POINTS = 5
"""Control points along each side of a bias field: it varies slowly, as a coil's sensitivity does."""

GRAINS = 2**18
"""Normal numbers in the one strip that every noise is cut from."""


def shade(images: keras.KerasTensor, bias: keras.KerasTensor) -> keras.KerasTensor:
    """Multiply the signal by a smooth field.

    Args:
        images: (n, size, size, channels), z-scored.
        bias: (n, BIAS_POINTS, BIAS_POINTS, channels), logarithm of the field at its control points.
    """
    return (images - BLACK) * ops.exp(smooth(bias, images.shape[1])) + BLACK


def bend(images: keras.KerasTensor, gamma: keras.KerasTensor) -> keras.KerasTensor:
    """Raise the signal, scaled to [0, 1], to the power `gamma` (n, 1, 1, channels); z-score 0 stays where it was."""
    unit = ops.clip((images - BLACK) / SPAN, 0.0, 1.0)
    return SPAN * (unit**gamma - 0.5**gamma)


def blacken(
    images: keras.KerasTensor, widths: keras.KerasTensor, spared: keras.KerasTensor | None = None
) -> keras.KerasTensor:
    """Black bands along a radiograph's edges, and the greys that z-scoring would have given the radiograph with them.

    A band is as dark as the radiograph's darkest pixel. It moves the mean and widens the spread of the whole
    radiograph, so the rest of the radiograph changes too: mean and standard deviation over the radiograph are what they
    were.

    Args:
        images: (n, size, size, channels), z-scored; 0 beside the radiograph.
        widths: (n, 4), of the bands at the left, right, top and bottom, as shares of the radiograph's width and height.
        spared: (n, size, size), above 0 where no band may lie: it ends before the first row or column that has some.
    """
    radiograph = ops.cast(images != 0, images.dtype)
    shown = ops.max(radiograph, axis=-1)  # (n, size, size)
    widths = ops.cast(widths, images.dtype)
    columns, rows = (
        _margins(shown, spared, axis, widths[:, 2 * place : 2 * place + 2]) for place, axis in enumerate((1, 2))
    )
    band = ops.maximum(ops.expand_dims(columns, 1), ops.expand_dims(rows, 2))[..., None] * radiograph
    darkest = ops.min(ops.where(radiograph > 0, images, SPAN), axis=(1, 2), keepdims=True)
    painted = (1 - band) * images + band * darkest
    (mean, spread), (new_mean, new_spread) = (_moments(part, radiograph) for part in (images, painted))
    return ((painted - new_mean) * (spread / new_spread) + mean) * radiograph


def _margins(
    shown: keras.KerasTensor, spared: keras.KerasTensor | None, across: int, widths: keras.KerasTensor
) -> keras.KerasTensor:
    """(n, size), 1 in the columns (or rows) that two bands cover, 0 elsewhere; the maximum `across` the other axis."""
    radiograph = ops.max(shown, axis=across)  # (n, size): 1 in the columns that hold radiograph
    free = radiograph if spared is None else radiograph * ops.cast(ops.max(spared, axis=across) <= 0, radiograph.dtype)
    length, covered = ops.sum(radiograph, axis=1, keepdims=True), 0.0
    for side, turn in enumerate((1, -1)):
        place = (
            ops.cumsum(radiograph[:, ::turn], axis=1) - 0.5
        )  # of each column's middle, counted from the radiograph's edge
        clear = ops.cumsum(radiograph[:, ::turn] - free[:, ::turn], axis=1) == 0  # nothing spared as far as here
        within = (place < widths[:, side : side + 1] * length) & clear
        covered = ops.maximum(covered, ops.cast(within, radiograph.dtype)[:, ::turn])
    return covered * radiograph


def _moments(images: keras.KerasTensor, radiograph: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Mean and standard deviation over the radiograph, (n, 1, 1, channels) each."""
    pixels = ops.maximum(ops.sum(radiograph, axis=(1, 2), keepdims=True), 1.0)
    mean = ops.sum(images * radiograph, axis=(1, 2), keepdims=True) / pixels
    squared = ops.sum(ops.square((images - mean) * radiograph), axis=(1, 2), keepdims=True) / pixels
    return mean, ops.sqrt(ops.maximum(squared, 1e-12))


def soften(
    images: keras.KerasTensor, blur: keras.KerasTensor | None, coarse: keras.KerasTensor | None
) -> keras.KerasTensor:
    """A wider point spread, fewer pixels, or both.

    Both are linear and treat rows as they treat columns, so each is one small matrix applied from two sides.

    Args:
        images: (n, size, size, channels).
        blur: (n, channels), standard deviation of a Gaussian, pixels; 0 changes nothing.
        coarse: (n, channels), width of the pixels of a coarser scan, in pixels of this one: these are averaged over
            and then interpolated between; 1 changes nothing.
    """
    size = images.shape[1]
    for number, matrix in ((blur, gaussian), (coarse, resampling)):
        if number is not None:
            spread = matrix(number, size)  # (n, channels, size, size)
            images = ops.einsum("nfri,nijf->nrjf", spread, images)
            images = ops.einsum("nfcj,nrjf->nrcf", spread, images)
    return images


def gaussian(blur: keras.KerasTensor, size: int) -> keras.KerasTensor:
    """(n, channels, size, size): every row a Gaussian about its own pixel that sums to 1."""
    squared = np.square(np.arange(size)[:, None] - np.arange(size)).astype(np.float32)
    width = ops.maximum(blur, 0.05)[..., None, None]  # so narrow that neighbours weigh nothing, but not 0 / 0
    weights = ops.exp(-0.5 * squared / width**2)
    return weights / ops.sum(weights, axis=-1, keepdims=True)


def resampling(coarse: keras.KerasTensor, size: int) -> keras.KerasTensor:
    """(n, channels, size, size): averages over pixels `coarse` wide, then linear interpolation between them."""
    width = coarse[..., None, None]
    fine = np.arange(size, dtype=np.float32)
    position = (fine[:, None] + 0.5) / width - 0.5  # of each output pixel's middle, among coarse pixels
    before = ops.floor(position)
    part = position - before

    def average(index: keras.KerasTensor) -> keras.KerasTensor:
        """The share of each fine pixel in a coarse one."""
        overlap = ops.minimum(fine + 1, (index + 1) * width) - ops.maximum(fine, index * width)
        return ops.maximum(overlap, 0.0)

    weights = (1 - part) * average(before) + part * average(before + 1)
    return weights / ops.sum(weights, axis=-1, keepdims=True)  # at the border a coarse pixel may hang over


def grain(images: keras.KerasTensor, level: keras.KerasTensor, start: keras.KerasTensor) -> keras.KerasTensor:
    """Add Gaussian noise.

    Every slice's noise is a piece of one strip, from its own place on. So two numbers a slice travel to the device
    instead of an array as large as the images, and the noise is the same on every backend, whose generators differ.

    Args:
        images: (n, size, size, channels).
        level: (n, 1, 1, channels), standard deviation.
        start: (n,) int32, at least 0, below GRAINS.
    """
    pixels = int(np.prod(images.shape[1:]))
    start = ops.cast(start, "int32")  # Keras, to build a model under a strategy, shows it the mean of two batches
    places = (ops.expand_dims(start, -1) + np.arange(pixels, dtype=np.int32)) % GRAINS
    return images + level * ops.reshape(ops.take(_strip(), places), (-1, *images.shape[1:]))


@cache
def _strip() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(GRAINS, np.float32)
