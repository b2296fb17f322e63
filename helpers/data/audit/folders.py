"""What the audit reads: the patients of a folder, the hashes that identify each, and the problems of the folder."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from helpers.data.audit.perceptual_hash import PictureHash, near_duplicates, picture_hash
from helpers.data.brats import MODALITIES, Patient, read_catalogue
from helpers.data.chest import (
    IMAGES,
    SITES,
    TEST,
    XRay,
    find_sets,
    instead_of_set,
    read_chest,
    read_xray,
    unread_files,
)
from helpers.data.phantoms.brats import NOTE
from helpers.data.pictures import pictures, read_image
from helpers.data.plausibility import radiograph_notes, summarise
from helpers.data.store import voxel_hashes
from helpers.data.volumes import Scan, read_scan
from helpers.runtime.errors import DataError
from helpers.runtime.folders import walk_once
from helpers.runtime.threads import map_threads

CARD_BRATS = {"BraTS20_Training": 369, "BraTS20_Validation": 125, "BraTS19": 335}
CARD_CHEST = {"montgomery images": 138, "shenzhen images": 662, "masks": 704}

Progress = Callable[[str, int, int], None]
"""Called with the folder, the number of its patients that are read, and the number it has."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Finding:
    """One result of the audit.

    Attributes:
        level: an "error" makes a score misleading or stops a training; a "note" does neither.
        check: the check that found it, e.g. "overlap".
        folder: the folder concerned, or two of them.
        message: what was found, and what to do.
        names: the files or patients concerned.
    """

    level: Literal["error", "note"]
    check: str
    folder: str
    message: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.folder}: {self.check}: {self.message}" + (f": {', '.join(self.names)}" if self.names else "")


@dataclass(frozen=True)
class Member:
    """One patient of a folder.

    Attributes:
        folder: the folder or training that was audited.
        id: the patient.
        digests: hashes of its voxels or pixels.
        picture_hash: of its radiograph or middle slice; None where no file was read.
    """

    folder: Path
    id: str
    digests: frozenset[str]
    picture_hash: PictureHash | None = None


Reader = Callable[[Path, Progress], tuple[list[Member], list[Finding]]]
"""Reads all of one kind that a folder holds."""


def find_readers(folder: Path) -> list[Reader]:
    """How to read a folder, by what it holds: the chest set, or else loose PNG files; and BraTS patients.

    Args:
        folder: searched at any depth, links followed once.

    Raises:
        DataError: there is no such folder, or it holds neither radiographs nor patients.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}. Give folders of patients, or of finished trainings.")
    readers: list[Reader] = []
    if find_sets(folder):
        readers.append(_read_chest_folder)
    elif pictures(folder):
        readers.append(_read_loose_pictures)
    if any(name.endswith((".nii", ".nii.gz")) for _, _, names in walk_once(folder) for name in names):
        readers.append(_read_brats_folder)
    if not readers:
        raise DataError(
            f"Nothing to audit under {folder}: expected {IMAGES}/, PNG files, BraTS patients, or run.json."
            f"{instead_of_set(folder)}"
        )
    return readers


def read_folder(folder: Path, progress: Progress) -> tuple[list[Member], list[Finding]]:
    """The members of a folder of X-rays (the Kaggle layout, or loose PNG files) or of BraTS patients, and its findings.

    Every file is read to its end.

    Args:
        folder: searched at any depth, links followed once.
        progress: called after each patient, see `Progress`.

    Raises:
        DataError: there is no such folder, or it holds neither radiographs nor patients.
    """
    members, findings = [], []
    for reader in find_readers(folder):
        try:
            found_members, found = reader(folder, progress)
        except DataError as error:  # the folder as a whole; the others are still audited
            found_members, found = [], [Finding("error", "file at fault", str(folder), str(error))]
        members += found_members
        findings += found
    return members, findings


def _read_chest_folder(folder: Path, progress: Progress) -> tuple[list[Member], list[Finding]]:
    catalogue = read_chest(folder)
    where = str(catalogue.folder)
    findings = [Finding("error", "file at fault", where, str(problem)) for problem in catalogue.problems]
    findings += [Finding("note", "unread files", where, note) for note in catalogue.notes]
    for copy in catalogue.copies:
        message = f"its images have the names of those in {where}. Name one folder, never search both"
        findings.append(Finding("note", "unused copy", str(copy), message))

    broken = {problem.path for problem in catalogue.problems}
    whole = [xray for xray in catalogue.xrays if xray.mask and not broken & {xray.image, *xray.mask_files}]
    images = [xray.image for xray in catalogue.xrays if xray.image not in broken]
    members, at_fault = _read_pictures(folder, images, progress, {xray.image: xray for xray in whole})
    repeats, faults_of_test = _read_pictures(folder, pictures(catalogue.folder / TEST), progress)
    findings += at_fault + faults_of_test
    pairs = near_duplicates([member.picture_hash for member in members + repeats])
    repeated = sorted({repeats[j - len(members)].id for i, j, _ in pairs if i < len(members) <= j})
    if repeated:
        message = f"{len(repeated)} of {len(repeats)} images are in {IMAGES}/ too: no unseen patients"
        findings.append(Finding("note", "unused copy", str(catalogue.folder / TEST), message, tuple(repeated)))
    if catalogue.without_mask:
        message = f"{len(catalogue.without_mask)} images have no mask; they cannot be trained on"
        findings.append(Finding("note", "missing mask", where, message, catalogue.without_mask))

    counts = {f"{site} images": sum(xray.site == site for xray in catalogue.xrays) for site in SITES.values()}
    counts["masks"] = len(catalogue.xrays) - len(catalogue.without_mask)
    note = _phantom_note(catalogue.folder)
    card = {f"{site} images": note.get(site) for site in SITES.values()} if note else CARD_CHEST
    return members, findings + _counts(where, counts, card)


def _read_loose_pictures(folder: Path, progress: Progress) -> tuple[list[Member], list[Finding]]:
    members, findings = _read_pictures(folder, pictures(folder), progress)
    if note := unread_files(folder):
        findings.append(Finding("note", "unread files", str(folder), note))
    return members, findings


def _read_pictures(
    folder: Path, paths: list[Path], progress: Progress, with_mask: Mapping[Path, XRay] | None = None
) -> tuple[list[Member], list[Finding]]:
    def one(path: Path) -> tuple[Member | Finding, tuple[str, ...]]:
        try:
            xray = (with_mask or {}).get(path)
            radiograph, mask = (read_image(path), None) if xray is None else read_xray(xray)
        except DataError as error:
            return Finding("error", "file at fault", str(path.parent), f"{path.stem}: {error}"), ()
        hashes = picture_hash(radiograph)
        return Member(folder, path.stem, frozenset([hashes.digest]), hashes), radiograph_notes(radiograph, mask)

    results = list(_map_files(one, paths, folder, progress))
    members, findings = _members_and_findings(result for result, _ in results)
    where = str(paths[0].parent) if paths else ""
    notes = ((result.id, notes) for result, notes in results if isinstance(result, Member))
    return members, findings + [Finding("note", kind, where, *found) for kind, *found in summarise(notes)]


def _read_brats_folder(folder: Path, progress: Progress) -> tuple[list[Member], list[Finding]]:
    catalogue = read_catalogue(folder)
    where = str(folder)
    findings = [Finding("error", "file at fault", where, str(problem)) for problem in catalogue.problems]
    broken = {problem.patient for problem in catalogue.problems}

    def one(patient: Patient) -> Member | Finding:
        modalities = tuple(name for name in MODALITIES if name in patient.images)
        try:
            scan = read_scan(patient, modalities, seg=patient.seg is not None)
        except DataError as error:
            return Finding("error", "file at fault", where, f"{patient.id}: {error}")
        return Member(folder, patient.id, frozenset(voxel_hashes(scan).values()), picture_hash(_middle(scan)))

    readable = [patient for patient in catalogue.patients if patient.id not in broken]
    members, at_fault = _members_and_findings(_map_files(one, readable, folder, progress))
    members += [Member(folder, identity, frozenset()) for identity in sorted(broken)]  # still known by name
    findings += at_fault
    findings += [Finding("note", "how it is read", where, note) for note in catalogue.notes]

    for kind in (*MODALITIES, "seg"):
        lacking = [p.id for p in catalogue.patients if p.file(kind) is None]
        if kind == "seg":
            lacking = [identity for identity in lacking if "_Validation_" not in identity]  # none of these has one
        if lacking:
            message = f"{len(lacking)} of {len(catalogue.patients)} patients have no {kind} file"
            findings.append(
                Finding("note", "missing mask" if kind == "seg" else "missing file", where, message, tuple(lacking))
            )
    for patient in catalogue.patients:
        if patient.seg and not re.fullmatch(rf"{re.escape(patient.id)}[_-]seg\.nii(\.gz)?", patient.seg.name):
            message = (
                f"{patient.id}: the segmentation is called {patient.seg.name}; it is found by pattern all the same"
            )
            findings.append(Finding("note", "unusual name", where, message))

    prefixes = (prefix for p in catalogue.patients for prefix in CARD_BRATS if p.id.startswith(prefix))
    counts = dict(Counter(prefixes))
    note = _phantom_note(catalogue.patients[0].folder)
    phantoms = {"BraTS20_Training": note.get("patients"), "BraTS20_Validation": note.get("validation")}
    return members, findings + _counts(where, counts, phantoms if note else CARD_BRATS)


def _middle(scan: Scan) -> np.ndarray:
    """The middle slice of the first modality as grey levels."""
    image = scan.images[:, :, scan.images.shape[2] // 2, 0]
    return np.clip(image * (255 / max(float(image.max()), 1e-6)), 0, 255).astype(np.uint8)


def _phantom_note(folder: Path) -> dict:
    """The note of the phantom set that a folder belongs to; empty for real data."""
    note = next((one / NOTE for one in (folder, *folder.resolve().parents) if (one / NOTE).is_file()), None)
    try:
        content = json.loads(note.read_text(encoding="utf-8")) if note else {}
    except (OSError, ValueError):  # damaged: then the set is compared with the card of the real one
        return {}
    return content if isinstance(content, dict) else {}


def _counts(where: str, counts: dict[str, int], card: dict[str, int | None]) -> list[Finding]:
    return [
        Finding("note", "count", where, f"{count} {what}; the card says {card[what]}")
        for what, count in counts.items()
        if card.get(what) not in (None, count)
    ]


def _map_files(
    one: Callable[[_Item], _Result], items: list[_Item], folder: Path, progress: Progress
) -> Iterable[_Result]:
    for done, result in enumerate(map_threads(one, items), start=1):
        progress(str(folder), done, len(items))
        yield result


def _members_and_findings(results: Iterable[Member | Finding]) -> tuple[list[Member], list[Finding]]:
    members, findings = [], []
    for result in results:
        (members if isinstance(result, Member) else findings).append(result)
    return members, findings
