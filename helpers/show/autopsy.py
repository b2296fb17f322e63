"""Figures of lesson 08: what a score counts, how a training went, what a network puts out, and who was worst served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from helpers.measure import overlap, regions
from helpers.show.panel import Plane, grey_levels, plane, show_slice
from helpers.show.slices import busiest
from helpers.show.style import AGREEMENT_COLOURS, CLASS_COLOURS, CLASS_NAMES, alt, styled

if TYPE_CHECKING:
    import pandas as pd

    from helpers.data.volumes import Scan
    from helpers.lessons.ledger import Ledger

WIDTH = 8.0  # inches
MODEL, NOTHING, HONEST = "#0072B2", "#333333", "#D55E00"
"""Colours of a model's score, of all background, and of the honest Dice."""
TRUE, BACK = "#009E73", "#FF00FF"
"""Outlines of a truth, and of what resizing made of it: on a scan, so neither is a class's nor an error's colour."""


@styled
def bars(
    values: Mapping[str, float], nothing: Mapping[str, float] | None = None, title: str | None = None, label: str = ""
) -> Figure:
    """A bar for each score, and a cross where the model without a weight has its own.

    Args:
        values: by name, from 0 to 1.
        nothing: the same of all background, for some of the names or all.
        title: heading of the figure.
        label: of the horizontal axis.
    """
    figure = Figure(figsize=(WIDTH, 0.38 * len(values) + 0.6 + 0.3 * (title is not None) + 0.3 * (nothing is not None)))
    ax = figure.subplots()
    drawn = ax.barh(list(values), list(values.values()), color=MODEL, height=0.62)
    ax.bar_label(drawn, [f"{value:.3f}" for value in values.values()], padding=8)
    for row, name in enumerate(values):
        if nothing is not None and name in nothing:
            ax.plot(nothing[name], row, "X", color=NOTHING, markersize=8, clip_on=False, zorder=5,
                    label="all background" if name == next(iter(nothing)) else None)  # fmt: skip
    ax.invert_yaxis()
    ax.set(xlim=(-0.03, 1.12), xlabel=label)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1])
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)
    if nothing is not None:
        figure.legend(loc="outside lower center", ncols=2)
    if title is not None:
        figure.suptitle(title)
    return alt(figure, "; ".join(f"{name} {value:.3f}" for name, value in values.items()) + ".")


@styled
def four_curves(history: pd.DataFrame, nothing: Mapping[str, float], title: str | None = None) -> Figure:
    """Accuracy, loss, Dice and Jaccard over the epochs, as the paper's figure 12 has them, and the honest Dice.

    Args:
        history: as `helpers.tasks.brain.public_kernel.fit_kernel` returns it.
        nothing: what all background gets, by the names of columns; a dotted line each.
        title: heading of the figure.

    Raises:
        ValueError: a column is missing.
    """
    panels = {
        "accuracy": {"accuracy": ("training", MODEL), "val_accuracy": ("validation", "#009E73")},
        "loss": {"loss": ("training", MODEL), "val_loss": ("validation", "#009E73")},
        "Dice": {"val_kernel_dice": ("the kernel's", "#009E73"), "val_dice": ("honest", HONEST)},
        "Jaccard": {"val_one_hot_iou": ("the kernel's", "#009E73"), "val_jaccard": ("honest", HONEST)},
    }
    if missing := [column for lines in panels.values() for column in lines if column not in history]:
        raise ValueError(f"the history has no {', '.join(missing)}; it holds {', '.join(history.columns)}")
    figure = Figure(figsize=(WIDTH, 4.6 + 0.3 * (title is not None)))
    for ax, (name, lines) in zip(figure.subplots(2, 2).ravel(), panels.items(), strict=True):
        for column, (label, colour) in lines.items():
            ax.plot(history["epoch"], history[column], color=colour, marker="o", markersize=3, label=label)
            if column in nothing:
                ax.axhline(nothing[column], color=colour, linewidth=1, linestyle=":")
        ax.set_title(name)
        ax.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
        if name != "loss":
            ax.set_ylim(-0.03, 1.05)
        ax.legend(loc="best", frameon=True, edgecolor="none", framealpha=0.9)  # readable on a dotted line
    figure.supxlabel("epoch (dotted: what all background gets)", fontsize=10)
    if title is not None:
        figure.suptitle(title)
    last = history.iloc[-1]
    told = ", ".join(f"{column} {last[column]:.3f}" for lines in panels.values() for column in lines)
    return alt(figure, f"Four panels of curves over {len(history)} epochs. At the end: {told}.")


@styled
def jaccard_on_mask(
    scan: Scan, prediction: np.ndarray, k: int | None = None, region: str = "WT", title: str | None = None
) -> Figure:
    """The Jaccard index on a mask: what both cover over what either covers, in one slice (the paper's figure 7).

    Args:
        scan: the patient, with a mask.
        prediction: (rows, columns, slices) network labels, on the scan's grid.
        k: slice number.
        region: of the mask.
        title: heading of the figure.
    """
    k = busiest(scan) if k is None else k
    view, volume = plane(scan.affine), scan.images[..., 0]
    box = view.brain(scan.images)
    true, drawn = (regions.mask(view.cut(labels, k, box), region) for labels in (scan.seg, prediction))
    figure = Figure(figsize=(WIDTH, 3.7 + 0.3 * (title is not None)))
    left, middle, right = figure.subplots(1, 3)
    image = view.cut(volume, k, box)
    colours, agreement = dict(enumerate(AGREEMENT_COLOURS.values(), start=1)), _agreement(true, drawn)
    for ax, shown, name in ((left, agreement * (agreement == 1), "both"), (middle, agreement, "either")):
        show_slice(ax, image, view, grey_levels(volume), shown, colours, 0.7, marks=ax is left)
        ax.set_title(f"{name}: {np.count_nonzero(shown)} pixels")
    score, dice = overlap.jaccard(true, drawn), overlap.dice(true, drawn)
    right.bar(["Jaccard", "Dice"], [score, dice], color=[MODEL, HONEST], width=0.55)
    right.bar_label(right.containers[0], [f"{score:.3f}", f"{dice:.3f}"], padding=3)
    right.set(ylim=(0, 1.15), title="both over either, and Dice")
    right.grid(axis="x", visible=False)
    handles = [Patch(facecolor=colour, label=name) for name, colour in AGREEMENT_COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    if title is not None:
        figure.suptitle(title)
    told = f"Jaccard {score:.3f}, Dice {dice:.3f}"
    return alt(figure, f"Slice {k} of {scan.id}: the pixels of both masks and of either. {told}.")


@styled
def outputs(
    image: np.ndarray, truth: np.ndarray, probabilities: np.ndarray, view: Plane, title: str | None = None
) -> Figure:
    """What a network puts out, a panel for each class, under the truth of that class (the paper's figure 13).

    Args:
        image: (rows, columns), a slice in file order.
        truth: (rows, columns) network labels.
        probabilities: (rows, columns, 4).
        view: orientation of the slice.
        title: heading of the figure.
    """
    figure = Figure(figsize=(WIDTH, 4.6 + 0.3 * (title is not None)))
    axes = figure.subplots(2, 4)
    for label in range(4):
        name = "background" if label == 0 else CLASS_NAMES[label]
        show_slice(axes[0, label], image, view, labels=(truth == label).astype(int),
                   colours={1: CLASS_COLOURS.get(label, "#9A9A9A")}, fill=0.6, marks=label == 0)  # fmt: skip
        axes[0, label].set_title(f"{name}\n{np.count_nonzero(truth == label)} pixels")
        axes[1, label].imshow(view.turn(probabilities[..., label]), vmin=0, vmax=1, cmap="magma")
        axes[1, label].set_title(f"up to {probabilities[..., label].max():.2f}")
        axes[1, label].set_axis_off()
    if title is not None:
        figure.suptitle(title)
    highest = ", ".join(f"{CLASS_NAMES[c] if c else 'background'} {probabilities[..., c].max():.2f}" for c in range(4))
    return alt(figure, f"Above the truth of each class, below its probability. The highest of each: {highest}.")


@styled
def gallery(
    scans: Sequence[Scan], predictions: Sequence[np.ndarray], captions: Sequence[str], title: str | None = None
) -> Figure:
    """The busiest slice of some patients: true positives, false negatives and false positives, and why.

    Args:
        scans: the patients, with masks.
        predictions: (rows, columns, slices) network labels each.
        captions: a line under each panel.
        title: heading of the figure.
    """
    figure = Figure(figsize=(WIDTH, 3.5 + 0.3 * (title is not None)))
    for ax, scan, prediction, caption in zip(
        figure.subplots(1, len(scans), squeeze=False)[0], scans, predictions, captions, strict=True
    ):
        view, volume, k = plane(scan.affine), scan.images[..., 0], busiest(scan)
        box = view.brain(scan.images)
        true, drawn = (regions.mask(view.cut(labels, k, box), "WT") for labels in (scan.seg, prediction))
        agreement, colours = _agreement(true, drawn), dict(enumerate(AGREEMENT_COLOURS.values(), start=1))
        show_slice(ax, view.cut(volume, k, box), view, grey_levels(volume), agreement, colours, 0.65)
        lines = [part for line in caption.splitlines() for part in wrap(line, 96 // len(scans))]
        ax.set_title("\n".join(lines), fontsize=9)  # wrapped here: Matplotlib wraps at the figure's edge alone
    handles = [Patch(facecolor=colour, label=name) for name, colour in AGREEMENT_COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    if title is not None:
        figure.suptitle(title)
    return alt(figure, "The worst patients. " + "; ".join(caption.replace("\n", ": ") for caption in captions) + ".")


@styled
def moved(scan: Scan, masks: Mapping[str, np.ndarray], k: int | None = None, title: str | None = None) -> Figure:
    """The outline of the truth, and of what resizing made of it, in one slice, close up.

    Args:
        scan: the patient, with a mask.
        masks: by name (rows, columns, slices) network labels, on the scan's grid.
        k: slice number.
        title: heading of the figure.
    """
    k = busiest(scan) if k is None else k
    view, volume = plane(scan.affine), scan.images[..., 0]
    where = np.argwhere(scan.seg[..., k] > 0)
    low, high = np.maximum(where.min(axis=0) - 6, 0), where.max(axis=0) + 7
    box = (slice(low[0], high[0]), slice(low[1], high[1]))
    figure = Figure(figsize=(WIDTH, 3.6 + 0.3 * (title is not None)))
    for ax, (name, labels) in zip(figure.subplots(1, len(masks), squeeze=False)[0], masks.items(), strict=True):
        image = view.cut(volume, k, box)
        for one, colour in ((scan.seg, TRUE), (labels, BACK)):
            outline = (view.cut(one, k, box) > 0).astype(int)
            show_slice(ax, image, view, grey_levels(volume), outline, {1: colour}, marks=False)
        ax.set_title(name)
    handles = [Patch(color=TRUE, label="the truth"), Patch(color=BACK, label="the truth, there and back")]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    if title is not None:
        figure.suptitle(title)
    return alt(figure, f"Slice {k} of {scan.id}: the outline of its truth, and of the same after {', '.join(masks)}.")


@styled
def by_slice(
    series: Mapping[str, np.ndarray], shaded: slice | None = None, title: str | None = None, label: str = ""
) -> Figure:
    """Curves over the slices of a volume, from foot to head.

    Args:
        series: by name one number a slice, (slices,); NaN is left out.
        shaded: slices that a score leaves out lie outside of these, and are shaded.
        title: heading of the figure.
        label: of the vertical axis.
    """
    figure = Figure(figsize=(WIDTH, 2.5 + 0.3 * (title is not None)))
    ax = figure.subplots()
    for (name, values), colour in zip(series.items(), (HONEST, MODEL, "#009E73", "#CC79A7"), strict=False):
        ax.plot(np.arange(len(values)), values, color=colour, marker="o", markersize=2.5, label=name)
    if shaded is not None:
        end = max(map(len, series.values())) - 1
        for first, last in ((0, shaded.start - 0.5), (shaded.stop - 0.5, end)):
            ax.axvspan(first, last, color="#DDDDDD", zorder=0, linewidth=0)
    ax.set(xlabel="slice, from foot to head", ylabel=label)
    figure.legend(loc="outside lower center", ncols=len(series))
    if title is not None:
        figure.suptitle(title)
    return alt(figure, f"{label} over the slices: {', '.join(series)}.")


@styled
def shapes(truth: np.ndarray, masks: Mapping[str, np.ndarray], title: str | None = None) -> Figure:
    """Masks, filled, under the outline of their truth; each title has the Dice.

    Args:
        truth: mask, bool, (rows, columns, slices); its middle slice is drawn.
        masks: by name, the same shape.
        title: heading of the figure.
    """
    k = int(truth.any(axis=(0, 1)).nonzero()[0].mean())
    figure = Figure(figsize=(WIDTH, 3.3 + 0.3 * (title is not None)))
    for ax, (name, mask) in zip(figure.subplots(1, len(masks), squeeze=False)[0], masks.items(), strict=True):
        ax.imshow(np.where(mask, 0.35, np.nan)[:, :, k], cmap="Blues", vmin=0, vmax=1)
        ax.contour(truth[:, :, k], levels=[0.5], colors=[HONEST])
        ax.set_title(f"{name}\nDice {overlap.dice(truth, mask):.2f}")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.grid(False)
    if title is not None:
        figure.suptitle(title)
    return alt(figure, f"Masks under the outline of one truth: {', '.join(masks)}.")


@styled
def ledger(book: Ledger, title: str | None = None) -> Figure:
    """The rows of a ledger: what each reports, what all background gets, and the honest Dice.

    Args:
        book: with one row at least.
        title: heading of the figure.
    """
    figure = Figure(figsize=(WIDTH, 0.36 * len(book.rows) + 0.9 + 0.3 * (title is not None)))
    ax = figure.subplots()
    for place, row in enumerate(book.rows):
        first = place == 0
        ax.plot([row.reported, row.honest.mean()], [place] * 2, color="#CCCCCC", linewidth=2, zorder=1)
        ax.plot(row.reported, place, "o", color=MODEL, markersize=9, label="reports" if first else None)
        ax.plot(row.honest.mean(), place, "D", color=HONEST, markersize=6, label="honest Dice" if first else None)
        ax.plot(row.nothing, place, "X", color=NOTHING, markersize=7, label="all background" if first else None)
    ax.axvline(book.nothing.mean(), color=NOTHING, linewidth=1, linestyle=":")
    ax.set_yticks(range(len(book.rows)), [row.name for row in book.rows])
    ax.set(ylim=(len(book.rows) - 0.5, -0.5), xlim=(-0.03, 1.03), xlabel="score (dotted: all background, honestly)")
    figure.legend(loc="outside lower center", ncols=3)
    if title is not None:
        figure.suptitle(title)
    told = "; ".join(f"{row.name}: reports {row.reported:.3f}, honest {row.honest.mean():.3f}" for row in book.rows)
    return alt(figure, f"The ledger. {told}.")


def _agreement(true: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """1, 2 and 3 where `AGREEMENT_COLOURS` has true positives, false negatives and false positives; 0 elsewhere."""
    return np.select([true & drawn, true, drawn], [1, 2, 3], 0)
