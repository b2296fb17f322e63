"""The catalogue of a BraTS folder: its patients, their files, and the problems of these.

One reader serves BraTS 2017 to 2024 and the phantoms: flat or sorted into `HGG/` and `LGG/`, `.nii` or `.nii.gz`,
inside Kaggle's doubled folders. Only headers are read here, so that a catalogue of 369 patients takes seconds; what
needs the voxels (NaN, unknown labels, an empty volume) is checked by `helpers.data.volumes.read_scan`.
"""

import io
import os
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.data.nifti import Geometry, read_geometry, read_voxels
from helpers.runtime.errors import DataError
from helpers.runtime.folders import walk_once

if TYPE_CHECKING:
    import pandas as pd

MODALITIES = ("flair", "t1", "t1ce", "t2")
"""The four MR sequences, in the order in which every figure of the course shows them."""

_SUFFIXES = (".nii", ".nii.gz")
_MODALITY_FILE = re.compile(
    r"^(?P<id>.+)(_(?P<kind>flair|t1|t1ce|t2)|-(?P<kind_2023>t2f|t1n|t1c|t2w))\.nii(\.gz)?$", re.IGNORECASE
)
_KINDS_2023 = {"t2f": "flair", "t1n": "t1", "t1c": "t1ce", "t2w": "t2"}
_SEG_FILE = re.compile(r"[-_]seg(m|\b)", re.IGNORECASE)
_SEG_OF = re.compile(r"^(?P<id>.+)[-_]seg\.nii(\.gz)?$", re.IGNORECASE)
_MAC = ("._", "__MACOSX")  # what a Mac adds to a zip: files with the names of others, and no scans
_TABLE = re.compile(r"^name_mapping.*\.csv$")
# BraTS 2017 to 2019 ids carry the site: Brats18_CBICA_AAB_1, BraTS19_TCIA01_150_1, Brats17_2013_10_1. The archive TCIA
# has scans of many hospitals, told apart by its digits; those of 2017 lack them: Brats17_TCIA_150_1.
_SITE = re.compile(r"^brats1[789]_(?P<site>[A-Za-z]+\d*|2013)_", re.IGNORECASE)


@dataclass(frozen=True)
class Convention:
    """How a BraTS set names its masks, and which of their labels is the enhancing tumour.

    Attributes:
        name: the sets that have it.
        enhancing: the label of the enhancing tumour on disk.
        seg_suffix: what follows the patient's id in the name of a mask.

    Examples:
        >>> BRATS_2023.seg_name("BraTS-GLI-00002-000"), BRATS_2023.disk_labels
        ('BraTS-GLI-00002-000-seg.nii.gz', (0, 1, 2, 3))
    """

    name: str
    enhancing: int
    seg_suffix: str

    def seg_name(self, identity: str) -> str:
        """The name of a patient's mask.

        Args:
            identity: the patient's id.
        """
        return f"{identity}{self.seg_suffix}.nii.gz"

    @property
    def disk_labels(self) -> tuple[int, int, int, int]:
        """Background, necrotic and non-enhancing core, oedema, enhancing tumour; index = label in the network."""
        return 0, 1, 2, self.enhancing


BRATS_2017 = Convention("BraTS 2017 to 2021", 4, "_seg")
BRATS_2023 = Convention("BraTS 2023 on", 3, "-seg")
"""Since 2023 files are called `<id>-t2f`, `-t1n`, `-t1c`, `-t2w` and `-seg`, and 3 is the enhancing tumour."""


class MaskSurvey:
    """Which labels occur in the masks of a whole folder: they are read only when somebody asks, and once.

    A label 3 is the enhancing tumour (from 2023 on, and of some tools) or the non-enhancing core (before 2017). Which
    of the two shows only where the masks beside it are read as well: those before 2017 have the label 4, too.
    """

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        self._paths, self._lock = tuple(paths), threading.Lock()
        self._holder: dict[int, Path | None] = {}

    def holder(self, label: int) -> Path | None:
        """The first mask with this label; None where there is none.

        Args:
            label: as on disk.
        """
        with self._lock:
            if label not in self._holder:
                self._holder[label] = next((path for path in self._paths if self._holds(path, label)), None)
            return self._holder[label]

    @property
    def asked(self) -> bool:
        """Whether a label was looked for, which takes as long as reading every mask."""
        return bool(self._holder)

    @staticmethod
    def _holds(path: Path, label: int) -> bool:
        try:
            return bool((abs(read_voxels(path)[0] - float(label)) < 0.5).any())
        except (DataError, TypeError):  # it is reported where it is needed
            return False


@dataclass(frozen=True)
class Patient:
    """One patient's files.

    Attributes:
        id: the patient's name, taken from the file names, e.g. `BraTS20_Training_001`.
        folder: the folder the files lie in.
        images: modality (of `MODALITIES`) to file; a modality that is missing on disk is missing here.
        seg: the file of the segmentation, or None.
        grade: "HGG" (high), "LGG" (low), or None where neither folder nor table gives it.
        site: the site in the 2017-2019 id, such as CBICA, TCIA01 or 2013; None where there is no such id.
        convention: of the names of its images; so is the mask written that is predicted for it.
        masks: all masks of the folder that was searched, which decide what a label 3 means.
        notes: how its files are read, where they do not lie as the training set; a sentence each.
    """

    id: str
    folder: Path
    images: Mapping[str, Path]
    seg: Path | None
    grade: str | None = None
    site: str | None = None
    convention: Convention = BRATS_2017
    masks: MaskSurvey = field(default_factory=MaskSurvey, repr=False, compare=False)
    notes: tuple[str, ...] = ()

    @property
    def strata(self) -> tuple[str, ...]:
        """The strata of a split: grade, then site, the hospitals of the archive TCIA together.

        Many of these have one or two patients, too few to deal out; and a split of earlier versions stays as it was.
        """
        return self.grade or "", re.sub(r"(?<=[A-Z])\d+$", "", self.site or "")

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
        folder: of the patient; None where all patients of that id are concerned.
    """

    patient: str
    path: Path
    touches: tuple[str, ...]
    message: str
    folder: Path | None = None

    def __str__(self) -> str:
        return f"{self.patient}: {self.path}: {self.message}"


@dataclass(frozen=True)
class Catalogue:
    """The patients under a folder.

    Attributes:
        root: the folder that was searched.
        patients: sorted by id.
        problems: files that cannot be used.
        remarks: what was left out, a sentence each.
    """

    root: Path
    patients: tuple[Patient, ...]
    problems: tuple[Problem, ...]
    remarks: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user has to know of how the files are read: `remarks`, and `reading_notes` of the patients."""
        return *self.remarks, *reading_notes(self.patients)

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
        patients, touching = self.usable(modalities, seg)
        if touching:
            error = DataError.listing(
                f"{len(touching)} problem(s) under {self.root} touch what is needed ({', '.join(needed)}). "
                "Mend or remove these files, then run the same command again:",
                [str(problem) for problem in touching],
            )
            raise error
        return patients

    def usable(self, modalities: Iterable[str], seg: bool = True) -> tuple[tuple[Patient, ...], tuple[Problem, ...]]:
        """The patients that have all the named files and no problem in them, and the problems of the others.

        Args:
            modalities: names of `MODALITIES`.
            seg: whether the segmentation is needed as well.

        Raises:
            DataError: a modality is unknown; or no patient has the files, with or without a problem.
        """
        needed = tuple(modalities) + (("seg",) if seg else ())
        unknown = sorted(set(modalities) - set(MODALITIES))
        if unknown:
            raise DataError(f"Unknown modalities {unknown}; this course knows {', '.join(MODALITIES)}.")
        touching = tuple(problem for problem in self.problems if set(problem.touches) & set(needed))
        broken = {(problem.patient, problem.folder) for problem in touching}
        complete = tuple(p for p in self.patients if all(p.file(kind) is not None for kind in needed))
        if not complete and not touching:
            present = Counter(kind for p in self.patients for kind in (*MODALITIES, "seg") if p.file(kind) is not None)
            counts = ", ".join(f"{present[kind]} have {kind}" for kind in (*MODALITIES, "seg"))
            raise DataError(
                f"No patient under {self.root} has all of {', '.join(needed)}. Of {len(self.patients)} patients "
                f"{counts}. Ask for modalities that are there, or add the files."
            )
        return tuple(p for p in complete if not {(p.id, p.folder), (p.id, None)} & broken), touching

    def table(self) -> "pd.DataFrame":
        """A table with one row per patient: id, grade, site, and for each modality and `seg` whether it is there."""
        import pandas as pd

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
        root: a folder; searched to any depth (Kaggle doubles folders), links to folders followed once.

    Raises:
        DataError: the folder does not exist, or holds no patient.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"There is no folder {root}. Give the folder that holds the BraTS patients.")
    table, remarks = _read_tables(root)
    patients, problems = [], []
    for folder, names in _folders_with_scans(root, remarks):
        patient, found = _read_folder(folder, names, table)
        patients.append(patient)
        problems += found
    if not patients:
        hint = f" ({'; '.join(remarks)})" if remarks else ""
        raise DataError(
            f"No BraTS patient under {root}{hint}: expected folders that hold files such as "
            f"BraTS20_Training_001/BraTS20_Training_001_flair.nii (or .nii.gz), with {', '.join(MODALITIES)} and seg; "
            "or as they are called since 2023, BraTS-GLI-00002-000-t2f.nii.gz."
        )
    patients.sort(key=lambda patient: (patient.id, str(patient.folder)))
    masks = MaskSurvey(patient.seg for patient in patients if patient.seg is not None)
    patients = [replace(patient, masks=masks) for patient in patients]
    problems += _twice(patients) + _foreign_masks(patients, {problem.path for problem in problems})
    return Catalogue(root, tuple(patients), tuple(problems), tuple(remarks))


def _people(ids: Sequence[str], most: int = 3) -> str:
    """A few ids, and how many more there are."""
    listed = ", ".join(ids[:most])
    return listed if len(ids) <= most else f"{listed} and {len(ids) - most} more"


def reading_notes(patients: Sequence[Patient]) -> list[str]:
    """What a user has to know of how the files of these patients are read.

    What a label 3 means is said once a mask with this label was read, for until then nobody knows of it.

    Args:
        patients: of one catalogue.

    Returns:
        A sentence for each way in which they are read, with the ids of the patients.
    """
    ways, newer = defaultdict(list), [patient.id for patient in patients if patient.convention is BRATS_2023]
    for patient in patients:
        for note in patient.notes:
            ways[note].append(patient.id)
    notes = [f"{_people(ids)}: {note}" for note, ids in sorted(ways.items())]
    if newer:
        notes.append(f"{_people(newer)}: names of {BRATS_2023.name}, so label 3 is the enhancing tumour")
    if any(p.masks.asked and p.masks.holder(4) is None for p in patients if p.convention is BRATS_2017):
        notes.append("label 3 is read as the enhancing tumour, since no mask of this folder has the label 4")
    return notes


def _folders_with_scans(root: Path, remarks: list[str]) -> Iterable[tuple[Path, list[str]]]:
    """Every folder that directly holds at least one file named as a modality, with its file names."""
    for folder, files in _walk(root, remarks):
        names = sorted(name for name in files if name.lower().endswith(_SUFFIXES) and not name.startswith(_MAC))
        if any(_MODALITY_FILE.match(name) for name in names):
            yield folder, names


def _walk(root: Path, remarks: list[str]) -> Iterator[tuple[Path, list[str]]]:
    """Every folder below `root` once, and its files; what is left out becomes a remark."""

    def closed(error: OSError) -> None:
        remarks.append(f"{error.filename}: left out, it cannot be opened ({error.strerror})")

    for place, _, files in walk_once(root, lambda name: name not in _MAC, closed):
        remarks += [f"{place / name}: left out, a link to nothing" for name in files if _dangling(place / name)]
        yield place, files


def _dangling(path: Path) -> bool:
    """Whether a name is a link to a folder that is gone; one that is named as a scan is reported as a scan."""
    return path.is_symlink() and not path.exists() and not path.name.lower().endswith(_SUFFIXES)


def _read_folder(folder: Path, names: list[str], table: dict[str, dict]) -> tuple[Patient, list[Problem]]:
    images, others, problems = {}, [], []
    identity, ids, newer = "", {}, False
    for name in names:
        match = _MODALITY_FILE.match(name)
        if not match:
            others.append(name)
            continue
        identity = identity or match["id"]
        ids.setdefault(match["id"].casefold(), match["id"])
        newer = newer or match["kind"] is None
        kind = (match["kind"] or _KINDS_2023[match["kind_2023"].lower()]).lower()
        if kind not in images:
            images[kind] = folder / name
        elif match["id"].casefold() == identity.casefold():
            message = f"a second {kind} file beside {images[kind].name}; keep one"
            problems.append(Problem(identity, folder / name, (kind,), message, folder))
    if len(ids) > 1:
        message = (
            f"files of {len(ids)} patients in one folder ({_people(tuple(ids.values()))}); give each patient a folder "
            "of its own, and all its files one id"
        )
        problems.append(Problem(identity, folder, (*MODALITIES, "seg"), message, folder))

    # Case 355 of BraTS 2020 calls its segmentation W39_1998.09.19_Segm.nii, and /kaggle/input is read-only: so it is
    # found by pattern, never renamed.
    segs = [name for name in others if _SEG_FILE.search(name)]
    if len(segs) > 1:
        message = f"{len(segs)} segmentations ({', '.join(segs)}); expected one, keep one"
        problems.append(Problem(identity, folder, ("seg",), message, folder))
    seg = folder / segs[0] if segs else None

    row = table.get(identity, {})
    parts = {part.upper() for part in folder.parts}
    grade = row.get("grade") or next((grade for grade in ("HGG", "LGG") if grade in parts), None)
    site = row.get("site") or site_of(identity)
    patient = Patient(identity, folder, images, seg, grade, site, BRATS_2023 if newer else BRATS_2017)
    found, geometry = _check_headers(patient)
    return replace(patient, notes=geometry.notes if geometry else ()), problems + found


def _check_headers(patient: Patient) -> tuple[list[Problem], Geometry | None]:
    """Files that cannot be read or placed, and files that do not share one grid; and where the first of them lies."""
    problems, grids = [], {}
    for kind in (*MODALITIES, "seg"):
        path = patient.file(kind)
        if path is None:
            continue
        try:
            grids[kind] = read_geometry(path)
        except DataError as error:
            problems.append(Problem(patient.id, path, (kind,), str(error), patient.folder))
    if not grids:
        return problems, None
    reference = next(iter(grids))
    for kind, geometry in grids.items():
        if message := grids[reference].difference(geometry, reference):
            problems.append(Problem(patient.id, patient.file(kind), (kind,), message, patient.folder))
    return problems, grids[reference]


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


def _foreign_masks(patients: list[Patient], known: set[Path]) -> list[Problem]:
    """Masks that bear another patient's id. A mask may have an odd name, as that of case 355, but not somebody's.

    Args:
        patients: all of the catalogue.
        known: files and folders that have a problem already.
    """
    ids = {patient.id.casefold() for patient in patients}
    problems = []
    for patient in patients:
        match = patient.seg and _SEG_OF.match(patient.seg.name)
        owner = match["id"] if match else patient.id
        if owner.casefold() == patient.id.casefold() or patient.folder in known:
            continue
        if owner.casefold() in ids or _shape_of(owner) == _shape_of(patient.id):
            message = (
                f"this mask bears the id {owner}, the images beside it {patient.id}; put it where it belongs, or give "
                f"it the name {patient.convention.seg_name(patient.id)}"
            )
            problems.append(Problem(patient.id, patient.seg, ("seg",), message, patient.folder))
    return problems


def _shape_of(identity: str) -> str:
    """An id without its numbers: P001 and P008 are patients of one set, P001 and tumour are not."""
    return re.sub(r"[0-9]+", "0", identity.casefold())


def read_name_mapping(root: Path) -> list[tuple[str | None, list[str]]]:
    """The grade of each patient, and its ids in the BraTS sets of 2017 to 2020.

    Args:
        root: every `name_mapping*.csv` at or below it is read, separated by commas, semicolons or tabs. One that cannot
            be read is left out; `read_catalogue` says so.

    Returns:
        (grade or None, ids) per row of the tables.
    """
    return [row for path in _mapping_tables(root) for row in _read_table(path)[0]]


def _mapping_tables(root: Path) -> list[Path]:
    return sorted(folder / name for folder, files in _walk(root, []) for name in files if _TABLE.match(name))


def _read_table(path: Path) -> tuple[list[tuple[str | None, list[str]]], str | None]:
    """The rows of one name mapping, and what is wrong with it."""
    import pandas as pd

    try:
        raw = path.read_bytes()
        encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"  # as spreadsheets write them
        text = raw.decode(encoding, errors="replace")
        separator = max(",;\t", key=text.partition("\n")[0].count)
        table = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        return [], f"not a table that can be read ({str(error).strip()}), so its grades are left out; copy it again"
    table.columns = [str(column).strip() for column in table.columns]
    columns = [column for column in table if column.startswith("BraTS_20") and column.endswith("subject_ID")]
    if not columns:
        return [], (
            f"no column such as BraTS_2020_subject_ID (it has {', '.join(table.columns[:4])}), so its grades are left "
            "out; copy it again"
        )
    rows = []
    for row in table.astype(str).to_dict("records"):
        cells = {column: cell.strip() for column, cell in row.items()}
        rows.append((cells.get("Grade") or None, [cells[c] for c in columns if cells[c] not in ("", "NA")]))
    return rows, None


def _read_tables(root: Path) -> tuple[dict[str, dict[str, str | None]], list[str]]:
    """Grade and site per BraTS 2020 id, and a sentence for each table that cannot be read."""
    rows, remarks = {}, []
    for path in _mapping_tables(root):
        found, message = _read_table(path)
        for grade, ids in found:
            site = max(filter(None, map(site_of, ids)), key=len, default=None)  # the id of 2017 may lack the digits
            rows.update({identity: {"grade": grade, "site": site} for identity in ids})
        if message:
            remarks.append(f"{path}: {message}")
    return rows, remarks


def site_of(identity: str) -> str | None:
    """The site in an id of BraTS 2017 to 2019, such as CBICA; None where there is none.

    Args:
        identity: of a patient.
    """
    match = _SITE.match(identity)
    return match["site"].upper() if match else None
