"""Figures of a gate, a slice classifier: ROC and precision-recall curves, calibration, confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn import metrics

from helpers.measure.classification import SlicePredictions, auc, average_precision, calibration_error, reliability
from helpers.show.style import alt, styled

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # of the gates, in the order in which they are given
_CHANCE = {"color": "#777777", "linestyle": ":", "linewidth": 1.2, "label": "chance"}


@styled
def curves(gates: Mapping[str, Sequence[SlicePredictions]], title: str | None = None) -> Figure:
    """ROC curve on the left, precision-recall curve on the right; a dot at each gate's threshold.

    Args:
        gates: name of each gate, and its predictions per patient; the same patients for all gates.
        title: heading of the figure.
    """
    figure = Figure(figsize=(8, 4.2 + 0.22 * len(gates) + 0.3 * (title is not None)))
    left, right = figure.subplots(1, 2)
    scores = {}
    for colour, (name, patients) in zip(COLOURS, gates.items(), strict=False):
        truth, probabilities, passed = _together(patients)
        false_positive_rate, sensitivity, _ = metrics.roc_curve(truth, probabilities)
        average = f"average precision {average_precision(truth, probabilities):.3f}"
        scores[name] = f"AUC {auc(truth, probabilities):.3f}, {average}"
        left.plot(false_positive_rate, sensitivity, color=colour, label=f"{name}: {scores[name]}")
        left.plot(passed[~truth].mean(), passed[truth].mean(), "o", color=colour, markersize=7, clip_on=False)
        precision, recall, _ = metrics.precision_recall_curve(truth, probabilities)
        right.plot(recall, precision, color=colour)
        right.plot(passed[truth].mean(), truth[passed].mean(), "o", color=colour, markersize=7, clip_on=False)
    left.plot([0, 1], [0, 1], **_CHANCE)
    right.axhline(truth.mean(), **_CHANCE | {"label": None})
    _square(
        left, "slices without tumour that pass\n(1 less the specificity)", "slices with tumour that pass\n(sensitivity)"
    )
    _square(
        right, "slices with tumour that pass\n(recall, sensitivity)", "of those that pass, with tumour\n(precision)"
    )
    figure.legend(loc="outside lower center", ncols=1 if len(gates) > 1 else 2)  # below: names may be long
    if title is not None:
        figure.suptitle(title)
    listed = ", ".join(f"{name} {score}" for name, score in scores.items())
    return alt(figure, f"ROC and precision-recall curves: {listed}; dots at each threshold.")


@styled
def calibration(patients: Sequence[SlicePredictions], bins: int = 10, title: str | None = None) -> Figure:
    """Reliability diagram: the observed fraction of tumour per predicted probability, over a histogram of predictions.

    Args:
        patients: the gate's predictions for each patient.
        bins: number of bins of equal width over [0, 1].
        title: heading of the figure.
    """
    truth, probabilities, _ = _together(patients)
    table, error = reliability(truth, probabilities, bins), calibration_error(truth, probabilities, bins)
    figure = Figure(figsize=(5, 5 + 0.3 * (title is not None)))
    ax, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    ax.plot([0, 1], [0, 1], **{**_CHANCE, "label": "perfectly calibrated"})
    ax.plot(
        table["mean_predicted"],
        table["fraction_positive"],
        marker="o",
        color=COLOURS[0],
        label=f"gate: ECE {error:.3f}",
    )
    ax.set_ylim(-0.02, 1.02)
    ax.set_ylabel("fraction with tumour")
    ax.legend(loc="upper left")
    edges = np.linspace(0, 1, bins + 1)
    below.hist([probabilities[truth], probabilities[~truth]], edges, stacked=True, color=(COLOURS[1], "#BBBBBB"),
               label=("with tumour", "without"))  # fmt: skip
    below.set_ylabel("slices")
    below.set_xlabel("predicted probability of tumour")
    below.set_xlim(-0.02, 1.02)
    below.legend(loc="upper center", ncols=2)
    if title is not None:
        figure.suptitle(title)
    return alt(figure, f"Reliability diagram with {len(table)} bins; expected calibration error (ECE) {error:.3f}.")


@styled
def confusion(patients: Sequence[SlicePredictions], title: str | None = None) -> Figure:
    """Confusion matrix of the slices, each patient at its own threshold; coloured by the fraction of the row.

    Args:
        patients: the gate's predictions for each patient.
        title: heading of the figure.
    """
    truth, _, passed = _together(patients)
    counts = metrics.confusion_matrix(truth, passed, labels=[True, False])
    figure = Figure(figsize=(4.6, 3 + 0.3 * (title is not None)))
    ax = figure.subplots()
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(fractions, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        text = f"{count:,}\n{fractions[row, column]:.1%}"
        ax.text(column, row, text, ha="center", va="center", color="white" if fractions[row, column] > 0.6 else "black")
    ax.set_xticks([0, 1], ["passed", "skipped"])
    ax.set_yticks([0, 1], ["tumour", "no tumour"])
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    if title is not None:
        figure.suptitle(title)
    (tp, fn), (fp, tn) = counts.tolist()
    return alt(figure, f"True positives {tp}, false negatives {fn}, false positives {fp}, true negatives {tn}.")


def _together(
    patients: Sequence[SlicePredictions],
) -> tuple[NDArray[np.bool_], NDArray[np.floating], NDArray[np.bool_]]:
    """Ground truth, probabilities and whether each slice passed, over the slices of all patients."""
    names = ("truth", "probabilities", "passed")
    return tuple(np.concatenate([getattr(patient, name) for patient in patients]) for name in names)


def _square(ax: Axes, x: str, y: str) -> None:
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.02)
    ax.set_aspect("equal")
    ax.set_xlabel(x)
    ax.set_ylabel(y)
