"""Figures of chest radiographs (X-rays): lung masks, learning curves of a lung network, scores per hospital.

A radiograph is (rows, columns) uint8, in radiological orientation: the patient's right is on the left. The files of the
public data sets do not give the pixel spacing, so there is no scale bar.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colors, ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from helpers.measure.overlap import dice
from helpers.measure.statistics import MIN_PATIENTS, mean_interval
from helpers.show.panel import LETTER_HALO
from helpers.show.style import AGREEMENT_COLOURS, SITE_COLOURS, alt, styled

if TYPE_CHECKING:
    import pandas as pd

TRUTH = "#F0E442"
_LUNG_COLOURS = ("#56B4E9", "#E69F00")
_MAX_PIXELS = 480  # along a side; more would only make the figure's file larger
_PADDING = "#0072B2"
PANELS = {"loss": "loss", "accuracy": "accuracy", "dice": "Dice", "jaccard": "Jaccard"}
_SIDES = {"": ("training", "#0072B2"), "val_": ("validation", "#D55E00")}


def show_radiograph(
    ax: Axes,
    radiograph: np.ndarray,
    lungs: np.ndarray | None = None,
    drawn: np.ndarray | None = None,
    marks: bool = True,
) -> Axes:
    """Draw a radiograph with its lung mask.

    The ground truth alone is drawn as an outline; together with a prediction, true positives, false negatives and false
    positives are filled, in `AGREEMENT_COLOURS`.

    Args:
        ax: where to draw; one unit of its axes is one pixel.
        radiograph: (rows, columns) uint8; white is 255.
        lungs: (rows, columns) bool, the ground truth.
        drawn: (rows, columns) bool, the prediction.
        marks: write R and L at the sides.

    Raises:
        ValueError: a mask has another shape than the radiograph.
    """
    for name, mask in {"lungs": lungs, "drawn": drawn}.items():
        if mask is not None and mask.shape != radiograph.shape:
            raise ValueError(f"{name} has shape {mask.shape}; expected the radiograph's own grid, {radiograph.shape}")
    step = -(-max(radiograph.shape) // _MAX_PIXELS)
    radiograph, lungs, drawn = (None if a is None else a[::step, ::step] for a in (radiograph, lungs, drawn))
    ax.imshow(radiograph, vmin=0, vmax=255, aspect="equal")
    if lungs is not None and drawn is not None:
        paint = np.zeros((*radiograph.shape, 4))
        parts = lungs & drawn, lungs & ~drawn, drawn & ~lungs
        for part, colour in zip(parts, AGREEMENT_COLOURS.values(), strict=True):
            paint[part] = colors.to_rgba(colour, 0.55)
        ax.imshow(paint, aspect="equal")
    elif lungs is not None and lungs.any():
        # Padding with background closes contours that touch the radiograph's edge.
        rows, columns = (np.arange(-1, n + 1) for n in radiograph.shape)
        ax.contour(columns, rows, np.pad(lungs, 1), levels=[0.5], colors=[TRUTH], linewidths=1.2)
    if marks:
        for x, letter, side in ((0.03, "R", "left"), (0.97, "L", "right")):
            ax.text(
                x, 0.5, letter, transform=ax.transAxes, color="white", ha=side, va="center", path_effects=LETTER_HALO
            )
    ax.set(xlim=(-0.5, radiograph.shape[1] - 0.5), ylim=(radiograph.shape[0] - 0.5, -0.5))
    ax.set_axis_off()
    return ax


@styled
def outlined(radiograph: np.ndarray, lungs: Mapping[str, np.ndarray], title: str | None = None) -> Figure:
    """A radiograph as it is, and with the outline of each lung in a colour of its own.

    Args:
        radiograph: (rows, columns) uint8.
        lungs: by name, each (rows, columns) bool, on the radiograph's grid.
        title: heading of the figure.
    """
    figure = Figure(figsize=(8, 4 * radiograph.shape[0] / radiograph.shape[1] + 0.5 + 0.3 * (title is not None)))
    as_it_is, ax = figure.subplots(1, 2)
    show_radiograph(as_it_is, radiograph)
    show_radiograph(ax, radiograph, marks=False)
    step = -(-max(radiograph.shape) // _MAX_PIXELS)
    lines = []
    for (name, mask), colour in zip(lungs.items(), _LUNG_COLOURS, strict=False):
        small = mask[::step, ::step]
        rows, columns = (np.arange(-1, n + 1) for n in small.shape)
        ax.contour(columns, rows, np.pad(small, 1), levels=[0.5], colors=[colour], linewidths=1.6)
        lines.append(Line2D([], [], color=colour, label=name, linewidth=3))
    if lines:
        figure.legend(handles=lines, loc="outside lower center", ncols=len(lines))
    if title is not None:
        figure.suptitle(title)
    return alt(figure, f"A chest radiograph as it is, and with {' and '.join(lungs) or 'nothing'} outlined.")


@styled
def row(radiographs: Mapping[str, np.ndarray], title: str | None = None) -> Figure:
    """Radiographs side by side, each under its name.

    Args:
        radiographs: by name, each (rows, columns) uint8; their shapes may differ.
        title: heading of the figure.
    """
    across = 8 / len(radiographs)
    tall = across * max(radiograph.shape[0] / radiograph.shape[1] for radiograph in radiographs.values())
    figure = Figure(figsize=(8, tall + 0.3 + 0.3 * (title is not None)))
    axes = figure.subplots(1, len(radiographs), squeeze=False)[0]
    for ax, (name, radiograph) in zip(axes, radiographs.items(), strict=True):
        show_radiograph(ax, radiograph, marks=ax is axes[0])
        ax.set_title(name)
    if title is not None:
        figure.suptitle(title)
    return alt(figure, f"Chest radiographs side by side: {'; '.join(radiographs)}.")


@styled
def greys(inputs: Mapping[str, tuple[np.ndarray, np.ndarray]], title: str | None = None) -> Figure:
    """How often each grey occurs inside and outside the lungs, a panel for each hospital; padding is left out.

    Args:
        inputs: by hospital the z-scored radiographs, (radiographs, size, size, 1), 0 in the padding, and where they are
            lung, (radiographs, size, size) bool.
        title: heading of the figure.
    """
    figure = Figure(figsize=(8, 2.6))
    axes = figure.subplots(1, len(inputs), sharey=True, squeeze=False)[0]
    bins = np.linspace(-2.5, 2.5, 60)
    for ax, (site, (images, lungs)) in zip(axes, inputs.items(), strict=True):
        exposed = images[..., 0] != 0
        for part, colour, name in ((lungs, "#0072B2", "lungs"), (~lungs, "#9A9A9A", "the rest of the radiograph")):
            ax.hist(images[part & exposed, 0], bins, density=True, alpha=0.6, color=colour, label=name)
        ax.set(title=site.title(), xlabel="grey, after the z-score", yticks=[])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    if title is not None:
        figure.suptitle(title)
    return alt(figure, "Histograms of z-scored greys inside and outside the lungs, one panel a hospital.")


@styled
def squares(
    radiographs: Sequence[np.ndarray],
    squeezed: Sequence[np.ndarray],
    padded: Sequence[np.ndarray],
    title: str | None = None,
) -> Figure:
    """Radiographs as they are, squeezed into a square, and padded to one, a row each; the padding is blue.

    So the padding is told from the black of the radiograph's own background.

    Args:
        radiographs: each (rows, columns) uint8.
        squeezed: each (size, size) uint8.
        padded: each (size, size) float, z-scored, the radiograph in the middle.
        title: heading of the figure.
    """
    figure = Figure(figsize=(8, 2.6 * len(radiographs) + 0.3 * (title is not None)))
    rows = figure.subplots(len(radiographs), 3, squeeze=False)
    for row, radiograph, narrow, letterboxed in zip(rows, radiographs, squeezed, padded, strict=True):
        show_radiograph(row[0], radiograph)
        row[1].imshow(narrow, vmin=0, vmax=255)
        row[2].imshow(letterboxed, vmin=-2.5, vmax=2.5)
        paint = np.zeros((*letterboxed.shape, 4))
        paint[beside(radiograph.shape, len(letterboxed))] = colors.to_rgba(_PADDING)
        row[2].imshow(paint)
        for ax in row[1:]:
            ax.set_axis_off()
    for ax, name in zip(rows[0], ("the radiograph", "squeezed", "padded: what the network sees"), strict=True):
        ax.set_title(name)
    figure.legend(handles=[Patch(facecolor=_PADDING, label="padding: no radiograph there")], loc="outside lower center")
    if title is not None:
        figure.suptitle(title)
    return alt(
        figure,
        f"{len(radiographs)} chest radiographs, each as it is, squeezed into a square, and padded to one in blue.",
    )


def beside(shape: tuple[int, int], size: int) -> np.ndarray:
    """Where a square is padding: the pixels whose middle lies beside the radiograph.

    Args:
        shape: (rows, columns) of the radiograph, which stands in the middle of the square.
        size: pixels along each side of the square.

    Returns:
        (size, size) bool.
    """
    middles = (np.arange(size) + 0.5) / size * max(shape)  # in the radiograph's pixels
    inside = [np.abs(middles - max(shape) / 2) < n / 2 for n in shape]
    return ~np.outer(*inside)


@styled
def compare(
    radiographs: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    drawn: Sequence[np.ndarray],
    names: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Radiographs side by side: above with the ground truth, below with the prediction and its Dice (figure 15).

    Args:
        radiographs: each (rows, columns) uint8; their shapes may differ.
        truths: ground-truth masks, each (rows, columns) bool, on its radiograph's grid.
        drawn: predicted masks, each (rows, columns) bool, on its radiograph's grid.
        names: written above each radiograph.
        title: heading of the figure.
    """
    across = 8 / len(radiographs)
    tall = across * max(radiograph.shape[0] / radiograph.shape[1] for radiograph in radiographs)
    figure = Figure(figsize=(8, 2 * tall + 0.9 + 0.3 * (title is not None)))
    above, below = figure.subplots(2, len(radiographs), squeeze=False)
    scores = [dice(truth, mask) for truth, mask in zip(truths, drawn, strict=True)]
    for index, (radiograph, truth, mask) in enumerate(zip(radiographs, truths, drawn, strict=True)):
        show_radiograph(above[index], radiograph, truth, marks=index == 0)
        show_radiograph(below[index], radiograph, truth, mask, marks=False)
        for ax in (above[index], below[index]):
            ax.set_anchor("N")  # radiographs of different shapes are aligned at the top
        above[index].set_title(names[index] if names else "")
        below[index].set_title(f"Dice {scores[index]:.3f}")
    parts = [Patch(facecolor=colour, edgecolor="#555555", label=name) for name, colour in AGREEMENT_COLOURS.items()]
    line = Line2D([], [], color=TRUTH, label="ground truth", linewidth=3)
    figure.legend(handles=[line, *parts], loc="outside lower center", ncols=4)
    if title is not None:
        figure.suptitle(title)
    listed = ", ".join(f"{score:.2f}" for score in scores)
    return alt(
        figure, f"{len(radiographs)} chest radiographs, ground-truth lungs above, predicted lungs below; Dice {listed}."
    )


@styled
def by_model(
    radiographs: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    drawn: Mapping[str, Sequence[np.ndarray]],
    title: str | None = None,
) -> Figure:
    """What several models outline on the same radiographs: a row for each radiograph, a column for each model.

    Args:
        radiographs: each (rows, columns) uint8.
        truths: ground-truth masks, each (rows, columns) bool, on its radiograph's grid.
        drawn: by model the predicted masks, each (rows, columns) bool, in the radiographs' order.
        title: heading of the figure.

    Raises:
        ValueError: a model has not one mask for each radiograph.
    """
    for name, masks in drawn.items():
        if len(masks) != len(radiographs):
            raise ValueError(f"{name} outlines {len(masks)} radiographs; expected {len(radiographs)}, one mask each")
    across = 8 / len(drawn)
    tall = sum(across * radiograph.shape[0] / radiograph.shape[1] + 0.3 for radiograph in radiographs)
    figure = Figure(figsize=(8, tall + 0.9 + 0.3 * (title is not None)))
    rows = figure.subplots(len(radiographs), len(drawn), squeeze=False)
    scores = {
        name: [dice(truth, mask) for truth, mask in zip(truths, masks, strict=True)] for name, masks in drawn.items()
    }
    for index, (row, radiograph, truth) in enumerate(zip(rows, radiographs, truths, strict=True)):
        for ax, (name, masks) in zip(row, drawn.items(), strict=True):
            show_radiograph(ax, radiograph, truth, masks[index], marks=ax is rows[0, 0])
            score = f"Dice {scores[name][index]:.3f}"
            ax.set_title(score if index else f"{name}\n{score}")
    parts = [Patch(facecolor=colour, edgecolor="#555555", label=name) for name, colour in AGREEMENT_COLOURS.items()]
    figure.legend(handles=parts, loc="outside lower center", ncols=3)
    if title is not None:
        figure.suptitle(title)
    listed = "; ".join(f"{name} {', '.join(f'{one:.2f}' for one in many)}" for name, many in scores.items())
    return alt(figure, f"Lungs of {len(radiographs)} chest radiographs by {len(drawn)} models; Dice of {listed}.")


@styled
def curves(
    history: pd.DataFrame | str | PathLike, trivial: Mapping[str, float] | None = None, title: str | None = None
) -> Figure:
    """Learning curves: loss, accuracy, Dice and Jaccard per epoch, training and validation (the paper's figure 14).

    Args:
        history: table, or the CSV file of one, as `helpers.tasks.lungs.training.fit_lungs` writes it: the column
            `epoch` and any of `loss`, `accuracy`, `dice`, `jaccard`, and the same with the prefix `val_`.
        trivial: score of the baseline that predicts the mean mask, by column; a dotted line.
        title: heading of the figure.

    Raises:
        ValueError: the table has no `epoch`, or none of the columns to draw.
    """
    import pandas as pd

    table = history if isinstance(history, pd.DataFrame) else pd.read_csv(history)
    wanted = [name for name in PANELS if name in table]
    if "epoch" not in table or not wanted:
        raise ValueError(f"the history holds {', '.join(table.columns)}; expected `epoch` and `loss`")
    figure = Figure(figsize=(8, 2.1 * -(-len(wanted) // 2) + 0.7 + 0.3 * (title is not None)))
    axes = figure.subplots(-(-len(wanted) // 2), 2, squeeze=False).ravel()
    for ax, name in zip(axes, wanted, strict=False):
        for prefix, (label, colour) in _SIDES.items():
            if prefix + name in table:
                ax.plot(table["epoch"], table[prefix + name], color=colour, label=label, marker="o", markersize=3)
        if trivial is not None and name in trivial:
            ax.axhline(trivial[name], color="#333333", linestyle=":", linewidth=1.4, label="mean mask")
        ax.set_title(PANELS[name])
        ax.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
        ax.set_ylim(0, 1.02 if name != "loss" else None)
    for ax in axes[len(wanted) :]:
        ax.set_axis_off()
    for ax in axes[max(0, len(wanted) - 2) : len(wanted)]:
        ax.set_xlabel("epoch")
    lines = {label: line for ax in axes for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(lines.values(), lines, loc="outside lower center", ncols=len(lines))
    if title is not None:
        figure.suptitle(title)
    return alt(figure, f"Curves over {len(table)} epochs: {', '.join(wanted)}.")


@styled
def site_comparison(
    models: Mapping[str, Mapping[str, ArrayLike]],
    trivial: Mapping[str, float] | None = None,
    title: str | None = None,
) -> Figure:
    """Each model's Dice at each hospital: a dot per radiograph, mean and 95 % bootstrap confidence interval.

    Fewer than `helpers.measure.statistics.MIN_PATIENTS` radiographs have no interval.

    Args:
        models: for each model and hospital the Dice per radiograph, (radiographs,).
        trivial: for each hospital the Dice of the baseline that predicts the mean mask; a cross.
        title: heading of the figure.

    Raises:
        ValueError: there is no model, or one without scores.
    """
    if not models or not all(models.values()):
        raise ValueError("there are no scores to draw; expected a model, a hospital, and a Dice per radiograph")
    sites = dict.fromkeys(site for by_site in models.values() for site in by_site)
    rows = [(site, model, np.asarray(by[site])) for site in sites for model, by in models.items() if site in by]
    gaps = np.cumsum([0, *(0.35 * (one[0] != other[0]) for one, other in pairwise(rows))])
    heights = np.arange(len(rows)) + gaps  # a small gap between hospitals
    figure = Figure(figsize=(8, 0.52 * heights[-1] + 1.5 + 0.3 * (title is not None)))
    ax = figure.subplots()
    for height, (site, _, values) in zip(heights, rows, strict=True):
        colour = SITE_COLOURS.get(site, "#333333")
        jitter = 0.1 * (np.arange(len(values)) % 3 - 1)  # keeps the dots apart
        ax.scatter(np.sort(values), height + 0.2 + jitter, s=12, color=colour, alpha=0.45, linewidth=0)
        if interval := mean_interval(values):
            ax.plot(interval, [height - 0.12] * 2, color=colour, linewidth=4, solid_capstyle="butt")
        ax.plot(values.mean(), height - 0.12, "o", color="white", markeredgecolor=colour, markeredgewidth=2)
        ax.annotate(f"{values.mean():.3f}", (1.02, height), xycoords=("axes fraction", "data"), va="center",
                    color=colour, annotation_clip=False)  # fmt: skip
        if trivial is not None and site in trivial:
            ax.plot(trivial[site], height - 0.12, "X", color="#333333", markersize=7, zorder=5)
    if trivial is not None:
        ax.plot([], [], "X", color="#333333", linestyle="", label="mean mask")
    ax.set_yticks(heights, [f"at {site.title()}: {model}" for site, model, _ in rows])
    ax.set_ylim(heights[-1] + 0.55, -0.55)
    ax.set_xlim(None, 1.005)
    above = "mean and 95 % CI" if any(len(values) >= MIN_PATIENTS for *_, values in rows) else "mean"
    ax.set_xlabel(f"Dice: a dot per radiograph, {above} above")
    ax.grid(axis="y", visible=False)
    if trivial is not None:
        figure.legend(loc="outside lower center")
    if title is not None:
        figure.suptitle(title)
    listed = ", ".join(f"{model} at {site.title()} {values.mean():.2f}" for site, model, values in rows)
    return alt(figure, f"Mean Dice: {listed}.")
