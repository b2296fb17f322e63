"""Figures of numbers: intensity histograms per tissue, class balance, learning curves, scores per patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colors, ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.measure.regions import Scores
from helpers.measure.statistics import MIN_PATIENTS, summarise
from helpers.show.style import CLASS_COLOURS, CLASS_NAMES, MODALITY_NAMES, REGION_COLOURS, alt, styled

if TYPE_CHECKING:
    import pandas as pd

    from helpers.data.volumes import Scan

TISSUE_COLOURS = {0: "#9A9A9A", **CLASS_COLOURS}
METRICS = {
    "dice": "Dice",
    "jaccard": "Jaccard",
    "sensitivity": "sensitivity",
    "precision": "precision",
    "hd95_mm": "HD95 (mm)",
    "assd_mm": "ASSD (mm)",
    "nsd_1mm": "NSD at 1 mm",
    "volume_error_ml": "volume error (ml)",
    "absolute_volume_error_ml": "absolute volume error (ml)",
    "lesion_recall": "lesion recall",
    "lesion_precision": "lesion precision",
}


@styled
def histograms(scan: Scan, title: str | None = None) -> Figure:
    """Histogram of the intensities of each tissue in each modality, normalised to area 1 per tissue.

    Args:
        scan: the patient, with a mask.
        title: heading of the figure.

    Raises:
        ValueError: the scan has no mask.
    """
    if scan.seg is None:
        raise ValueError(f"{scan.id} has no mask: read it with `seg=True`")
    columns = min(2, len(scan.modalities))
    rows = -(-len(scan.modalities) // columns)
    figure = Figure(figsize=(8, 2.1 * rows + 0.6))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, index in zip(axes, range(len(scan.modalities)), strict=False):
        volume = scan.images[..., index]
        brain = volume != 0
        edges = np.linspace(*np.percentile(volume[brain], [0.2, 99.8]), 61)
        for label, colour in TISSUE_COLOURS.items():
            values = volume[brain & (scan.seg == label)]
            if values.size:
                edge = tuple(0.6 * part for part in colors.to_rgb(colour))
                density = np.histogram(values, edges, density=True)[0]
                ax.stairs(density, edges, fill=True, facecolor=colors.to_rgba(colour, 0.45), edgecolor=edge,
                          label=CLASS_NAMES[label], linewidth=1.2)  # fmt: skip
        ax.set_title(MODALITY_NAMES.get(scan.modalities[index], scan.modalities[index]))
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        ax.grid(False)
    for ax in axes[len(scan.modalities) :]:
        ax.set_axis_off()
    for ax in axes[max(len(scan.modalities) - columns, 0) : len(scan.modalities)]:
        ax.set_xlabel("intensity")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    if title is not None:
        figure.suptitle(title)
    return alt(figure, f"Intensities of {scan.id} by tissue, one panel for each modality.")


@styled
def class_balance(fractions: pd.DataFrame | Mapping[int, float], title: str | None = None) -> Figure:
    """Fraction of all voxels that has each label.

    Args:
        fractions: fraction in [0, 1] of each network label: one per label, or a table with a row per patient and a
            column per label, whose mean is drawn.
        title: heading of the figure.
    """
    import pandas as pd

    table = fractions.mean() if isinstance(fractions, pd.DataFrame) else pd.Series(fractions)
    figure = Figure(figsize=(8, 0.42 * len(table) + 0.6 + 0.3 * (title is not None)))
    ax = figure.subplots()
    names = ["background" if label == 0 else CLASS_NAMES[label] for label in table.index]
    bars = ax.barh(names, 100 * table, color=[TISSUE_COLOURS[label] for label in table.index],
                   edgecolor="#555555", linewidth=0.6)  # fmt: skip
    ax.bar_label(bars, [f"{100 * fraction:.2f} %" for fraction in table], padding=4)
    ax.invert_yaxis()
    ax.set_xlim(0, 112)
    ax.set_xticks([0, 25, 50, 75, 100])
    ax.set_xlabel("fraction of all voxels (%)")
    ax.grid(False)
    ax.tick_params(axis="y", length=0, labelsize=10)
    if title is not None:
        figure.suptitle(title)
    listed = ", ".join(f"{name} {100 * fraction:.2f} %" for name, fraction in zip(names, table, strict=True))
    return alt(figure, f"Fraction of all voxels: {listed}.")


@styled
def curves(history: pd.DataFrame | str | PathLike, title: str | None = None) -> Figure:
    """Learning curves: those of loss, accuracy and validation Dice per epoch that the table holds.

    Args:
        history: table, or the CSV file of one, with the column `epoch` and some of `loss`, `val_loss`,
            `accuracy`, `val_accuracy`, `val_dice`, `val_dice_wt`, `val_dice_tc`, `val_dice_et`.
        title: heading of the figure.

    Raises:
        ValueError: the table has no `epoch`, or none of the columns to draw.
    """
    import pandas as pd

    table = history if isinstance(history, pd.DataFrame) else pd.read_csv(history)
    phases = {"": ("training", "#0072B2"), "val_": ("validation", "#D55E00")}
    panels = {
        name: {prefix + name: style for prefix, style in phases.items() if prefix + name in table}
        for name in ("loss", "accuracy")
    }
    wanted = {"val_dice": ("mean", "#333333")}
    wanted |= {f"val_dice_{region.lower()}": (region, colour) for region, colour in REGION_COLOURS.items()}
    panels["validation Dice"] = {column: style for column, style in wanted.items() if column in table}
    panels = {name: lines for name, lines in panels.items() if lines}
    if "epoch" not in table or not panels:
        raise ValueError(f"the history holds {', '.join(table.columns)}; expected `epoch` and `loss`")
    figure = Figure(figsize=(8, 2.8 + 0.3 * (title is not None)))
    for ax, (name, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for column, (label, colour) in lines.items():
            rows = table[["epoch", column]].dropna()
            ax.plot(rows["epoch"], rows[column], color=colour, label=label, marker="o", markersize=3)
        ax.set_title(name)
        ax.set_xlabel("epoch")
        ax.set_xlim(table["epoch"].min() - 0.5, table["epoch"].max() + 0.5)
        ax.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
        if name != "loss":
            ax.set_ylim(0, 1.02)
        _label_lines(ax)
    if title is not None:
        figure.suptitle(title)
    return alt(figure, f"Curves over {len(table)} epochs: {', '.join(panels)}.")


@styled
def regions(
    patients: Sequence[Scores],
    trivial: Mapping | None = None,
    metric: str = "dice",
    title: str | None = None,
) -> Figure:
    """Every patient's score per region, the mean with its 95 % confidence interval, and that of the trivial model.

    Fewer than `helpers.measure.statistics.MIN_PATIENTS` have no interval: their mean stands among their dots.

    Args:
        patients: results of `helpers.measure.regions.score_patient`.
        trivial: summary of the all-background model, from `helpers.measure.statistics.summarise`.
        metric: one of `METRICS`.
        title: heading of the figure.

    Raises:
        ValueError: there are no patients, or no such score, or nobody has it.
    """
    summary = summarise(patients)
    if any(metric not in scores for scores in summary.values()):
        raise ValueError(f"no score is called {metric!r}; there are {', '.join(METRICS)}")
    if nobody := [region for region, scores in summary.items() if scores[metric]["mean"] is None]:
        raise ValueError(f"{metric} is not defined for any patient in {', '.join(nobody)}; choose another score")
    digits = 1 if metric.endswith(("_mm", "_ml")) else 2
    figure = Figure(figsize=(8, 0.75 * len(summary) + 0.7 + 0.3 * (title is not None)))
    ax = figure.subplots()
    for row, (region, scores) in enumerate(summary.items()):
        colour = REGION_COLOURS[region]
        values = np.sort([patient[region][metric] for patient in patients if patient[region][metric] is not None])
        ax.scatter(values, row + _heights(values), s=20, color=colour, alpha=0.55, linewidth=0)
        mean, text = scores[metric]["mean"], f"{scores[metric]['mean']:.{digits}f}"
        if scores[metric]["interval"]:
            low, high = scores[metric]["interval"]
            ax.plot([low, high], [row - 0.14] * 2, color=colour, linewidth=4, solid_capstyle="butt")
            text += f" [{low:.{digits}f}, {high:.{digits}f}]"
        ax.plot(mean, row - 0.14, "o", color="white", markeredgecolor=colour, markeredgewidth=2, markersize=8)
        ax.text(mean, row - 0.27, text, ha="center", va="bottom", color=colour)
        if trivial is not None:
            place, name = trivial[region][metric]["mean"], "all background" if row == 0 else None
            ax.plot(place, row - 0.14, "X", color="#333333", markersize=8, label=name, clip_on=False, zorder=5)
    ax.set_yticks(range(len(summary)), list(summary))
    ax.set_ylim(len(summary) - 0.5, -0.6)
    above = "mean and 95 % CI" if len(patients) >= MIN_PATIENTS else "mean"
    ax.set_xlabel(f"{METRICS[metric]}, {len(patients)} patients: a dot each, {above} above")
    if not metric.endswith(("_mm", "_ml")):
        ax.set_xlim(-0.02, 1.02)
    ax.grid(axis="y", visible=False)
    if trivial is not None:
        figure.legend(loc="outside upper right")
    if title is not None:
        figure.suptitle(title)
    listed = ", ".join(f"{region} {scores[metric]['mean']:.2f}" for region, scores in summary.items())
    return alt(figure, f"Mean {METRICS[metric]} over {len(patients)} patients: {listed}.")


def _heights(values: np.ndarray) -> np.ndarray:
    """How far below its row each dot stands, (patients,), so that patients of one score are seen side by side."""
    heights = 0.22 + 0.1 * (np.arange(len(values)) % 3 - 1)
    places = np.round(100 * values / max(np.ptp(values), 1e-9))
    for place in np.unique(places):
        alike = np.flatnonzero(places == place)
        if len(alike) > 3:
            heights[alike] = np.linspace(0.06, 0.46, len(alike))
    return heights


def _label_lines(ax: Axes) -> None:
    """Write each line's label at its end, moved apart where labels would overlap."""
    bottom, top = ax.get_ylim()
    gap = 0.09 * (top - bottom)
    lines = sorted(ax.get_lines(), key=lambda line: line.get_ydata()[-1])
    height = -np.inf
    for line in lines:
        end = line.get_ydata()[-1]
        height = max(end, height + gap)
        place = line.get_xdata()[-1], height
        text = {"textcoords": "offset points", "va": "center", "annotation_clip": False}
        ax.annotate(line.get_label(), place, (6, 0), color=line.get_color(), **text)
