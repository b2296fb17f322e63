"""Pictures of a gate: ROC and precision-recall curves, said against found, and who was let through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn import metrics

from helpers.measure.classification import SlicePredictions, auc, average_precision, calibration_error, reliability
from helpers.show.style import alt, styled

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # in the order in which gates are given
_CHANCE = {"color": "#777777", "linestyle": ":", "linewidth": 1.2, "label": "chance"}


@styled
def curves(gates: Mapping[str, Sequence[SlicePredictions]], title: str | None = None) -> Figure:
    """ROC on the left, precision and recall on the right; a dot where each gate's threshold puts it.

    Args:
        gates: name to what the gate said of each patient; all of them of the same patients.
        title: what to see.
    """
    figure = Figure(figsize=(8, 4.2 + 0.3 * (title is not None)))
    left, right = figure.subplots(1, 2)
    said = {}
    for colour, (name, patients) in zip(COLOURS, gates.items(), strict=False):
        truth, probabilities, passed = _together(patients)
        false_alarms, found, _ = metrics.roc_curve(truth, probabilities)
        said[name] = f"AUC {auc(truth, probabilities):.3f}"
        left.plot(false_alarms, found, color=colour, label=f"{name}: {said[name]}")
        left.plot(passed[~truth].mean(), passed[truth].mean(), "o", color=colour, markersize=7, clip_on=False)
        precision, recall, _ = metrics.precision_recall_curve(truth, probabilities)
        average = average_precision(truth, probabilities)
        right.plot(recall, precision, color=colour, label=f"{name}: average precision {average:.3f}")
        right.plot(passed[truth].mean(), truth[passed].mean(), "o", color=colour, markersize=7, clip_on=False)
    left.plot([0, 1], [0, 1], **_CHANCE)
    right.axhline(truth.mean(), **_CHANCE)
    _square(left, "slices without tumour let pass", "slices with tumour let pass (sensitivity)")
    _square(right, "slices with tumour let pass (recall)", "share with tumour of what passes (precision)")
    for ax in (left, right):
        ax.legend(loc="lower left" if ax is right else "lower right")
    if title is not None:
        figure.suptitle(title)
    listed = ", ".join(f"{name} {score}" for name, score in said.items())
    return alt(figure, f"ROC and precision-recall curves: {listed}; dots at each threshold.")


@styled
def calibration(patients: Sequence[SlicePredictions], bins: int = 10, title: str | None = None) -> Figure:
    """How often there is tumour where the gate says it is so likely, and how often it says so.

    Args:
        patients: what the gate said of each.
        bins: of equal width, over the probabilities.
        title: what to see.
    """
    truth, probabilities, _ = _together(patients)
    table, error = reliability(truth, probabilities, bins), calibration_error(truth, probabilities, bins)
    figure = Figure(figsize=(5, 5 + 0.3 * (title is not None)))
    ax, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    ax.plot([0, 1], [0, 1], **{**_CHANCE, "label": "what it says is so"})
    ax.plot(
        table["mean_predicted"],
        table["fraction_positive"],
        marker="o",
        color=COLOURS[0],
        label=f"gate: error {error:.3f}",
    )
    ax.set_ylim(-0.02, 1.02)
    ax.set_ylabel("share with tumour")
    ax.legend(loc="upper left")
    edges = np.linspace(0, 1, bins + 1)
    below.hist([probabilities[truth], probabilities[~truth]], edges, stacked=True, color=(COLOURS[1], "#BBBBBB"),
               label=("with tumour", "without"))  # fmt: skip
    below.set_ylabel("slices")
    below.set_xlabel("probability of tumour, as the gate says it")
    below.set_xlim(-0.02, 1.02)
    below.legend(loc="upper center", ncols=2)
    if title is not None:
        figure.suptitle(title)
    return alt(figure, f"Said against found in {len(table)} bins; expected calibration error {error:.3f}.")


@styled
def confusion(patients: Sequence[SlicePredictions], title: str | None = None) -> Figure:
    """Slices by truth and answer, at each patient's threshold; a colour is a share of its row.

    Args:
        patients: what the gate said of each.
        title: what to see.
    """
    truth, _, passed = _together(patients)
    counts = metrics.confusion_matrix(truth, passed, labels=[True, False])
    figure = Figure(figsize=(4.6, 3 + 0.3 * (title is not None)))
    ax = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        text = f"{count:,}\n{shares[row, column]:.1%}"
        ax.text(column, row, text, ha="center", va="center", color="white" if shares[row, column] > 0.6 else "black")
    ax.set_xticks([0, 1], ["let pass", "held back"])
    ax.set_yticks([0, 1], ["tumour", "no tumour"])
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    if title is not None:
        figure.suptitle(title)
    (found, missed), (alarms, held) = counts.tolist()
    return alt(figure, f"With tumour: {found} passed, {missed} missed. Without: {alarms} passed, {held} held back.")


def _together(
    patients: Sequence[SlicePredictions],
) -> tuple[NDArray[np.bool_], NDArray[np.floating], NDArray[np.bool_]]:
    """Truth, probabilities and what passed, over the slices of all patients."""
    names = ("truth", "probabilities", "passed")
    return tuple(np.concatenate([getattr(patient, name) for patient in patients]) for name in names)


def _square(ax: Axes, x: str, y: str) -> None:
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.02)
    ax.set_aspect("equal")
    ax.set_xlabel(x)
    ax.set_ylabel(y)
