"""The scores of a public Kaggle kernel, and the steps between them and an honest one.

*3d-mri-brain-tumor-segmentation-u-net* on Kaggle reports accuracy, `keras.metrics.MeanIoU` on one-hot masks, and a Dice
of probabilities, averaged over four labels of which one is the background, batch by batch. Lesson 08 mends one step
after another; every function here is one of them, and `tests/measure/test_kernel_scores.py` holds what follows from its
formula.
"""

from collections.abc import Sequence

import numpy as np

from helpers.measure.overlap import dice, jaccard
from helpers.measure.regions import REGIONS, mask

CLASSES = (0, 1, 2, 3)
FOREGROUND = (1, 2, 3)


def accuracy(truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]) -> float:
    """Share of all voxels with the right label; background counts as any other.

    Args:
        truths: labels of each patient, any shape.
        predictions: of the same patients, each of the same shape.
    """
    right = sum(int((truth == labels).sum()) for truth, labels in zip(truths, predictions, strict=True))
    return right / sum(truth.size for truth in truths)


def one_hot_mean_iou(truth: np.ndarray, prediction: np.ndarray) -> float:
    """What `keras.metrics.MeanIoU` makes of one-hot masks: every entry is cut to a whole number and counted as a pixel.

    >>> eye = np.eye(4)
    >>> one_hot_mean_iou(eye[[0, 0, 1]], eye[[0, 0, 1]]), one_hot_mean_iou(eye[[0, 0, 1]], 0.9 * eye[[0, 0, 1]])
    (1.0, 0.375)

    Args:
        truth: (..., classes), shares of each class.
        prediction: (..., classes), probabilities, or one-hot labels.
    """
    is_true, is_drawn = np.asarray(truth).astype(int) == 1, np.asarray(prediction).astype(int) == 1
    both, either = np.count_nonzero(is_true & is_drawn), np.count_nonzero(is_true | is_drawn)
    total = is_true.size
    ious = [(total - either) / (total - both)] if total > both else []
    ious += [both / either] if either else []
    return float(np.mean(ious))


def iou_of_accuracy(accuracy: float, classes: int = 4) -> float:
    """The `one_hot_mean_iou` of hard predictions, which follows from their accuracy and from nothing else.

    A wrong pixel spoils one entry that is 1 and one that is 0. With a share e of wrong pixels and K classes, of the
    zeros K - 1 - e per pixel agree out of K - 1 + e, and of the ones 1 - e out of 1 + e.

    >>> round(iou_of_accuracy(0.994), 4)  # the paper's accuracy, and its IoU
    0.992

    Args:
        accuracy: share of right pixels.
        classes: entries of a pixel.
    """
    e = 1 - accuracy
    return ((classes - 1 - e) / (classes - 1 + e) + (1 - e) / (1 + e)) / 2


def kernel_dice(
    truth: np.ndarray, probabilities: np.ndarray, classes: Sequence[int] = CLASSES, smooth: float = 1.0
) -> float:
    """The kernel's `dice_coef` of one batch: (2 sum(y p) + 1) / (sum(y) + sum(p) + 1), averaged over the classes.

    Args:
        truth: (slices, rows, columns, 4), shares of each class.
        probabilities: the same shape.
        classes: those in the mean; the kernel takes all four.
        smooth: added to both sides, which makes the Dice of a class that nobody draws 1.
    """
    y, p = (np.asarray(one, np.float64)[..., list(classes)].reshape(-1, len(classes)) for one in (truth, probabilities))
    return float(np.mean((2 * (y * p).sum(axis=0) + smooth) / (y.sum(axis=0) + p.sum(axis=0) + smooth)))


def by_batch(truth: np.ndarray, probabilities: np.ndarray, size: int, classes: Sequence[int] = CLASSES) -> float:
    """Mean of `kernel_dice` over batches of neighbouring slices, which are neither slices nor patients.

    Args:
        truth: (slices, rows, columns, 4), shares of each class, of one patient.
        probabilities: the same shape.
        size: slices in a batch.
        classes: those in the mean.
    """
    starts = range(0, len(truth), size)
    return float(np.mean([kernel_dice(truth[k : k + size], probabilities[k : k + size], classes) for k in starts]))


def class_dice(truth: np.ndarray, labels: np.ndarray, classes: Sequence[int] = FOREGROUND) -> float:
    """Mean over classes of the Dice of one patient; a class that nobody draws scores 1.

    Args:
        truth: network labels, any shape.
        labels: predicted ones, the same shape.
        classes: those in the mean.
    """
    return float(np.mean([dice(truth == label, labels == label) for label in classes]))


def honest_dice(truth: np.ndarray, labels: np.ndarray) -> float:
    """Mean over WT, TC and ET of the Dice of one patient; honest where it is all slices, on the patient's own grid.

    Args:
        truth: (rows, columns, slices) network labels.
        labels: predicted ones, the same shape.
    """
    return float(np.mean([dice(mask(truth, region), mask(labels, region)) for region in REGIONS]))


def honest_jaccard(truth: np.ndarray, labels: np.ndarray) -> float:
    """As `honest_dice`, of the Jaccard index.

    Args:
        truth: (rows, columns, slices) network labels.
        labels: predicted ones, the same shape.
    """
    return float(np.mean([jaccard(mask(truth, region), mask(labels, region)) for region in REGIONS]))


def slice_dice(truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray], empty: float | None) -> float:
    """Mean Dice over all slices of all patients.

    Args:
        truths: masks (rows, columns, slices), bool, a patient each.
        predictions: of the same patients, each of the same shape.
        empty: the score of a slice where both masks are empty. None averages over the slices with truth alone.
    """
    values = []
    for truth, drawn in zip(truths, predictions, strict=True):
        for k in range(truth.shape[2]):
            nothing = not (truth[..., k].any() or drawn[..., k].any())
            if empty is None and not truth[..., k].any():
                continue
            values.append(empty if nothing else dice(truth[..., k], drawn[..., k]))
    return float(np.mean(values))


def pooled_dice(truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]) -> float:
    """The Dice of the voxels of all patients in one pot.

    It is a mean over patients in which each weighs by the size of its two masks, so that it differs from the plain mean
    by the covariance of weight and Dice: where large tumours are drawn better than small ones it is the larger.

    Args:
        truths: masks, a patient each, bool, any shape.
        predictions: of the same patients, each of the same shape.
    """
    shared = sum(np.count_nonzero(t & p) for t, p in zip(truths, predictions, strict=True))
    total = sum(np.count_nonzero(t) + np.count_nonzero(p) for t, p in zip(truths, predictions, strict=True))
    return 2 * shared / total if total else 1.0
