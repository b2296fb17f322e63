"""The three nested regions by which BraTS scores a segmentation, and the scores of one patient."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from helpers.measure.overlap import Mask, dice, jaccard
from helpers.measure.surface import hd95

# Network labels: 1 necrotic and non-enhancing core, 2 oedema, 3 enhancing tumour. TC and ET lie inside WT.
REGIONS: dict[str, tuple[int, ...]] = {
    "WT": (1, 2, 3),  # whole tumour
    "TC": (1, 3),  # tumour core
    "ET": (3,),  # enhancing tumour
}

Scores = dict[str, dict[str, float]]


def mask(labels: ArrayLike, name: str) -> Mask:
    """The voxels of one region.

    >>> mask([0, 1, 2, 3], "TC").tolist()
    [False, True, False, True]

    Args:
        labels: network labels 0 to 3, whole numbers, any shape.
        name: "WT", "TC" or "ET".

    Returns:
        Mask of the same shape, bool.

    Raises:
        ValueError: no such region, or labels that are not whole numbers from 0 to 3.
    """
    if name not in REGIONS:
        raise ValueError(f"no region is called {name!r}; the regions are {', '.join(REGIONS)}")
    inside = np.isin(np.arange(4), REGIONS[name])  # (4,), one for each label
    return inside[_as_labels(labels)]


def score_patient(truth_labels: ArrayLike, predicted_labels: ArrayLike, spacing: Sequence[float]) -> Scores:
    """All scores of one patient, on the patient's own grid.

    >>> truth = np.zeros((4, 4, 4), np.uint8)
    >>> truth[1:3, 1:3, 1:3] = 2
    >>> score_patient(truth, truth, spacing=(1, 1, 1))["WT"]
    {'dice': 1.0, 'jaccard': 1.0, 'hd95_mm': 0.0, 'volume_error_ml': 0.0}

    Args:
        truth_labels: ground truth as network labels 0 to 3, (rows, columns, slices), all slices.
        predicted_labels: predicted network labels, the same shape.
        spacing: millimetres per voxel along the three axes.

    Returns:
        For each region "dice" and "jaccard" in [0, 1], "hd95_mm" in millimetres, and "volume_error_ml" in
        millilitres, predicted minus true: negative where the model segments too little.

    Raises:
        ValueError: the shapes differ, there are not three axes, or labels or spacing are wrong.
    """
    truth_labels, predicted_labels = _as_labels(truth_labels), _as_labels(predicted_labels)
    if truth_labels.ndim != 3:
        raise ValueError(f"labels have shape {truth_labels.shape}; expected a volume (rows, columns, slices)")
    scores: Scores = {}
    for name in REGIONS:
        truth, prediction = mask(truth_labels, name), mask(predicted_labels, name)
        voxels = int(np.count_nonzero(prediction)) - int(np.count_nonzero(truth))
        scores[name] = {
            "dice": dice(truth, prediction),
            "jaccard": jaccard(truth, prediction),
            "hd95_mm": hd95(truth, prediction, spacing),
            "volume_error_ml": voxels * float(np.prod(spacing)) / 1000,  # 1 ml is 1000 mm^3
        }
    return scores


def _as_labels(labels: ArrayLike) -> np.ndarray:
    """The network labels as an array.

    Raises:
        ValueError: labels that are not whole numbers from 0 to 3.
    """
    array = np.asarray(labels)
    if array.dtype.kind not in "iu":
        raise ValueError(f"labels have dtype {array.dtype}; expected whole numbers: take the argmax first")
    # A label 4 from a file would quietly leave its voxels out of every region.
    if array.size and (array.min() < 0 or array.max() > 3):
        raise ValueError(
            f"labels run from {array.min()} to {array.max()}; expected network labels 0 to 3. "
            "Labels as stored on disk (0, 1, 2, 4) go through `helpers.data.volumes.to_network` first."
        )
    return array
