"""What the scores of a few patients say about all the others: means with bootstrap intervals."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from helpers.measure.regions import Scores


def bootstrap_ci(
    values: ArrayLike, confidence: float = 0.95, samples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over patients (Efron 1979).

    Draw as many patients as there are, with replacement, and take their mean; do so `samples` times; the
    interval holds the middle `confidence` of those means. Patients are drawn, never slices: slices of one
    head are no independent witnesses. With few patients the interval is somewhat too narrow.

    Args:
        values: one number per patient, shape (patients,).
        confidence: share of the means inside the interval, between 0 and 1.
        samples: number of draws.
        seed: the same seed gives the same interval.

    Returns:
        The lower and the upper bound, in the unit of `values`. One patient gives (v, v).

    Raises:
        ValueError: no values, more than one axis, a value that is not finite, or a confidence outside (0, 1).
    """
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"values have shape {array.shape}; expected one number per patient, at least one")
    if not np.isfinite(array).all():
        raise ValueError("values hold NaN or infinity; give a missed tumour the worst score instead")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; expected a share between 0 and 1, for example 0.95")
    drawn = np.random.default_rng(seed).integers(array.size, size=(samples, array.size))
    means = array[drawn].mean(axis=1)  # (samples,)
    tail = (1 - confidence) / 2
    # Rounding may carry the mean of equal values past them.
    low, high = np.clip(np.quantile(means, [tail, 1 - tail]), array.min(), array.max())
    return float(low), float(high)


def summarise(patients: Sequence[Scores]) -> dict[str, dict[str, dict[str, float | list[float]]]]:
    """Mean and 95 % interval over patients of every score.

    Args:
        patients: results of `regions.score_patient`, one per patient.

    Returns:
        For each region and score {"mean": float, "ci95": [low, high]}, ready for JSON.

    Raises:
        ValueError: no patients, or patients that were not scored alike.
    """
    if not patients:
        raise ValueError("there are no patients to summarise")
    layout = {region: tuple(scores) for region, scores in patients[0].items()}
    if any({region: tuple(scores) for region, scores in patient.items()} != layout for patient in patients):
        raise ValueError("patients were not scored alike: each needs the same regions and scores")
    summary: dict[str, dict[str, dict[str, float | list[float]]]] = {}
    for region, names in layout.items():
        summary[region] = {}
        for name in names:
            values = np.array([patient[region][name] for patient in patients])
            summary[region][name] = {"mean": float(values.mean()), "ci95": list(bootstrap_ci(values))}
    return summary
