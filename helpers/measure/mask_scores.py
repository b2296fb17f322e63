"""All scores of a pair of masks in one pass: what several of them need is computed once."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.measure.components import lesions
from helpers.measure.overlap import as_masks, share
from helpers.measure.surface import as_spacing, bounding_box, diagonal_mm, largest_95, mean_of_both, surface_distances
from helpers.measure.surface_dice import nsd

TOLERANCE_MM = 1.0
"""Tolerance of the normalised surface distance: a voxel of BraTS."""

SCORES = (
    "dice",
    "jaccard",
    "sensitivity",
    "precision",
    "hd95_mm",
    "assd_mm",
    "nsd_1mm",
    "volume_error_ml",
    "absolute_volume_error_ml",
    "lesion_recall",
    "lesion_precision",
)
"""What a pair of masks is scored by; a name ends with the unit, or with the tolerance."""

DIAGONAL = ("hd95_mm", "assd_mm")
"""Distances: where one mask alone is empty, the score is the diagonal of the volume."""


class MaskCounts(NamedTuple):
    """What the scores of a pair of masks are made of; sums over patients give pooled scores.

    Attributes:
        true_voxels: of the ground truth.
        predicted_voxels: of the prediction.
        shared_voxels: of both.
        lesions_found: see `helpers.measure.components.Lesions`, as the next two.
        lesions_missed: lesions of the ground truth that no component touches.
        lesions_false: components that touch no lesion.
    """

    true_voxels: int
    predicted_voxels: int
    shared_voxels: int
    lesions_found: int
    lesions_missed: int
    lesions_false: int

    @property
    def one_is_empty(self) -> bool:
        """Whether one mask alone is empty, so that a distance is the diagonal of the volume."""
        return (self.true_voxels == 0) != (self.predicted_voxels == 0)


def score_masks(
    truth: ArrayLike, prediction: ArrayLike, spacing: Sequence[float], shape: tuple[int, ...] | None = None
) -> tuple[dict[str, float | None], MaskCounts]:
    """All `SCORES` of a pair of masks, and the counts behind them.

    Args:
        truth: ground truth mask of two or three axes, boolean or 0 and 1.
        prediction: mask of the same shape.
        spacing: millimetres per voxel along each axis.
        shape: of the volume, in voxels, where the masks are a box cut out of it that holds all their voxels.

    Returns:
        The scores by name. Empty masks score by the rule of `helpers.measure.overlap.empty_mask_score`; what is not
        defined is None: sensitivity and lesion recall without ground truth, precision without a prediction, lesion
        precision where no lesion is found and none is false. And the counts.

    Raises:
        ValueError: shapes differ, values other than 0 and 1, or a spacing that is not positive.
    """
    truth, prediction = as_masks(truth, prediction)
    steps = as_spacing(spacing, truth.ndim)
    shape = shape or truth.shape
    if (together := truth | prediction).any():
        box = bounding_box(together)
        truth, prediction = truth[box], prediction[box]
    true, predicted = int(np.count_nonzero(truth)), int(np.count_nonzero(prediction))
    both = int(np.count_nonzero(truth & prediction))
    counted = lesions(truth, prediction, spacing)
    counts = MaskCounts(true, predicted, both, *counted)
    if true and predicted:
        directed = surface_distances(truth, prediction, spacing)
        distances = largest_95(*directed), mean_of_both(*directed)
    else:
        distances = (diagonal_mm(shape, steps) if counts.one_is_empty else 0.0,) * 2
    volume_error = (predicted - true) * float(np.prod(spacing)) / 1000  # 1 ml is 1000 mm^3
    scores = {
        **overlap_scores(true, predicted, both),
        "hd95_mm": distances[0],
        "assd_mm": distances[1],
        "nsd_1mm": nsd(truth, prediction, spacing, TOLERANCE_MM),
        "volume_error_ml": volume_error,
        "absolute_volume_error_ml": abs(volume_error),
        "lesion_recall": counted.recall,
        "lesion_precision": counted.precision,
    }
    return scores, counts


def overlap_scores(true: int, predicted: int, both: int) -> dict[str, float | None]:
    """Dice, Jaccard, sensitivity and precision of counts of voxels, of one patient or summed over several.

    >>> overlap_scores(true=2, predicted=3, both=2)["dice"]
    0.8

    Args:
        true: voxels of the ground truth.
        predicted: voxels of the prediction.
        both: voxels of both.

    Returns:
        The four scores; without any voxel Dice and Jaccard are 1, and the two others None.
    """
    return {
        "dice": 2 * both / (true + predicted) if true + predicted else 1.0,
        "jaccard": both / (true + predicted - both) if true + predicted else 1.0,
        "sensitivity": share(both, true),
        "precision": share(both, predicted),
    }


class SliceCounts(NamedTuple):
    """The slices of a patient, and the sum of their Dice: what any rule for empty slices makes a mean of.

    Attributes:
        slices: of the volume.
        with_truth: slices with ground truth.
        both_empty: slices with neither ground truth nor prediction.
        sum_dice: sum of Dice over the slices with ground truth; it is 0 in those with a prediction alone.
    """

    slices: int
    with_truth: int
    both_empty: int
    sum_dice: float


def count_slices(truth: NDArray[np.bool_], prediction: NDArray[np.bool_], slices: int) -> SliceCounts:
    """Dice slice by slice, along the last axis.

    Args:
        truth: ground truth mask, (rows, columns, slices), or a box of it that holds all its voxels.
        prediction: mask of the same shape.
        slices: of the whole volume.
    """
    true, predicted, both = (np.count_nonzero(m, axis=(0, 1)) for m in (truth, prediction, truth & prediction))
    total = true + predicted  # (slices,)
    dice = 2 * both[true > 0] / total[true > 0]
    empty = slices - np.count_nonzero(total)
    return SliceCounts(slices, int(np.count_nonzero(true)), int(empty), float(dice.sum()))


def label_digest(labels: np.ndarray) -> str:
    """A short digest of a ground truth, by which `compare` knows that two models were scored against the same one.

    Args:
        labels: network labels, or a mask, of any shape.
    """
    return hashlib.sha256(np.ascontiguousarray(labels, np.uint8).tobytes()).hexdigest()[:16]
