"""Model selection without target labels: the checkpoint of an adaptation to use, when the target has no masks.

Three criteria need none: the Dice on the source's validation radiographs, the entropy of the predictions at the target
less that at the source, and the fraction of predictions at the target that cannot be lungs. Entropy alone would be no
criterion: a network that overfits the source's masks becomes more certain of everything. Masks of the target would
select better; what they would be worth is the oracle's score, not a method's.
"""

from dataclasses import dataclass

import keras
import numpy as np

from helpers.learn.predict_batches import predict_batches
from helpers.measure.overlap import dice
from helpers.tasks.lungs.inference import THRESHOLD
from helpers.tasks.lungs.shape import ShapeCheck

MAX_RADIOGRAPHS = 64
"""Radiographs of the target that are evaluated, at most: enough to see a drift, few enough to evaluate often."""


@dataclass(frozen=True)
class ModelSelector:
    """Scores a network without the target's masks.

    Attributes:
        images: (n, size, size, 1), the source's validation radiographs.
        soft_labels: (n, size, size, 2) uint8 in 255ths, their masks.
        shape: learned from the masks of the source's training radiographs; None where they were too few.
        target: (m, size, size, 1), radiographs of the target.
    """

    images: np.ndarray
    soft_labels: np.ndarray
    shape: ShapeCheck | None
    target: np.ndarray

    def __call__(self, network: keras.Model) -> dict[str, float]:
        """The columns of a row of the history that belong to the selection.

        Args:
            network: (batch, size, size, 1) to probabilities.

        Returns:
            val_dice: mean Dice over the source's validation radiographs, on the network's grid;
            relative_entropy_gap: mean of `entropy_per_lung_pixel` at the target, less that at the source, bits;
            implausible_fraction: fraction of the target's radiographs on which the prediction cannot be lungs by
                `helpers.tasks.lungs.shape`; 0 where no shape is known;
            selection_score: val_dice - relative_entropy_gap - implausible_fraction. The checkpoint with the highest is
                selected.
        """
        source, target = lung_probabilities(network, self.images), lung_probabilities(network, self.target)
        truth = self.soft_labels[..., 1] > 127
        val_dice = float(np.mean([dice(one, other) for one, other in zip(truth, source > THRESHOLD, strict=True)]))
        entropy_gap = float(np.mean(entropy_per_lung_pixel(target)) - np.mean(entropy_per_lung_pixel(source)))
        implausible = 0.0 if self.shape is None else self.shape.implausible_fraction(target > THRESHOLD)
        return {
            "val_dice": val_dice,
            "relative_entropy_gap": entropy_gap,
            "implausible_fraction": implausible,
            "selection_score": val_dice - entropy_gap - implausible,
        }


def lung_probabilities(network: keras.Model, images: np.ndarray) -> np.ndarray:
    """The probability of lung in every pixel.

    Args:
        network: (batch, size, size, 1) to probabilities, lung the last class.
        images: (n, size, size, 1).

    Returns:
        (n, size, size) float32.
    """
    return predict_batches(network, images)[..., -1]


def entropy_per_lung_pixel(probabilities: np.ndarray) -> np.ndarray:
    """The entropy of each radiograph's prediction in bits, divided by the predicted lung area in pixels.

    Without the division it would favour a network that finds no lungs, and is certain of that.

    Args:
        probabilities: (n, size, size), of lung.

    Returns:
        (n,).
    """
    p = np.clip(probabilities, 1e-6, 1 - 1e-6)
    bits = -(p * np.log2(p) + (1 - p) * np.log2(1 - p)).sum(axis=(1, 2))
    return bits / (1 + probabilities.sum(axis=(1, 2)))
