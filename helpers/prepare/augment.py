"""Data augmentation: image and mask are moved together, and the image's intensities are changed.

NumPy draws the parameters from a seed, `keras.ops` applies them; so the same seed gives the same batch on every
backend, and the arithmetic runs where the network runs. Masks are soft labels, which may be interpolated; integer
labels may not (half of label 4 and half of label 0 is not oedema).

    params = draw(np.random.default_rng(0), n=16, size=96, channels=2)
    images, soft_labels = apply(images, soft_labels, params)

    params = single("rotation", 15, size=96, channels=2)  # one transform, as a slider sets it
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np
from keras import ops

from helpers.prepare.deform import ELASTIC_POINTS, affine, corners, elastic, look_up
from helpers.prepare.intensity import (
    BIAS_POINTS,
    BLACK,
    CURVE_PIECES,
    GRAINS,
    bend,
    blacken,
    grain,
    remap,
    shade,
    soften,
)


@dataclass(frozen=True)
class AugmentationParams:
    """The parameters of the augmentation of a batch of n slices.

    `AugmentationParams()` changes nothing; a transform whose parameter is None is left out of the arithmetic.

    Attributes:
        affine: (n, 2, 3) float32, map from output to input pixels, see `deform.affine`.
        elastic: (n, points, points, 2) float32, displacements of an elastic field's control points, pixels.
        bias: (n, points, points, channels) float32, logarithm of a bias field at its control points.
        blur: (n, channels) float32, standard deviation of a Gaussian, pixels.
        coarse: (n, channels) float32, pixel width of a scan of lower resolution, in pixels.
        gamma: (n, channels) float32, exponent on the intensity scaled to [0, 1].
        curve: (n, channels, CURVE_PIECES) float32, slopes of an intensity curve, see `intensity.remap`.
        gain: (n, channels) float32, contrast, a factor on z-scores.
        offset: (n, channels) float32, brightness, added to z-scores.
        noise: (n, channels) float32, standard deviation, z-scored units.
        grain: (n,) int32, where each slice's noise begins in the table of `intensity.grain`.
        bands: (n, 4) float32, widths of black bands at the left, right, top and bottom, see `intensity.blacken`.
        shown: (n, channels) float32, 1, or 0 where a channel is missing.
    """

    affine: np.ndarray | None = None
    elastic: np.ndarray | None = None
    bias: np.ndarray | None = None
    blur: np.ndarray | None = None
    coarse: np.ndarray | None = None
    gamma: np.ndarray | None = None
    curve: np.ndarray | None = None
    gain: np.ndarray | None = None
    offset: np.ndarray | None = None
    noise: np.ndarray | None = None
    grain: np.ndarray | None = None
    bands: np.ndarray | None = None
    shown: np.ndarray | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that are not None, by name; `AugmentationParams(**arrays)` makes the same again on the device."""
        return {name: array for name, array in vars(self).items() if array is not None}

    def for_slabs(self, reach: int) -> "AugmentationParams":
        """The parameters for slices with their neighbours: all slices of a slab are changed by the same numbers.

        Args:
            reach: neighbours to each side, see `helpers.data.slabs`.
        """
        times = 2 * reach + 1
        repeated = {
            name: np.concatenate([array] * times, axis=_CHANNEL_AXIS[name])
            for name, array in self.arrays().items()
            if name in _CHANNEL_AXIS
        }
        return replace(self, **repeated)


_CHANNEL_AXIS = {
    **dict.fromkeys(("blur", "coarse", "gamma", "gain", "offset", "noise", "shown", "curve"), 1),
    "bias": 3,
}
"""Of the parameters that each channel has its own of."""


@dataclass(frozen=True)
class Transform:
    """One transform of the augmentation: its strength and the distribution of its strength in training.

    Attributes:
        unit: unit of the strength; strength 0 leaves the slice as it is.
        low: the lowest strength of a slider.
        high: the highest strength of a slider.
        draw: strengths for training from (generator, n, channels): (n,); (n, 2) for columns and rows; (n, channels);
            (n, 4) for the sides.
    """

    unit: str
    low: float
    high: float
    draw: Callable[[np.random.Generator, int, int], np.ndarray]


def _sometimes(
    rng: np.random.Generator, n: int, channels: int, probability: float, low: float, high: float
) -> np.ndarray:
    """(n, channels): uniform between low and high with this probability, else 0; each channel independently."""
    return rng.uniform(low, high, (n, channels)) * (rng.random((n, channels)) < probability)


_BAND = np.array([0.1, 0.1, 0.1, 0.3])
"""Widest bands at the left, right, top and bottom, as fractions of a radiograph. Of 100 radiographs of Montgomery, 73
have one at the bottom, up to a third of the radiograph, and 4 have one at a side, up to an eighth."""

TRANSFORMS: dict[str, Transform] = {
    "rotation": Transform("degrees", -20, 20, lambda rng, n, _: rng.uniform(-20, 20, n)),
    "scale": Transform(
        "times larger, less 1",
        -0.2,
        0.25,
        lambda rng, n, _: np.exp(rng.uniform(np.log(0.8), np.log(1.25), (n, 1)) + rng.uniform(-0.08, 0.08, (n, 2))) - 1,
    ),
    "shift": Transform("fraction of the side", -0.05, 0.05, lambda rng, n, _: rng.uniform(-0.05, 0.05, (n, 2))),
    "flip": Transform("0 or 1", 0, 1, lambda rng, n, _: rng.integers(0, 2, n)),
    "elastic": Transform(
        "fraction of the side, standard deviation of control points",
        0,
        0.1,
        lambda rng, n, _: rng.uniform(0, 0.05, n) * (rng.random(n) < 0.3),
    ),
    "bias field": Transform(
        "logarithm of the field, standard deviation of control points",
        0,
        0.4,
        lambda rng, n, channels: _sometimes(rng, n, channels, 0.3, 0, 0.2),
    ),
    "blur": Transform(
        "pixels, standard deviation", 0, 3, lambda rng, n, channels: _sometimes(rng, n, channels, 0.1, 0.3, 1)
    ),
    "low resolution": Transform(
        "further pixels averaged into one",
        0,
        4,
        lambda rng, n, channels: _sometimes(rng, n, channels, 0.125, 0, 1),
    ),
    "gamma": Transform(
        "exponent, less 1", -0.5, 1, lambda rng, n, channels: np.exp(0.15 * rng.standard_normal((n, channels))) - 1
    ),
    "contrast": Transform(
        "gain, less 1", -0.5, 1, lambda rng, n, channels: np.exp(0.12 * rng.standard_normal((n, channels))) - 1
    ),
    "curve": Transform(
        "logarithm of the slopes, standard deviation",
        0,
        1,
        lambda rng, n, channels: _sometimes(rng, n, channels, 0.5, 0, 0.8),
    ),
    "brightness": Transform("z-score", -1, 1, lambda rng, n, channels: 0.12 * rng.standard_normal((n, channels))),
    "noise": Transform(
        "z-score, standard deviation",
        0,
        0.5,
        lambda rng, n, channels: rng.uniform(0, 0.15, (n, channels)) * (rng.random((n, 1)) < 0.5),
    ),
    "bands": Transform(
        "fraction of the radiograph that a black band covers at each edge",
        0,
        0.3,
        lambda rng, n, _: rng.uniform(0, _BAND, (n, 4)) * (rng.random((n, 4)) < (0.2, 0.2, 0.2, 0.4)),
    ),
}
"""Every transform, in the order in which they are applied."""

_LOWEST_POWER = 0.1
"""Of a gamma transform: at 0 all intensities would be one, below it black would be infinite."""

NONE: tuple[str, ...] = ()
ALL = tuple(name for name in TRANSFORMS if name not in ("bands", "curve"))
USUAL = ("rotation", "scale", "shift", "flip", "gamma", "contrast", "brightness", "noise")

SCANNERS = {
    **dict.fromkeys(("rotation", "scale", "shift", "flip", "elastic", "curve"), 1.0),
    **dict.fromkeys(("bias field", "blur", "low resolution", "gamma", "contrast", "brightness", "noise"), 2.0),
}
"""Every transform for heads, those of intensity twice as strong: as far as hospitals are apart, not patients of one."""

INTENSITY = ("gamma", "contrast", "brightness")
XRAY = ("rotation", "scale", "shift", *INTENSITY, "noise", "bands")  # no flip: the heart lies on one side


def draw(
    rng: np.random.Generator,
    n: int,
    size: int,
    channels: int,
    transforms: Sequence[str] | Mapping[str, float] = USUAL,
) -> AugmentationParams:
    """Draw the parameters for one batch, from the distributions in `TRANSFORMS`.

    Args:
        rng: the generator; all that is random comes from it.
        n: number of slices.
        size: pixels along each side of a slice.
        channels: channels of a slice.
        transforms: names in `TRANSFORMS`, as in `USUAL`, or factors on their strengths by name, as in `SCANNERS`; their
            order is that of the draws.

    Returns:
        The parameters of these transforms; those of all others are None.
    """
    factors = transforms if isinstance(transforms, Mapping) else dict.fromkeys(transforms, 1)
    strengths = {name: factor * TRANSFORMS[name].draw(rng, n, channels) for name, factor in factors.items()}
    return _params(strengths, rng, n, size, channels)


def drop_modalities(rng: np.random.Generator, n: int, channels: int, share: float) -> np.ndarray:
    """Which modalities of each slice the network is shown; one at least (modality dropout, arXiv 1907.00604).

    Args:
        rng: the generator.
        n: number of slices.
        channels: modalities of a slice.
        share: chance of each modality to be missing.

    Returns:
        (n, channels) float32, 1 or 0, as `AugmentationParams.shown`.
    """
    shown = rng.random((n, channels)) >= share
    one = rng.integers(0, channels, n)
    shown[np.arange(n), one] |= ~shown.any(axis=1)
    return shown.astype(np.float32)


def single(name: str, strength: float, size: int, channels: int, seed: int = 0) -> AugmentationParams:
    """The parameters of one transform alone, for one slice (n = 1), as a slider sets it.

    >>> single("contrast", 0.5, size=8, channels=2).gain.tolist()
    [[1.5, 1.5]]

    Args:
        name: a name in `TRANSFORMS`, which also gives the unit and the range of the strength.
        strength: in the unit of the transform; 0 changes nothing.
        size: pixels along each side of the slice.
        channels: channels of the slice.
        seed: of the pattern of noise, of an elastic and of a bias field; the same for all strengths.

    Returns:
        The parameters of this transform; those of all others are None.

    Raises:
        ValueError: there is no such transform.
    """
    if name not in TRANSFORMS:
        raise ValueError(f"transform {name!r} is not known; there are {', '.join(TRANSFORMS)}.")
    return _params({name: strength}, np.random.default_rng(seed), 1, size, channels)


def _params(
    strengths: Mapping[str, float | np.ndarray], rng: np.random.Generator, n: int, size: int, channels: int
) -> AugmentationParams:
    """The parameters for strengths by transform; `rng` draws the patterns of fields and noise."""

    def strength(name: str, *shape: int) -> np.ndarray:
        return np.broadcast_to(np.asarray(strengths.get(name, 0.0), np.float32), (n, *shape))

    def per_channel(name: str, neutral: float, lowest: float = 0.0) -> np.ndarray | None:
        return np.maximum(neutral + strength(name, channels), lowest, dtype=np.float32) if name in strengths else None

    matrix = displacements = bias = curve = start = None
    if {"rotation", "scale", "shift", "flip"} & set(strengths):
        scale, shift = 1 + strength("scale", 2), size * strength("shift", 2)
        matrix = affine(size, strength("rotation"), scale, shift, strength("flip") > 0.5)
    if "elastic" in strengths:
        displacements = elastic(rng.standard_normal((n, ELASTIC_POINTS, ELASTIC_POINTS, 2)), strength("elastic"), size)
    if "bias field" in strengths:
        bias = rng.standard_normal((n, BIAS_POINTS, BIAS_POINTS, channels), np.float32)
        bias -= bias.mean(axis=(1, 2), keepdims=True)  # z-scoring removes a mean anyway
        bias *= strength("bias field", channels)[:, None, None]
    if "curve" in strengths:
        pattern = rng.standard_normal((n, channels, CURVE_PIECES), np.float32)
        curve = np.exp(strength("curve", channels)[..., None] * pattern)
        curve /= curve.mean(axis=-1, keepdims=True)
    if "noise" in strengths:
        start = rng.integers(0, GRAINS, n, np.int32)
    return AugmentationParams(
        affine=matrix,
        elastic=displacements,
        bias=bias,
        blur=per_channel("blur", 0),
        coarse=per_channel("low resolution", 1),
        gamma=per_channel("gamma", 1, lowest=_LOWEST_POWER),
        curve=curve,
        gain=per_channel("contrast", 1),
        offset=per_channel("brightness", 0, lowest=BLACK),
        noise=per_channel("noise", 0),
        grain=start,
        bands=strength("bands", 4) if "bands" in strengths else None,
    )


def apply(
    images: keras.KerasTensor, soft_labels: keras.KerasTensor | None, params: AugmentationParams
) -> tuple[keras.KerasTensor, keras.KerasTensor | None]:
    """Augment a batch.

    A black band lies beside the annotated region, as a real one lies beside the chest: it ends where the mask begins,
    so the soft labels stay correct and do not change. Without soft labels nothing limits it.

    >>> images, soft_labels = np.ones((1, 8, 8, 1), np.float32), np.ones((1, 8, 8, 1), np.float32)
    >>> brighter, _ = apply(images, soft_labels, single("brightness", 0.5, size=8, channels=1))
    >>> tuple(brighter.shape), float(ops.max(brighter))
    ((1, 8, 8, 1), 1.5)

    Args:
        images: (n, size, size, channels) float32, z-scored, 0 outside the brain or beside the radiograph.
        soft_labels: (n, size, size, classes) float32, soft labels that sum to 1, background first; None where there is
            no ground truth.
        params: the parameters for these n slices.

    Returns:
        Both, augmented; intensities change inside the brain only, and soft labels still sum to 1.
    """
    if params.affine is not None or params.elastic is not None:
        sampling = corners(ops.shape(images)[0], images.shape[1], params.affine, params.elastic)
        images = look_up(images, sampling)  # the same sampling positions for both, so that they stay aligned
        if soft_labels is not None:
            background = np.eye(soft_labels.shape[-1], dtype=np.float32)[0]  # what comes from outside
            soft_labels = background + look_up(soft_labels - background, sampling)
    images = _change_intensity(images, params)
    if params.bands is not None:
        # Resampling leaves traces of foreground, up to 0.02, that are no lung.
        protected = None if soft_labels is None else 1 - soft_labels[..., 0] - 0.02
        images = blacken(images, params.bands, protected)
    return images, soft_labels


def _change_intensity(images: keras.KerasTensor, params: AugmentationParams) -> keras.KerasTensor:
    """The images (n, size, size, channels) with every transform of intensity but the black bands applied."""
    brain = ops.cast(images != 0, images.dtype)  # per modality: some scans cover a part of the head only

    def per_channel(numbers: np.ndarray) -> keras.KerasTensor:
        return ops.reshape(numbers, (-1, 1, 1, images.shape[-1]))

    if params.bias is not None:
        images = shade(images, params.bias)
    images = soften(images, params.blur, params.coarse)
    if params.gamma is not None:
        images = bend(images, per_channel(params.gamma))
    if params.curve is not None:
        images = remap(images, params.curve)
    if params.gain is not None:
        images = images * per_channel(params.gain)
    if params.offset is not None:
        images = images + per_channel(params.offset)
    if params.noise is not None:
        images = grain(images, per_channel(params.noise), params.grain)
    if params.shown is not None:
        brain = brain * per_channel(params.shown)
    return images * brain
