"""The headers of DICOM files, and the words in which messages speak of files and series.

A hospital's files carry names: in their tags, in their file names, in the names of their folders. So nothing here reads
the patient's name, the tags that tell one patient from another are hashed at once, and a message names a file by what
cannot be a name: its number, its UID or its check sum.
"""

import hashlib
import logging
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.runtime.errors import DataError
from helpers.runtime.folders import walk_once

if TYPE_CHECKING:
    from pydicom import Dataset

TAGS = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SeriesNumber",
    "PatientID", "PatientBirthDate", "Modality", "BodyPartExamined", "ViewPosition", "PatientOrientation",
    "SeriesDescription", "ProtocolName", "SequenceName", "ImageType", "ContrastBolusAgent", "ScanningSequence",
    "RepetitionTime", "EchoTime", "InversionTime", "DiffusionBValue", "TemporalPositionIdentifier", "EchoNumbers",
    "AcquisitionNumber", "InstanceNumber", "ImagesInAcquisition", "Rows", "Columns", "NumberOfFrames",
    "SamplesPerPixel", "BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation",
    "PixelPaddingValue", "RescaleSlope", "RescaleIntercept", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices",
    "ImagePositionPatient", "ImageOrientationPatient", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)  # fmt: skip
"""All that is read of a header. The patient's name is not among it."""

KNOWN_MODALITIES = {
    "CR", "CT", "DOC", "DX", "ECG", "KO", "MG", "MR", "NM", "OT", "PR", "PT", "REG", "RF", "RG", "RTDOSE", "RTPLAN",
    "RTSTRUCT", "SC", "SEG", "SR", "US", "XA",
}  # fmt: skip
"""The modalities that a message repeats; any other text of the tag may be anything."""

_PREAMBLE = 132
_START = (b"\x08\x00", b"\x02\x00")  # groups 0008 and 0002, little endian: a file without the preamble
_SUFFIXES = (".dcm", ".dicom", ".ima")
_COUNTED = re.compile(  # a file that somebody numbered, or named by a UID; five digits, so no date and no patient ID
    r"^(im|img|image|i|mr|cr|dx|n2d|se|slice|dicom)?[-_]?(0*\d{1,5}([._-]0*\d{1,5})*|\.?\d+(\.\d+){4,})(\.(dcm|dicom|ima))?$",
    re.IGNORECASE,
)
_UID = re.compile(r"^[0-9.]{1,64}$")
_DIRECTORY = "1.2.840.10008.1.3.10"  # the class of a DICOMDIR, which lists files and is no image


@dataclass(frozen=True, eq=False)
class Instance:
    """One file of a series: its header, and how messages call it.

    Attributes:
        path: the file.
        header: `TAGS` of it, without pixels.
        label: what messages call it; it holds no name.
    """

    path: Path
    header: "Dataset"
    label: str

    def text(self, keyword: str) -> str:
        """A tag as text, "" where it is absent.

        Args:
            keyword: of `TAGS`.
        """
        return str(self._value(keyword) or "").strip()

    def words(self, keyword: str) -> tuple[str, ...]:
        """The values of a tag as upper-case words, such as those of ImageType.

        Args:
            keyword: of `TAGS`.
        """
        value = self._value(keyword)
        if value is None:
            return ()
        return tuple(str(one).strip().upper() for one in ([value] if isinstance(value, str) else value))

    def numbers(self, keyword: str, count: int) -> tuple[float, ...] | None:
        """The values of a tag as numbers; None where it is absent or holds no such numbers.

        Args:
            keyword: of `TAGS`.
            count: how many there have to be.
        """
        return numbers(self.header, keyword, count)

    def number(self, keyword: str) -> float | None:
        """The first value of a tag as a number; None where it is absent or no number.

        Args:
            keyword: of `TAGS`.
        """
        return number(self.header, keyword)

    def uid(self, keyword: str) -> str:
        """A UID of the header; a hash of what stands there where it is none, "" where nothing does.

        Args:
            keyword: of `TAGS`.
        """
        value = self.text(keyword)
        return value if _UID.match(value) or not value else f"#{digest(value)}"

    @cached_property
    def subject(self) -> tuple[str, str]:
        """Hashes of PatientID and birth date, "" where the tag is empty: they tell patients apart and name nobody."""
        return tuple(digest(value) if (value := self.text(tag)) else "" for tag in ("PatientID", "PatientBirthDate"))

    @property
    def stored_range(self) -> tuple[int, int]:
        """The least and the largest value that a pixel can have."""
        bits = int(self.number("BitsStored") or 16)
        return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if self.number("PixelRepresentation") else (0, 2**bits - 1)

    def _value(self, keyword: str) -> Any:
        with quiet():
            try:
                return self.header.get(keyword)
            except Exception:  # a damaged value raises whatever its converter does
                return None


def number(header: "Dataset", keyword: str) -> float | None:
    """The first value of a tag as a number; None where it is absent or no number.

    Args:
        header: a data set, or an item of a sequence.
        keyword: the tag.
    """
    with quiet():
        try:
            value = header.get(keyword)
            value = value[0] if isinstance(value, list | tuple) or hasattr(value, "append") else value
            return None if value in (None, "") else float(value)
        except Exception:
            return None


def numbers(header: "Dataset", keyword: str, count: int) -> tuple[float, ...] | None:
    """The values of a tag as numbers; None where it is absent or holds no such numbers.

    Args:
        header: a data set, or an item of a sequence.
        keyword: the tag.
        count: how many there have to be.
    """
    with quiet():
        try:
            values = tuple(float(value) for value in header.get(keyword))
        except Exception:
            return None
    finite = all(abs(value) < 1e9 for value in values)  # false for NaN as well
    return values if len(values) == count and finite else None


def digest(text: str) -> str:
    """Eight letters that stand for a text without telling it.

    Args:
        text: any.
    """
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom, whose warnings quote the values that they warn of, and a value may be a name."""
    with _silence.lock:
        _silence.holders += 1
        if _silence.holders == 1:
            _silence.start()
    try:
        yield
    finally:
        with _silence.lock:
            _silence.holders -= 1
            if not _silence.holders:
                _silence.end()


class _Silence:
    """The warnings of the whole process and the log of pydicom, off while any thread wants them off."""

    def __init__(self) -> None:
        self.lock, self.holders = threading.Lock(), 0
        self.logger = logging.getLogger("pydicom")

    def start(self) -> None:
        self.caught, self.before = warnings.catch_warnings(), self.logger.disabled
        self.caught.__enter__()
        warnings.simplefilter("ignore")
        self.logger.disabled = True

    def end(self) -> None:
        self.caught.__exit__(None, None, None)
        self.logger.disabled = self.before


_silence = _Silence()


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM: by the four letters after the preamble, by its first tag, or by the ending of its name.

    Args:
        path: an existing file.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_PREAMBLE)
    except OSError:
        return False
    return start[128:] == b"DICM" or path.suffix.lower() in _SUFFIXES or _bare(start)


def _bare(start: bytes) -> bool:
    """Whether a file begins with a tag at once, as files without the preamble do."""
    return start[:2] in _START and len(start) > 8 and start[2:4] != b"\x00\x00\x00\x00" and start[3:4] == b"\x00"


def holds_dicom(folder: str | os.PathLike) -> bool:
    """Whether a folder is an archive's: DICOM at or below it, and no NIfTI.

    Args:
        folder: searched to any depth; it need not exist.
    """
    names = [place / name for place, _, names in walk_once(Path(folder)) for name in names if not name.startswith(".")]
    return not any(path.name.endswith((".nii", ".nii.gz")) for path in names) and any(map(is_dicom, names))


def read_headers(folder: str | os.PathLike) -> tuple[list[Instance], list[str], int]:
    """Read the header of every DICOM file at or below a folder, whatever the files are called.

    Args:
        folder: searched to any depth, links to folders followed once.

    Returns:
        The files; what is wrong with those that cannot be read, a sentence each; and how many others there are, which
        are no DICOM.

    Raises:
        DataError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}. Give the folder that holds the DICOM files.")
    paths = sorted(place / name for place, _, names in walk_once(folder) for name in names if not name.startswith("."))
    found = [path for path in paths if is_dicom(path)]
    instances, problems = [], []
    for place, path in enumerate(found, start=1):
        read = read_header(path, file_label(path, place, len(found)))
        if isinstance(read, str):
            problems.append(read)
        elif read is not None:
            instances.append(read)
    return instances, problems, len(paths) - len(found)


def file_label(path: Path, place: int, total: int) -> str:
    """What messages call a file: its name if that is but a number, else its place by name and its check sum.

    Args:
        path: the file.
        place: its place among all, from 1 on.
        total: how many there are.
    """
    if _COUNTED.match(path.name):
        return path.name
    try:
        with path.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError:
        return f"file {place} of {total} by name"
    return f"file {place} of {total} by name (sha256 {checksum})"


def read_header(path: Path, label: str) -> Instance | str | None:
    """The header of one file; a sentence where it cannot be read, None where it is a DICOMDIR.

    Args:
        path: the file.
        label: what messages call it.
    """
    from pydicom import dcmread

    with quiet():
        try:
            header = dcmread(path, stop_before_pixels=True, specific_tags=list(TAGS), force=True)
            if header.file_meta.get("MediaStorageSOPClassUID") == _DIRECTORY:
                return None
            identified = all(header.get(tag) for tag in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"))
        except Exception as error:  # what a damaged file raises is of many kinds, and its text may quote a value
            return f"{label}: not a DICOM file that can be read ({type(error).__name__}). {AGAIN}, or remove it"
    if not identified:
        return f"{label}: DICOM without the UIDs of its study, series and image, or cut short. {AGAIN}, or remove it"
    return Instance(path, header, label)


AGAIN = "Export or copy it again"


def each(instances: list[Instance], value: Callable[[Instance], Any]) -> list[Any]:
    """The different values of a series, in the order in which they occur.

    Args:
        instances: its files.
        value: of a file; None does not count.
    """
    return list(dict.fromkeys(found for one in instances if (found := value(one)) is not None))
