"""How well slices with tumour are told from slices without: ROC, precision and recall, thresholds, calibration.

scikit-learn does the sums. What is ours is the interval: slices of one head are no independent witnesses, so patients
are drawn, each with all its slices.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import metrics

Statistic = Callable[[NDArray[np.bool_], NDArray[np.floating]], float]


@dataclass(frozen=True)
class SlicePredictions:
    """What a gate said of one patient's slices.

    Attributes:
        id: the patient.
        truth: (slices,) bool, whether the slice holds tumour; slices with brain only, the others are too easy.
        probabilities: (slices,) float, of tumour, in [0, 1].
        threshold: the probability from which this patient's slices pass; folds have thresholds of their own.
        without_brain: how many further slices show no brain; they are held back unseen.
    """

    id: str
    truth: NDArray[np.bool_]
    probabilities: NDArray[np.floating]
    threshold: float = 0.5
    without_brain: int = 0

    def __post_init__(self) -> None:
        truth, probabilities = self.truth, self.probabilities
        if truth.dtype != bool or truth.ndim != 1 or truth.shape != probabilities.shape:
            raise ValueError(
                f"{self.id}: truth is {truth.dtype} {truth.shape} and probabilities are {probabilities.shape}; "
                "expected booleans and as many probabilities, one for each slice."
            )
        if not ((probabilities >= 0) & (probabilities <= 1)).all():
            raise ValueError(f"{self.id}: probabilities outside of [0, 1], or NaN; expected the softmax of the scores.")

    def to_json(self) -> dict:
        """The same as lists, for a file."""
        return {**vars(self), "truth": self.truth.tolist(), "probabilities": self.probabilities.tolist()}

    @classmethod
    def from_json(cls, held: dict) -> "SlicePredictions":
        """What `to_json` gave."""
        return cls(**{**held, "truth": np.array(held["truth"], bool), "probabilities": np.array(held["probabilities"])})

    @property
    def passed(self) -> NDArray[np.bool_]:
        """(slices,) bool: what goes on to the U-Net."""
        return self.probabilities >= self.threshold


def auc(truth: NDArray[np.bool_], probabilities: NDArray[np.floating]) -> float:
    """Area under the ROC curve: the chance that a slice with tumour is given more than one without (ties count half).

    Raises:
        ValueError: all slices have tumour, or none: there is no pair to compare.
    """
    _both_kinds(truth)
    return float(metrics.roc_auc_score(truth, probabilities))


def average_precision(truth: NDArray[np.bool_], probabilities: NDArray[np.floating]) -> float:
    """Area under the precision-recall curve, without interpolation; a coin gets the share of slices with tumour."""
    _both_kinds(truth)
    return float(metrics.average_precision_score(truth, probabilities))


def sensitivity(truth: NDArray[np.bool_], passed: NDArray[np.bool_]) -> float:
    """Share of the slices with tumour that pass."""
    return float(passed[truth].mean())


def specificity(truth: NDArray[np.bool_], passed: NDArray[np.bool_]) -> float:
    """Share of the slices without tumour that are held back."""
    return float(1 - passed[~truth].mean())


def threshold_for(truth: NDArray[np.bool_], probabilities: NDArray[np.floating], sensitivity: float = 0.98) -> float:
    """The highest threshold at which at least this share of the slices with tumour passes."""
    _both_kinds(truth)
    _, recalls, thresholds = metrics.roc_curve(truth, probabilities, drop_intermediate=False)
    return float(thresholds[np.argmax(recalls >= sensitivity)])


def sensitivity_at(truth: NDArray[np.bool_], probabilities: NDArray[np.floating], specificity: float = 0.9) -> float:
    """The highest sensitivity at which at least this share of the slices without tumour is held back."""
    _both_kinds(truth)
    false_alarms, recalls, _ = metrics.roc_curve(truth, probabilities, drop_intermediate=False)
    return float(recalls[1 - false_alarms >= specificity].max())


def reliability(truth: NDArray[np.bool_], probabilities: NDArray[np.floating], bins: int = 10) -> pd.DataFrame:
    """What was said against what was so: one row for each bin of equal width that holds slices.

    Returns:
        Columns `mean_predicted` (mean probability), `fraction_positive` (share with tumour), `slices`.
    """
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    table = pd.DataFrame(
        {"mean_predicted": probabilities, "fraction_positive": truth, "bin": np.digitize(probabilities, inner)}
    )
    return table.groupby("bin").agg(
        mean_predicted=("mean_predicted", "mean"),
        fraction_positive=("fraction_positive", "mean"),
        slices=("fraction_positive", "size"),
    )


def calibration_error(truth: NDArray[np.bool_], probabilities: NDArray[np.floating], bins: int = 10) -> float:
    """Expected calibration error: how far `mean_predicted` is from `fraction_positive`, weighted by slices (Guo et al.
    2017)."""
    table = reliability(truth, probabilities, bins)
    return float(np.average((table["mean_predicted"] - table["fraction_positive"]).abs(), weights=table["slices"]))


def interval(
    patients: Sequence[tuple[NDArray, NDArray]],
    statistic: Statistic,
    confidence: float = 0.95,
    samples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic over the slices of patients that were drawn with replacement.

    Args:
        patients: truth and answer of each, both (slices,).
        statistic: from the truth and the answers of all drawn slices to a number.

    Returns:
        The lower and the upper bound. A draw in which the statistic is not defined is left out.

    Raises:
        ValueError: there are no patients, or no draw defines the statistic.
    """
    if not patients:
        raise ValueError("there are no patients to draw from")
    rng, values = np.random.default_rng(seed), []
    for _ in range(samples):
        drawn = [patients[index] for index in rng.integers(len(patients), size=len(patients))]
        truth = np.concatenate([truth for truth, _ in drawn])
        if truth.any() and not truth.all():
            values.append(statistic(truth, np.concatenate([answer for _, answer in drawn])))
    if not values:
        raise ValueError("every slice has tumour, or none has; expected patients with slices of both kinds")
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def summarise(patients: Sequence[SlicePredictions], seed: int = 0) -> dict[str, float | dict]:
    """Every score of a gate over the slices of these patients, ready for JSON.

    Returns:
        `auc`, `average_precision`, `sensitivity_at_specificity_0.9`, `sensitivity`, `specificity` and `skipped` as
        {"value", "ci95"}, the interval over patients, the last three at each patient's threshold; `skipped` is the
        share of all slices that is held back, those without brain among them. `confusion`, slices by truth and answer;
        `calibration_error`.
    """
    truth = np.concatenate([patient.truth for patient in patients])

    def scored(statistic: Statistic, answers: Sequence[NDArray]) -> dict[str, float | list[float]]:
        pairs = list(zip((patient.truth for patient in patients), answers, strict=True))
        low_high = interval(pairs, statistic, seed=seed)
        return {"value": statistic(truth, np.concatenate(answers)), "ci95": list(low_high)}

    probabilities = [patient.probabilities for patient in patients]
    passed = [patient.passed for patient in patients]
    held_back = [
        np.append(~answer, np.ones(patient.without_brain, bool))
        for patient, answer in zip(patients, passed, strict=True)
    ]
    (true_negative, false_positive), (false_negative, true_positive) = metrics.confusion_matrix(
        truth, np.concatenate(passed), labels=[False, True]
    ).tolist()
    return {
        "auc": scored(auc, probabilities),
        "average_precision": scored(average_precision, probabilities),
        "sensitivity_at_specificity_0.9": scored(sensitivity_at, probabilities),
        "sensitivity": scored(sensitivity, passed),
        "specificity": scored(specificity, passed),
        "skipped": scored(lambda _, answer: float(answer.mean()), held_back),
        "confusion": {
            "true_negative": true_negative,
            "false_positive": false_positive,
            "false_negative": false_negative,
            "true_positive": true_positive,
        },
        "calibration_error": calibration_error(truth, np.concatenate(probabilities)),
    }


def _both_kinds(truth: NDArray[np.bool_]) -> None:
    if truth.all() or not truth.any():
        raise ValueError(
            f"{int(truth.sum())} of {truth.size} slices have tumour; expected slices of both kinds. Take more patients."
        )
