"""Image files as arrays: X-rays as grey levels, however they are stored (DICOM too), and masks as booleans."""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from helpers.data.dicom.headers import is_dicom
from helpers.data.dicom.radiograph import radiograph_name, radiograph_size, read_radiograph
from helpers.data.plausibility import grey_levels, implausible_mask
from helpers.runtime.errors import DataError

MAX_PIXELS = 80_000_000
"""Pixels of the largest picture that is read, four times those of the largest radiograph of the set (4020 x 4892).

A file of 100 kB can claim 900 million pixels (a decompression bomb), so the size is checked before memory is taken.
Pillow itself warns from 89 million on and refuses from 179 million on.
"""

_COLOUR = 8.0
"""Grey levels by which the channels of a radiograph may differ on average: JPEG, and a coloured letter, stay below."""

_DEPTHS = (255, 1023, 4095, 16383, 65535)
"""The white of detectors with 8, 10, 12, 14 and 16 bits."""

_ENOUGH = 96
"""Grey levels that a 16-bit file has to leave; with fewer, a few bright pixels set the scale, and they are cut."""

_FEWEST = 64
"""Grey levels below which a file in 16-bit colour is refused: Pillow reads the upper byte of each sample alone."""

_OTHER_FILES = {
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".txt", ".csv", ".md", ".json", ".db", ".ini",
    ".html", ".xml", ".nii", ".gz", ".zip", ".pdf",
}  # fmt: skip
"""Endings of files that are no DICOM."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LABELS = 8  # a mask that was interpolated or saved as JPEG has more values; of labels there are few
_TURNED = {2: "mirrored", 3: "turned by 180°", 4: "mirrored", 5: "turned", 6: "turned by 90°", 7: "turned", 8: "turned"}


def pictures(folder: Path) -> list[Path]:
    """The PNG files directly in a folder, sorted; none where there is no folder.

    Args:
        folder: subfolders are not searched.
    """
    return sorted(p for p in folder.glob("*") if p.suffix.lower() == ".png" and not p.name.startswith("."))


def radiograph_files(folder: Path) -> list[Path]:
    """The files directly in a folder that are read as X-rays, PNG and DICOM, sorted; none where there is no folder.

    Args:
        folder: subfolders are not searched.
    """
    return sorted([*pictures(folder), *(path for path in folder.glob("*") if _is_dicom(path))])


def picture_name(path: Path) -> str:
    """What the mask of an X-ray is called after: its file, or a hash where a DICOM file may bear a patient's name.

    Args:
        path: the file.
    """
    return radiograph_name(path) if _is_dicom(path) else path.stem


def _is_dicom(path: Path) -> bool:
    """Whether a file is DICOM; other pictures are known by their endings and not opened."""
    return (
        path.suffix.lower() not in _OTHER_FILES and not path.name.startswith(".") and path.is_file() and is_dicom(path)
    )


def picture_size(path: str | os.PathLike) -> tuple[int, int]:
    """The size of a picture, from its header alone.

    Args:
        path: DICOM, or any format that Pillow reads.

    Returns:
        (rows, columns).

    Raises:
        DataError: it is no picture, or larger than `MAX_PIXELS`.
    """
    if _is_dicom(Path(path)):
        _refuse_size(path, *(size := radiograph_size(path))[::-1])
        return size
    try:
        with open(path, "rb") as file:
            _refuse_bomb(path, file.read(24))
        with Image.open(path) as image:
            _refuse_size(path, *image.size)
            return image.size[::-1]
    except Exception as error:
        if isinstance(error, DataError | MemoryError):
            raise
        raise DataError(_explain(path, error, "not a picture")) from error


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read an image as grey levels, whether it is stored in grey, with a palette, in RGB or in 16 bits.

    A 16-bit file is scaled by the smallest white of a detector (8, 10, 12, 14 or 16 bits) that holds all its values:
    Pillow itself would cut everything above 255 to white. Where that leaves few grey levels, because a burnt-in marker
    is brighter than all the rest, it is scaled by the rest. Transparency is ignored.

    Args:
        path: DICOM (see `helpers.data.dicom.radiograph`), or any format that Pillow reads.

    Returns:
        (rows, columns) uint8.

    Raises:
        DataError: it is no picture, damaged, too large, in colour, turned by its EXIF entry, or has one or two grey
            levels.
    """
    return read_with_notes(path)[0]


def read_with_notes(path: str | os.PathLike) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read an image as `read_image` does, and say what a user has to know of how it was read; of a PNG nothing.

    Args:
        path: DICOM, or any format that Pillow reads.

    Returns:
        (rows, columns) uint8, and a sentence each.

    Raises:
        DataError: as `read_image`.
    """
    return read_radiograph(path) if _is_dicom(Path(path)) else (_read_picture(path), ())


def _read_picture(path: str | os.PathLike) -> np.ndarray:
    pixels = _read_grey(path, coloured=False)
    darkest, brightest = pixels.min(), pixels.max()
    if darkest == brightest:
        raise DataError(f"{path}: every pixel is {darkest}; expected an X-ray. Copy or download it again.")
    if _two_valued(pixels[::16, ::16], darkest, brightest) and _two_valued(pixels, darkest, brightest):
        raise DataError(
            f"{path}: it has two grey levels, {darkest} and {brightest}, as a mask has; expected an X-ray. Put the "
            "X-ray in its place."
        )
    if pixels.dtype == np.uint8:
        return pixels
    levels = _to_bytes(pixels, _white(int(brightest)))
    if grey_levels(levels) < _ENOUGH:
        rest = pixels[pixels < brightest]
        levels = _to_bytes(pixels, _white(int(np.percentile(rest, 99.5))))
    return levels


def read_mask(path: str | os.PathLike) -> np.ndarray:
    """Read a lung mask.

    Args:
        path: an image of two values, 0 and another.

    Returns:
        (rows, columns) bool.

    Raises:
        DataError: it is no picture, damaged, too large, turned by its EXIF entry, empty, not two-valued, or no lungs
            (see `helpers.data.plausibility.implausible_mask`).
    """
    pixels = _read_grey(path, coloured=True)
    lungs = pixels > 0
    if not lungs.any():
        raise DataError(f"{path}: the mask is empty; expected lungs. Draw it again, or remove it.")
    if lungs.all() or not (pixels == pixels.max() * lungs).all():
        values = np.unique(pixels)
        if 2 <= len(values) <= _LABELS and not lungs.all():
            raise DataError(
                f"{path}: the mask has {len(values)} labels ({', '.join(map(str, values))}); expected two, 0 and "
                f"another.{' Left and right lung?' if len(values) == 3 else ''} Join those of the lungs to one value, "
                "as in np.isin(labels, LUNGS) * 255, and leave out the rest."
            )
        raise DataError(
            f"{path}: the mask has {len(values)} value(s), from {values[0]} to {values[-1]}; expected two, 0 and "
            "another. One that was resized with interpolation or saved as JPEG has more at the rim: use the original."
        )
    if fault := implausible_mask(lungs):
        raise DataError(f"{path}: {fault}")
    return lungs


def _two_valued(pixels: np.ndarray, one: int, other: int) -> bool:
    return bool(((pixels == one) | (pixels == other)).all())


def _white(brightest: int) -> int:
    return next((level for level in _DEPTHS if brightest <= level), brightest)


def _to_bytes(pixels: np.ndarray, white: int) -> np.ndarray:
    return np.round(np.minimum(pixels, white) * (255 / white)).astype(np.uint8)


def _read_grey(path: str | os.PathLike, coloured: bool) -> np.ndarray:
    """The pixels, (rows, columns): uint8, or of a 16-bit file as they are stored.

    Raises:
        DataError: it is no picture, damaged, too large, turned, or (unless `coloured`) in colour.
    """
    try:
        content = Path(path).read_bytes()
        _refuse_bomb(path, content[:24])
        _check_sums(content)
        with Image.open(io.BytesIO(content)) as image:
            _refuse_size(path, *image.size)
            deep = str(image.tile[0].args if image.tile else "").endswith(";16B") and not image.mode.startswith("I")
            _refuse_turned(path, image)
            if coloured:
                _refuse_alpha_mask(path, image)
            else:
                _refuse_colour(path, image)
            pixels = np.asarray(image if image.mode.startswith("I") else image.convert("L"))
    except Exception as error:
        if isinstance(error, DataError | MemoryError):
            raise
        raise DataError(_explain(path, error, "not a picture that can be read to its end")) from error
    if deep and not coloured and (left := grey_levels(pixels)) < _FEWEST:
        raise DataError(
            f"{path}: it is stored in 16-bit colour, of which the upper bytes alone are read, and these hold {left} "
            "grey levels. Save it again as 16-bit or 8-bit grey, scaled to the full range."
        )
    return pixels


def _explain(path: str | os.PathLike, error: Exception, what: str) -> str:
    """A message that names the file; what Pillow raises for damaged files is of many kinds."""
    if isinstance(error, Image.DecompressionBombError):
        return _too_large(path, str(error).split(",")[0])
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    if isinstance(error, UnidentifiedImageError):
        reason = "its format is not known" if os.path.getsize(path) else "it is empty"
    return f"{path}: {what} ({reason}); copy or download it again."


def _refuse_bomb(path: str | os.PathLike, head: bytes) -> None:
    """Refuse a PNG by the size in its header: Pillow warns, or refuses at a limit of its own, when it opens the file.

    Raises:
        DataError: it is larger than `MAX_PIXELS`.
    """
    if head.startswith(_SIGNATURE) and len(head) == 24:
        _refuse_size(path, *struct.unpack(">II", head[16:24]))


def _refuse_size(path: str | os.PathLike, columns: int, rows: int) -> None:
    """Refuse a picture that is too large.

    Raises:
        DataError: it is larger than `MAX_PIXELS`.
    """
    if rows * columns > MAX_PIXELS:
        raise DataError(_too_large(path, f"{columns} x {rows} pixels"))


def _too_large(path: str | os.PathLike, found: str) -> str:
    return (
        f"{path}: too large ({found}); pictures of at most {MAX_PIXELS // 10**6} million pixels are read, four times "
        "the largest X-ray of the set. Export it again at the size of the detector, or remove it."
    )


def _check_sums(content: bytes) -> None:
    """Compare the check sum of every chunk of a PNG, which Pillow does not do for the pixels: a flipped bit moves them.

    Raises:
        ValueError: a check sum differs, or a chunk is cut short.
    """
    if not content.startswith(_SIGNATURE):
        return
    for kind, start, length in _chunks(content):
        end = start + length
        stored = content[end : end + 4]
        if kind == b"IEND":
            return
        if zlib.crc32(memoryview(content)[start - 4 : end]) != int.from_bytes(stored, "big") or len(stored) < 4:
            raise ValueError(f"the check sum of its part {kind.decode('latin-1')!r} is wrong: it was damaged")


def _chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, first byte and length of each chunk of a PNG."""
    start = len(_SIGNATURE)
    while start + 8 <= len(content):
        length = int.from_bytes(content[start : start + 4], "big")
        yield content[start + 4 : start + 8], start + 8, length
        start += 12 + length


def _refuse_turned(path: str | os.PathLike, image: Image.Image) -> None:
    """Refuse a picture that says how it is to be turned: viewers turn it, and other programs, masks and NumPy do not.

    Raises:
        DataError: its EXIF orientation is another than 1.
    """
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # what cannot be parsed turns nothing
        return
    if orientation in _TURNED:
        raise DataError(
            f"{path}: it carries an orientation of its own (EXIF {orientation}: {_TURNED[orientation]}), which viewers "
            "follow and masks do not. Save it with its pixels turned and without this entry, as by Pillow's "
            "ImageOps.exif_transpose, and its mask likewise."
        )


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


def _refuse_alpha_mask(path: str | os.PathLike, image: Image.Image) -> None:
    """Refuse a mask whose outline stands in the transparency alone, which is not read.

    Raises:
        DataError: its colour is the same everywhere, and its transparency is not.
    """
    if not image.has_transparency_data:
        return
    *colour, alpha = np.moveaxis(np.asarray(image.convert("RGBA")), -1, 0)
    if alpha.min() < alpha.max() and all(one.min() == one.max() for one in colour):
        raise DataError(
            f"{path}: the outline of this mask stands in its transparency (alpha channel) alone, which is not read. "
            "Save it in grey, lungs white on black: what is opaque as 255, the rest as 0."
        )
