"""Figure of a comparison: each patient's score under each model, joined by a line."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from helpers.measure.model_comparison import Comparison
from helpers.show.style import REGION_COLOURS, alt, styled


@styled
def paired_strips(
    scores: Mapping[str, Mapping[str, ArrayLike]],
    label: str = "Dice",
    below: Mapping[str, Sequence[str]] | None = None,
    title: str | None = None,
) -> Figure:
    """A strip of dots for each model in a panel for each region; a line joins the dots of a patient, a bar is the mean.

    Args:
        scores: for each region and model the score of each patient, (patients,), in the same order for all models.
        label: of the vertical axis.
        below: lines of text under each region's panel, such as the differences.
        title: heading of the figure.

    Raises:
        ValueError: there is no region, fewer than two models, or models with other numbers of patients.
    """
    import seaborn

    tables = {
        region: {name: np.asarray(values, float) for name, values in one.items()} for region, one in scores.items()
    }
    if not tables or any(len(models) < 2 for models in tables.values()):
        raise ValueError("expected one region or more, each with the scores of two models or more")
    if any(len({values.shape for values in models.values()}) > 1 for models in tables.values()):
        raise ValueError("the models have scores of other numbers of patients; expected the same patients for all")
    lines = max(map(len, below.values())) if below else 0
    figure = Figure(figsize=(8, 3.4 + 0.2 * lines + 0.3 * (title is not None)))
    panels = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
    for ax, (region, models) in zip(panels, tables.items(), strict=True):
        table = np.array(list(models.values()))  # (models, patients)
        ax.plot(table, color="#888888", alpha=0.35, linewidth=0.8, zorder=1)  # one line for each patient
        seaborn.stripplot(
            data={name: values.tolist() for name, values in models.items()},
            ax=ax,
            jitter=False,
            color=REGION_COLOURS.get(region, "#0072B2"),
            size=4.5,
            alpha=0.65,
        )
        places = np.arange(len(models))
        ax.hlines(table.mean(axis=1), places - 0.22, places + 0.22, color="#222222", linewidth=2.2, zorder=5)
        ax.set_xlim(-0.5, len(models) - 0.5)
        ax.set_title(region)
        if len(models) > 2 or max(map(len, models)) > 9:
            # Each label ends under its dots, clear of its neighbours.
            ax.set_xticks(places, list(models), rotation=25, ha="right", rotation_mode="anchor")
        ax.set_xlabel("\n".join(below.get(region, ())) if below else "", fontsize=9)
    panels[0].set_ylabel(label)
    if title is not None:
        figure.suptitle(title)
    listed = "; ".join(
        f"{region}: " + ", ".join(f"{name} {values.mean():.3f}" for name, values in models.items())
        for region, models in tables.items()
    )
    return alt(figure, f"{label} of each patient under each model, joined by lines. Means: {listed}.")


def draw_comparison(comparison: Comparison) -> Figure:
    """The figure of a comparison of models: `paired_strips` with the differences under each region.

    Args:
        comparison: as `helpers.measure.model_comparison.compare_models` gives it; scores are means over seeds.
    """
    scores = {
        region: {model.name: model.scores(comparison.patients, region).mean(axis=0) for model in comparison.models}
        for region in comparison.regions
    }
    below: dict[str, list[str]] = {region: [] for region in comparison.regions}
    for row in comparison.rows:
        paired = row.paired
        interval = "[{:+.3f}, {:+.3f}]".format(*paired.interval) if paired.interval else f"{paired.n} patients"
        told = "told" if paired.is_told else "not told"
        if len(comparison.models) > 2:
            below[row.region].append(f"{row.second} minus {row.first}:")
        below[row.region].append(f"{paired.difference:+.3f} {interval}, {told}")
    told = sum(row.paired.is_told for row in comparison.rows)
    title = f"{len(comparison.patients)} patients tell {told} of {len(comparison.rows)} differences"
    return paired_strips(scores, below=below, title=title)


@styled
def recipes(table: Mapping[str, Any], title: str | None = None) -> Figure:
    """The difference in Dice between each recipe and the first, with its interval, a panel for each region.

    Filled where the difference is told, hollow where it is not.

    Args:
        table: as `helpers.tasks.brain.recipes.compare_recipes` gives it, of eight patients or more.
        title: heading of the figure.

    Raises:
        ValueError: there is no second recipe, or there are too few patients for an interval.
    """
    first, *others = table["rows"]
    compared = [row["regions"][region]["difference"] for row in others for region in row["regions"]]
    if not others or any(one["interval"] is None for one in compared):
        raise ValueError(f"expected two recipes or more, with intervals; there are {len(others) + 1} recipes")
    figure = Figure(figsize=(8, 0.3 * len(others) + 1.1 + 0.3 * (title is not None)))
    panels = figure.subplots(1, len(first["regions"]), sharex=True, sharey=True, squeeze=False)[0]
    for ax, (region, reached) in zip(panels, first["regions"].items(), strict=True):
        colour = REGION_COLOURS.get(region, "#0072B2")
        for height, row in enumerate(others):
            one = row["regions"][region]["difference"]
            ax.plot(one["interval"], [height] * 2, color=colour, linewidth=3, alpha=0.45, solid_capstyle="butt")
            face = colour if one["told"] else "white"
            ax.plot(one["mean"], height, "o", color=colour, markerfacecolor=face, markersize=6)
        ax.axvline(0, color="#555555", linewidth=1)
        ax.set_title(f"{region}: {first['name']} {reached['mean']:.2f}")
        ax.grid(axis="y", visible=False)
    panels[0].set_yticks(range(len(others)), [row["name"] for row in others])
    panels[0].set_ylim(len(others) - 0.4, -0.6)
    figure.supxlabel(f"Dice less that of {first['name']}, {table['n']} patients; hollow: not told", fontsize=10)
    if title is not None:
        figure.suptitle(title)
    listed = "; ".join(
        f"{row['name']} "
        + ", ".join(f"{region} {one['difference']['mean']:+.3f}" for region, one in row["regions"].items())
        for row in others
    )
    return alt(figure, f"Mean difference in Dice to {first['name']}: {listed}.")
