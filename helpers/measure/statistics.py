"""What the scores of a few patients say about all the others: means with bootstrap confidence intervals.

The bootstrap of this package stands here once: `resample` draws, `percentile_interval` gives the interval.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.measure.regions import Scores


def resample(n: int, samples: int, seed: int) -> NDArray[np.int64]:
    """Bootstrap samples of n independent cases, drawn with replacement (Efron 1979).

    Args:
        n: number of cases: patients or images, never slices, for slices of one patient are not independent.
        samples: number of bootstrap samples.
        seed: the same seed gives the same samples.

    Returns:
        (samples, n) int64, the indices of the cases in each sample.
    """
    return np.random.default_rng(seed).integers(n, size=(samples, n))


def percentile_interval(values: ArrayLike, confidence: float) -> tuple[float, float]:
    """The interval that holds the middle `confidence` of a statistic's bootstrap values.

    Args:
        values: the statistic in each bootstrap sample, shape (samples,).
        confidence: fraction of the values inside the interval, between 0 and 1.

    Returns:
        The lower and the upper bound, in the unit of `values`.
    """
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def bootstrap_ci(
    values: ArrayLike, confidence: float = 0.95, samples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap confidence interval of the mean over patients (Efron 1979).

    With few patients the interval is somewhat too narrow.

    >>> bootstrap_ci([0.5, 0.5, 0.5])
    (0.5, 0.5)
    >>> low, high = bootstrap_ci([0.6, 0.7, 0.9, 0.8])
    >>> 0.6 < low < 0.75 < high < 0.9
    True

    Args:
        values: one number per patient, shape (patients,).
        confidence: fraction of the bootstrap means inside the interval, between 0 and 1.
        samples: number of bootstrap samples.
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
    means = array[resample(array.size, samples, seed)].mean(axis=1)  # (samples,)
    # Rounding may carry the mean of equal values past them.
    low, high = np.clip(percentile_interval(means, confidence), array.min(), array.max())
    return float(low), float(high)


def summarise(patients: Sequence[Scores]) -> dict[str, dict[str, dict[str, float | list[float]]]]:
    """Mean and 95 % confidence interval over patients of every score.

    Args:
        patients: results of `regions.score_patient`, one per patient.

    Returns:
        For each region and score {"mean": float, "ci95": [low, high]}, ready for JSON.

    Raises:
        ValueError: no patients, or patients with different regions or scores.
    """
    if not patients:
        raise ValueError("there are no patients to summarise")
    layout = {region: tuple(scores) for region, scores in patients[0].items()}
    if any({region: tuple(scores) for region, scores in patient.items()} != layout for patient in patients):
        raise ValueError("patients have different regions or scores; each needs the same ones")
    summary: dict[str, dict[str, dict[str, float | list[float]]]] = {}
    for region, names in layout.items():
        summary[region] = {}
        for name in names:
            values = np.array([patient[region][name] for patient in patients])
            summary[region][name] = {"mean": float(values.mean()), "ci95": list(bootstrap_ci(values))}
    return summary
