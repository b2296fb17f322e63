"""The catalogue of a BraTS folder: its patients, their files, and the problems of these.

One reader serves BraTS 2018 to 2021 and the phantoms: flat or sorted into `HGG/` and `LGG/`, `.nii` or `.nii.gz`,
inside Kaggle's doubled folders. Only headers are read here, so that a catalogue of 369 patients takes seconds; what
needs the voxels (NaN, unknown labels, an empty volume) is checked by `helpers.data.volumes.read_scan`.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.filebasedimages import ImageFileError

from helpers.runtime.errors import DataError

MODALITIES = ("flair", "t1", "t1ce", "t2")
"""The four MR sequences, in the order in which every figure of the course shows them."""

_SUFFIXES = (".nii", ".nii.gz")
_MODALITY_FILE = re.compile(r"^(?P<id>.+)_(?P<kind>flair|t1|t1ce|t2)\.nii(\.gz)?$", re.IGNORECASE)
_SEG_FILE = re.compile(r"_seg(m|\b)", re.IGNORECASE)
# BraTS 2017 to 2019 ids carry the institution: Brats18_CBICA_AAB_1, BraTS19_TCIA01_150_1, Brats17_2013_10_1.
_SITE = re.compile(r"^brats1[789]_(?P<site>[A-Za-z]+|2013)\d*_", re.IGNORECASE)


@dataclass(frozen=True)
class Patient:
    """One patient's files.

    Attributes:
        id: the patient's name, taken from the file names, e.g. `BraTS20_Training_001`.
        folder: the folder the files lie in.
        images: modality (of `MODALITIES`) to file; a modality that is missing on disk is missing here.
        seg: the file of the segmentation, or None.
        grade: "HGG" (high), "LGG" (low), or None where neither folder nor table gives it.
        site: the institution in the 2017-2019 id, or None.
    """

    id: str
    folder: Path
    images: Mapping[str, Path]
    seg: Path | None
    grade: str | None = None
    site: str | None = None

    @property
    def strata(self) -> tuple[str, ...]:
        """The strata of a split: grade, then site."""
        return self.grade or "", self.site or ""

    def file(self, kind: str) -> Path | None:
        """The file of a modality or of the segmentation; None where there is none.

        Args:
            kind: one of `MODALITIES`, or "seg".
        """
        return self.seg if kind == "seg" else self.images.get(kind)


@dataclass(frozen=True)
class Problem:
    """A file, or several, that cannot be used.

    Attributes:
        patient: its id.
        path: the file or folder.
        touches: the files concerned: modality names and "seg"; of an X-ray "image" and "mask".
        message: what is wrong and how to mend it.
    """

    patient: str
    path: Path
    touches: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        return f"{self.patient}: {self.path}: {self.message}"


@dataclass(frozen=True)
class Catalogue:
    """The patients under a folder.

    Attributes:
        root: the folder that was searched.
        patients: sorted by id.
        problems: files that cannot be used.
    """

    root: Path
    patients: tuple[Patient, ...]
    problems: tuple[Problem, ...]

    def require(self, modalities: Iterable[str], seg: bool = True) -> tuple[Patient, ...]:
        """The patients that have all the named files.

        A patient that lacks one of the modalities, or (with `seg`) a segmentation, is left out: it stays usable for
        models that do not need it.

        Args:
            modalities: names of `MODALITIES`.
            seg: whether the segmentation is needed as well.

        Raises:
            DataError: a modality is unknown, a problem touches a file that is needed, or no patient is left.
        """
        needed = tuple(modalities) + (("seg",) if seg else ())
        unknown = sorted(set(modalities) - set(MODALITIES))
        if unknown:
            raise DataError(f"Unknown modalities {unknown}; this course knows {', '.join(MODALITIES)}.")
        touching = [problem for problem in self.problems if set(problem.touches) & set(needed)]
        if touching:
            error = DataError.listing(
                f"{len(touching)} problem(s) under {self.root} touch what is needed ({', '.join(needed)}). "
                "Mend or remove these files, then run the same command again:",
                [str(problem) for problem in touching],
            )
            raise error
        complete = tuple(p for p in self.patients if all(p.file(kind) is not None for kind in needed))
        if not complete:
            present = Counter(kind for p in self.patients for kind in (*MODALITIES, "seg") if p.file(kind) is not None)
            counts = ", ".join(f"{present[kind]} have {kind}" for kind in (*MODALITIES, "seg"))
            raise DataError(
                f"No patient under {self.root} has all of {', '.join(needed)}. Of {len(self.patients)} patients "
                f"{counts}. Ask for modalities that are there, or add the files."
            )
        return complete

    def table(self) -> pd.DataFrame:
        """A table with one row per patient: id, grade, site, and for each modality and `seg` whether it is there."""
        kinds = (*MODALITIES, "seg")
        return pd.DataFrame(
            [
                {"id": p.id, "grade": p.grade, "site": p.site, **{kind: p.file(kind) is not None for kind in kinds}}
                for p in self.patients
            ],
            columns=["id", "grade", "site", *kinds],
        )


def read_catalogue(root: str | os.PathLike) -> Catalogue:
    """Find every BraTS patient at or below `root`, and check the headers of their files.

    Args:
        root: a folder; searched to any depth (Kaggle doubles folders), links followed once.

    Raises:
        DataError: the folder does not exist, or holds no patient.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"There is no folder {root}. Give the folder that holds the BraTS patients.")
    table = _read_tables(root)
    patients, problems = [], []
    for folder, names in _folders_with_scans(root):
        patient, found = _read_folder(folder, names, table)
        patients.append(patient)
        problems += found
    if not patients:
        raise DataError(
            f"No BraTS patient under {root}: expected folders that hold files such as "
            f"BraTS20_Training_001/BraTS20_Training_001_flair.nii (or .nii.gz), with {', '.join(MODALITIES)} and seg."
        )
    patients.sort(key=lambda patient: (patient.id, str(patient.folder)))
    problems += _twice(patients)
    return Catalogue(root, tuple(patients), tuple(problems))


def _folders_with_scans(root: Path) -> Iterable[tuple[Path, list[str]]]:
    """Every folder that directly holds at least one file named as a modality, with its file names."""
    for folder, folders, files in os.walk(root):
        folders.sort()
        if any(_MODALITY_FILE.match(name) for name in files):
            yield Path(folder), sorted(name for name in files if name.lower().endswith(_SUFFIXES))


def _read_folder(folder: Path, names: list[str], table: dict[str, dict]) -> tuple[Patient, list[Problem]]:
    images, others, problems = {}, [], []
    identity = ""
    for name in names:
        match = _MODALITY_FILE.match(name)
        if not match:
            others.append(name)
            continue
        identity = identity or match["id"]
        kind = match["kind"].lower()
        if kind in images:
            problems.append(
                Problem(identity, folder / name, (kind,), f"a second {kind} file beside {images[kind].name}; keep one")
            )
            continue
        images[kind] = folder / name

    # Case 355 of BraTS 2020 calls its segmentation W39_1998.09.19_Segm.nii, and /kaggle/input is read-only: so it is
    # found by pattern, never renamed.
    segs = [name for name in others if _SEG_FILE.search(name)]
    if len(segs) > 1:
        problems.append(
            Problem(
                identity, folder, ("seg",), f"{len(segs)} segmentations ({', '.join(segs)}); expected one, keep one"
            )
        )
    seg = folder / segs[0] if segs else None

    row = table.get(identity, {})
    parts = {part.upper() for part in folder.parts}
    grade = row.get("grade") or next((grade for grade in ("HGG", "LGG") if grade in parts), None)
    site = row.get("site") or _site(identity)
    patient = Patient(identity, folder, images, seg, grade, site)
    return patient, problems + _check_headers(patient)


def _check_headers(patient: Patient) -> list[Problem]:
    """Files that are no NIfTI or are cut short, and files that do not share one grid."""
    problems, grids = [], {}
    for kind in (*MODALITIES, "seg"):
        path = patient.file(kind)
        if path is None:
            continue
        try:
            grids[kind] = _read_grid(path)
        except DataError as error:
            problems.append(Problem(patient.id, path, (kind,), str(error)))
    if not grids:
        return problems
    reference = next(iter(grids))
    shape, affine = grids[reference]
    for kind, (other_shape, other_affine) in grids.items():
        if other_shape != shape:
            message = f"shape {other_shape}, but {reference} has {shape}; all files of a patient must share one grid"
        elif not np.allclose(other_affine, affine, atol=1e-3):
            message = (
                f"its affine differs from that of {reference}: first row "
                f"{np.round(other_affine[0], 3).tolist()} against {np.round(affine[0], 3).tolist()}; use one grid"
            )
        else:
            continue
        problems.append(Problem(patient.id, patient.file(kind), (kind,), message))
    return problems


def _read_grid(path: Path) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape and affine from the header.

    Raises:
        DataError: the file is no NIfTI, not three-dimensional, or shorter than its header says.
    """
    try:
        image = nib.load(path)
    except (ImageFileError, OSError, ValueError) as error:
        raise DataError(f"not a readable NIfTI file ({error}); copy or download it again") from error
    if len(image.shape) != 3 or min(image.shape) < 1:
        raise DataError(f"shape {image.shape}; expected three dimensions (rows, columns, slices)")
    if path.suffix == ".nii":  # what a .nii.gz unpacks to is known only once it is unpacked
        expected = image.dataobj.offset + int(np.prod(image.shape)) * image.get_data_dtype().itemsize
        if (size := path.stat().st_size) < expected:
            raise DataError(f"cut short: {size:,} bytes, the header gives {expected:,}; copy or download it again")
    return tuple(int(n) for n in image.shape), image.affine


def _twice(patients: list[Patient]) -> list[Problem]:
    """The same id in two folders. It touches every file, since it is unknown which copy is meant."""
    problems = []
    for identity, count in Counter(patient.id for patient in patients).items():
        if count > 1:
            folders = [str(patient.folder) for patient in patients if patient.id == identity]
            problems.append(
                Problem(
                    identity,
                    Path(folders[0]),
                    (*MODALITIES, "seg"),
                    f"this patient is there {count} times ({', '.join(folders)}); keep one folder, or name one of them",
                )
            )
    return problems


def read_name_mapping(root: Path) -> list[tuple[str | None, list[str]]]:
    """The grade of each patient, and its ids in the BraTS sets of 2017 to 2020.

    Args:
        root: every `name_mapping*.csv` at or below it is read.

    Returns:
        (grade or None, ids) per row of the tables.
    """
    rows = []
    for path in sorted(root.rglob("name_mapping*.csv")):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        columns = [column for column in table if column.startswith("BraTS_20") and column.endswith("subject_ID")]
        for row in table.to_dict("records"):
            rows.append((row.get("Grade") or None, [row[c] for c in columns if row[c] not in ("", "NA")]))
    return rows


def _read_tables(root: Path) -> dict[str, dict[str, str | None]]:
    """Grade and site per BraTS 2020 id."""
    rows = {}
    for grade, ids in read_name_mapping(root):
        site = next(filter(None, map(_site, ids)), None)
        rows.update({identity: {"grade": grade, "site": site} for identity in ids})
    return rows


def _site(identity: str) -> str | None:
    match = _SITE.match(identity)
    return match["site"].upper() if match else None
