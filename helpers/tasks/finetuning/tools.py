"""What fine-tuning needs of a task: its cases, its training and its score, the same way for brain, gate and lungs."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.data.brats import Patient, read_catalogue
from helpers.data.chest import XRay, read_chest
from helpers.data.pictures import read_image
from helpers.data.radiographs import radiograph_hash
from helpers.data.splits import site_groups
from helpers.data.store import voxel_hashes
from helpers.data.volumes import read_scan
from helpers.learn.run_folder import patients_learned_from, read_run
from helpers.measure.classification import auc
from helpers.measure.regions import REGIONS
from helpers.runtime.errors import DataError
from helpers.runtime.settings import expanded
from helpers.tasks.brain.commands import score_brain, train_brain
from helpers.tasks.brain.recipe import Recipe
from helpers.tasks.gate.commands import score_gate, train_gate
from helpers.tasks.gate.recipe import OPTIONAL
from helpers.tasks.lungs.commands import BOTH, score_lungs, sites, train_lungs

Case = Patient | XRay
Parameters = Mapping[str, Any]
"""Of a training, as its `run.json` has them."""


@dataclass(frozen=True)
class Tools:
    """A task, as fine-tuning sees it.

    Attributes:
        word: what a case is called, in the plural.
        score: what is measured of each case.
        needed: the parameters that a network is built from.
        cases: from a folder, the parameters of a model and a hospital, or None, to the cases; `mask` asks for a mask.
        hashes: from a case and the parameters to the hashes of its voxels.
        settings: from the parameters to the arguments of `train` that make such a network and train it so.
        train: as `helpers.tasks.brain.commands.train_brain`.
        evaluate: as `helpers.tasks.brain.commands.score_brain`.
        rows: of what `evaluate` gives, the entry with a row for each case.
        value: the score of a row; NaN where it has none.
        trivial: of a row, the score of the trivial prediction.
    """

    word: str
    score: str
    needed: tuple[str, ...]
    cases: Callable[..., tuple[Case, ...]]
    hashes: Callable[[Case, Parameters], dict[str, str]]
    settings: Callable[[Parameters], dict[str, Any]]
    train: Callable[..., Path]
    evaluate: Callable[..., dict]
    rows: str
    value: Callable[[Mapping[str, Any]], float]
    trivial: Callable[[Mapping[str, Any]], float]

    def values(self, result: Mapping[str, Any]) -> dict[str, float]:
        """The score of each case, by id.

        Args:
            result: of `evaluate`, or of a `metrics.json`.
        """
        return {row["id"]: self.value(row) for row in result[self.rows]}

    def trivials(self, result: Mapping[str, Any]) -> dict[str, float]:
        """The score of the trivial prediction for each case, by id.

        Args:
            result: of `evaluate`, or of a `metrics.json`.
        """
        return {row["id"]: self.trivial(row) for row in result[self.rows]}


def refuse_learned(model_dir: str | os.PathLike, ids: Sequence[str]) -> None:
    """Refuse patients of a new hospital that a model has learned from, by id.

    Args:
        model_dir: the folder of the model.
        ids: the patients.

    Raises:
        DataError: there are some; each is named.
    """
    if known := sorted({*ids} & {*patients_learned_from(model_dir)}):
        word = TOOLS[read_run(model_dir)["task"]].word
        error = DataError.listing(
            f"{model_dir} learned from {len(known)} of these {len(ids)} {word}; leave them out, or, where a folder "
            "holds several hospitals, name the new one by --site:",
            known,
        )
        raise error


def _at_site(patients: Sequence[Patient], site: str | None) -> tuple[Patient, ...]:
    """The patients of a hospital.

    Raises:
        DataError: there is none.
    """
    if site is None:
        return tuple(patients)
    groups = site_groups(patients)
    there = {patient.site: [one for one in patients if one.site == patient.site] for patient in patients}
    if site not in {**groups, **there}:
        counts = ", ".join(f"{name} ({len(ids)})" for name, ids in groups.items()) or "none that is known"
        raise DataError(f"There is no patient of site {site!r}; there are {counts}.")
    ids = set(groups.get(site, ())) or {one.id for one in there[site]}
    return tuple(patient for patient in patients if patient.id in ids)


def _patients(
    data: str | os.PathLike, parameters: Parameters, site: str | None, mask: bool = True
) -> tuple[Patient, ...]:
    needed = tuple(one for one in parameters["modalities"] if "network" not in parameters or one not in OPTIONAL)
    return _at_site(read_catalogue(expanded(data)).require(needed, mask), site)


def _xrays(data: str | os.PathLike, parameters: Parameters, site: str | None, mask: bool = True) -> tuple[XRay, ...]:
    names = sites(site or BOTH)
    asked = names[0] if len(names) == 1 else None
    return read_chest(expanded(data)).skip_beyond(asked).require(asked, mask)


def _voxels(patient: Patient, parameters: Parameters) -> dict[str, str]:
    modalities = tuple(parameters["modalities"])
    return voxel_hashes(read_scan(patient, modalities, seg=False, optional=OPTIONAL))


def _brain_settings(parameters: Parameters) -> dict[str, Any]:
    names = {"modalities": tuple(parameters["modalities"]), "recipe": Recipe.of(parameters)}
    return {**names, "size": parameters["size"], "filters": parameters["filters"]}


def _gate_settings(parameters: Parameters) -> dict[str, Any]:
    return {name: parameters[name] for name in ("network", "size", "augmentation") if name in parameters}


def _lungs_settings(parameters: Parameters) -> dict[str, Any]:
    names = ("size", "filters", "normalisation", "augmentation", "loss")
    return {name: parameters[name] for name in names if parameters.get(name) is not None}


def _train_lungs(
    *arguments: Any, steps: int | None = None, stored: Any = None, slices: Any = None, **further: Any
) -> Path:
    """An epoch of lungs has as many steps as one of fine-tuning, and a store of X-rays is made in seconds."""
    return train_lungs(*arguments, **further)


def _mean_dice(regions: Mapping[str, Mapping[str, float]]) -> float:
    return float(np.mean([regions[region]["dice"] for region in REGIONS]))


def _slice_auc(row: Mapping[str, Any]) -> float:
    truth = np.array(row["truth"], bool)
    return auc(truth, np.array(row["probabilities"])) if truth.any() and not truth.all() else float("nan")


TOOLS: dict[str, Tools] = {
    "brain": Tools(
        "patients",
        "Dice, mean of WT, TC and ET",
        ("modalities", "size", "filters"),
        _patients,
        _voxels,
        _brain_settings,
        train_brain,
        score_brain,
        "patients",
        lambda row: _mean_dice(row["regions"]),
        lambda row: _mean_dice(row["trivial"]),
    ),
    "gate": Tools(
        "patients",
        "AUC of slices",
        ("network", "size"),
        _patients,
        _voxels,
        _gate_settings,
        train_gate,
        score_gate,
        "patients",
        _slice_auc,
        lambda row: 0.5,
    ),
    "lungs": Tools(
        "X-rays",
        "Dice",
        ("size", "filters", "normalisation"),
        _xrays,
        lambda xray, parameters: radiograph_hash(read_image(xray.image)),
        _lungs_settings,
        _train_lungs,
        score_lungs,
        "images",
        lambda row: float(row["dice"]),
        lambda row: float(row["trivial"]["dice"]),
    ),
}
"""By the task of a `run.json`."""
