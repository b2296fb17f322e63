"""The pixels of one image: whether a name may be drawn into them, and their bytes without anything beside them.

Kinds of images into which scanners and people draw names are refused, as are images that say so themselves. Of the
others, slices with a place in the patient carry none where a scanner acquired them, or where they have more grey levels
than a screen. X-rays, on which markers are put, and pictures of eight bits may: they are read by tesseract where it is
installed, as are all slices then, and refused where it is not.
"""

import io
import math
import shutil
import subprocess

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import UID, UID_dictionary

from helpers.data.deidentify.refusal import RefusedError
from helpers.data.deidentify.words import vocabulary, words_of

KINDS = {
    "1.2.840.10008.5.1.4.1.1.1": "CR",
    "1.2.840.10008.5.1.4.1.1.1.1": "DX",
    "1.2.840.10008.5.1.4.1.1.1.1.1": "DX",
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.4.1": "MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "MR",
}
"""SOP classes that are cleaned, with their modality; all others are refused by kind."""

_REFUSED_KINDS = {
    "Ultrasound": "ultrasound",
    "Secondary Capture": "secondary capture",
    "Encapsulated": "embedded document",
    "Presentation State": "presentation state",
    "SR": "structured report",
    "Report": "structured report",
    "Key Object": "structured report",
    "Directory": "DICOMDIR",
}
_DRAWN = {"US": "ultrasound", "IVUS": "ultrasound", "SC": "secondary capture", "OT": "secondary capture"}
_SCREEN_BITS = 8
_FEW_LETTERS = 3  # L, R and PA are markers


def check_kind(header: Dataset) -> None:
    """Refuse kinds of files into which names are drawn or written, and images that say that they carry one.

    Args:
        header: of the file.

    Raises:
        RefusedError: it is not an image that can be cleaned.
    """
    kind = str(header.get("SOPClassUID", ""))
    if kind not in KINDS:
        name = UID(kind).name if kind in UID_dictionary else "a kind that the standard does not know"
        subject = next((word for part, word in _REFUSED_KINDS.items() if part in name), "other kind")
        raise RefusedError(subject, f"{name} is not cleaned; only MR, CT and X-ray images are.")
    modality = str(header.get("Modality", ""))
    if subject := _DRAWN.get(modality):
        raise RefusedError(subject, f"its modality is {modality}, into whose pixels names are drawn.")
    if modality != KINDS[kind]:
        raise RefusedError("contradiction", f"its modality is not that of its kind, {KINDS[kind]}.")
    if "ConversionType" in header:
        raise RefusedError("secondary capture", "it was digitised or captured from a screen (ConversionType).")
    image_type = {str(part).upper() for part in _values(header, "ImageType")}
    if image_type & {"SCREEN SAVE", "SCREENSAVE", "SCREEN", "REPORT", "CAPTURE"}:
        raise RefusedError("secondary capture", "its ImageType says that it is a picture of a screen.")
    if str(header.get("BurnedInAnnotation", "")).strip().upper() == "YES":
        raise RefusedError("burned-in text", "BurnedInAnnotation says that text is drawn into its pixels.")
    if header.get("SamplesPerPixel", 1) != 1 or header.get("PhotometricInterpretation") not in (
        "MONOCHROME1",
        "MONOCHROME2",
    ):
        raise RefusedError("colour", "it is no grey image; colour is drawn by workstations, and names with it.")


def check_text(header: Dataset, pixels: np.ndarray) -> bool:
    """Refuse an image in which text is seen, or might be without anybody having looked.

    Args:
        header: of the image.
        pixels: (frames, rows, columns) integers.

    Returns:
        Whether tesseract looked at the pixels.

    Raises:
        RefusedError: there is text, or nothing says that there is none and tesseract is not installed.
    """
    if reader := shutil.which("tesseract"):
        for frame in pixels:
            if words := _words_seen(reader, frame):
                raise RefusedError("burned-in text", f"tesseract reads {len(words)} word(s) in its pixels.")
        return True
    acquired = [str(part).upper() for part in _values(header, "ImageType")][:2] == ["ORIGINAL", "PRIMARY"]
    placed = "ImagePositionPatient" in header or "PerFrameFunctionalGroupsSequence" in header
    is_slice = header.Modality in ("MR", "CT") and placed and (acquired or header.BitsStored > _SCREEN_BITS)
    says_no = str(header.get("BurnedInAnnotation", "")).strip().upper() == "NO"
    if not (says_no or is_slice):
        raise RefusedError(
            "pixels not read",
            "it is an X-ray, or a picture derived from slices, that does not say BurnedInAnnotation NO, and tesseract, "
            "which would look for text in its pixels, is not installed (https://tesseract-ocr.github.io).",
        )
    return False


def image_pixels(header: Dataset) -> np.ndarray:
    """The pixels alone: decompressed, without bytes after them, and with nothing in the bits that they do not use.

    Decoding drops the comments that a compressed frame may carry; overlays of old scanners lie in the unused bits.

    Args:
        header: with pixel data.

    Returns:
        (frames, rows, columns) integers, of the type that PixelRepresentation and BitsAllocated say.

    Raises:
        RefusedError: there are fewer pixels than rows, columns and frames say, or they cannot be decoded.
    """
    try:
        allocated, stored, high = (int(header[name].value) for name in ("BitsAllocated", "BitsStored", "HighBit"))
        shape = (int(header.get("NumberOfFrames") or 1), int(header.Rows), int(header.Columns))
        signed = bool(header.PixelRepresentation)
        content = header.PixelData
    except (KeyError, AttributeError, TypeError, ValueError):
        raise RefusedError("no pixels", "the image has no pixels, or does not say how they are stored.") from None
    if allocated not in (8, 16, 32) or not 0 < stored <= allocated or high != stored - 1:
        raise RefusedError("unusual pixels", "BitsAllocated, BitsStored and HighBit are of no form that is read.")
    syntax = header.file_meta.TransferSyntaxUID
    if not (syntax in UID_dictionary and syntax.is_transfer_syntax):
        raise RefusedError("unknown transfer syntax", "how its pixels are stored is no way that the standard knows.")
    encapsulated = syntax.is_encapsulated
    if encapsulated:
        try:
            header.decompress(generate_instance_uid=False)
            content = header.PixelData
        except Exception:  # of every decoder another
            raise RefusedError(
                "compressed",
                f"its pixels are {syntax.name}, and no decoder that is installed reads them: "
                "python -m pip install 'biomedseg-course[decoders]'.",
            ) from None
    big = not encapsulated and not syntax.is_little_endian
    wanted = math.prod(shape) * allocated // 8
    if len(content) < wanted:
        raise RefusedError("truncated", "it holds fewer pixels than its rows and columns say; copy the file again.")
    whole = np.frombuffer(content[:wanted], f"{'>' if big else '<'}u{allocated // 8}").astype(f"<u{allocated // 8}")
    unused = allocated - stored
    if signed:
        whole = (whole << unused).view(f"<i{allocated // 8}") >> unused
    else:
        whole = whole & np.array((1 << stored) - 1, whole.dtype)
    return whole.reshape(shape)


def _words_seen(reader: str, frame: np.ndarray) -> list[str]:
    """The words that tesseract reads in a frame, markers and the vocabulary aside.

    Raises:
        RefusedError: tesseract failed.
    """
    low, top = np.percentile(frame, (0, 99.9))
    grey = np.clip((frame - low) / max(float(top - low), 1e-6) * 255, 0, 255).astype(np.uint8)
    dark = np.median(grey) < 128  # tesseract expects dark letters
    picture = Image.fromarray(255 - grey if dark else grey)
    content = io.BytesIO()
    picture.resize((picture.width * 2, picture.height * 2), Image.Resampling.BICUBIC).save(content, "PNG")
    command = [reader, "stdin", "stdout", "--psm", "11"]
    try:
        answer = subprocess.run(command, input=content.getvalue(), capture_output=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired):
        answer = None
    if answer is None or answer.returncode:
        raise RefusedError("pixels not read", "tesseract, which looks for text in pixels, ended in an error.")
    words = words_of(answer.stdout.decode("utf-8", "replace"))
    return [word for word in words if len(word) > _FEW_LETTERS and word not in vocabulary()]


def _values(header: Dataset, keyword: str) -> list:
    value = header.get(keyword) or []
    return [value] if isinstance(value, str) else list(value)
