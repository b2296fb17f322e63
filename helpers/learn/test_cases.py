"""On whom a score says something: patients that a model was neither trained nor tuned on, by id and by their voxels."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from helpers.data.brats import Patient, read_catalogue
from helpers.data.chest import XRay
from helpers.data.splits import load_split
from helpers.data.store import voxel_hashes
from helpers.data.volumes import read_scan
from helpers.learn.run_folder import read_run
from helpers.runtime.errors import DataError
from helpers.runtime.machine import device, versions

Case = TypeVar("Case", Patient, XRay)


def select_test_patients(
    folder: str | os.PathLike,
    data: str | os.PathLike,
    split: str,
    modalities: tuple[str, ...],
    optional: tuple[str, ...] = (),
) -> list[Patient]:
    """The patients under `data` on whom a score says something.

    Args:
        split: "test", the patients that training kept out; or "all", every patient of a folder the model never saw.
        modalities: what the model looks at; `optional` ones may be missing.

    Raises:
        DataError: test patients are missing; or, for "all", patients are there that the model was trained or tuned on,
            recognised by id or by their voxels. Each is named.
    """
    patients = read_catalogue(data).require(tuple(kind for kind in modalities if kind not in optional))

    def look(patient: Patient) -> dict[str, str]:
        return voxel_hashes(read_scan(patient, modalities, seg=False, optional=optional))

    return select_test_cases(folder, data, split, patients, look)


def select_test_cases(
    folder: str | os.PathLike,
    data: str | os.PathLike,
    split: str,
    patients: Sequence[Case],
    look: Callable[[Case], dict[str, str]],
    prefix: str = "",
) -> list[Case]:
    """Of these patients, who lie under `data`, those on whom a score says something; see `select_test_patients`.

    Args:
        look: reads a patient and gives the hashes of the voxels.
        prefix: of the ids that count; those of one hospital begin alike.
    """
    if split == "test":
        test = [identity for identity in load_split(Path(folder) / "split.json").test if identity.startswith(prefix)]
        chosen = [patient for patient in patients if patient.id in set(test)]
        if missing := sorted(set(test) - {patient.id for patient in chosen}):
            raise DataError(
                f"{len(missing)} test patients of {folder} are not under {data}: {', '.join(missing)}. "
                "Give the folder the model was trained from, or --split all for a folder it never saw."
            )
        return chosen
    if split != "all":
        raise ValueError(f"split {split!r}; expected 'test' or 'all'.")
    _refuse_known(patients, read_run(folder)["learned_from"], look, folder)
    return list(patients)


def score_provenance(folder: str | os.PathLike, split: str, chosen: Sequence[Patient | XRay]) -> dict:
    """What a result says of its origin: how the model was made, where it was scored, and on whom."""
    run = read_run(folder)
    return {
        **{key: run[key] for key in ("parameters", "precision")},
        "versions": versions(),
        "device": device(),
        "split": {
            "name": split,
            "digest": load_split(Path(folder) / "split.json").digest,
            "ids": [patient.id for patient in chosen],
        },
    }


def seconds_to_score(score: Callable[[Sequence[Case]], object], cases: Sequence[Case], sample: int = 1) -> float:
    """How long scoring takes on this machine, with half as much again in reserve: what a training leaves for its end.

    Args:
        score: scores some cases.
        cases: all that are to be scored.
        sample: how many of them are scored to find out, after a first one that compiles what is to be compiled.

    Returns:
        Seconds.
    """
    score(cases[:1])
    begun = time.monotonic()
    score(cases[:sample])
    return 1.5 * (time.monotonic() - begun) / len(cases[:sample]) * len(cases)


def _refuse_known(
    patients: Sequence[Case], learned_from: dict, look: Callable[[Case], dict[str, str]], folder: str | os.PathLike
) -> None:
    owners = {value: identity for identity, held in learned_from.items() for value in held.values()}
    known = []
    for patient in patients:
        if patient.id in learned_from:
            known.append(f"{patient.id}: by its id")
        elif same := set(look(patient).values()) & set(owners):
            known.append(f"{patient.id}: its voxels are those of {owners[same.pop()]}")
    if known:
        raise DataError.listing(
            f"{folder} was trained or tuned on {len(known)} of these {len(patients)} patients; a score on them says "
            "nothing about new ones. Leave them out, or use --split test:",
            known,
        )
