"""Metrics of slice classification, tumour or none: ROC, precision and recall, thresholds, calibration.

scikit-learn computes the metrics. The confidence interval is our own: slices of one patient are not independent, so the
bootstrap draws patients, each with all its slices.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from helpers.measure.statistics import percentile_interval, resample

if TYPE_CHECKING:
    import pandas as pd

Statistic = Callable[[NDArray[np.bool_], NDArray[np.floating]], float]


@dataclass(frozen=True)
class SlicePredictions:
    """A gate's predictions for the slices of one patient, with the ground truth.

    Attributes:
        id: the patient.
        truth: (slices,) bool, whether the slice has tumour; slices with brain only, the others are too easy.
        probabilities: (slices,) float, predicted probability of tumour, in [0, 1].
        threshold: the probability from which this patient's slices pass; each fold has its own threshold.
        without_brain: how many further slices show no brain; they are skipped without inference.
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
        """The attributes with arrays as lists, ready for JSON."""
        return {**vars(self), "truth": self.truth.tolist(), "probabilities": self.probabilities.tolist()}

    @classmethod
    def from_json(cls, fields: dict) -> "SlicePredictions":
        """The predictions from what `to_json` returned."""
        arrays = {"truth": np.array(fields["truth"], bool), "probabilities": np.array(fields["probabilities"])}
        return cls(**{**fields, **arrays})

    @property
    def passed(self) -> NDArray[np.bool_]:
        """(slices,) bool: the slices predicted positive, which go on to the U-Net."""
        return self.probabilities >= self.threshold


def auc(truth: NDArray[np.bool_], probabilities: NDArray[np.floating]) -> float:
    """Area under the ROC curve: the chance that a positive slice scores above a negative one (ties count half).

    >>> auc(np.array([True, True, False, False]), np.array([0.9, 0.4, 0.5, 0.1]))
    0.75

    Args:
        truth: ground truth, whether each slice has tumour, (slices,) bool.
        probabilities: predicted probability of tumour, (slices,) float.

    Returns:
        A number in [0, 1]; 0.5 is chance.

    Raises:
        ValueError: all slices have tumour, or none: there is no pair to compare.
    """
    from sklearn import metrics

    _require_both_classes(truth)
    return float(metrics.roc_auc_score(truth, probabilities))


def average_precision(truth: NDArray[np.bool_], probabilities: NDArray[np.floating]) -> float:
    """Area under the precision-recall curve, without interpolation.

    Args:
        truth: ground truth, (slices,) bool.
        probabilities: predicted probability of tumour, (slices,) float.

    Returns:
        A number in [0, 1]; chance gives the prevalence, the fraction of slices with tumour.

    Raises:
        ValueError: all slices have tumour, or none.
    """
    from sklearn import metrics

    _require_both_classes(truth)
    return float(metrics.average_precision_score(truth, probabilities))


def sensitivity(truth: NDArray[np.bool_], passed: NDArray[np.bool_]) -> float:
    """Fraction of the slices with tumour that pass (true positive rate, recall).

    Args:
        truth: ground truth, (slices,) bool.
        passed: slices predicted positive, (slices,) bool.
    """
    return float(passed[truth].mean())


def specificity(truth: NDArray[np.bool_], passed: NDArray[np.bool_]) -> float:
    """Fraction of the slices without tumour that are skipped (true negative rate).

    Args:
        truth: ground truth, (slices,) bool.
        passed: slices predicted positive, (slices,) bool.
    """
    return float(1 - passed[~truth].mean())


def threshold_for(truth: NDArray[np.bool_], probabilities: NDArray[np.floating], sensitivity: float) -> float:
    """The highest threshold that reaches a sensitivity.

    Args:
        truth: ground truth, (slices,) bool.
        probabilities: predicted probability of tumour, (slices,) float.
        sensitivity: the fraction of slices with tumour that has to pass, at least.

    Returns:
        A probability; slices at or above it pass.

    Raises:
        ValueError: all slices have tumour, or none.
    """
    from sklearn import metrics

    _require_both_classes(truth)
    _, recalls, thresholds = metrics.roc_curve(truth, probabilities, drop_intermediate=False)
    return float(thresholds[np.argmax(recalls >= sensitivity)])


def sensitivity_at(truth: NDArray[np.bool_], probabilities: NDArray[np.floating], specificity: float = 0.9) -> float:
    """The highest sensitivity that a threshold reaches together with a specificity.

    Args:
        truth: ground truth, (slices,) bool.
        probabilities: predicted probability of tumour, (slices,) float.
        specificity: the fraction of slices without tumour that has to be skipped, at least.

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: all slices have tumour, or none.
    """
    from sklearn import metrics

    _require_both_classes(truth)
    false_positive_rates, recalls, _ = metrics.roc_curve(truth, probabilities, drop_intermediate=False)
    return float(recalls[1 - false_positive_rates >= specificity].max())


def reliability(truth: NDArray[np.bool_], probabilities: NDArray[np.floating], bins: int = 10) -> "pd.DataFrame":
    """The reliability diagram: one row for each bin of equal width that has slices.

    Args:
        truth: ground truth, (slices,) bool.
        probabilities: predicted probability of tumour, (slices,) float.
        bins: number of bins between 0 and 1.

    Returns:
        Columns `mean_predicted` (mean probability), `fraction_positive` (fraction with tumour), `slices` (count).
    """
    import pandas as pd

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
    """Expected calibration error (ECE): |mean_predicted - fraction_positive|, weighted by slices (Guo et al. 2017).

    Args:
        truth: ground truth, (slices,) bool.
        probabilities: predicted probability of tumour, (slices,) float.
        bins: number of bins, as in `reliability`.
    """
    table = reliability(truth, probabilities, bins)
    return float(np.average((table["mean_predicted"] - table["fraction_positive"]).abs(), weights=table["slices"]))


def interval(
    patients: Sequence[tuple[NDArray, NDArray]],
    statistic: Statistic,
    confidence: float = 0.95,
    samples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap confidence interval of a statistic over slices; patients are resampled, not slices.

    Args:
        patients: ground truth and predictions of each, both (slices,).
        statistic: from the ground truth and the predictions of all drawn slices to a number.
        confidence: fraction of the bootstrap values inside the interval, between 0 and 1.
        samples: number of bootstrap samples.
        seed: the same seed gives the same interval.

    Returns:
        The lower and the upper bound. A sample in which the statistic is not defined is left out.

    Raises:
        ValueError: there are no patients, or no sample defines the statistic.
    """
    if not patients:
        raise ValueError("there are no patients to draw from")
    values = []
    for indices in resample(len(patients), samples, seed):
        drawn = [patients[index] for index in indices]
        truth = np.concatenate([truth for truth, _ in drawn])
        if truth.any() and not truth.all():
            values.append(statistic(truth, np.concatenate([predictions for _, predictions in drawn])))
    if not values:
        raise ValueError("every slice has tumour, or none has; expected patients with slices of both kinds")
    return percentile_interval(values, confidence)


def summarise(patients: Sequence[SlicePredictions], seed: int = 0) -> dict[str, float | dict]:
    """Every metric of a gate over the slices of these patients, ready for JSON.

    Args:
        patients: predictions of each patient.
        seed: of the bootstrap.

    Returns:
        `auc`, `average_precision`, `sensitivity_at_specificity_0.9`, `sensitivity`, `specificity` and `skipped` as
        {"value", "ci95"}, the interval over patients, the last three at each patient's threshold; `skipped` is the
        fraction of all slices that is skipped, those without brain among them. `confusion`, the confusion matrix in
        slices; `calibration_error`.
    """
    from sklearn import metrics

    truth = np.concatenate([patient.truth for patient in patients])

    def scored(statistic: Statistic, predictions: Sequence[NDArray]) -> dict[str, float | list[float]]:
        pairs = list(zip((patient.truth for patient in patients), predictions, strict=True))
        low_high = interval(pairs, statistic, seed=seed)
        return {"value": statistic(truth, np.concatenate(predictions)), "ci95": list(low_high)}

    probabilities = [patient.probabilities for patient in patients]
    passed = [patient.passed for patient in patients]
    skipped = [
        np.append(~positive, np.ones(patient.without_brain, bool))
        for patient, positive in zip(patients, passed, strict=True)
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
        "skipped": scored(lambda _, skip: float(skip.mean()), skipped),
        "confusion": {
            "true_negative": true_negative,
            "false_positive": false_positive,
            "false_negative": false_negative,
            "true_positive": true_positive,
        },
        "calibration_error": calibration_error(truth, np.concatenate(probabilities)),
    }


def _require_both_classes(truth: NDArray[np.bool_]) -> None:
    """Check that the metric is defined.

    Raises:
        ValueError: all slices have tumour, or none.
    """
    if truth.all() or not truth.any():
        raise ValueError(
            f"{int(truth.sum())} of {truth.size} slices have tumour; expected slices of both kinds. Take more patients."
        )
