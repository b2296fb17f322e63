"""Test cases: patients that a model was neither trained nor tuned on, recognised by id and by their voxels.

Elsewhere this mistake is called data leakage: a score on patients that the model has learned from says nothing of new
ones.
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from helpers.data.brats import Patient, read_catalogue
from helpers.data.chest import XRay
from helpers.data.store import voxel_hashes
from helpers.data.volumes import read_scan
from helpers.learn.run_folder import patients_learned_from, read_run, read_split
from helpers.runtime.errors import DataError
from helpers.runtime.machine import device, versions
from helpers.runtime.settings import expanded

Case = TypeVar("Case", Patient, XRay)


def select_test_patients(
    folder: str | os.PathLike,
    data: str | os.PathLike,
    split: str,
    modalities: tuple[str, ...],
    optional: tuple[str, ...] = (),
) -> list[Patient]:
    """The patients under `data` to score a model on.

    Args:
        folder: of the trained model.
        data: the folder of the patients.
        split: "test", the test patients of the training; or "all", every patient of a folder that the model never saw.
        modalities: the input of the model.
        optional: those of `modalities` that may be missing.

    Raises:
        DataError: test patients are missing; or, for "all", patients are among them that the model was trained or tuned
            on, recognised by id or by their voxels; or there is no such split. Each patient is named.
    """
    patients = read_catalogue(data).require(tuple(kind for kind in modalities if kind not in optional))

    def hashes(patient: Patient) -> dict[str, str]:
        return voxel_hashes(read_scan(patient, modalities, seg=False, optional=optional))

    return select_test_cases(folder, data, split, patients, hashes)


def select_test_cases(
    folder: str | os.PathLike,
    data: str | os.PathLike,
    split: str,
    patients: Sequence[Case],
    hashes: Callable[[Case], dict[str, str]],
    prefix: str = "",
) -> list[Case]:
    """The cases to score a model on, out of these; see `select_test_patients`.

    Args:
        folder: of the trained model.
        data: the folder of the cases, for messages.
        split: "test" or "all".
        patients: the cases under `data`, patients or X-rays.
        hashes: from a case to the hashes of its voxels; called for "all".
        prefix: of the ids that count; those of one hospital share theirs.

    Raises:
        DataError: test cases are missing, or there are none; or, for "all", cases are among them that the model was
            trained or tuned on, or nobody knows which; or there is no such split.
    """
    known = check_split(folder, split, prefix)
    if split == "test":
        test = [identity for identity in read_split(folder).test if identity.startswith(prefix)]
        selected = [patient for patient in patients if patient.id in set(test)]
        if missing := sorted(set(test) - {patient.id for patient in selected}):
            raise DataError(
                f"{len(missing)} test patients of {folder} are not under {data}: {', '.join(missing)}. "
                "Give the folder the model was trained from, or --split all for a folder it never saw."
            )
        return selected
    refuse_known(patients, known, hashes, folder)
    return list(patients)


def check_split(folder: str | os.PathLike, split: str, prefix: str = "") -> dict[str, dict[str, str]]:
    """See that a model can be scored on a split, by its folder alone, before the network and the data are read.

    Args:
        folder: of the trained model.
        split: "test" or "all".
        prefix: of the ids that count.

    Returns:
        The hashes of the voxels, by id, of the patients that the model learned from; for "all".

    Raises:
        DataError: there is no such split; the folder is damaged; nobody is to be tested; or, for "all", nobody knows
            whom the model was trained on.
    """
    if split not in ("test", "all"):
        raise DataError(f"split {split!r}; expected 'test' or 'all'.")
    everyone = read_split(folder).test
    if split == "all":
        return patients_learned_from(folder)
    if not any(identity.startswith(prefix) for identity in everyone):
        which = f"none of {prefix} is among the {len(everyone)} test patients" if everyone else "no test patients"
        raise DataError(
            f"{expanded(folder) / 'split.json'}: {which}, so there is nobody to score. Restore the original file, or "
            "use --split all for a folder that the model never saw."
        )
    return {}


def score_provenance(folder: str | os.PathLike, split: str, chosen: Sequence[Patient | XRay]) -> dict:
    """The provenance of a result: parameters of the model, versions, device, and the cases that were scored.

    Args:
        folder: of the trained model.
        split: "test" or "all".
        chosen: the cases that were scored.
    """
    run = read_run(folder)
    return {
        **{key: run[key] for key in ("parameters", "precision")},
        "versions": versions(),
        "device": device(),
        "split": {
            "name": split,
            "digest": read_split(folder).digest,
            "ids": [patient.id for patient in chosen],
        },
    }


def seconds_to_score(score: Callable[[Sequence[Case]], object], cases: Sequence[Case], sample: int = 1) -> float:
    """How long scoring takes on this machine, and half as much again: the time that a training reserves for it.

    Args:
        score: scores some cases.
        cases: all that are to be scored.
        sample: how many of them are timed, after a first one that compiles the network.

    Returns:
        Seconds.
    """
    score(cases[:1])
    begun = time.monotonic()
    score(cases[:sample])
    return 1.5 * (time.monotonic() - begun) / len(cases[:sample]) * len(cases)


def refuse_known(
    patients: Sequence[Case], learned_from: dict, hashes: Callable[[Case], dict[str, str]], folder: str | os.PathLike
) -> None:
    """Refuse cases that a model was trained or tuned on, by id or by their voxels.

    Args:
        patients: the cases.
        learned_from: the hashes of the voxels, by id, of those that the model learned from.
        hashes: from a case to the hashes of its voxels.
        folder: of the model, for the message.

    Raises:
        DataError: there are such cases; each is named.
    """
    owners = {value: identity for identity, known_hashes in learned_from.items() for value in known_hashes.values()}
    known = []
    for patient in patients:
        if patient.id in learned_from:
            known.append(f"{patient.id}: by its id")
        elif same := set(hashes(patient).values()) & set(owners):
            known.append(f"{patient.id}: its voxels are those of {owners[same.pop()]}")
    if known:
        error = DataError.listing(
            f"{folder} was trained or tuned on {len(known)} of these {len(patients)} patients; a score on them says "
            "nothing about new ones. Leave them out, or use --split test:",
            known,
        )
        raise error
