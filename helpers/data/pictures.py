"""Image files as arrays: X-rays as grey levels, however they are stored, and masks as booleans."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.runtime.errors import DataError

UNREADABLE = (OSError, ValueError, SyntaxError)
"""What Pillow raises for files that are no picture or are cut short."""

_COLOUR = 8.0
"""Grey levels by which the channels of a radiograph may differ on average: JPEG, and a coloured letter, stay below."""


def pictures(folder: Path) -> list[Path]:
    """The PNG files directly in a folder, sorted; none where there is no folder.

    Args:
        folder: subfolders are not searched.
    """
    return sorted(p for p in folder.glob("*") if p.suffix.lower() == ".png" and not p.name.startswith("."))


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read an image as grey levels, whether it is stored in grey, with a palette, in RGB or in 16 bits.

    A 16-bit file is scaled by the smallest of 255, 4095 (12-bit detectors) and 65535 that holds all its values: Pillow
    itself would cut everything above 255 to white. Transparency is ignored.

    Args:
        path: any format that Pillow reads.

    Returns:
        (rows, columns) uint8.

    Raises:
        DataError: it is no picture, cut short, in colour, or all of one grey level.
    """
    pixels = _read_grey(path, coloured=False)
    if pixels.min() == pixels.max():
        raise DataError(f"{path}: every pixel is {pixels.min()}; expected an X-ray. Copy or download it again.")
    if pixels.dtype == np.uint8:
        return pixels
    white = next((level for level in (255, 4095, 65535) if pixels.max() <= level), int(pixels.max()))
    return np.round(pixels * (255 / white)).astype(np.uint8)


def read_mask(path: str | os.PathLike) -> np.ndarray:
    """Read a lung mask.

    Args:
        path: an image of two values, 0 and another.

    Returns:
        (rows, columns) bool.

    Raises:
        DataError: it is no picture, empty, or not two-valued.
    """
    pixels = _read_grey(path, coloured=True)
    lungs = pixels > 0
    if not lungs.any():
        raise DataError(f"{path}: the mask is empty; expected lungs. Draw it again, or remove it.")
    if lungs.all() or not (pixels == pixels.max() * lungs).all():
        values = np.unique(pixels)
        raise DataError(
            f"{path}: the mask has {len(values)} value(s), from {values[0]} to {values[-1]}; expected two, 0 and "
            "another. One that was resized with interpolation or saved as JPEG has more at the rim: use the original."
        )
    return lungs


def _refuse_colour(path: str | os.PathLike, image: Image.Image) -> None:
    """Refuse a colour image. Grey levels may be stored as RGB with equal channels; those of a photograph differ.

    Raises:
        DataError: the channels differ.
    """
    if image.mode.startswith(("I", "L", "1")):
        return
    red, green, blue = np.moveaxis(np.asarray(image.convert("RGB"))[::4, ::4].astype(np.int16), -1, 0)
    difference = max(float(np.abs(red - green).mean()), float(np.abs(green - blue).mean()))
    if difference > _COLOUR:
        raise DataError(
            f"{path}: a picture in colour (its channels differ by {difference:.0f} levels on average); expected an "
            "X-ray, which is grey. Export it again without a colour table, or remove it."
        )


def _read_grey(path: str | os.PathLike, coloured: bool) -> np.ndarray:
    """The pixels, (rows, columns): uint8, or of a 16-bit file as they are stored.

    Raises:
        DataError: it is no picture, cut short, or (unless `coloured`) in colour.
    """
    try:
        with Image.open(path) as image:
            if not coloured:
                _refuse_colour(path, image)
            return np.asarray(image if image.mode.startswith("I") else image.convert("L"))
    except DataError:
        raise
    except UNREADABLE as error:
        raise DataError(
            f"{path}: not a picture that can be read to its end ({error}); copy or download it again."
        ) from error
