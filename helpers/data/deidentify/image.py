"""One file: read, cleaned, and looked through for what it was to lose, before anything is written."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from helpers.data.deidentify.key import Pseudonyms
from helpers.data.deidentify.pixels import check_kind, check_text, image_pixels
from helpers.data.deidentify.profile import METHOD, Doings, clean_header, identity
from helpers.data.deidentify.refusal import RefusedError
from helpers.data.deidentify.words import vocabulary, words_of

_OURS = words_of(" ".join(["Anonymous PS Annex MODIFIED DCM PYDICOM", *METHOD.values()]))
_LONG_NAME = 6  # letters; pixels spell shorter ones by chance


@dataclass(frozen=True)
class Cleaned:
    """An image that may be written.

    Attributes:
        content: of the file.
        series: its folder, `PATIENT/SERIES`, of pseudonyms.
        name: of the file.
        doings: what was done to its header.
        pixels_read: whether tesseract looked for text.
    """

    content: bytes
    series: str
    name: str
    doings: Doings
    pixels_read: bool


def clean_file(path: Path, pseudonyms: Pseudonyms) -> Cleaned:
    """Read a file and clean it.

    Args:
        path: the file.
        pseudonyms: made from the user's key.

    Returns:
        What to write.

    Raises:
        RefusedError: it is no DICOM image, cannot be cleaned, or still holds a word that it was to lose.
        DataError: dicom-anonymizer is not installed.
    """
    with _hushed():
        header = _read(path)
        check_kind(header)
        who, series = identity(header), str(header.get("SeriesInstanceUID", "")).strip()
        if not who or not series or not str(header.get("SOPInstanceUID", "")).strip():
            raise RefusedError("incomplete", "it does not say which patient, series or image it is.")
        pixels = image_pixels(header)
        pixels_read = check_text(header, pixels)
        instance = str(header.SOPInstanceUID)
        fresh, doings = clean_header(header, pseudonyms)
        _check_words(fresh, doings.words | words_of(str(path)), pixels.tobytes())
        content = pixels.tobytes()
        fresh.add_new("PixelData", "OW" if pixels.itemsize > 1 else "OB", content + b"\0" * (len(content) % 2))
        series = f"{pseudonyms.patient(who)}/{pseudonyms.name('series', series)}"
        return Cleaned(_encoded(fresh), series, f"{pseudonyms.name('image', instance)}.dcm", doings, pixels_read)


@contextmanager
def _hushed() -> Iterator[None]:
    """Without pydicom's warnings and log, which repeat the values that they are about."""
    logger, before = logging.getLogger("pydicom"), pydicom.config.settings.reading_validation_mode
    disabled, logger.disabled = logger.disabled, True
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = disabled
        pydicom.config.settings.reading_validation_mode = before


def _read(path: Path) -> Dataset:
    try:
        header = pydicom.dcmread(path)
    except InvalidDicomError:
        header = _read_without_preamble(path)
    except OSError:
        raise RefusedError("unreadable", "the file cannot be opened.") from None
    except Exception:  # pydicom raises a great many kinds for files that are damaged
        raise RefusedError(
            "damaged", "it begins as DICOM and cannot be read to its end; copy the file again."
        ) from None
    if "DirectoryRecordSequence" in header:
        raise RefusedError("DICOMDIR", "it lists the names of all patients; make a new one of what was written.")
    if "TransferSyntaxUID" not in header.file_meta:
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return header


def _read_without_preamble(path: Path) -> Dataset:
    """A file that an old system wrote without the preamble by which DICOM is known.

    Raises:
        RefusedError: the file is no DICOM.
    """
    try:
        header = pydicom.dcmread(path, force=True)
        known = str(header.get("SOPClassUID", "")).startswith("1.2.840.10008.")
    except Exception:
        known = False
    if not known:
        raise RefusedError("no DICOM", "the file is no DICOM.")
    if not hasattr(header, "file_meta"):
        header.file_meta = FileMetaDataset()
    return header


def _check_words(fresh: Dataset, before: set[str], pixels: bytes) -> None:
    """Hold what will be written against the words of what was read: the law of this package, for each file.

    Raises:
        RefusedError: one that is not in the vocabulary is there.
    """
    gone = {word for word in before if len(word) > 3} - vocabulary() - _OURS
    stays = words_of(_encoded(fresh).decode("latin-1"))
    forms = (form for word in gone if len(word) >= _LONG_NAME for form in (word, word.upper(), word.title()))
    encoded = {form.encode(code, "ignore") for form in forms for code in ("latin-1", "utf-16-le")}
    if gone & stays or any(len(one) >= _LONG_NAME and one in pixels for one in encoded):
        raise RefusedError(
            "still there", "a word of its header would be found in what is written; this is a fault of ours."
        )


def _encoded(header: Dataset) -> bytes:
    meta = header.file_meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    header.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
