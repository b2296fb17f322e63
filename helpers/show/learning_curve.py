"""The figure of a new site: what each patient that is outlined there is worth."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from helpers.measure.statistics import mean_interval
from helpers.show.style import alt, styled

CURVES = {
    ("model", "random"): ("from the model, by chance", "#0072B2", "o"),
    ("nothing", "random"): ("from nothing, by chance", "#D55E00", "s"),
    ("model", "unsure"): ("from the model, least sure first", "#009E73", "^"),
    ("model", "different"): ("from the model, most different first", "#CC79A7", "v"),
    ("rehearsal", "random"): ("from the model, old patients rehearsed", "#56B4E9", "D"),
}
"""Start and order of a training: words, colour and marker."""


@styled
def learning_curve(table: Mapping[str, Any], title: str | None = None) -> Figure:
    """Score at the new site by the number of its patients learned from, and at the old one where it was measured.

    A line is the mean over the test patients. Below eight of them each is a dot, a mean over draws; from eight on there
    is the 95 % interval instead. Dashed: the model as it was. Dotted: the trivial prediction.

    Args:
        table: as `helpers.tasks.finetuning.curve.learning_curve` returns it.
        title: heading of the figure.
    """
    panels = [("new", "base", "the new site")]
    if table.get("old_base"):
        panels.append(("old", "old_base", "the old sites: what is forgotten"))
    figure = Figure(figsize=(5.2 * len(panels) + 0.6, 4.2))
    told = []
    only_by_chance = all(row["order"] == "random" for row in table["rows"])  # the legend need not say so
    for ax, (side, base, name) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        drawn = [key for key in CURVES if any(_key(row) == key and row[side] for row in table["rows"])]
        for place, key in enumerate(drawn):
            words, colour, marker = CURVES[key]
            if only_by_chance:
                words = words.removesuffix(", by chance")
            counts = sorted({row["k"] for row in table["rows"] if _key(row) == key and row[side]})
            scores = [by_patient(table, key, count, side) for count in counts]
            means = [float(np.mean(one)) for one in scores]
            shift = 2 ** (0.09 * (place - (len(drawn) - 1) / 2))  # side by side on the axis of powers of two
            at = np.array(counts) * shift
            ax.plot(at, means, marker=marker, color=colour, label=words, zorder=3)
            for x, patients in zip(at, scores, strict=True):
                if interval := mean_interval(patients):
                    ax.plot([x, x], interval, color=colour, linewidth=3, alpha=0.45, solid_capstyle="butt")
                else:
                    ax.plot([x] * len(patients), patients, ".", color=colour, alpha=0.45, markersize=5)
            told.append(
                f"{name}, {words}: " + ", ".join(f"{k}: {mean:.3f}" for k, mean in zip(counts, means, strict=True))
            )
        before = _mean(table[base].values())
        ax.axhline(before, color="#444444", linestyle="--", linewidth=1.2, label="the model as it was")
        told.append(f"{name}, the model as it was: {before:.3f}")
        if side == "new":
            ax.axhline(_mean(table["trivial"].values()), color="#999999", linestyle=":", label="trivial prediction")
        counts = sorted({row["k"] for row in table["rows"]})
        ax.set_xscale("log", base=2)
        ax.set_xticks(counts, [str(count) for count in counts])
        ax.set_xlabel("patients of the new site learned from")
        ax.set_title(f"{name}, n = {len(table[base])}")
        ax.set_ylabel(table["score"])
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    if title is not None:
        figure.suptitle(title)
    return alt(figure, "; ".join(told) + ".")


def by_patient(table: Mapping[str, Any], key: tuple[str, str], count: int, side: str = "new") -> list[float]:
    """The score of each test patient, a mean over draws.

    Args:
        table: as `helpers.tasks.finetuning.curve.learning_curve` returns it.
        key: start and order.
        count: of patients learned from.
        side: "new" or "old", where the patients are.
    """
    rows = [row[side] for row in table["rows"] if _key(row) == key and row["k"] == count and row[side]]
    return [_mean(row[patient] for row in rows) for patient in rows[0] if _has(rows, patient)]


def _has(rows: Sequence[Mapping[str, float | None]], patient: str) -> bool:
    return all(row[patient] is not None for row in rows)


def _mean(values: Any) -> float:
    return float(np.mean([value for value in values if value is not None]))


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["start"], row["order"]
