"""Radiographs (CR, DX) as the picture that a reader would see: bones bright, in 256 grey levels.

How stored values become a picture stands in the header: the rescaling, then the window or table that the radiographer
chose (VOI), then whether large values are bright (MONOCHROME2) or dark (MONOCHROME1). A header that was copied from
another file says the wrong form, and the whole film is then inverted; lungs are darker than the middle of a chest, so
the picture itself tells.
"""

import os
from pathlib import Path

import numpy as np

from helpers.data.dicom.headers import AGAIN, KNOWN_MODALITIES, Instance, file_label, quiet, read_header
from helpers.data.dicom.pixels import check_samples, decode, read_whole
from helpers.data.plausibility import INVERTED, grey_levels, radiograph_notes
from helpers.runtime.errors import DataError

_MODALITIES = {"CR", "DX", "RG"}
_FEWEST = 96  # grey levels that the full depth of the detector has to leave; else the picture is stretched
_CUT = 0.5  # per cent of the pixels at each end that may be cut then


def read_radiograph(path: str | os.PathLike) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read a radiograph from a DICOM file.

    Args:
        path: the file.

    Returns:
        (rows, columns) uint8, and what a user has to know of how it was read, a sentence each.

    Raises:
        DataError: it is no radiograph, has several frames or colours, is damaged, or no decoder for it is installed.
    """
    instance = _open(path)
    try:
        data = read_whole(instance)
        stored = decode(data, instance)[0]
    except DataError as error:
        raise DataError(f"{error}.") from error
    values, low, high = _windowed(data, stored, instance)
    if high <= low or values.min() == values.max():
        raise DataError(f"{instance.label}: every pixel is the same; expected an X-ray. {AGAIN}.")
    levels = _to_bytes(values, low, high)
    if grey_levels(levels) < _FEWEST:
        levels = _to_bytes(values, *np.percentile(values, [_CUT, 100 - _CUT]))
    form = instance.text("PhotometricInterpretation").upper()
    if form == "MONOCHROME1":
        levels = 255 - levels
    if INVERTED in radiograph_notes(levels) and INVERTED not in radiograph_notes(255 - levels):
        return 255 - levels, (
            f"its header says {'MONOCHROME1' if form == 'MONOCHROME1' else 'MONOCHROME2'}, which would make the lungs "
            "brighter than the middle of the chest; it is read the other way round",
        )
    return levels, ()


def radiograph_size(path: str | os.PathLike) -> tuple[int, int]:
    """The size of a radiograph, (rows, columns), from its header alone.

    Args:
        path: a DICOM file.

    Raises:
        DataError: it is no radiograph, or no DICOM file that can be read.
    """
    instance = _open(path)
    return tuple(int(instance.number(tag) or 0) for tag in ("Rows", "Columns"))


def radiograph_name(path: Path) -> str:
    """A name for the mask of a DICOM file, which is no patient's: its own where that is but a number, else a hash.

    Args:
        path: the file.
    """
    label = file_label(path, 1, 1)
    if label == path.name:
        return label.removesuffix(path.suffix) if path.suffix.lower() in (".dcm", ".dicom", ".ima") else label
    return f"xray_{label.rpartition(' ')[2].rstrip(')')}"


def _open(path: str | os.PathLike) -> Instance:
    path = Path(path)
    instance = read_header(path, file_label(path, 1, 1).replace("file 1 of 1 by name", "a file"))
    if not isinstance(instance, Instance):
        raise DataError(f"{instance or 'A DICOMDIR, which lists files and is no X-ray'}.")
    modality = instance.text("Modality").upper()
    if modality not in _MODALITIES:
        raise DataError(
            f"{instance.label}: DICOM of {modality if modality in KNOWN_MODALITIES else 'another modality'}; expected "
            f"an X-ray ({', '.join(sorted(_MODALITIES))}). Leave it out."
        )
    if (frames := instance.number("NumberOfFrames") or 1) > 1:
        raise DataError(f"{instance.label}: {frames:.0f} frames; expected one X-ray a file. Export the single images.")
    try:
        check_samples(instance)
    except DataError as error:
        raise DataError(f"{error}.") from error
    return instance


def _windowed(data: "object", stored: np.ndarray, instance: Instance) -> tuple[np.ndarray, float, float]:
    """The values after rescaling and VOI, and which of them are the ends of the grey scale.

    Raises:
        DataError: window or table cannot be used.
    """
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    try:
        with quiet():
            values = apply_modality_lut(stored, data)
            ends = apply_modality_lut(np.array(instance.stored_range, stored.dtype), data)
            if data.get("WindowWidth") or data.get("VOILUTSequence"):
                shown, scale = apply_voi_lut(values, data), apply_voi_lut(ends, data)
                if shown.min() < shown.max():
                    return shown.astype(np.float64), float(scale.min()), float(scale.max())
    except Exception as error:
        raise DataError(
            f"{instance.label}: its window or table cannot be used ({type(error).__name__}). {AGAIN}."
        ) from None
    return values.astype(np.float64), float(ends.min()), float(ends.max())


def _to_bytes(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.round(np.clip((values - low) / max(high - low, 1e-9), 0, 1) * 255).astype(np.uint8)
