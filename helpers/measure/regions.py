"""The three nested regions by which BraTS scores a segmentation, the classes beside them, and one patient's scores."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from helpers.measure.mask_scores import count_slices, score_masks
from helpers.measure.overlap import Mask, as_masks
from helpers.measure.surface import bounding_box

# Network labels: 1 necrotic and non-enhancing core, 2 oedema, 3 enhancing tumour. TC and ET lie inside WT.
REGIONS: dict[str, tuple[int, ...]] = {
    "WT": (1, 2, 3),  # whole tumour
    "TC": (1, 3),  # tumour core
    "ET": (3,),  # enhancing tumour
}

# The labels one by one. Their scores do not say how well the regions are found, nor the other way round.
CLASSES: dict[str, tuple[int, ...]] = {"core": (1,), "oedema": (2,), "enhancing": (3,)}

Scores = dict[str, dict[str, float | None]]


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
    """All scores of one patient by region, on the patient's own grid.

    >>> truth = np.zeros((4, 4, 4), np.uint8)
    >>> truth[1:3, 1:3, 1:3] = 2
    >>> perfect = score_patient(truth, truth, spacing=(2, 2, 2))["WT"]
    >>> perfect["dice"], perfect["hd95_mm"], perfect["volume_error_ml"], perfect["lesion_recall"]
    (1.0, 0.0, 0.0, 1.0)

    Args:
        truth_labels: ground truth as network labels 0 to 3, (rows, columns, slices), all slices.
        predicted_labels: predicted network labels, the same shape.
        spacing: millimetres per voxel along the three axes.

    Returns:
        For each region the scores of `helpers.measure.mask_scores`: overlap in [0, 1], distances in millimetres,
        "volume_error_ml" in millilitres, predicted minus true: negative where the model segments too little. None where
        one is not defined.

    Raises:
        ValueError: the shapes differ, there are not three axes, or labels or spacing are wrong.
    """
    return _score_parts(truth_labels, predicted_labels, spacing, {"regions": REGIONS})["regions"]


def score_labels(truth_labels: ArrayLike, predicted_labels: ArrayLike, spacing: Sequence[float]) -> dict[str, dict]:
    """All scores of one patient by region and by class, and the counts of which pooled scores are made.

    Args:
        truth_labels: ground truth as network labels 0 to 3, (rows, columns, slices), all slices.
        predicted_labels: predicted network labels, the same shape.
        spacing: millimetres per voxel along the three axes.

    Returns:
        `regions` and `classes`, as `score_patient`, by the names of `REGIONS` and `CLASSES`; `counts` and `slices`, for
        each of the names in both `helpers.measure.mask_scores.MaskCounts` and `SliceCounts` as dictionaries.

    Raises:
        ValueError: the shapes differ, there are not three axes, or labels or spacing are wrong.
    """
    return _score_parts(truth_labels, predicted_labels, spacing, {"regions": REGIONS, "classes": CLASSES})


def never_finds(model: Sequence[dict[str, float | None]], nothing: Sequence[dict[str, float | None]]) -> bool:
    """Whether a model's scores of a region are those of all background in every patient.

    A mean may agree by chance, and Dice alone does for a model that draws beside the tumour.

    >>> never_finds([{"dice": 1.0, "hd95_mm": 0.0}, {"dice": 0.0, "hd95_mm": 9.0}],
    ...             [{"dice": 1.0, "hd95_mm": 0.0}, {"dice": 0.0, "hd95_mm": 373.1}])
    False

    Args:
        model: scores of one region, a patient each, as `score_patient` gives them.
        nothing: those of all background, of the same patients in the same order.
    """
    shared = ("dice", "jaccard", "hd95_mm", "volume_error_ml")
    pairs = zip(model, nothing, strict=True)
    return all(one.get(score) == other.get(score) for one, other in pairs for score in shared)


def _score_parts(
    truth_labels: ArrayLike,
    predicted_labels: ArrayLike,
    spacing: Sequence[float],
    parts: dict[str, dict[str, tuple[int, ...]]],
) -> dict[str, dict]:
    """`score_labels` of these parts alone.

    Raises:
        ValueError: as `score_labels`.
    """
    truth, prediction = _as_labels(truth_labels), _as_labels(predicted_labels)
    if truth.ndim != 3:
        raise ValueError(f"labels have shape {truth.shape}; expected a volume (rows, columns, slices)")
    if truth.shape != prediction.shape:
        as_masks(truth > 0, prediction > 0)  # says what is wrong
    shape = truth.shape
    if (tumour := (truth > 0) | (prediction > 0)).any():
        box = bounding_box(tumour)
        truth, prediction = truth[box], prediction[box]
    scored: dict[tuple[int, ...], tuple] = {}
    result: dict[str, dict] = {"counts": {}, "slices": {}, **{part: {} for part in parts}}
    for part, names in parts.items():
        for name, labels in names.items():
            if labels not in scored:  # the enhancing tumour is a region and a class
                inside = np.isin(np.arange(4), labels)
                masks = inside[truth], inside[prediction]
                scored[labels] = *score_masks(*masks, spacing, shape), count_slices(*masks, shape[2])
            scores, counts, slices = scored[labels]
            result[part][name] = dict(scores)
            result["counts"][name], result["slices"][name] = counts._asdict(), slices._asdict()
    return result


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
