"""Intensity transforms of the augmentation: bias field, gamma, curve, blur, low resolution, noise, black bands."""

from functools import cache

import keras
import numpy as np
from keras import ops

from helpers.prepare.deform import smooth

BLACK = -5.0
"""The z-score taken for no signal: z-scores are clipped to [-5, 5] (`helpers.data.normalise`)."""

SPAN = 10.0
"""The range of z-scores, from `BLACK` to 5."""

BIAS_POINTS = 5
"""Control points along each side of a bias field: it is as smooth as a coil's sensitivity."""

CURVE_PIECES = 6
"""Straight pieces of an intensity curve."""

CURVE_REACH = 3.0
"""The z-score up to which an intensity curve bends, to both sides of 0: 99 of 100 voxels of a brain lie within."""

GRAINS = 2**18
"""Standard normal numbers in the table that all noise is read from."""


def shade(images: keras.KerasTensor, bias: keras.KerasTensor) -> keras.KerasTensor:
    """Multiply the signal by a smooth bias field.

    Args:
        images: (n, size, size, channels) float32, z-scored.
        bias: (n, BIAS_POINTS, BIAS_POINTS, channels) float32, logarithm of the field at its control points.

    Returns:
        The images, the same shape.
    """
    return (images - BLACK) * ops.exp(smooth(bias, images.shape[1])) + BLACK


def bend(images: keras.KerasTensor, gamma: keras.KerasTensor) -> keras.KerasTensor:
    """Gamma transform: raise the signal, scaled to [0, 1], to a power; z-score 0 stays where it was.

    Args:
        images: (n, size, size, channels) float32, z-scored.
        gamma: (n, 1, 1, channels) float32, the exponent.

    Returns:
        The images, the same shape.
    """
    unit = ops.clip((images - BLACK) / SPAN, 0.0, 1.0)
    return SPAN * (unit**gamma - 0.5**gamma)


def remap(images: keras.KerasTensor, slopes: keras.KerasTensor) -> keras.KerasTensor:
    """Pass the intensities through a monotone curve of straight pieces, as another scanner or sequence might.

    Gamma and contrast change all intensities by one rule; a curve may widen the greys between white matter and oedema
    and narrow those of the rest (after the non-linear transform of Models Genesis, Zhou et al. 2021, arXiv 2004.07882).

    Args:
        images: (n, size, size, channels) float32, z-scored.
        slopes: (n, channels, CURVE_PIECES), above 0, of the pieces from -CURVE_REACH to CURVE_REACH; their mean is 1,
            so that the ends stay where they are. Beyond them nothing changes.

    Returns:
        The images, the same shape.
    """
    width = 2 * CURVE_REACH / CURVE_PIECES
    mapped = ops.minimum(images, -CURVE_REACH) + ops.maximum(images - CURVE_REACH, 0.0)
    for piece in range(CURVE_PIECES):
        slope = ops.reshape(slopes[..., piece], (-1, 1, 1, images.shape[-1]))
        mapped = mapped + slope * ops.clip(images - (piece * width - CURVE_REACH), 0.0, width)
    return mapped


def blacken(
    images: keras.KerasTensor, widths: keras.KerasTensor, spared: keras.KerasTensor | None = None
) -> keras.KerasTensor:
    """Black bands along a radiograph's edges, z-scored as a radiograph that has them.

    A band is as dark as the radiograph's darkest pixel. It changes mean and standard deviation of the radiograph, so
    the rest is normalised again: both are afterwards what they were before.

    Args:
        images: (n, size, size, channels) float32, z-scored; 0 beside the radiograph.
        widths: (n, 4), of the bands at the left, right, top and bottom, as fractions of the radiograph's width and
            height.
        spared: (n, size, size), above 0 where no band may lie: it ends before the first row or column that has some.

    Returns:
        The images, the same shape.
    """
    radiograph = ops.cast(images != 0, images.dtype)
    shown = ops.max(radiograph, axis=-1)  # (n, size, size)
    widths = ops.cast(widths, images.dtype)
    columns, rows = (
        _margins(shown, spared, axis, widths[:, 2 * pair : 2 * pair + 2]) for pair, axis in enumerate((1, 2))
    )
    band = ops.maximum(ops.expand_dims(columns, 1), ops.expand_dims(rows, 2))[..., None] * radiograph
    darkest = ops.min(ops.where(radiograph > 0, images, SPAN), axis=(1, 2), keepdims=True)
    painted = (1 - band) * images + band * darkest
    (mean, std), (new_mean, new_std) = (_moments(pixels, radiograph) for pixels in (images, painted))
    return ((painted - new_mean) * (std / new_std) + mean) * radiograph


def _margins(
    shown: keras.KerasTensor, spared: keras.KerasTensor | None, across: int, widths: keras.KerasTensor
) -> keras.KerasTensor:
    """(n, size), 1 in the columns (or rows) that two bands cover, 0 elsewhere; the maximum `across` the other axis."""
    radiograph = ops.max(shown, axis=across)  # (n, size): 1 in the columns that hold radiograph
    free = radiograph if spared is None else radiograph * ops.cast(ops.max(spared, axis=across) <= 0, radiograph.dtype)
    length, covered = ops.sum(radiograph, axis=1, keepdims=True), 0.0
    for side, turn in enumerate((1, -1)):
        # The middle of each column, counted from the radiograph's edge.
        position = ops.cumsum(radiograph[:, ::turn], axis=1) - 0.5
        clear = ops.cumsum(radiograph[:, ::turn] - free[:, ::turn], axis=1) == 0  # nothing spared as far as here
        within = (position < widths[:, side : side + 1] * length) & clear
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
    """Gaussian blur, lower resolution, or both.

    Both are linear and separable, the same along rows and columns, so each is one small matrix applied from two sides.

    Args:
        images: (n, size, size, channels) float32.
        blur: (n, channels), standard deviation of a Gaussian, pixels; 0 changes nothing. None: no blur.
        coarse: (n, channels), pixel width of a scan of lower resolution, in pixels of this one, which are averaged and
            then interpolated; 1 changes nothing. None: the resolution stays.

    Returns:
        The images, the same shape.
    """
    size = images.shape[1]
    for number, matrix in ((blur, gaussian), (coarse, resampling)):
        if number is not None:
            weights = matrix(number, size)  # (n, channels, size, size)
            images = ops.einsum("nfri,nijf->nrjf", weights, images)
            images = ops.einsum("nfcj,nrjf->nrcf", weights, images)
    return images


def gaussian(blur: keras.KerasTensor, size: int) -> keras.KerasTensor:
    """The matrix of a Gaussian blur.

    Args:
        blur: (n, channels), standard deviation in pixels.
        size: pixels along each side of the slice.

    Returns:
        (n, channels, size, size); every row is a Gaussian about its own pixel and sums to 1.
    """
    squared = np.square(np.arange(size)[:, None] - np.arange(size)).astype(np.float32)
    width = ops.maximum(blur, 0.05)[..., None, None]  # so narrow that neighbours have weight 0, but not 0 / 0
    weights = ops.exp(-0.5 * squared / width**2)
    return weights / ops.sum(weights, axis=-1, keepdims=True)


def resampling(coarse: keras.KerasTensor, size: int) -> keras.KerasTensor:
    """The matrix of a lower resolution: averages over wide pixels, then linear interpolation between them.

    Args:
        coarse: (n, channels), width of a wide pixel, in pixels.
        size: pixels along each side of the slice.

    Returns:
        (n, channels, size, size); every row sums to 1.
    """
    width = coarse[..., None, None]
    fine = np.arange(size, dtype=np.float32)
    position = (fine[:, None] + 0.5) / width - 0.5  # of each output pixel's middle, among coarse pixels
    before = ops.floor(position)
    fraction = position - before

    def average(index: keras.KerasTensor) -> keras.KerasTensor:
        """The part of each fine pixel that lies in a coarse one."""
        overlap = ops.minimum(fine + 1, (index + 1) * width) - ops.maximum(fine, index * width)
        return ops.maximum(overlap, 0.0)

    weights = (1 - fraction) * average(before) + fraction * average(before + 1)
    return weights / ops.sum(weights, axis=-1, keepdims=True)  # at the border a coarse pixel may hang over


def grain(images: keras.KerasTensor, level: keras.KerasTensor, start: keras.KerasTensor) -> keras.KerasTensor:
    """Add Gaussian noise.

    Every slice's noise is read from one table of normal numbers, from its own start on. So two numbers a slice travel
    to the device instead of an array as large as the images, and the noise is the same on every backend, whose
    generators differ.

    Args:
        images: (n, size, size, channels) float32.
        level: (n, 1, 1, channels), standard deviation.
        start: (n,) int32, at least 0, below GRAINS.

    Returns:
        The images, the same shape.
    """
    pixels = int(np.prod(images.shape[1:]))
    start = ops.cast(start, "int32")  # Keras, to build a model under a strategy, passes the mean of two batches
    indices = (ops.expand_dims(start, -1) + np.arange(pixels, dtype=np.int32)) % GRAINS
    return images + level * ops.reshape(ops.take(_noise_table(), indices), (-1, *images.shape[1:]))


@cache
def _noise_table() -> np.ndarray:
    """(GRAINS,) float32, standard normal, always the same."""
    return np.random.default_rng(0).standard_normal(GRAINS, np.float32)
