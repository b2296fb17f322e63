"""What is wrong with an answer of lesson 08: a case that shows no fault of a score, or an HD95 that is none."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from helpers.measure.kernel_scores import class_dice
from helpers.measure.overlap import dice
from helpers.measure.surface import hd95, surface_distances

_APART = 0.01


def counterexample(score: Callable[[Any, Any], float], right: Callable[[Any, Any], float], case: Any) -> str | None:
    """Why a case does not show that a score is wrong; None where it does.

    Args:
        score: the function at fault, of a truth and a prediction.
        right: one without the fault; it raises where truth and prediction are none.
        case: the pair that the learner gives.

    Returns:
        A message without its full stop.
    """
    if not isinstance(case, tuple | list) or len(case) != 2 or any(one is ... or one is None for one in case):
        return "there is no pair (truth, prediction) yet; give both, as a tuple"
    try:
        wanted = right(*case)
    except (ValueError, TypeError, AttributeError, IndexError) as problem:
        return f"these are no truth and prediction ({problem})"
    given = score(*case)
    if np.isnan(given) or abs(given - wanted) > _APART:
        return None
    return f"the function gives {given:.3f}, which is right; look for a case where it is wrong"


def right_dice(truth: Any, prediction: Any) -> float:
    """Dice of two masks, by the BraTS rule.

    Args:
        truth: mask of any shape, bool.
        prediction: mask of the same shape.

    Raises:
        ValueError: they are no arrays, or no masks.
    """
    for one in (truth, prediction):
        if not isinstance(one, np.ndarray):
            raise ValueError(f"expected boolean arrays, such as np.zeros(6, bool), not {type(one).__name__}")
        if one.dtype != bool:
            raise ValueError(f"expected boolean arrays, not {one.dtype}")
    return dice(truth, prediction)


def right_mean(truths: Any, predictions: Any) -> float:
    """Mean Dice over patients, all of them.

    Args:
        truths: list of masks, bool, a patient each.
        predictions: of the same patients.

    Raises:
        ValueError: they are no lists of masks.
    """
    if not isinstance(truths, list | tuple) or not isinstance(predictions, list | tuple):
        raise ValueError("expected two lists of boolean arrays, a patient each")
    if not truths:
        raise ValueError("expected one patient at least")
    return float(np.mean([right_dice(*pair) for pair in zip(truths, predictions, strict=True)]))


def right_labels(truth: Any, prediction: Any) -> float:
    """Mean Dice over the labels of the foreground that occur in either; 1 where none does.

    Args:
        truth: labels 0 to 3, any shape.
        prediction: the same shape.

    Raises:
        ValueError: they are no labels.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape or truth.dtype.kind not in "iu" or prediction.dtype.kind not in "iu":
        raise ValueError("expected two arrays of whole numbers from 0 to 3, of one shape")
    present = [label for label in (1, 2, 3) if (truth == label).any() or (prediction == label).any()]
    return class_dice(truth, prediction, present) if present else 1.0


def hd95_mistake(value: float, truth: np.ndarray, prediction: np.ndarray, spacing: tuple[float, ...]) -> str:
    """Which of the usual mistakes a wrong HD95 is.

    Args:
        value: what the learner's function gives, in mm.
        truth: mask, bool, (rows, columns, slices).
        prediction: mask of the same shape.
        spacing: millimetres per voxel.

    Returns:
        A message without its full stop.
    """
    forth, back = surface_distances(truth, prediction, spacing)
    both = np.concatenate([forth, back])
    voxels = (np.argwhere(mask) * np.asarray(spacing) for mask in (truth, prediction))
    ways = cdist(*voxels)
    filled = max(np.percentile(ways.min(axis=1), 95), np.percentile(ways.min(axis=0), 95))
    each, unit = [np.percentile(one, 95) for one in (forth, back)], (1,) * truth.ndim
    usual = {
        "without the spacing it is a number of voxels; surface_points takes it": hd95(truth, prediction, unit),
        "that is the largest of all ways; take the 95th percentile": both.max(),
        "both directions are in one pot; take the percentile of each, and the larger": np.percentile(both, 95),
        "that is one direction; take the other as well, and the larger": min(each),
        "that is the mean of the two directions; take the larger": np.mean(each),
        "that is of all voxels; take those of the surface": filled,
    }
    for message, mistaken in usual.items():
        if np.isclose(value, mistaken):
            return message
    return f"expected {hd95(truth, prediction, spacing):.3f}"
