"""The patients of several folders that are to be segmented: those that can be read, and why the others cannot."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.data.brats import Patient, read_catalogue
from helpers.runtime.errors import DataError

_IMAGE = re.compile(r"(_(flair|t1|t1ce|t2)|-(t2f|t1n|t1c|t2w))\.nii(\.gz)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Refusal:
    """A patient that cannot be used.

    Attributes:
        id: the patient; or the name of a folder in which none was found.
        message: what is wrong, with the file, and how to mend it.
    """

    id: str
    message: str


@dataclass(frozen=True)
class Selection:
    """The patients of several folders.

    Attributes:
        patients: those whose headers are in order.
        refused: the others.
        notes: how files are read that are not as the training set, a sentence each.
    """

    patients: tuple[Patient, ...]
    refused: tuple[Refusal, ...]
    notes: tuple[str, ...]


def select_patients(folders: Sequence[str | os.PathLike], modalities: Iterable[str], out: Path) -> Selection:
    """Find the patients in the folders, read their headers, and tell the usable from the others.

    Args:
        folders: each holds one or more patients.
        modalities: the volumes that are needed.
        out: where masks will be written.

    Raises:
        DataError: a patient is there twice, or `out` is a patient's folder.
    """
    patients: list[Patient] = []
    refused: list[Refusal] = []
    notes: list[str] = []
    for folder in folders:
        try:
            catalogue = read_catalogue(folder)
            usable, problems = catalogue.usable(modalities, seg=False)
        except DataError as error:
            refused.append(Refusal(Path(folder).name, str(error)))
            continue
        patients += usable
        refused += [Refusal(problem.patient, str(problem)) for problem in problems]
        known = {patient.id for patient in usable} | {problem.patient for problem in problems}
        refused += [_incomplete(p, modalities) for p in catalogue.patients if p.id not in known]
        notes += [note for note in catalogue.notes if note not in notes]
    found: dict[str, Path] = {}
    for patient in patients:
        if patient.id in found:
            raise DataError(f"{patient.id} is there twice: {found[patient.id]} and {patient.folder}; give one.")
        found[patient.id] = patient.folder
    _check_outside(out, found.values())
    return Selection(tuple(patients), tuple(refused), tuple(notes))


def _incomplete(patient: Patient, modalities: Iterable[str]) -> Refusal:
    missing = ", ".join(kind for kind in modalities if patient.file(kind) is None)
    found = ", ".join(patient.images) or "no images"
    message = f"{patient.id}: {patient.folder} holds {found}; {missing} is missing. Add the file, or leave it out."
    return Refusal(patient.id, message)


def _check_outside(out: Path, folders: Iterable[Path]) -> None:
    """Refuse to write masks into a patient's folder, where they would be second segmentations of the patient.

    Raises:
        DataError: `out` is the folder of a patient, or lies inside one.
    """
    whole = out.resolve()
    for folder in folders:
        if folder.resolve() in (whole, *whole.parents):
            raise DataError(f"{out} lies in a patient's folder ({folder}), which would get a second mask. {_CURE}")
    name = next((name for name in os.listdir(out) if _IMAGE.search(name)), None) if out.is_dir() else None
    if name is not None:
        raise DataError(f"{out} is a patient's folder ({name}), which would get a second mask. {_CURE}")


_CURE = "Choose a folder of its own by --out."
