"""Which checkpoint of an adaptation to keep, when the new hospital has no masks to tell.

Three things can be seen without them: whether the network still outlines the source's radiographs, whether it is less
sure of the target's, and whether what it outlines there could be lungs. To be sure by itself is no merit: a network
that learns the source's masks by heart gets surer of everything. Masks of the target would choose better; what that
would be worth is an oracle's number, not a method's.
"""

from dataclasses import dataclass

import keras
import numpy as np
from scipy import ndimage

from helpers.learn.predict_batches import predict_batches
from helpers.measure.overlap import dice

MAX_RADIOGRAPHS = 64
"""Of the target that are looked at, at most: enough to see a drift, few enough to look often."""

MIN_COMPONENT = 0.01
"""Share of a radiograph from which a connected part counts: smaller ones are specks."""


@dataclass(frozen=True)
class ModelSelector:
    """Looks at a network without the target's masks.

    Attributes:
        images, shares: (n, size, size, 1) and (n, size, size, 2) uint8, the source's validation radiographs.
        areas: (radiographs,) share of each of the source's training radiographs that is lung.
        target: (m, size, size, 1), radiographs of the target.
    """

    images: np.ndarray
    soft_labels: np.ndarray
    areas: np.ndarray
    target: np.ndarray

    def __call__(self, network: keras.Model) -> dict[str, float]:
        """What a row of the history says of a network.

        Returns:
            val_dice: mean Dice over the source's validation radiographs, on the network's grid;
            doubt: mean entropy of a radiograph's pixels, in bits, for each pixel of lung, at the target less at the
                source;
            odd: share of the target's radiographs on which the outline is none of lungs: not two parts, or larger or
                smaller than all but one in a hundred of the source's;
            choice: val_dice - doubt - odd. The checkpoint with the highest is kept.
        """
        here, there, truth = (
            lung_probabilities(network, self.images),
            lung_probabilities(network, self.target),
            self.soft_labels[..., 1] > 127,
        )
        val_dice = float(np.mean([dice(one, other) for one, other in zip(truth, here > 0.5, strict=True)]))
        doubt = float(np.mean(entropy_per_lung_pixel(there)) - np.mean(entropy_per_lung_pixel(here)))
        low, high = np.quantile(self.areas, (0.01, 0.99))
        odd = float(np.mean([_is_implausible(one > 0.5, low, high) for one in there]))
        return {
            "val_dice": val_dice,
            "relative_entropy_gap": doubt,
            "implausible_fraction": odd,
            "selection_score": val_dice - doubt - odd,
        }


def lung_probabilities(network: keras.Model, images: np.ndarray) -> np.ndarray:
    """The probability of lung in every pixel, (n, size, size) float32."""
    return predict_batches(network, images)[..., -1]


def entropy_per_lung_pixel(probabilities: np.ndarray) -> np.ndarray:
    """The entropy of each radiograph's pixels in bits, for each pixel of lung: (n, size, size) to (n,).

    By the radiograph it would reward a network that finds nothing, and is sure of that.
    """
    p = np.clip(probabilities, 1e-6, 1 - 1e-6)
    bits = -(p * np.log2(p) + (1 - p) * np.log2(1 - p)).sum(axis=(1, 2))
    return bits / (1 + probabilities.sum(axis=(1, 2)))


def _is_implausible(mask: np.ndarray, low: float, high: float) -> bool:
    parts, _ = ndimage.label(mask)
    large = (np.bincount(parts.ravel())[1:] > MIN_COMPONENT * mask.size).sum()
    return bool(large != 2 or not low <= mask.mean() <= high)
