"""The pixels of DICOM files in the scanner's units, bright meaning bright.

A file may be compressed; where no decoder is installed the message names the syntax and the package that brings one.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.data.dicom.headers import AGAIN, Instance, quiet
from helpers.runtime.errors import DataError

if TYPE_CHECKING:
    from pydicom import Dataset

LIMIT_BYTES = 2**31
"""The most memory that the pixels of one series may take as float32."""

_DECODERS = {  # the start of a transfer syntax, and the packages that decode it beside pydicom
    "1.2.840.10008.1.2.4.5": "pylibjpeg pylibjpeg-libjpeg",
    "1.2.840.10008.1.2.4.7": "pylibjpeg pylibjpeg-libjpeg",
    "1.2.840.10008.1.2.4.8": "pyjpegls",
    "1.2.840.10008.1.2.4.9": "pylibjpeg pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.20": "pylibjpeg pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.5": "pylibjpeg pylibjpeg-rle",
}


def read_frames(wanted: Sequence[tuple[Instance, int, float, float]]) -> tuple[np.ndarray, list[str]]:
    """Read the slices of a series, (slices, rows, columns) float32, and notes on how.

    Each slice has its own rescaling. MONOCHROME1, in which large values are dark, is inverted, and padding becomes 0.

    Args:
        wanted: of each slice the file, the frame in it, the slope and the intercept.

    Raises:
        DataError: a file is cut short or damaged, is in colour, or no decoder for it is installed.
    """
    by_file: dict[Instance, np.ndarray] = {}
    slices: list[np.ndarray] = []
    slopes, inverted, padded = set(), 0, False
    for instance, index, slope, intercept in wanted:
        if slope == 0:
            raise DataError(f"{instance.label}: its RescaleSlope is 0, so every pixel is the same. {AGAIN}")
        if instance not in by_file:
            by_file = {instance: read_stored(instance)}  # one at a time: a multi-frame file is read once
            if (size := by_file[instance][0].nbytes * 2 * len(wanted)) > LIMIT_BYTES:
                raise DataError(f"its pixels take {size / 1e9:.1f} GB; a head takes at most {LIMIT_BYTES / 1e9:.1f} GB")
        stored = by_file[instance][index]
        low, high = instance.stored_range
        values = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
        if _dark_is_large(instance):
            values, inverted = np.float32(slope * (low + high) + 2 * intercept) - values, inverted + 1
        if (padding := instance.number("PixelPaddingValue")) is not None and (outside := stored == padding).any():
            values, padded = np.where(outside, np.float32(0), values), True
        slopes.add((slope, intercept))
        slices.append(values)
    notes = []
    if inverted not in (0, len(slices)):
        raise DataError(
            f"{inverted} of {len(slices)} slices are MONOCHROME1, the others MONOCHROME2; expected one. {AGAIN}"
        )
    if inverted:
        notes.append("stored as MONOCHROME1 (large values are dark), and inverted")
    if len(slopes) > 1:
        notes.append(f"{len(slopes)} different rescalings, each slice by its own")
    if padded:
        notes.append("pixels with the PixelPaddingValue are 0")
    return np.stack(slices), notes


def read_stored(instance: Instance) -> np.ndarray:
    """The pixels of a file as they are stored, (frames, rows, columns).

    Args:
        instance: of a catalogue.

    Raises:
        DataError: the file is cut short or damaged, is in colour, or no decoder for it is installed.
    """
    check_samples(instance)
    return decode(read_whole(instance), instance)


def check_samples(instance: Instance) -> None:
    """Refuse a picture in colour.

    Args:
        instance: a file.

    Raises:
        DataError: it has several samples a pixel.
    """
    if (samples := instance.number("SamplesPerPixel") or 1) != 1:
        raise DataError(
            f"{instance.label}: a picture in colour ({samples:.0f} samples a pixel), as screenshots and reports are; "
            "expected grey levels. Export the original series"
        )


def decode(data: "Dataset", instance: Instance) -> np.ndarray:
    """The pixels of a file that was read, as they are stored, (frames, rows, columns).

    Args:
        data: the whole file, from `read_whole`.
        instance: the same.

    Raises:
        DataError: the pixels are cut short or damaged.
    """
    _check_length(data, instance)
    try:
        with quiet():
            pixels = data.pixel_array
    except Exception as error:  # decoders raise errors of many kinds, and their text may quote a value
        raise DataError(
            f"{instance.label}: its pixels cannot be decoded to the end ({type(error).__name__}). {AGAIN}"
        ) from None
    return pixels[None] if pixels.ndim == 2 else pixels


def read_whole(instance: Instance) -> "Dataset":
    """A file with its pixels, once it is known that they can be decoded here.

    Args:
        instance: of a catalogue.

    Raises:
        DataError: it cannot be read to its end, has no pixels, or no decoder for it is installed.
    """
    from pydicom import dcmread

    try:
        with quiet():
            data = dcmread(instance.path, force=True)
            present = "PixelData" in data
            syntax = data.file_meta.get("TransferSyntaxUID") or "1.2.840.10008.1.2"
            data.file_meta.TransferSyntaxUID = syntax
    except Exception as error:
        raise DataError(f"{instance.label}: cannot be read to its end ({type(error).__name__}). {AGAIN}") from None
    if not present:
        raise DataError(f"{instance.label}: cut short, or without pixels. {AGAIN}")
    _check_decoder(str(syntax), instance)
    return data


def _check_decoder(syntax: str, instance: Instance) -> None:
    """Refuse a compressed file that nothing here decodes.

    Raises:
        DataError: with the name of the syntax, and what to install.
    """
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    try:
        available = not UID(syntax).is_compressed or get_decoder(syntax).is_available
    except (NotImplementedError, ValueError):
        available = syntax in ("1.2.840.10008.1.2.1.99",)
    if not available:
        packages = next((names for start, names in _DECODERS.items() if syntax.startswith(start)), None)
        name = UID(syntax).name if UID(syntax).name != syntax else "an unknown syntax"
        cure = f"pip install {packages}" if packages else "have the archive export it uncompressed"
        raise DataError(
            f"{instance.label}: compressed as {name} ({syntax}), for which no decoder is installed; {cure}, or have "
            "the archive export it uncompressed"
            if packages
            else f"{instance.label}: compressed as {name} ({syntax}), which nothing here decodes; {cure}"
        )


def _check_length(data: "Dataset", instance: Instance) -> None:
    """Refuse uncompressed pixels that are fewer than the header claims; some readers fill up the rest.

    Raises:
        DataError: they are.
    """
    if data.file_meta.TransferSyntaxUID.is_compressed:
        return
    counts = [instance.number(tag) or 0 for tag in ("Rows", "Columns", "BitsAllocated")]
    wanted = int(counts[0] * counts[1] * counts[2] / 8 * (instance.number("NumberOfFrames") or 1))
    if (found := len(data.PixelData)) < wanted or not wanted:
        raise DataError(f"{instance.label}: cut short: {found:,} bytes of pixels, its header gives {wanted:,}. {AGAIN}")


def _dark_is_large(instance: Instance) -> bool:
    return instance.text("PhotometricInterpretation").upper() == "MONOCHROME1"
