"""The catalogue of a folder as an archive exports it: its studies, their series, and what each of these is.

Files may lie in any order and depth, under any names, several patients' together: what belongs together is told by the
UIDs in the headers alone. What a series is for is decided by `helpers.data.dicom.sequences`, with the reason; where two
series would do, or none is sure, a person has to name one by its UID.
"""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from helpers.data.dicom.headers import AGAIN, KNOWN_MODALITIES, Instance, digest, each, read_headers
from helpers.data.dicom.sequences import DERIVED, FLAIR, OTHER, T1, T1CE, T2, UNSURE, Verdict, recognise
from helpers.runtime.errors import DataError

RADIOGRAPH = "radiograph"
SEQUENCES = (FLAIR, T1, T1CE, T2)
"""The kinds that a brain model may ask for; `--flair` and so on name the series of each."""

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_RADIOGRAPHS = {"CR", "DX", "RG"}
_SHOWN = {FLAIR: "FLAIR", T1: "T1", T1CE: "T1ce", T2: "T2"}


@dataclass(frozen=True, eq=False)
class Series:
    """One series of a study.

    Attributes:
        uid: its SeriesInstanceUID.
        instances: its files, in the order of their names.
        kind: "flair", "t1", "t1ce" or "t2"; "radiograph", "localiser", "derived", "other", or "unsure".
        reason: why, in words.
        problems: what is wrong with files of it, a sentence each; it cannot be read then.
        remarks: what was left out, a sentence each.
    """

    uid: str
    instances: tuple[Instance, ...]
    kind: str
    reason: str
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def first(self) -> Instance:
        """One of its files."""
        return self.instances[0]

    @property
    def modality(self) -> str:
        """The code of its modality, such as MR, in capitals."""
        return self.first.text("Modality").upper()

    @property
    def images(self) -> int:
        """How many images it has: files, or frames of multi-frame files."""
        return sum(max(1, int(one.number("NumberOfFrames") or 1)) for one in self.instances)

    @property
    def size(self) -> str:
        """Columns and rows, such as "240 x 240"; "" where the header has none."""
        columns, rows = (self.first.number(tag) for tag in ("Columns", "Rows"))
        return f"{columns:.0f} x {rows:.0f}" if columns and rows else ""

    def __str__(self) -> str:
        return f"series {self.uid} ({_SHOWN.get(self.kind, self.kind)}: {self.reason}; {self.images} images)"


@dataclass(frozen=True, eq=False)
class Study:
    """One study: the series of one visit of one patient.

    Attributes:
        uid: its StudyInstanceUID.
        series: by number, then UID.
    """

    uid: str
    series: tuple[Series, ...]

    @cached_property
    def id(self) -> str:
        """A short name for files and messages, made of the UID: it names nobody, and is the same each time."""
        return f"study_{digest(self.uid)}"

    @property
    def kinds(self) -> Counter:
        """How many series there are of each kind."""
        return Counter(series.kind for series in self.series)

    def choose(self, kinds: Iterable[str], named: Mapping[str, str] | None = None) -> dict[str, Series]:
        """The series for each of these kinds.

        Args:
            kinds: of `SEQUENCES`.
            named: kind to SeriesInstanceUID, where a person has chosen.

        Raises:
            DataError: there is none or there are several, and none is named; a named one is not there, or is named
                twice; or the series are of several patients. The candidates are listed, and the option that chooses.
        """
        named = dict(named or {})
        chosen = {kind: self._named(kind, named[kind]) if kind in named else self._only(kind) for kind in kinds}
        taken = Counter(series.uid for series in chosen.values())
        if twice := [uid for uid, count in taken.items() if count > 1]:
            kinds = ", ".join(f"--{kind}" for kind, series in chosen.items() if series.uid == twice[0])
            raise DataError(f"{self.id}: series {twice[0]} was chosen for {kinds}; name another one for each.")
        _check_one_patient(self.id, chosen.values())
        return chosen

    def _named(self, kind: str, uid: str) -> Series:
        for series in self.series:
            if series.uid == uid:
                if series.modality != "MR":
                    raise DataError(f"{self.id}: --{kind} names {series}, which is no MR series; name one that is.")
                return series
        error = DataError.listing(
            f"{self.id} has no series {digest(uid) if not set(uid) <= set('.0123456789') else uid}, which --{kind} "
            "names; it holds:",
            [str(series) for series in self.series],
        )
        raise error

    def _only(self, kind: str) -> Series:
        found = [series for series in self.series if series.kind == kind]
        if len(found) == 1:
            return found[0]
        if found:
            error = DataError.listing(
                f"{self.id}: {len(found)} series could be the {_SHOWN[kind]}. Choose one by --{kind} SERIES_UID:",
                [str(series) for series in found],
            )
            raise error
        error = DataError.listing(
            f"{self.id} has no series that is surely a {_SHOWN[kind]}. If one of these is, say so by --{kind} "
            "SERIES_UID; else this study lacks it:",
            [str(series) for series in self.series],
        )
        raise error


@dataclass(frozen=True, eq=False)
class Archive:
    """What a folder of DICOM files holds.

    Attributes:
        root: the folder.
        studies: by UID.
        problems: files that cannot be read at all, a sentence each: nobody knows to which series they belong.
        others: how many files are no DICOM.
    """

    root: Path
    studies: tuple[Study, ...]
    problems: tuple[str, ...]
    others: int

    def require_whole(self) -> None:
        """Refuse a folder with files that cannot be read.

        Raises:
            DataError: there are some: each may be a slice of a series that would then be used without it.
        """
        if self.problems:
            error = DataError.listing(
                f"{len(self.problems)} DICOM files of this folder cannot be read, and each may be a slice that is "
                "needed:",
                list(self.problems),
            )
            raise error


def read_archive(folder: str | os.PathLike) -> Archive:
    """The catalogue of a folder of DICOM files; headers alone are read.

    Args:
        folder: searched to any depth; files may have any names.

    Raises:
        DataError: there is no such folder, or no DICOM file in it.
    """
    instances, problems, others = read_headers(folder)
    if not instances and not problems:
        raise DataError(
            f"No DICOM file under {folder} ({others} other files). Give the folder that the archive exported to, "
            "unpacked if it is a zip."
        )
    by_study: dict[str, dict[str, list[Instance]]] = defaultdict(lambda: defaultdict(list))
    for one in instances:
        by_study[one.uid("StudyInstanceUID")][one.uid("SeriesInstanceUID")].append(one)
    studies = [
        Study(uid, tuple(sorted((_series(uid, files) for uid, files in series.items()), key=_order)))
        for uid, series in sorted(by_study.items())
    ]
    return Archive(Path(folder), tuple(studies), tuple(problems), others)


def read_one_study(folder: str | os.PathLike) -> Study:
    """The study of a folder that holds one.

    Args:
        folder: as `read_archive` takes it.

    Raises:
        DataError: as `read_archive`; or there are several studies, or files that cannot be read.
    """
    archive = read_archive(folder)
    archive.require_whole()
    if len(archive.studies) != 1:
        error = DataError.listing(
            f"{len(archive.studies)} studies in one folder; expected one. Put each into a folder of its own:",
            [f"{study.id} ({study.uid}), {len(study.series)} series" for study in archive.studies],
        )
        raise error
    return archive.studies[0]


def _series(uid: str, files: Sequence[Instance]) -> Series:
    instances, problems, remarks = _without_copies(files)
    first = instances[0]
    modality = first.text("Modality").upper()
    if modality in _RADIOGRAPHS:
        verdict = Verdict(RADIOGRAPH, f"its modality is {modality}")
    elif first.text("SOPClassUID").startswith(_SECONDARY_CAPTURE):
        verdict = Verdict(DERIVED, "a secondary capture, which is a picture of a screen or of paper")
    elif modality != "MR":
        verdict = Verdict(
            OTHER, f"its modality is {modality if modality in KNOWN_MODALITIES else 'unknown'}, expected MR"
        )
    else:
        verdict = _of_all(instances)
    return Series(uid, tuple(instances), verdict.kind, verdict.reason, tuple(problems), tuple(remarks))


def _of_all(instances: Sequence[Instance]) -> Verdict:
    """What the files of an MR series are; unsure where they are of different kinds."""
    verdicts = each(list(instances), recognise)
    kinds = list(dict.fromkeys(verdict.kind for verdict in verdicts))
    if len(kinds) == 1:
        return verdicts[0]
    told = " and ".join(f"{_SHOWN.get(one.kind, one.kind)} ({one.reason})" for one in verdicts[:2])
    return Verdict(UNSURE, f"its files are of different kinds: {told}")


def _without_copies(files: Sequence[Instance]) -> tuple[list[Instance], list[str], list[str]]:
    """The files of a series without those that are there twice, what is wrong with it, and what was left out."""
    kept: dict[str, Instance] = {}
    problems, copies = [], 0
    for one in files:
        before = kept.setdefault(one.uid("SOPInstanceUID"), one)
        if before is one:
            continue
        if _same_bytes(before.path, one.path):
            copies += 1
        else:
            problems.append(
                f"{before.label} and {one.label} claim to be one image (the same SOPInstanceUID) and differ. {AGAIN}"
            )
    remarks = [f"{copies} files are there twice, byte for byte, and are read once"] if copies else []
    return list(kept.values()), problems, remarks


def _same_bytes(one: Path, other: Path) -> bool:
    def checksum(path: Path) -> bytes:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()

    return one.stat().st_size == other.stat().st_size and checksum(one) == checksum(other)


def _order(series: Series) -> tuple:
    return series.first.number("SeriesNumber") or 0, series.uid


def _check_one_patient(identity: str, chosen: Iterable[Series]) -> None:
    """Refuse series, or a series, of several patients.

    Raises:
        DataError: two files carry different patient IDs or birth dates.
    """
    for tag, index in (("PatientID", 0), ("PatientBirthDate", 1)):
        holders: dict[str, str] = {}
        for series in chosen:
            for one in series.instances:
                if one.subject[index]:
                    holders.setdefault(one.subject[index], series.uid)
        if len(holders) > 1:
            uids = " and ".join(dict.fromkeys(holders.values()))
            raise DataError(
                f"{identity}: the files have {len(holders)} different values of {tag}, in series {uids}; expected one "
                "patient. Sort the files by patient, or correct the header that is wrong."
            )
