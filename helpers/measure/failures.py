"""Why a patient scores badly: the largest part of what is missing from, or too much in, a prediction, in words."""

from collections.abc import Sequence

import numpy as np

from helpers.measure.regions import REGIONS, mask

_PARTS = {"the core": 1, "oedema": 2, "enhancing tumour": 3}


def reason(truth: np.ndarray, labels: np.ndarray, spacing: Sequence[float]) -> str:
    """The largest error of a prediction, as a sentence without its full stop.

    >>> truth = np.zeros((4, 4, 4), int)
    >>> truth[:2] = 2
    >>> reason(truth, 0 * truth, (10, 10, 10))
    'finds nothing of 32 ml'

    Args:
        truth: (rows, columns, slices) network labels.
        labels: predicted ones, the same shape.
        spacing: millimetres per voxel.
    """
    ml = float(np.prod(spacing)) / 1000
    whole, drawn = mask(truth, "WT"), mask(labels, "WT")
    if not drawn.any():
        return f"finds nothing of {whole.sum() * ml:.0f} ml" if whole.any() else "finds nothing, and there is nothing"
    errors = {
        f"misses {np.count_nonzero(whole & ~drawn) * ml:.0f} of {whole.sum() * ml:.0f} ml of tumour": whole & ~drawn,
        f"draws {np.count_nonzero(drawn & ~whole) * ml:.0f} ml of tumour where there is none": drawn & ~whole,
    }
    for name, label in _PARTS.items():
        confused = whole & drawn & (truth == label) & (labels != label)
        errors[f"takes {confused.sum() * ml:.0f} ml of {name} for another class"] = confused
    said = max(errors, key=lambda one: np.count_nonzero(errors[one]))
    missed = [region for region in REGIONS if mask(truth, region).any() and not mask(labels, region).any()]
    return said + (f", and finds no {missed[-1]}" if missed else "")
