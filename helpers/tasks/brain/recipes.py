"""Recipes compared on hospitals that a model never saw: what a change brings is seen where the next patient is from.

Each hospital is tested by a model of the others (`helpers.data.splits.split_by_site`), so every patient is tested once
in each row, and rows are paired. Recipes are tried with few minutes and one seed; the best are confirmed with several.
Rows that lose are kept.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from helpers.data.brats import MODALITIES, Patient, read_catalogue
from helpers.data.resample import Grid
from helpers.data.splits import site_groups, split_by_site
from helpers.data.store import open_store
from helpers.learn.budget import MAX_MINUTES
from helpers.learn.cross_validation import BY_SITE
from helpers.learn.run_folder import member_folders, read_split
from helpers.measure.evaluate import evaluate
from helpers.measure.regions import REGIONS
from helpers.measure.statistics import compare_paired, mean_interval, with_holm
from helpers.runtime.disk import write_json
from helpers.runtime.errors import DataError
from helpers.runtime.outputs import writable_folder
from helpers.runtime.settings import check_positive, check_whole, expanded
from helpers.tasks.brain.commands import train_brain_folds
from helpers.tasks.brain.recipe import Recipe

PAIR = ("flair", "t1ce")
SIZE = 96


@dataclass(frozen=True)
class Row:
    """A recipe to try.

    Attributes:
        name: of the row, and of its folder.
        help: what is changed, for the table.
        recipe: of the training.
        modalities: the volumes that are the network's input.
        trained_as: the row whose networks this one decides on in another way, without a training of its own.
    """

    name: str
    help: str
    recipe: Recipe
    modalities: tuple[str, ...] = PAIR
    trained_as: str | None = None


_CROPS = {"crop": 2 / 3, "decision": "dice"}
_STRANGERS = {"augmentation": "scanners", "normalisation": "instance", **_CROPS}

ROWS: tuple[Row, ...] = (
    Row("paper", "the paper's U-Net, augmentation as usual: the row to beat", Recipe()),
    Row(
        "decision",
        "the same networks, the regions of highest expected Dice",
        Recipe(decision="dice"),
        PAIR,
        "paper",
    ),
    Row("crop", "steps on squares of two thirds of the window, and the decision", Recipe(**_CROPS)),
    Row("four", "crop with all four modalities", Recipe(**_CROPS), MODALITIES),
    Row("batch", "crop with batch normalisation", Recipe(normalisation="batch", **_CROPS)),
    Row("instance", "crop with instance normalisation", Recipe(normalisation="instance", **_CROPS)),
    Row("2.5-D", "crop with the slices above and below", Recipe(reach=1, **_CROPS)),
    Row("residual", "crop with residual blocks", Recipe(residual=True, **_CROPS)),
    Row("focal-tversky", "crop with focal Tversky and cross-entropy", Recipe("focal-tversky+cross-entropy", **_CROPS)),
    Row("all", "crop with every augmentation", Recipe(augmentation="all", **_CROPS)),
    Row("scanners", "crop, instance normalisation, augmentation as far as scanners are apart", Recipe(**_STRANGERS)),
    Row(
        "whole",
        "scanners with 2.5-D and all four modalities, each missing at times",
        Recipe(reach=1, modality_dropout=0.15, **_STRANGERS),
        MODALITIES,
    ),
)
"""The rows of the table; the first is the one that all others are compared with."""


def compare_recipes(
    data: str | os.PathLike,
    out: str | os.PathLike,
    minutes: float = 5,
    names: Sequence[str] = (),
    seeds: int = 1,
    devices: str = "auto",
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train every row on each hospital's others, and compare all rows with the first, patient by patient.

    What is finished in `out` is not trained again, so the same command resumes.

    Args:
        data: the folder of the patients; their ids carry the hospital.
        out: receives a folder for each row and seed, and `recipes.json`.
        minutes: wall time of one training.
        names: of the rows; all without. The first of `ROWS` is always among them.
        seeds: trainings of each row and hospital.
        devices: where to train, see `helpers.learn.devices.configure`.
        log: called with a line of progress.

    Returns:
        What `out/recipes.json` holds: `minutes`, `seeds`, `n`, and `rows`: of each row `name`, `help`, and for each
        region the mean Dice `mean`, its `interval` over patients, and against the first row `difference`, its
        `interval` (null below eight patients) and `told`; `patients`, the Dice of each, a mean over seeds.

    Raises:
        DataError: there is no such row; a setting is out of range; or as `train_brain_folds`.
    """
    known = [row.name for row in ROWS]
    if unknown := [name for name in names if name not in known]:
        raise DataError(f"There is no recipe {', '.join(unknown)}; there are {', '.join(known)}.")
    check_positive("minutes", minutes, MAX_MINUTES, example=5)
    check_whole("seeds", seeds, 1, example=1)
    out = writable_folder(out)
    chosen = [row for row in ROWS if row.name in names or not names or row is ROWS[0]]
    scores: dict[str, list[dict[str, dict[str, float]]]] = {}
    catalogue = read_catalogue(expanded(data))
    for row in chosen:
        _check_sites(catalogue.require(row.modalities))
    for row in chosen:
        scores[row.name] = []
        for seed in range(seeds):
            log(f"{row.name}, seed {seed}: {row.help}")
            patients = catalogue.require(row.modalities)
            result = _scored(patients, data, out, row, seed, minutes=minutes, devices=devices, log=log)
            scores[row.name].append({one["id"]: one for one in result["patients"]})
    for slices in out.glob("slices_*"):
        shutil.rmtree(slices)
    result = {"minutes": minutes, "seeds": seeds, **_table(chosen, scores)}
    write_json(result, out / "recipes.json")
    return result


def without_patients(result: Mapping[str, Any]) -> dict[str, Any]:
    """A table that may be passed on: means and intervals, without the patients' ids and scores.

    Args:
        result: what `compare_recipes` returns.
    """
    rows = [{name: value for name, value in row.items() if name != "patients"} for row in result["rows"]]
    return {**result, "rows": rows}


def _check_sites(patients: Sequence[Patient]) -> None:
    """See that every hospital can be tested by a model of the others.

    Raises:
        DataError: it cannot.
    """
    for site in site_groups(patients) or ("",):
        split_by_site(patients, site)


def _scored(
    patients: Sequence[Patient], data: str | os.PathLike, out: Path, row: Row, seed: int, **settings: Any
) -> dict[str, Any]:
    """The scores of a row with one seed, as `train_brain_folds` returns them."""
    if row.trained_as:
        return _scored_anew(patients, out / row.trained_as / f"seed_{seed}", row)
    slices = out / f"slices_{len(row.modalities)}"
    open_store(patients, slices, row.modalities, Grid(SIZE))  # before the clock of the first training starts
    minutes = settings.pop("minutes") * len(site_groups(patients))
    folder = out / row.name / f"seed_{seed}"
    further = {"size": SIZE, "minutes": minutes, "recipe": row.recipe, "slices": slices, **settings}
    return train_brain_folds(data, folder, BY_SITE, row.modalities, seed, **further)


def _scored_anew(patients: Sequence[Patient], folder: Path, row: Row) -> dict[str, Any]:
    """The scores of finished networks with the decision of another row."""
    from helpers.tasks.brain.inference import Segmenter

    segmenters = {}
    for member in member_folders(folder):
        segmenter = replace(Segmenter.load(member), decision=row.recipe.decision)
        segmenters |= dict.fromkeys(read_split(member).test, segmenter)
    tested = [patient for patient in patients if patient.id in segmenters]
    return evaluate(lambda scan: segmenters[scan.id].predict(scan), tested, row.modalities)


def _table(rows: Sequence[Row], scores: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    patients = sorted(set.intersection(*(set(one) for seeds in scores.values() for one in seeds)))

    def dice(row: Row, region: str) -> np.ndarray:
        """(seeds, patients)."""
        return np.array([[one[patient]["regions"][region]["dice"] for patient in patients] for one in scores[row.name]])

    compared = [(row, region) for row in rows[1:] for region in REGIONS]
    paired = with_holm([compare_paired(dice(rows[0], region), dice(row, region)) for row, region in compared])
    against = {(row.name, region): one for (row, region), one in zip(compared, paired, strict=True)}
    table = []
    for row in rows:
        regions = {}
        for region in REGIONS:
            values = dice(row, region).mean(axis=0)
            regions[region] = {"mean": float(values.mean()), "interval": mean_interval(values)}
            if one := against.get((row.name, region)):
                regions[region]["difference"] = {"mean": one.difference, "interval": one.interval, "told": one.is_told}
        each = {
            patient: {region: float(dice(row, region)[:, place].mean()) for region in REGIONS}
            for place, patient in enumerate(patients)
        }
        table.append({"name": row.name, "help": row.help, "regions": regions, "patients": each})
    trivial = {
        region: float(np.mean([scores[rows[0].name][0][patient]["trivial"][region]["dice"] for patient in patients]))
        for region in REGIONS
    }
    return {"n": len(patients), "rows": table, "trivial": trivial}
