"""Overlap of two masks: Dice, Jaccard, sensitivity and precision, and the rules for empty masks.

Dice, Jaccard and all distances have a score for empty masks, that of the BraTS evaluation (`empty_mask_score`).
Sensitivity has no value where the ground truth is empty, nor precision where the prediction is: they are None there,
and a mean says for how many patients it was not defined.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Mask = NDArray[np.bool_]


def dice(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Dice coefficient 2|A and B| / (|A| + |B|) of two masks (Dice 1945).

    Empty masks score by the rule of `empty_mask_score`: 1 where both are empty, 0 where one is.

    >>> dice([1, 1, 1, 0], [0, 1, 1, 0])
    0.8
    >>> dice([0, 0], [0, 0]), dice([0, 0], [0, 1])
    (1.0, 0.0)

    Args:
        truth: ground truth mask of any shape, boolean or 0 and 1.
        prediction: mask of the same shape.

    Returns:
        A number in [0, 1], without a unit.

    Raises:
        ValueError: the shapes differ, or a mask holds other values than 0 and 1.
    """
    truth, prediction = as_masks(truth, prediction)
    empty = empty_mask_score(truth, prediction, best=1.0, worst=0.0)
    if empty is not None:
        return empty
    total = int(np.count_nonzero(truth)) + int(np.count_nonzero(prediction))
    return 2 * int(np.count_nonzero(truth & prediction)) / total


def jaccard(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Jaccard index |A and B| / |A or B| of two masks, also called intersection over union (IoU).

    It orders predictions as Dice does: J = D / (2 - D).

    Args:
        truth: ground truth mask of any shape, boolean or 0 and 1.
        prediction: mask of the same shape.

    Returns:
        A number in [0, 1]; empty masks score by the rule of `empty_mask_score`, as in `dice`.

    Raises:
        ValueError: the shapes differ, or a mask holds other values than 0 and 1.
    """
    truth, prediction = as_masks(truth, prediction)
    empty = empty_mask_score(truth, prediction, best=1.0, worst=0.0)
    if empty is not None:
        return empty
    return int(np.count_nonzero(truth & prediction)) / int(np.count_nonzero(truth | prediction))


def sensitivity(truth: ArrayLike, prediction: ArrayLike) -> float | None:
    """Sensitivity |A and B| / |A|, also called recall: the share of the ground truth that the prediction finds.

    The BraTS evaluation gives 1 where both masks are empty and 0 where the ground truth alone is; here both are not
    defined, for there is nothing to find.

    >>> sensitivity([1, 1, 1, 1], [0, 1, 1, 1]), sensitivity([0, 0], [0, 1])
    (0.75, None)

    Args:
        truth: ground truth mask of any shape, boolean or 0 and 1.
        prediction: mask of the same shape.

    Returns:
        A number in [0, 1]; None where the ground truth is empty.

    Raises:
        ValueError: the shapes differ, or a mask holds other values than 0 and 1.
    """
    truth, prediction = as_masks(truth, prediction)
    return share(int(np.count_nonzero(truth & prediction)), int(np.count_nonzero(truth)))


def precision(truth: ArrayLike, prediction: ArrayLike) -> float | None:
    """Precision |A and B| / |B|: the share of the prediction that the ground truth holds.

    >>> precision([0, 1, 1], [1, 1, 0]), precision([0, 1], [0, 0])
    (0.5, None)

    Args:
        truth: ground truth mask of any shape, boolean or 0 and 1.
        prediction: mask of the same shape.

    Returns:
        A number in [0, 1]; None where the prediction is empty.

    Raises:
        ValueError: the shapes differ, or a mask holds other values than 0 and 1.
    """
    return sensitivity(prediction, truth)


def share(part: int, whole: int) -> float | None:
    """`part` of `whole`; None where there is no whole.

    Args:
        part: a count.
        whole: a count that holds the part.
    """
    return part / whole if whole else None


def empty_mask_score(truth: Mask, prediction: Mask, best: float, worst: float) -> float | None:
    """The rule for empty masks, for every score of a pair of masks: that of the BraTS evaluation.

    Two empty masks agree, so they get the best score there is: Dice and Jaccard 1, distances 0 mm. An empty mask
    against one that is not gets the worst: Dice and Jaccard 0, distances the diagonal of the volume, which is 373.13 mm
    for 240x240x155 voxels of 1 mm. Without the rule a patient without enhancing tumour would divide by zero, and
    leaving out a pair that has no distance would reward a model for predicting nothing.

    Args:
        truth: ground truth mask of any shape.
        prediction: mask of the same shape.
        best: score where both masks are empty.
        worst: score where one mask is empty.

    Returns:
        The score, or None where neither mask is empty.
    """
    filled = truth.any(), prediction.any()
    if all(filled):
        return None
    return worst if any(filled) else best


def as_masks(truth: ArrayLike, prediction: ArrayLike) -> tuple[Mask, Mask]:
    """Both masks as boolean arrays of one shape.

    Args:
        truth: ground truth mask of any shape, boolean or 0 and 1.
        prediction: mask of the same shape.

    Returns:
        The ground truth and the prediction, bool.

    Raises:
        ValueError: the shapes differ, or a mask holds other values than 0 and 1.
    """
    masks = _as_mask(truth, "truth"), _as_mask(prediction, "prediction")
    if masks[0].shape != masks[1].shape:
        raise ValueError(
            f"truth has shape {masks[0].shape} and prediction {masks[1].shape}; both must lie on one grid. "
            "Bring the prediction back to the patient's own grid before scoring it."
        )
    return masks


def _as_mask(values: ArrayLike, name: str) -> Mask:
    """The values as a boolean mask.

    Raises:
        ValueError: values other than booleans, or 0 and 1.
    """
    array = np.asarray(values)
    if array.dtype == bool:
        return array
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} has dtype {array.dtype}; expected a mask, that is booleans or 0 and 1")
    # A probability map or a label map would score without complaint and mean nothing, so check the values.
    if not ((array == 0) | (array == 1)).all():
        raise ValueError(
            f"{name} holds values other than 0 and 1 (from {array.min()} to {array.max()}); "
            f"make a mask of it first, for example `{name} > 0.5` or `regions.mask(labels, 'WT')`"
        )
    return array.astype(bool)
