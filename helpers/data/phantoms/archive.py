"""A folder as an archive hands it out: the scan of a patient as unsorted DICOM files, with names that were made up."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from helpers.data.phantoms.dicom import Visit, write_series

if TYPE_CHECKING:
    from pydicom import Dataset

    from helpers.data.volumes import Scan

NAMES = ("Meier", "Okafor", "HN47-1182")
"""Parts of names and numbers that are written into the files, for whoever searches them."""

_TAGS = {
    "PatientBirthDate": "19510304",
    "ReferringPhysicianName": "Okafor^Ada",
    "InstitutionName": "St Elsewhere",
    "ImageComments": "Mrs Meier could not lie still",
}
_SHIFT, _TURN = (5.0, -3.0, 4.0), (3, -2, 5)  # mm, and degrees about each axis
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_MOST = 32_000  # what int16 holds


def head_alone(scan: Scan, rim: int = 4) -> Scan:
    """Cut a scan to its head, as a scanner's field of view is.

    Args:
        scan: with or without a mask.
        rim: voxels left around the head.
    """
    inside = np.argwhere(scan.images.any(axis=-1))
    low, high = np.maximum(inside.min(axis=0) - rim, 0), inside.max(axis=0) + rim + 1
    box = tuple(map(slice, low, high))
    seg = None if scan.seg is None else scan.seg[box]
    return replace(scan, images=scan.images[box], seg=seg, affine=scan.affine @ _translation(low))


def write_archive(folder: str | os.PathLike, scan: Scan, moved: str = "flair", seed: int = 0) -> NDArray[np.float64]:
    """Write a scan as DICOM: a file a slice, numbers for names, in no order; between two series the patient moved.

    Names stand in several tags, in a private one, and as letters in the pixels of a screen save.

    Args:
        folder: receives the files; made.
        scan: on one grid.
        moved: the modality that was scanned after the patient had moved.
        seed: of the UIDs and of the order.

    Returns:
        The motion in mm, (4, 4): from where a point of the head was to where it is in the series that moved.

    Raises:
        FileExistsError: the folder is there.
    """
    from scipy.spatial.transform import Rotation

    folder = Path(folder)
    folder.mkdir(parents=True)
    middle = (scan.affine @ [*(np.array(scan.images.shape[:3]) / 2), 1])[:3]
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", _TURN, degrees=True).as_matrix()
    motion = _translation(middle + _SHIFT) @ turn @ _translation(-middle)
    visit, unsorted = Visit(seed, patient="Meier^Anna", patient_id="HN47-1182"), folder / "unsorted"
    for kind in scan.modalities:
        voxels = scan.image(kind)
        voxels = (voxels * min(1, _MOST / max(voxels.max(), 1))).astype(np.int16)
        affine = motion @ scan.affine if kind == moved else scan.affine
        write_series(unsorted, voxels, affine, kind, visit, change=_as_scanned, tags=_TAGS)
    save = {"SeriesDescription": "screen save"}
    screen = _screen(["MEIER ANNA", "*04.03.1951"])
    write_series(unsorted, screen, np.eye(4), "t1", visit, "screen", _as_captured, save)
    _shuffle(unsorted, folder, seed)
    return motion


def _shuffle(source: Path, target: Path, seed: int) -> None:
    """Move all files to another folder, under numbers that do not tell their order."""
    paths = sorted(source.iterdir())
    for number, path in zip(np.random.default_rng(seed).permutation(len(paths)), paths, strict=True):
        path.rename(target / f"{number:08d}")
    shutil.rmtree(source)


def _screen(lines: Sequence[str]) -> NDArray[np.int16]:
    """White letters on black, (columns, rows, 1)."""
    from PIL import Image, ImageDraw

    screen = Image.fromarray(np.zeros((120, 240), np.uint8))
    ImageDraw.Draw(screen).text((12, 40), "\n".join(lines), fill=255, font_size=24)
    return np.asarray(screen, np.int16).T[..., None]


def _as_scanned(header: Dataset, place: int) -> Dataset:
    """Add a tag of the manufacturer's own, with the name once more."""
    header.private_block(0x0029, "SCANNER", create=True).add_new(1, "LO", "MEIER ANNA, WARD 3")
    return header


def _as_captured(header: Dataset, place: int) -> Dataset:
    """Make it a secondary capture, which is what a picture of a screen is."""
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = _SECONDARY_CAPTURE
    return header


def _translation(shift: Sequence[float] | NDArray) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, 3] = shift
    return matrix
