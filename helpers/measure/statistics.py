"""What the scores of a few patients say about all the others: means with bootstrap confidence intervals, paired tests.

The bootstrap of this package stands here once: `resample` draws, `percentile_interval` gives the interval.

Two models are compared on the same patients: the mean of the paired differences with its interval, and a permutation
test that flips their signs. Several trainings (seeds) of a model are a level of their own: each patient's scores are
averaged over the seeds first, and the spread between the seeds' means stands beside the result. A bootstrap over both
levels would draw seeds from the two or three that there are, which gives an interval far too narrow to be one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from helpers.measure.regions import Scores

MIN_PATIENTS = 8
"""With fewer patients there is no interval, and no model is ranked above another: the patients are shown instead."""

ALPHA = 0.05
"""Level of the tests, and one minus the confidence of the intervals."""

_EXACT = 17
"""Up to so many patients every pattern of signs is tried, 65,536 of them; above, so many random ones."""

_RANDOM_SIGNS = 20_000


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

    With few patients the interval is too narrow: one of ten patients holds the mean in about 90 of 100 cases. Below
    `MIN_PATIENTS` show the patients instead, as `mean_interval` asks.

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


def summarise(patients: "Sequence[Scores]") -> dict[str, dict[str, dict[str, Any]]]:
    """Mean and 95 % confidence interval over patients of every score.

    Args:
        patients: results of `regions.score_patient`, one per patient; a score that is not defined is None.

    Returns:
        For each region and score, ready for JSON, `mean`; `ci95`, its bootstrap interval; `interval`, the same, but
        None below `MIN_PATIENTS`, where `range`, the lowest and the highest score, is to be shown instead; `n`, the
        patients in the mean, and `undefined`, those without a score. Where nobody has one, all but the two are None.

    Raises:
        ValueError: no patients, or patients with different regions or scores.
    """
    if not patients:
        raise ValueError("there are no patients to summarise")
    layout = {region: tuple(scores) for region, scores in patients[0].items()}
    if any({region: tuple(scores) for region, scores in patient.items()} != layout for patient in patients):
        raise ValueError("patients have different regions or scores; each needs the same ones")
    return {
        region: {name: _summary([patient[region][name] for patient in patients]) for name in names}
        for region, names in layout.items()
    }


def _summary(scores: Sequence[float | None]) -> dict[str, Any]:
    values = np.array([score for score in scores if score is not None])
    counts = {"n": values.size, "undefined": len(scores) - values.size}
    if not values.size:
        return {"mean": None, "ci95": None, "interval": None, "range": None, **counts}
    interval = list(bootstrap_ci(values))
    return {
        "mean": float(values.mean()),
        "ci95": interval,
        "interval": interval if values.size >= MIN_PATIENTS else None,
        "range": [float(values.min()), float(values.max())],
        **counts,
    }


def mean_interval(values: ArrayLike) -> tuple[float, float] | None:
    """The 95 % interval of `bootstrap_ci`, or None where there are fewer than `MIN_PATIENTS` values.

    >>> mean_interval([0.6, 0.7, 0.9, 0.8]) is None
    True

    Args:
        values: one number per patient, shape (patients,).

    Raises:
        ValueError: as `bootstrap_ci`.
    """
    interval = bootstrap_ci(values, 1 - ALPHA)
    return interval if np.size(values) >= MIN_PATIENTS else None


@dataclass(frozen=True)
class PairedComparison:
    """Two models on the same patients: the second's scores minus the first's.

    Attributes:
        n: number of patients.
        difference: mean of the differences over patients, in the unit of the scores.
        interval: its 95 % bootstrap interval over patients; None below `MIN_PATIENTS`.
        p: two-sided p value of the sign-flip permutation test.
        p_adjusted: the same after Holm's correction for the comparisons that were made together (`with_holm`); `p`
            where there is one.
        differences: of each patient, in the order given, each a mean over the seeds.
        spread_between_seeds: standard deviation over seeds of the mean over patients, of the first and of the second
            model; None for a model that was trained once.
    """

    n: int
    difference: float
    interval: tuple[float, float] | None
    p: float
    p_adjusted: float
    differences: tuple[float, ...]
    spread_between_seeds: tuple[float | None, float | None] = (None, None)

    @property
    def is_told(self) -> bool:
        """Whether these patients tell the two models apart.

        They do where the interval excludes 0 and the adjusted p value is at most `ALPHA`; below `MIN_PATIENTS` never.
        """
        if self.interval is None or self.p_adjusted > ALPHA:
            return False
        low, high = self.interval
        return low > 0 or high < 0

    @property
    def patients_needed(self) -> int | None:
        """How many patients would tell a true difference of this size with power 0.8; None where it is 0."""
        return patients_needed(self.differences, self.difference)


def compare_paired(first: ArrayLike, second: ArrayLike, seed: int = 0) -> PairedComparison:
    """Compare two models that were scored on the same patients.

    >>> better = compare_paired([0.7] * 10, np.linspace(0.71, 0.8, 10))
    >>> print(better.n, round(better.difference, 3), better.p, better.is_told)
    10 0.055 0.001953125 True
    >>> compare_paired([0.7, 0.8, 0.9], [0.8, 0.9, 0.95]).is_told  # three patients tell nothing
    False

    Args:
        first: scores of one model, shape (patients,), or (seeds, patients) for several trainings of it.
        second: those of the other on the same patients in the same order, shape (patients,) or (seeds, patients); its
            number of seeds may differ.
        seed: of the bootstrap and of the random signs.

    Returns:
        The comparison, second minus first.

    Raises:
        ValueError: the scores are not finite numbers, one per patient (and seed), or the patients differ in number.
    """
    levels = _as_seeds(first, "first"), _as_seeds(second, "second")
    if levels[0].shape[1] != levels[1].shape[1]:
        raise ValueError(
            f"first has scores of {levels[0].shape[1]} patients and second of {levels[1].shape[1]}; expected the same "
            "patients in the same order"
        )
    differences = levels[1].mean(axis=0) - levels[0].mean(axis=0)  # (patients,)
    p = sign_flip_p(differences, seed)
    interval = bootstrap_ci(differences, 1 - ALPHA, seed=seed) if differences.size >= MIN_PATIENTS else None
    spread = tuple(float(np.std(one.mean(axis=1), ddof=1)) if len(one) > 1 else None for one in levels)
    return PairedComparison(
        n=differences.size,
        difference=float(differences.mean()),
        interval=interval,
        p=p,
        p_adjusted=p,
        differences=tuple(differences.tolist()),
        spread_between_seeds=(spread[0], spread[1]),
    )


def sign_flip_p(differences: ArrayLike, seed: int = 0) -> float:
    """Two-sided p value of the paired permutation test: how often random signs give a mean as far from 0.

    If the two models were interchangeable, each patient's difference might as well have the other sign (Fisher 1935,
    The Design of Experiments, section 21). Differences may be lopsided with a mean of 0, where one model misses a few
    patients and gains a little on all others; then small p values are more frequent than they say. The test is exact
    up to 17 patients. Above, it tries 20,000 random patterns of signs, of which the observed one counts as one (Phipson
    and Smyth 2010), so that p is never 0.

    >>> sign_flip_p([0.1, 0.2, 0.3])  # all of one sign: 2 of 8 patterns
    0.25

    Args:
        differences: one per patient, shape (patients,).
        seed: of the random signs.

    Raises:
        ValueError: no differences, more than one axis, or a value that is not finite.
    """
    values = _as_finite(differences, "differences")
    bound = abs(values.sum()) * (1 - 1e-12)  # sums of the same numbers in another order may differ by rounding
    if values.size <= _EXACT:
        # The first sign may stay: a pattern and its opposite give the same absolute sum.
        patterns = np.arange(2 ** (values.size - 1))[:, None] >> np.arange(values.size - 1) & 1  # (patterns, n - 1)
        sums = values[0] + (1 - 2 * patterns) @ values[1:]
        return float(np.mean(np.abs(sums) >= bound))
    rng = np.random.default_rng(seed)
    signs = 1 - 2 * rng.integers(2, size=(_RANDOM_SIGNS, values.size), dtype=np.int8)
    extreme = np.count_nonzero(np.abs(signs @ values) >= bound)
    return (1 + extreme) / (1 + _RANDOM_SIGNS)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for their number: the chance of any false finding among them stays at the level (Holm 1979).

    >>> [round(p, 3) for p in holm([0.04, 0.01, 0.03])]
    [0.06, 0.03, 0.06]

    Args:
        p_values: of the tests that were made together.

    Returns:
        The adjusted p values in the order given, at most 1.

    Raises:
        ValueError: a value outside [0, 1].
    """
    values = np.asarray(p_values, dtype=float)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"p values are {list(p_values)}; expected numbers between 0 and 1")
    order = np.argsort(values, kind="stable")
    factors = values.size - np.arange(values.size)  # the smallest is multiplied by the number of tests, and so on
    adjusted = np.empty(values.size)
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1)
    return adjusted.tolist()


def with_holm(comparisons: Sequence[PairedComparison]) -> list[PairedComparison]:
    """The comparisons with their p values corrected for their number (`holm`).

    Args:
        comparisons: all that are made together, such as those of three regions, or of every pair of models.
    """
    adjusted = holm([comparison.p for comparison in comparisons])
    return [replace(one, p_adjusted=p) for one, p in zip(comparisons, adjusted, strict=True)]


def patients_needed(differences: ArrayLike, difference: float, power: float = 0.8) -> int | None:
    """How many patients a paired comparison takes to tell a difference, if patients vary as these do.

    Two-sided test at level `ALPHA` of a mean of paired differences with their standard deviation s: n is
    ((z_0.975 + z_power) s / difference)^2 + z_0.975^2 / 2, rounded up (Guenther 1981, doi 10.2307/2683294; the last
    term accounts for s being estimated).

    >>> patients_needed([0.1, -0.1, 0.05, -0.05, 0.12, -0.12], difference=0.02)
    214

    Args:
        differences: those of the patients at hand, shape (patients,), two at least.
        difference: the true difference to be told, in the same unit.
        power: chance of telling it, between 0 and 1.

    Returns:
        The number of patients, `MIN_PATIENTS` at least; None where the difference is 0, or one patient is at hand.

    Raises:
        ValueError: values that are not finite, or a power outside (0, 1).
    """
    values = _as_finite(differences, "differences")
    if not 0 < power < 1:
        raise ValueError(f"power is {power}; expected a chance between 0 and 1, for example 0.8")
    if difference == 0 or values.size < 2:
        return None
    level, chance = NormalDist().inv_cdf(1 - ALPHA / 2), NormalDist().inv_cdf(power)
    needed = ((level + chance) * values.std(ddof=1) / difference) ** 2 + level**2 / 2
    return max(MIN_PATIENTS, math.ceil(needed))


def _as_seeds(scores: ArrayLike, name: str) -> NDArray[np.float64]:
    """The scores as (seeds, patients) float64.

    Raises:
        ValueError: other than one or two axes, none of them empty, of finite numbers.
    """
    array = np.asarray(scores, dtype=float)
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(
            f"{name} has shape {array.shape}; expected a score per patient, (patients,), or per training and patient, "
            "(seeds, patients)"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity; give a missed tumour the worst score instead")
    return np.atleast_2d(array)


def _as_finite(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """The values as (n,) float64.

    Raises:
        ValueError: no values, more than one axis, or a value that is not finite.
    """
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"{name} have shape {array.shape}; expected finite numbers, one per patient, at least one")
    return array
