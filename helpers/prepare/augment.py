"""Variation for training: image and mask moved together, and the image's intensities changed.

NumPy draws the numbers from a seed, `keras.ops` applies them; so the same seed gives the same batch on every backend,
and the arithmetic runs where the network runs. Masks travel as soft labels, which may be interpolated; integer labels
may not (half of label 4 and half of label 0 is not oedema).

    variation = draw(np.random.default_rng(0), n=16, size=96, channels=2)
    images, shares = apply(images, shares, variation)

    one = single("rotation", 15, size=96, channels=2)  # what a slider asks for
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from helpers.prepare.deform import ELASTIC_POINTS, affine, corners, elastic, look_up
from helpers.prepare.intensity import BIAS_POINTS, GRAINS, bend, blacken, grain, shade, soften


@dataclass(frozen=True)
class AugmentationParams:
    """What happens to a batch of n slices; `AugmentationParams()` changes nothing, what is None is left out of the
    arithmetic.

    Attributes:
        affine: (n, 2, 3) map from output to input pixels, see `deform.affine`.
        elastic: (n, points, points, 2) displacements of an elastic field's control points, pixels.
        bias: (n, points, points, channels), logarithm of a bias field at its control points.
        blur: (n, channels), standard deviation of a Gaussian, pixels.
        coarse: (n, channels), width of a coarser scan's pixels, in pixels.
        gamma: (n, channels), exponent on the intensity scaled to [0, 1].
        gain, offset: (n, channels), contrast and brightness in z-scored units.
        noise: (n, channels), standard deviation; z-scored units.
        grain: (n,) int32, where each slice's noise begins in the strip of `intensity.grain`.
        bands: (n, 4), widths of black bands at the left, right, top and bottom, see `intensity.blacken`.
    """

    affine: np.ndarray | None = None
    elastic: np.ndarray | None = None
    bias: np.ndarray | None = None
    blur: np.ndarray | None = None
    coarse: np.ndarray | None = None
    gamma: np.ndarray | None = None
    gain: np.ndarray | None = None
    offset: np.ndarray | None = None
    noise: np.ndarray | None = None
    grain: np.ndarray | None = None
    bands: np.ndarray | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that are there, by name: what is sent to the device, and `AugmentationParams(**arrays)` there."""
        return {name: array for name, array in vars(self).items() if array is not None}


@dataclass(frozen=True)
class Transform:
    """One way to vary a slice.

    Attributes:
        unit: what its strength counts. Strength 0 leaves the slice as it is.
        low, high: the ends of a slider.
        draw: strengths for training from (generator, n, channels): (n,); (n, 2) for columns and rows; (n, channels);
            (n, 4) for the sides.
    """

    unit: str
    low: float
    high: float
    draw: Callable[[np.random.Generator, int, int], np.ndarray]


def _sometimes(rng: np.random.Generator, n: int, channels: int, probability: float, low: float, high: float):
    """(n, channels): evenly between low and high with this probability, else 0; each channel for itself."""
    return rng.uniform(low, high, (n, channels)) * (rng.random((n, channels)) < probability)


_BAND = np.array([0.1, 0.1, 0.1, 0.3])
"""Widest bands at the left, right, top and bottom, as shares of a radiograph: Montgomery has 73 radiographs of 100 with
one at the bottom, up to a third of the radiograph; 4 of 100 with one at a side, up to an eighth."""

TRANSFORMS: dict[str, Transform] = {
    "rotation": Transform("degrees", -20, 20, lambda rng, n, _: rng.uniform(-20, 20, n)),
    "scale": Transform(
        "times larger, less 1",
        -0.2,
        0.25,
        lambda rng, n, _: np.exp(rng.uniform(np.log(0.8), np.log(1.25), (n, 1)) + rng.uniform(-0.08, 0.08, (n, 2))) - 1,
    ),
    "shift": Transform("share of the side", -0.05, 0.05, lambda rng, n, _: rng.uniform(-0.05, 0.05, (n, 2))),
    "flip": Transform("0 or 1", 0, 1, lambda rng, n, _: rng.integers(0, 2, n)),
    "elastic": Transform(
        "share of the side, standard deviation of control points",
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
    "brightness": Transform("z-score", -1, 1, lambda rng, n, channels: 0.12 * rng.standard_normal((n, channels))),
    "noise": Transform(
        "z-score, standard deviation",
        0,
        0.5,
        lambda rng, n, channels: rng.uniform(0, 0.15, (n, channels)) * (rng.random((n, 1)) < 0.5),
    ),
    "bands": Transform(
        "share of the radiograph that a black band covers at each edge",
        0,
        0.3,
        lambda rng, n, _: rng.uniform(0, _BAND, (n, 4)) * (rng.random((n, 4)) < (0.2, 0.2, 0.2, 0.4)),
    ),
}
"""Every way to vary a slice, in the order in which they are applied."""

NONE: tuple[str, ...] = ()
ALL = tuple(kind for kind in TRANSFORMS if kind != "bands")  # all that can happen to a head
USUAL = ("rotation", "scale", "shift", "flip", "gamma", "contrast", "brightness", "noise")

INTENSITY = ("gamma", "contrast", "brightness")
XRAY = ("rotation", "scale", "shift", *INTENSITY, "noise", "bands")  # no flip: the heart lies on one side


def draw(
    rng: np.random.Generator, n: int, size: int, channels: int, kinds: tuple[str, ...] = USUAL
) -> AugmentationParams:
    """Numbers for one batch of n slices of (size, size, channels), from the distributions in `TRANSFORMS`."""
    strengths = {kind: TRANSFORMS[kind].draw(rng, n, channels) for kind in kinds}
    return _params(strengths, rng, n, size, channels)


def single(kind: str, strength: float, size: int, channels: int, seed: int = 0) -> AugmentationParams:
    """One kind alone, for one slice (n = 1): what a playground's slider shows; strength 0 changes nothing.

    Args:
        kind: a name in `TRANSFORMS`, which also says what the strength counts and where a slider ends.
        seed: of the pattern of noise, of an elastic and of a bias field; the same for all strengths.

    Raises:
        ValueError: there is no such kind.
    """
    if kind not in TRANSFORMS:
        raise ValueError(f"kind {kind!r} is not known; there are {', '.join(TRANSFORMS)}.")
    return _params({kind: strength}, np.random.default_rng(seed), 1, size, channels)


def _params(
    strengths: Mapping[str, float | np.ndarray], rng: np.random.Generator, n: int, size: int, channels: int
) -> AugmentationParams:
    """The arrays for some strengths; `rng` makes the patterns."""

    def strength(kind: str, *shape: int) -> np.ndarray:
        return np.broadcast_to(np.asarray(strengths.get(kind, 0.0), np.float32), (n, *shape))

    def each(kind: str, neutral: float) -> np.ndarray | None:
        return neutral + strength(kind, channels) if kind in strengths else None

    moved = wave = bias = start = None
    if {"rotation", "scale", "shift", "flip"} & set(strengths):
        scale, shift = 1 + strength("scale", 2), size * strength("shift", 2)
        moved = affine(size, strength("rotation"), scale, shift, strength("flip") > 0.5)
    if "elastic" in strengths:
        wave = elastic(rng.standard_normal((n, ELASTIC_POINTS, ELASTIC_POINTS, 2)), strength("elastic"), size)
    if "bias field" in strengths:
        bias = rng.standard_normal((n, BIAS_POINTS, BIAS_POINTS, channels), np.float32)
        bias -= bias.mean(axis=(1, 2), keepdims=True)  # normalisation takes a mean away, so there is none to learn from
        bias *= strength("bias field", channels)[:, None, None]
    if "noise" in strengths:
        start = rng.integers(0, GRAINS, n, np.int32)
    return AugmentationParams(
        affine=moved,
        elastic=wave,
        bias=bias,
        blur=each("blur", 0),
        coarse=each("low resolution", 1),
        gamma=each("gamma", 1),
        gain=each("contrast", 1),
        offset=each("brightness", 0),
        noise=each("noise", 0),
        grain=start,
        bands=strength("bands", 4) if "bands" in strengths else None,
    )


def apply(
    images: keras.KerasTensor, soft_labels: keras.KerasTensor | None, variation: AugmentationParams
) -> tuple[keras.KerasTensor, keras.KerasTensor | None]:
    """Vary a batch.

    A black band lies beside what is outlined, as a real one lies beside the chest: it ends where the mask begins, so
    that shares stay true and are left alone. Without shares nothing holds it back.

    Args:
        images: (n, size, size, channels) float32, z-scored, 0 outside the brain or beside the radiograph.
        soft_labels: (n, size, size, classes) float32, soft labels that sum to 1; None where nobody outlined anything.

    Returns:
        Both, varied; intensities change inside the brain only, and shares still sum to 1.
    """
    if variation.affine is not None or variation.elastic is not None:
        found = corners(ops.shape(images)[0], images.shape[1], variation.affine, variation.elastic)
        images = look_up(images, found)  # one set of corners moves both, so they cannot part
        if soft_labels is not None:
            background = np.eye(soft_labels.shape[-1], dtype=np.float32)[0]  # what comes from outside
            soft_labels = background + look_up(soft_labels - background, found)
    images = _change_intensity(images, variation)
    if variation.bands is not None:
        spared = (
            None if soft_labels is None else 1 - soft_labels[..., 0] - 0.02
        )  # a trace that resampling leaves is no lung
        images = blacken(images, variation.bands, spared)
    return images, soft_labels


def _change_intensity(images: keras.KerasTensor, variation: AugmentationParams) -> keras.KerasTensor:
    brain = ops.cast(images != 0, images.dtype)  # per modality: some scans cover a part of the head only

    def each(numbers: np.ndarray) -> keras.KerasTensor:
        return ops.reshape(numbers, (-1, 1, 1, images.shape[-1]))

    if variation.bias is not None:
        images = shade(images, variation.bias)
    images = soften(images, variation.blur, variation.coarse)
    if variation.gamma is not None:
        images = bend(images, each(variation.gamma))
    if variation.gain is not None:
        images = images * each(variation.gain)
    if variation.offset is not None:
        images = images + each(variation.offset)
    if variation.noise is not None:
        images = grain(images, each(variation.noise), variation.grain)
    return images * brain
