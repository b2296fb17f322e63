"""Variation for training: image and mask turned, scaled, shifted and flipped together, and the image's intensities
varied.

NumPy draws the numbers from a seed, `keras.ops` applies them; so the same seed gives the same batch on every backend,
and the arithmetic runs where the network runs. Masks travel as class shares, which may be interpolated; integer labels
may not (half of label 4 and half of label 0 is not oedema).
"""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops


@dataclass(frozen=True)
class Variation:
    """What was drawn for one batch of `n` slices.

    Attributes:
        transform: (n, 8) projective transform from output to input pixels, as `keras.ops.image.affine_transform` wants
            it.
        gain, offset: (n, 1, 1, channels), contrast and brightness in z-scored units.
        gamma: (n, 1, 1, channels), exponent on the intensity scaled to [0, 1].
        noise: (n, size, size, channels), added; z-scored units.
    """

    transform: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    gamma: np.ndarray
    noise: np.ndarray


def draw(rng: np.random.Generator, n: int, size: int, channels: int) -> Variation:
    """Numbers for one batch: rotation within 20 degrees, scale 0.8 to 1.25, shift within 5 %, flips left to right.

    Flips exchange the brain's sides, which look alike; anterior and posterior do not, so there is no other flip.
    """
    angle = np.deg2rad(rng.uniform(-20, 20, n))
    scale = np.exp(rng.uniform(np.log(0.8), np.log(1.25), (n, 1))) * np.exp(rng.uniform(-0.08, 0.08, (n, 2)))
    shift = rng.uniform(-0.05, 0.05, (n, 2)) * size
    mirror = rng.choice([-1.0, 1.0], n)

    def each() -> np.ndarray:
        return rng.standard_normal((n, 1, 1, channels))

    noise_level = rng.uniform(0, 0.15, (n, 1, 1, channels)) * (rng.random((n, 1, 1, 1)) < 0.5)
    return Variation(
        _about_the_middle(angle, scale, mirror, shift, size),
        np.exp(0.12 * each()).astype(np.float32),
        (0.12 * each()).astype(np.float32),
        np.exp(0.15 * each()).astype(np.float32),
        (noise_level * rng.standard_normal((n, size, size, channels), np.float32)).astype(np.float32),
    )


def _about_the_middle(
    angle: np.ndarray, scale: np.ndarray, mirror: np.ndarray, shift: np.ndarray, size: int
) -> np.ndarray:
    """(n, 8) coefficients a0 … a5, 0, 0: input x = a0 x + a1 y + a2, input y = a3 x + a4 y + a5, x along columns."""
    cos, sin, middle = np.cos(angle), np.sin(angle), (size - 1) / 2
    # Rows of a volume run left to right (file order), so mirroring the sides of the brain flips y.
    a0, a1 = cos / scale[:, 0], -sin * mirror / scale[:, 1]
    a3, a4 = sin / scale[:, 0], cos * mirror / scale[:, 1]
    a2 = middle - a0 * (middle + shift[:, 0]) - a1 * (middle + shift[:, 1])
    a5 = middle - a3 * (middle + shift[:, 0]) - a4 * (middle + shift[:, 1])
    zero = np.zeros_like(a0)
    return np.stack([a0, a1, a2, a3, a4, a5, zero, zero], axis=-1).astype(np.float32)


def apply(
    images: keras.KerasTensor, shares: keras.KerasTensor, variation: Variation
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Vary a batch.

    Args:
        images: (n, size, size, channels) float32, z-scored, 0 outside the brain.
        shares: (n, size, size, classes) float32, class shares that sum to 1.

    Returns:
        Both, varied; intensities change inside the brain only, and shares still sum to 1.
    """
    joint = ops.concatenate([images, shares[..., 1:]], axis=-1)  # one resampling moves both, so they cannot part
    joint = ops.image.affine_transform(joint, variation.transform, interpolation="bilinear", fill_mode="constant")
    channels = images.shape[-1]
    images, tumour = joint[..., :channels], joint[..., channels:]
    shares = ops.concatenate([1.0 - ops.sum(tumour, axis=-1, keepdims=True), tumour], axis=-1)

    brain = ops.cast(images != 0, images.dtype)  # per modality: some scans cover a part of the head only
    unit = ops.clip((images + 5.0) / 10.0, 0.0, 1.0)  # z-scores are clipped to [-5, 5]
    images = 10.0 * unit**variation.gamma - 5.0
    images = images - 10.0 * 0.5**variation.gamma + 5.0  # the exponent leaves the mean intensity, 0, where it was
    images = (images * variation.gain + variation.offset + variation.noise) * brain
    return images, shares
