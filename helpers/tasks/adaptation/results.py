"""Results of the ladder: from the Dice of every radiograph to a table, a row for each experiment, with intervals."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from helpers.measure.gap_closed import gap_closed
from helpers.measure.statistics import MIN_PATIENTS, mean_interval
from helpers.runtime.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

SOURCE, CEILING = "source", "target"
"""The two experiments that the others are compared with: the plain source model, and a model trained at the target."""


def summarise(scores: "pd.DataFrame", source: str, target: str) -> list[dict[str, Any]]:
    """One row for each experiment, in the order of the table.

    Args:
        scores: a row for each radiograph and training: `experiment`, `seed`, `radiograph`, `site`, `dice`, and perhaps
            `oracle`, the Dice of the checkpoint that target labels would select.
        source: the hospital that was adapted from.
        target: the hospital that was adapted to.

    Returns:
        For each `experiment` its `seeds`; `source` and `target`, the Dice in both hospitals, as `mean`, `ci95`, `n`
        radiographs, `by_radiograph` and `by_seed`; `gap`, the `share` of the gap closed and its `ci95`, or None twice
        and a `note` that says why; `source_change`, the change in the source hospital against the experiment `source`,
        and `oracle`, both as `mean`, `ci95` and `n`, or None. Intervals are over radiographs, and None below
        `MIN_PATIENTS` of them; where there are several seeds, of each radiograph's mean over them. Experiments are
        compared over the seeds that all of them have: trainings differ by as much as methods do.

    Raises:
        DataError: the experiments were not all scored on the same radiographs, or not in both hospitals.
    """
    order = list(dict.fromkeys(scores["experiment"]))
    wide = scores.pivot_table(
        index=["site", "radiograph"], columns="experiment", values="dice", sort=False
    )  # means over seeds
    if unscored := [name for name in order if wide[name].isna().any()]:
        raise DataError(
            f"{', '.join(unscored)}: not scored on all the radiographs that other experiments were; use one split."
        )
    if missing := [site for site in (source, target) if site not in wide.index.levels[0]]:
        raise DataError(f"there are no scores in {' and '.join(missing)}; score every experiment in both hospitals.")
    rows = []
    for name in order:
        own = scores[scores["experiment"] == name]
        by_seed = own.groupby(["site", "seed"])["dice"].mean()
        rows.append(
            {
                "experiment": name,
                "seeds": sorted(map(int, own["seed"].unique())),
                "source": _at_hospital(wide.loc[source, name], by_seed[source]),
                "target": _at_hospital(wide.loc[target, name], by_seed[target]),
                "gap": _gap(scores, name, target),
                "source_change": _source_change(scores, name, source),
                "oracle": _oracle(own[own["site"] == target]),
            }
        )
    return rows


def as_frame(rows: Sequence[dict[str, Any]]) -> "pd.DataFrame":
    """Rows as a table to print: means, 95 % intervals where radiographs suffice, a dash where there is no value.

    Args:
        rows: as `summarise` gives them.
    """
    import pandas as pd

    columns = {
        "Dice, source": ("source", "mean", ".3f"),
        "Dice, target": ("target", "mean", ".3f"),
        "gap closed": ("gap", "share", "z.0%"),
        "change at home": ("source_change", "mean", "+z.3f"),
        "oracle": ("oracle", "mean", ".3f"),
    }

    def formatted(entry: dict | None, key: str, form: str) -> str:
        if entry is None or entry[key] is None:
            return "-"
        if entry["ci95"] is None:
            return f"{entry[key]:{form}}"
        low, high = entry["ci95"]
        return f"{entry[key]:{form}} [{low:{form}}, {high:{form}}]"

    table = [
        {column: formatted(row[part], key, form) for column, (part, key, form) in columns.items()}
        | {"seeds": len(row["seeds"])}
        for row in rows
    ]
    return pd.DataFrame(table, index=pd.Index([row["experiment"] for row in rows], name="experiment"))


def _paired_scores(scores: "pd.DataFrame", *names: str) -> "pd.DataFrame":
    """The mean Dice of each radiograph, a column for each experiment, over the seeds that all of them have.

    Raises:
        ValueError: an experiment has no scores, or they have no seed in common.
    """
    own = {name: set(scores.loc[scores["experiment"] == name, "seed"]) for name in names}
    if missing := [name for name, seeds in own.items() if not seeds]:
        raise ValueError(f"{' and '.join(missing)} not trained yet")
    if not (shared := set.intersection(*own.values())):
        raise ValueError(f"{', '.join(own)} have no seed in common")
    these = scores[scores["experiment"].isin(names) & scores["seed"].isin(shared)]
    return these.pivot_table(index=["site", "radiograph"], columns="experiment", values="dice", sort=False)


def _gap(scores: "pd.DataFrame", name: str, target: str) -> dict[str, Any]:
    try:
        at_target = _paired_scores(scores, SOURCE, CEILING, name).loc[target]
        share, interval = gap_closed(at_target[SOURCE], at_target[name], at_target[CEILING])
    except ValueError as error:
        return {"share": None, "ci95": None, "note": str(error)}
    return {"share": share, "ci95": list(interval) if len(at_target) >= MIN_PATIENTS else None}


def _source_change(scores: "pd.DataFrame", name: str, source: str) -> dict[str, Any] | None:
    try:
        at_source = _paired_scores(scores, SOURCE, name).loc[source]
    except ValueError:
        return None
    return _mean(at_source[name] - at_source[SOURCE])


def _oracle(own: "pd.DataFrame") -> dict[str, Any] | None:
    if "oracle" not in own or (known := own.dropna(subset="oracle")).empty:
        return None
    return _mean(known.groupby("radiograph")["oracle"].mean())


def _at_hospital(dice: "pd.Series", by_seed: "pd.Series") -> dict[str, Any]:
    return {**_mean(dice), "by_radiograph": dice.tolist(), "by_seed": by_seed.tolist()}


def _mean(values: ArrayLike) -> dict[str, Any]:
    interval = mean_interval(values)
    return {"mean": float(np.mean(values)), "ci95": interval and list(interval), "n": int(np.size(values))}
