"""How much two masks share: Dice and Jaccard."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Mask = NDArray[np.bool_]


def dice(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Dice coefficient 2|A and B| / (|A| + |B|) of two masks (Dice 1945).

    Two empty masks agree, so they score 1; an empty mask against a filled one scores 0. This is the rule of
    the BraTS evaluation: without it, a patient who has no enhancing tumour would divide by zero.

    Args:
        truth: mask of any shape, boolean or holding nothing but 0 and 1.
        prediction: mask of the same shape.

    Returns:
        A number in [0, 1], without a unit.

    Raises:
        ValueError: the shapes differ, or a mask holds other values than 0 and 1.
    """
    truth, prediction = as_masks(truth, prediction)
    total = int(np.count_nonzero(truth)) + int(np.count_nonzero(prediction))
    if total == 0:
        return 1.0
    return 2 * int(np.count_nonzero(truth & prediction)) / total


def jaccard(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Jaccard index |A and B| / |A or B| of two masks, also called intersection over union (IoU).

    It orders predictions as Dice does: J = D / (2 - D). Arguments, empty masks and errors as in `dice`.
    """
    truth, prediction = as_masks(truth, prediction)
    union = int(np.count_nonzero(truth | prediction))
    if union == 0:
        return 1.0
    return int(np.count_nonzero(truth & prediction)) / union


def as_masks(truth: ArrayLike, prediction: ArrayLike) -> tuple[Mask, Mask]:
    """Both masks as boolean arrays of one shape.

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
    array = np.asarray(values)
    if array.dtype == bool:
        return array
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} has dtype {array.dtype}; expected a mask, that is booleans or 0 and 1")
    # A probability map or a label map would score without complaint and mean nothing, so look at the values.
    if not ((array == 0) | (array == 1)).all():
        raise ValueError(
            f"{name} holds values other than 0 and 1 (from {array.min()} to {array.max()}); "
            f"make a mask of it first, for example `{name} > 0.5` or `regions.mask(labels, 'WT')`"
        )
    return array.astype(bool)
