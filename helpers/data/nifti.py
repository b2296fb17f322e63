"""NIfTI files: the header is checked before memory is taken, and the stream is read to its end.

A gzip stream ends in a checksum and a length. Who stops where the voxels end (nibabel does) never reaches them, and a
flipped bit becomes other voxels. So a stream is unpacked whole, and nothing of it is used before both were compared.

The position of a volume is in its header twice, as qform and as sform. Programs differ in which of them they read, so
both have to say the same. The network wants the axes of the training set: whatever the order and direction of the axes
on disk, an array is brought to the order L-P-S (rows to the patient's left, columns to the back, slices to the head).
"""

import io
import logging
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt2axcodes,
    ornt_transform,
)
from nibabel.spatialimages import HeaderDataError

from helpers.runtime.errors import DataError

LIMIT_BYTES = 2**31
"""The most memory that the voxels of one volume may take: 60 times those of a head with 1 mm voxels as float32."""

_ORDER = "LPS"  # of the training set: BraTS since 2017, and the phantoms
_TRAINING_SIGNS = np.diag([-1, -1, 1])
_SPACING_MM = (0.01, 20.0)  # finer than any scanner, and coarser than any slice of a head
_OBLIQUE_NOTE, _OBLIQUE_LIMIT = 1.0, 15.0  # degrees
_SPARE_BYTES = 4096  # what may follow the voxels: less than a slice
_DEFLATE_RATIO = 1040  # a deflate stream unpacks to at most 1,032 times its length
_BLOCK = 1 << 16
_SIZES = {size.to_bytes(4, order): size for size in (348, 540) for order in ("little", "big")}  # NIfTI-1, NIfTI-2
_UNREADABLE = (
    ImageFileError,
    HeaderDataError,
    ArithmeticError,
    EOFError,
    LookupError,
    OSError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
_AGAIN = "copy or download it again"
_EXPECTED_SPACING = (
    f"expected {_SPACING_MM[0]:g} to {_SPACING_MM[1]:g} mm. Export the volume again, or set the right voxel size"
)
_REPAIR = "export the volume again, or set its code to 0 and the other form right"

_silent = logging.Logger("nifti headers")  # what nibabel mends in a header is checked here
_silent.addHandler(logging.NullHandler())


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where the voxels of a file lie, and how its array is turned into the order of the training set and back.

    Attributes:
        shape: (rows, columns, slices) in the order of the training set.
        affine: (4, 4), voxel index in that order to millimetres.
        header: of the file, with both forms (qform, sform) and their codes.
        orientation: (3, 2), nibabel's orientation from the file's order to that of the training set; None where the
            two are the same.
        codes: the directions of the file's axes, e.g. "RAS"; "" where its header does not say them.
        oblique: the largest angle between an axis and the nearest axis of the body, in degrees.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    header: nib.Nifti1Header
    orientation: np.ndarray | None
    codes: str
    oblique: float

    def to_training(self, array: np.ndarray) -> np.ndarray:
        """Bring an array of the file to the order of the training set.

        Args:
            array: (n, m, k) along the first, second and third axis of the file.

        Returns:
            (rows, columns, slices); the argument itself where it has this order already.
        """
        if self.orientation is None:
            return array
        return np.asfortranarray(apply_orientation(array, self.orientation))  # as a file in that order is read

    def to_file(self, array: np.ndarray) -> np.ndarray:
        """Bring an array back to the order of the file.

        Args:
            array: (rows, columns, slices) in the order of the training set.
        """
        if self.orientation is None:
            return array
        return apply_orientation(array, ornt_transform(axcodes2ornt(_ORDER), axcodes2ornt(self.codes)))

    def mask_image(self, labels: np.ndarray) -> nib.Nifti1Image:
        """A mask that lies where the file lies, for readers of the qform and of the sform alike.

        Args:
            labels: (rows, columns, slices) uint8 in the order of the training set.
        """
        kind = nib.Nifti2Image if isinstance(self.header, nib.Nifti2Header) else nib.Nifti1Image
        image = kind(self.to_file(labels), None)
        quaternion = ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
        for name in ("pixdim", "xyzt_units", "qform_code", *quaternion, "sform_code", "srow_x", "srow_y", "srow_z"):
            image.header[name] = self.header[name]
        return image

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user has to know of how the file was read; empty for a file that lies as the training set."""
        notes = []
        if not self.codes:
            notes.append(
                "the header does not say how the head lies (the codes of qform and sform are 0): the order of the "
                "array is taken for that of the training set, rows to the left, columns to the back, slices to the head"
            )
        elif self.codes != _ORDER:
            notes.append(
                f"stored in the axis order {self.codes}, read in that of the training set ({_ORDER}); a mask is "
                "written in the order of its image"
            )
        if self.oblique > _OBLIQUE_NOTE:
            notes.append(f"oblique by {self.oblique:.1f} degrees: its axes are taken for the nearest of the body")
        return tuple(notes)

    def difference(self, other: "Geometry", name: str) -> str | None:
        """Why another file of the same patient does not share this grid; None where it does.

        Args:
            other: the geometry of that file.
            name: what this geometry belongs to, for the message.
        """
        if other.shape != self.shape:
            return f"shape {other.shape}, but {name} has {self.shape}; all files of a patient must share one grid"
        if bool(other.codes) != bool(self.codes):
            without, other_one = (name, "this file") if other.codes else ("this file", name)
            return (
                f"{without} has no position (the codes of its qform and sform are 0) and {other_one} has one, so their "
                "axes may run in different directions; write both with one header"
            )
        if not np.allclose(other.affine, self.affine, atol=1e-3):
            return (
                f"its affine differs from that of {name}: first row {np.round(other.affine[0], 3).tolist()} against "
                f"{np.round(self.affine[0], 3).tolist()}; resample both to one grid"
            )
        return None


def read_geometry(path: Path) -> Geometry:
    """The geometry of a file from its header alone.

    Args:
        path: `.nii` or `.nii.gz`.

    Raises:
        DataError: the file is no NIfTI, is not three-dimensional, claims more voxels than it can hold, is cut short, or
            its header does not place it. The message says what is wrong and how to mend it, without the path.
    """
    with _explained(), _open(path) as file:
        return _read_header(file, path)


def read_voxels(path: Path) -> tuple[np.ndarray, Geometry]:
    """The voxels of a file in the order of the training set, and its geometry.

    A `.nii.gz` is unpacked to its end, where its checksum and its length are compared.

    Args:
        path: `.nii` or `.nii.gz`.

    Returns:
        (rows, columns, slices) in the file's own type (scaled where its header says so), and the geometry.

    Raises:
        DataError: as `read_geometry`; or the stream is damaged. The message is without the path.
    """
    with _explained(), _open(path) as file:
        geometry = _read_header(file, path)
        header, content = geometry.header, None
        if _packed(path):
            file.seek(0)
            content = _unpack(file.read(), _claimed(header))
        slope, intercept = header.get_slope_inter()
        # The file's own type is kept: get_fdata() would make float64 of it, four times the memory and time.
        if content is not None and slope in (None, 1) and not intercept:
            shape, dtype, offset = header.get_data_shape(), header.get_data_dtype(), int(header.get_data_offset())
            voxels = np.ndarray(shape, dtype, content, offset, order="F")
        else:
            with np.errstate(all="ignore"):  # what is no number any more is named where the values are checked
                voxels = np.asarray(ArrayProxy(path if content is None else io.BytesIO(content), header))
        return geometry.to_training(voxels), geometry


@contextmanager
def _explained() -> Iterator[None]:
    """Replace every error that a damaged file may raise in a library by a DataError.

    Raises:
        DataError: one of `_UNREADABLE` was raised.
    """
    try:
        yield
    except DataError:
        raise
    except _UNREADABLE as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
        raise DataError(f"not a NIfTI file that can be read to its end ({reason}); {_AGAIN}") from error


def _open(path: Path) -> io.FileIO:
    """Open a file without a buffer.

    Raises:
        DataError: it is a pipe or the like, which would wait for its writer for ever.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise DataError("not a file; give a .nii or .nii.gz")
    return path.open("rb", buffering=0)


def _packed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _read_header(file: io.FileIO, path: Path) -> Geometry:
    with np.errstate(all="ignore"):  # what is no number, or too large, is refused for that
        header = _parse(_start(file, path))
        _check_size(header, path, os.fstat(file.fileno()).st_size)
        return _geometry(header)


def _start(file: io.FileIO, path: Path) -> bytes:
    """The first bytes of a file, unpacked: as many as the longest header has.

    Raises:
        DataError: it is not compressed.
    """
    wanted = nib.Nifti2Header.template_dtype.itemsize
    if not _packed(path):
        return file.read(wanted)
    unpacker, start = zlib.decompressobj(zlib.MAX_WBITS | 16), b""
    while len(start) < wanted and not unpacker.eof and (block := file.read(_BLOCK)):
        if block[:4] in _SIZES and not start:
            raise DataError("called .nii.gz, but not compressed; rename it to .nii")
        start += unpacker.decompress(block, wanted - len(start))
    return start


def _parse(start: bytes) -> nib.Nifti1Header:
    """The header of a file, checked field by field.

    Raises:
        DataError: it is none, or cannot be used.
    """
    if start[:2] == b"\x1f\x8b":
        raise DataError("called .nii, but compressed; rename it to .nii.gz")
    kind = {348: nib.Nifti1Header, 540: nib.Nifti2Header}.get(_SIZES.get(start[:4], 0))
    if kind is None or len(start) < kind.template_dtype.itemsize:
        raise DataError(f"not a readable NIfTI file (it does not begin with a header); {_AGAIN}")
    raw = kind(start[: kind.template_dtype.itemsize], check=False)
    if raw["magic"].item() != kind.single_magic:
        raise DataError(
            f"not a readable NIfTI file (magic {raw['magic'].item()!r}, expected {kind.single_magic!r}: header and "
            "voxels in one file); save it as .nii.gz again"
        )
    shape = raw.get_data_shape()
    if len(shape) != 3 or min(shape) < 1:
        raise DataError(f"shape {tuple(map(int, shape))}; expected three dimensions (rows, columns, slices)")
    header = raw.copy()
    header.check_fix(_silent, 40)
    header.get_slope_inter()  # raises where the scale is no number
    spacing = np.abs(raw["pixdim"][1:4])  # as written: `check_fix` makes 1 of a 0
    if header["sform_code"] <= 0 and not _sensible(spacing):
        raise DataError(f"voxels of {_steps(spacing)} mm{_unit(header)}; {_EXPECTED_SPACING}")
    return header


def _sensible(spacing: np.ndarray) -> bool:
    low, high = _SPACING_MM
    return bool(np.isfinite(spacing).all() and (spacing >= low).all() and (spacing <= high).all())


def _steps(spacing: np.ndarray) -> str:
    return " x ".join(f"{float(mm):.3g}" for mm in spacing)


def _unit(header: nib.Nifti1Header) -> str:
    unit = {1: "metres", 3: "micrometres"}.get(int(header["xyzt_units"]) & 7)
    return f" (its header gives {unit})" if unit else ""


def _claimed(header: nib.Nifti1Header) -> int:
    """Bytes up to the end of the voxels, as the header says."""
    return int(header.get_data_offset()) + _voxels(header) * int(header.get_data_dtype().itemsize)


def _voxels(header: nib.Nifti1Header) -> int:
    return int(np.prod(header.get_data_shape(), dtype=object))  # Python's integers: they do not overflow


def _check_size(header: nib.Nifti1Header, path: Path, size: int) -> None:
    """Compare what a header claims with the size of its file and with what a computer holds.

    Raises:
        DataError: the two do not fit.
    """
    claimed, memory = _claimed(header), _voxels(header) * max(int(header.get_data_dtype().itemsize), 4)
    if memory > LIMIT_BYTES:
        raise DataError(
            f"its header claims {' x '.join(f'{int(n):,}' for n in header.get_data_shape())} voxels "
            f"({_amount(memory)}) in a file of {_amount(size)}; a head takes at most {_amount(LIMIT_BYTES)}. Copy it "
            "again, or cut it to the head"
        )
    if size < claimed / (_DEFLATE_RATIO if _packed(path) else 1):
        raise DataError(f"cut short: {size:,} bytes, the header gives {claimed:,}; {_AGAIN}")
    if size > claimed + _SPARE_BYTES + (claimed // 8 if _packed(path) else 0):  # what cannot be compressed grows a bit
        raise DataError(_too_long(claimed))


def _too_long(claimed: int) -> str:
    return f"longer than the {claimed:,} bytes that its header gives, so one of the two is wrong; {_AGAIN}"


def _amount(size: int) -> str:
    if size < 1000:
        return f"{size} bytes"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.3g} {unit}"
    return f"{size / 1000:,.0f} TB" if size >= 10_000 else f"{size / 1000:.2g} TB"


def _unpack(packed: bytes, claimed: int) -> bytes:
    """A whole gzip file; zlib compares checksum and length at the end of each of its members.

    Raises:
        DataError: the stream is cut short, or holds other than the header says.
    """
    parts, room = [], claimed + _SPARE_BYTES + 1
    while packed:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        parts.append(unpacker.decompress(packed, room))
        room -= len(parts[-1])
        if room <= 0:
            raise DataError(_too_long(claimed))
        if not unpacker.eof:
            raise DataError(f"not a NIfTI file that can be read to its end (the gzip stream is cut short); {_AGAIN}")
        packed = unpacker.unused_data.lstrip(b"\0")  # gzip allows padding
    voxels = parts[0] if len(parts) == 1 else b"".join(parts)
    if len(voxels) < claimed:
        raise DataError(f"cut short: it unpacks to {len(voxels):,} bytes, the header gives {claimed:,}; {_AGAIN}")
    return voxels


def _geometry(header: nib.Nifti1Header) -> Geometry:
    """Where the voxels lie, once both forms were compared.

    Raises:
        DataError: a form does not place the voxels, the two differ, or the axes lie too far from those of the body.
    """
    shape = tuple(map(int, header.get_data_shape()))
    forms = _forms(header)
    if not forms:  # the rows of the training set run to the left, its columns to the back
        affine = np.diag([*(np.asarray(header["pixdim"][1:4], float) * [-1, -1, 1]), 1.0])
        return Geometry(shape, affine, header, None, "", 0.0)
    if len(forms) == 2 and (apart := _apart(*forms.values(), shape)) > 0.5:
        raise DataError(
            f"its qform and its sform differ by {apart:.3g} voxels at a corner, so programs that read the one and "
            "programs that read the other see it in two places. Set both right, or the code of the wrong one to 0"
        )
    affine = next(iter(forms.values()))
    if np.array_equal(np.sign(affine[:3, :3]), _TRAINING_SIGNS):
        return Geometry(shape, affine, header, None, _ORDER, 0.0)
    orientation = io_orientation(affine)
    cosines = np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    nearest = cosines[orientation[:, 0].astype(int), range(3)]
    oblique = float(np.degrees(np.arccos(np.clip(nearest, 0, 1))).max())
    if oblique > _OBLIQUE_LIMIT:
        raise DataError(
            f"oblique by {oblique:.1f} degrees; expected at most {_OBLIQUE_LIMIT:g} between its axes and those of the "
            "body. Resample it to the axes first (left, back, head)"
        )
    codes = "".join(ornt2axcodes(orientation))
    if codes == _ORDER:
        return Geometry(shape, affine, header, None, codes, oblique)
    turn = ornt_transform(orientation, axcodes2ornt(_ORDER))
    turned = [0, 0, 0]
    for n, axis in zip(shape, turn[:, 0].astype(int), strict=True):
        turned[axis] = n
    return Geometry(tuple(turned), affine @ inv_ornt_aff(turn, shape), header, turn, codes, oblique)


def _forms(header: nib.Nifti1Header) -> dict[str, np.ndarray]:
    """The sform and the qform, each (4, 4), where its code says that it counts; the sform first.

    Raises:
        DataError: one of them does not place the voxels.
    """
    forms = {}
    for name, read in (("sform", header.get_sform), ("qform", header.get_qform)):
        if header[f"{name}_code"] > 0:
            try:
                forms[name] = read(coded=False)
            except (HeaderDataError, ValueError) as error:
                raise DataError(f"its {name} is no position ({error}); {_REPAIR}") from error
            _check_form(name, forms[name], header)
    return forms


def _check_form(name: str, affine: np.ndarray, header: nib.Nifti1Header) -> None:
    matrix = affine[:3, :3]
    if not np.isfinite(affine).all():
        raise DataError(f"its {name} holds values that are no numbers; {_REPAIR}")
    if not matrix.any():
        raise DataError(f"its {name} is all 0, though its code says that it counts; {_REPAIR}")
    spacing = np.linalg.norm(matrix, axis=0)
    if (spacing == 0).any() or abs(np.linalg.det(matrix / np.maximum(spacing, 1e-300))) < 0.1:
        raise DataError(f"its {name} cannot be inverted (its axes do not span a volume); {_REPAIR}")
    if not _sensible(spacing):
        raise DataError(f"its {name} gives voxels of {_steps(spacing)} mm{_unit(header)}; {_EXPECTED_SPACING}")


def _apart(one: np.ndarray, other: np.ndarray, shape: tuple[int, ...]) -> float:
    """How far the same corner lies apart in two affines, in voxels along an axis."""
    corners = np.array([[i, j, k, 1] for i in (0, shape[0] - 1) for j in (0, shape[1] - 1) for k in (0, shape[2] - 1)])
    return float(np.abs(np.linalg.solve(one, (other - one) @ corners.T)[:3]).max())
