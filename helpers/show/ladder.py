"""Figures of domain adaptation: scores of the experiments, curves of adversarial training, features of two domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from helpers.show.style import SITE_COLOURS, alt, styled

if TYPE_CHECKING:
    import pandas as pd

_SOURCE, _MASKS, _WITHOUT, _CHECK = "#D55E00", "#009E73", "#0072B2", "#777777"
_ORACLE = {"marker": "D", "color": "white", "markeredgecolor": "#CC79A7", "markeredgewidth": 1.5, "markersize": 6}


@styled
def ladder(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> Figure:
    """Every experiment's Dice at the target with its 95 % interval, and the fraction of the gap that it closes.

    Where radiographs are too few for an interval each is a small dot.

    Dashed lines: the network trained on the source alone, and the one trained on the target (the ceiling). What learned
    from masks of the target has the ceiling's colour, so that nobody takes it for adaptation; checks are grey.

    Args:
        rows: of one direction, as `helpers.tasks.adaptation.results.summarise` gives them; the first is drawn on top.
        title: heading of the figure.
    """
    figure = Figure(figsize=(8, 0.34 * len(rows) + 1.0 + 0.3 * (title is not None)))
    ax = figure.subplots()
    ends = {row["experiment"]: row["target"]["mean"] for row in rows}
    for name, colour, label in (("source", _SOURCE, "source only"), ("target", _MASKS, "ceiling")):
        if name in ends:
            ax.axvline(ends[name], color=colour, linestyle="--", linewidth=1.2, label=label, zorder=1)
    for height, row in enumerate(rows):
        score, colour = row["target"], _colour(row["experiment"])
        if score["ci95"] is None:
            ax.plot(score["by_radiograph"], [height] * score["n"], "o", color=colour, markersize=3, alpha=0.45)
        else:
            ax.plot(score["ci95"], [height] * 2, color=colour, linewidth=3, alpha=0.45, solid_capstyle="butt")
        if len(score["by_seed"]) > 1:
            ax.plot(score["by_seed"], [height] * len(score["by_seed"]), "|", color=colour, markersize=9)
        ax.plot(score["mean"], height, "o", color=colour, markersize=6)
        if row["oracle"] is not None:
            ax.plot(row["oracle"]["mean"], height + 0.25, linestyle="", **_ORACLE)
        closed = row["gap"]["share"]
        ax.annotate("-" if closed is None else f"{closed:z.0%}", (1.02, height), xycoords=("axes fraction", "data"),
                    va="center", annotation_clip=False)  # fmt: skip
    ax.annotate("gap\nclosed", (1.02, -0.75), xycoords=("axes fraction", "data"), va="bottom", annotation_clip=False)
    if any(row["oracle"] is not None for row in rows):
        ax.plot([], [], linestyle="", label="checkpoint selected by labels", **_ORACLE)
    for colour, label in ((_WITHOUT, "no mask of the target"), (_MASKS, "masks of the target"), (_CHECK, "check")):
        if colour in {_colour(row["experiment"]) for row in rows}:
            ax.plot([], [], "o", color=colour, markersize=6, label=label)
    ax.set_yticks(range(len(rows)), [row["experiment"] for row in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    spread = "each of them" if rows[0]["target"]["ci95"] is None else "95 % CI"
    ax.set_xlabel(f"Dice at the target, mean of {rows[0]['target']['n']} radiographs, and {spread}")
    ax.grid(axis="y", visible=False)
    if ax.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=3)
    if title is not None:
        figure.suptitle(title)
    listed = ", ".join(f"{name} {value:.3f}" for name, value in ends.items())
    return alt(figure, f"Mean Dice at the target hospital: {listed}.")


def _colour(experiment: str) -> str:
    """The colour of a row, by the masks that its experiment learned from."""
    if experiment in ("longer", "itself", "shuffled"):
        return _CHECK
    if experiment in ("target", "both") or experiment.startswith("labelled"):
        return _MASKS
    return _SOURCE if experiment == "source" else _WITHOUT


@styled
def adversarial_curves(history: pd.DataFrame | str | PathLike, title: str | None = None) -> Figure:
    """Curves of an adversarial training: losses, discriminator accuracy, and the scores that select the checkpoint.

    Args:
        history: table, or the CSV file of one, as `helpers.tasks.adaptation.commands.adapt` writes it: `epoch`, and
            some of `segmentation`, `adversarial`, `discriminator` (losses), `accuracy` (of the discriminator),
            `val_dice` (at the source), `relative_entropy_gap`, `implausible_fraction`, `selection_score` (the highest
            is selected among the epochs with `saved` above 0).
        title: heading of the figure.

    Raises:
        ValueError: the table has no `epoch`, or none of the columns to draw.
    """
    import pandas as pd

    table = history if isinstance(history, pd.DataFrame) else pd.read_csv(history)
    panels = {
        "losses": {"segmentation": ("segmentation", "#0072B2"), "adversarial": ("adversarial", "#CC79A7"),
                   "discriminator": ("discriminator", "#D55E00")},
        "discriminator accuracy": {"accuracy": (None, "#D55E00")},
        "checkpoint selection": {"val_dice": ("Dice, source", "#0072B2"),
                                 "relative_entropy_gap": ("entropy gap", "#E69F00"),
                                 "implausible_fraction": ("implausible", "#009E73"),
                                 "selection_score": ("score", "#333333")},
    }  # fmt: skip
    panels = {name: {c: label for c, label in lines.items() if c in table} for name, lines in panels.items()}
    panels = {name: lines for name, lines in panels.items() if lines}
    if "epoch" not in table or not panels:
        raise ValueError(f"the history holds {', '.join(table.columns)}; expected `epoch` and `accuracy`")
    figure = Figure(figsize=(8, 3.1 + 0.3 * (title is not None)))
    for ax, (name, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for column, (label, colour) in lines.items():
            rows = table[["epoch", column]].dropna()
            ax.plot(rows["epoch"], rows[column], color=colour, label=label, marker="o", markersize=3)
        if "accuracy" in lines:
            ax.axhline(0.5, color="#777777", linestyle=":", linewidth=1.2)
            ax.text(0.98, 0.47, "chance", color="#777777", ha="right", va="top", transform=ax.get_yaxis_transform())
            ax.set_ylim(0, 1.02)
        if "discriminator" in lines:
            ax.axhline(np.log(2), color="#777777", linestyle=":", linewidth=1.2, label="chance")
        if "selection_score" in lines:
            saved = table[table["saved"] > 0]
            best = saved.loc[saved["selection_score"].idxmax(), "epoch"]
            ax.axvline(best, color="#333333", linestyle=":", linewidth=1.2, label=f"selected: epoch {best}")
        ax.set_title(name)
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    figure.legend(loc="outside lower center", ncols=3)
    if title is not None:
        figure.suptitle(title)
    return alt(figure, f"Curves over {len(table)} epochs: {', '.join(panels)}.")


@styled
def features(before: Mapping[str, ArrayLike], after: Mapping[str, ArrayLike], title: str | None = None) -> Figure:
    """A network's features of two hospitals' radiographs, before and after adaptation, in two dimensions.

    Both panels show the same plane: the first two principal components (PCA) of all four sets together, each feature
    standardised to mean 0 and standard deviation 1.

    Args:
        before: (radiographs, features) of each hospital before adaptation.
        after: (radiographs, features) of each hospital after adaptation.
        title: heading of the figure.
    """
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    sets = [np.asarray(values) for moment in (before, after) for values in moment.values()]
    plane = make_pipeline(StandardScaler(), PCA(2)).fit(np.concatenate(sets))
    figure = Figure(figsize=(8, 3.6 + 0.3 * (title is not None)))
    for ax, (name, moment) in zip(
        figure.subplots(1, 2, sharex=True, sharey=True), (("before", before), ("after", after)), strict=True
    ):
        for (site, values), marker in zip(moment.items(), "os", strict=False):
            x, y = plane.transform(np.asarray(values)).T
            ax.plot(x, y, marker, color=SITE_COLOURS.get(site), label=site.title(), markersize=4.5, alpha=0.65,
                    markeredgewidth=0)  # fmt: skip
        ax.set_title(name)
        ax.set_xlabel("first component")
    figure.axes[0].set_ylabel("second component")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    if title is not None:
        figure.suptitle(title)
    count = ", ".join(f"{len(values)} of {site.title()}" for site, values in before.items())
    return alt(figure, f"Features of {count} radiographs in two dimensions, before and after adaptation.")
