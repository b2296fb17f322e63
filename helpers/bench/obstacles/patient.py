"""A phantom patient of the obstacle course: four series of one head, ready to be written with a fault."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from helpers.data.phantoms.dicom import Visit, write_series

if TYPE_CHECKING:
    from pydicom import Dataset

KINDS = ("flair", "t1", "t1ce", "t2")


@dataclass
class Patient:
    """A head that was scanned without a fault, and where its files go.

    Attributes:
        folder: of its DICOM files.
        images: (columns, rows, slices) int16 of each of `KINDS`.
        affine: (4, 4), voxel index to millimetres, x to the right, y to the front, z to the head; of all four.
        visit: patient and study.
        rng: for whatever a fault draws.
        truth: voxels and affine of each series that a reader is to deliver.
        spaces: transforms (4, 4) of the millimetres of `truth`: a reader may bring all series to any one of them.
        names: that are planted, and may occur nowhere.
    """

    folder: Path
    images: Mapping[str, np.ndarray]
    affine: np.ndarray
    visit: Visit
    rng: np.random.Generator
    truth: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    spaces: list[np.ndarray] = field(default_factory=lambda: [np.eye(4)])
    names: list[str] = field(default_factory=list)

    @property
    def slices(self) -> int:
        """How many slices a series has."""
        return self.images["flair"].shape[2]

    @property
    def middle(self) -> np.ndarray:
        """The middle of the grid, (3,) in millimetres."""
        return self.affine[:3, :3] @ (np.array(self.images["flair"].shape) - 1) / 2 + self.affine[:3, 3]

    def write(
        self,
        kind: str,
        change: Callable[["Dataset", int], "Dataset | None"] = lambda data, place: data,
        voxels: np.ndarray | None = None,
        affine: np.ndarray | None = None,
        **settings: Any,
    ) -> list[Path]:
        """Write a series, and keep what it shows as the truth.

        Args:
            kind: of `KINDS`.
            change: as `write_series` takes it.
            voxels: (columns, rows, slices) instead of the head's own.
            affine: (4, 4) instead of the head's own.
            settings: further ones of `write_series`.

        Returns:
            The files.
        """
        voxels = self.images[kind] if voxels is None else voxels
        affine = self.affine if affine is None else affine
        self.truth.setdefault(kind, (voxels, affine))
        settings.setdefault("visit", self.visit)
        return write_series(self.folder, voxels, affine, kind, change=change, **settings)

    def write_others(self, *written: str) -> None:
        """Write the series that have no fault.

        Args:
            written: those that are there already, or are to be missing.
        """
        for kind in KINDS:
            if kind not in written:
                self.write(kind)

    def moved(self, kind: str, matrix: np.ndarray) -> np.ndarray:
        """A series of the head after it has moved, on the grid of before, (columns, rows, slices) int16.

        Args:
            kind: of `KINDS`.
            matrix: (4, 4), a point before to the same point of the head afterwards, in millimetres.
        """
        index = np.linalg.inv(self.affine) @ np.linalg.inv(matrix) @ self.affine
        image = self.images[kind].astype(np.float32)
        moved = scipy.ndimage.affine_transform(image, index[:3, :3], index[:3, 3], order=1)
        return np.rint(moved).astype(np.int16)


def rigid(degrees: tuple[float, float, float], shift: tuple[float, float, float]) -> np.ndarray:
    """A rotation about the origin and a shift, (4, 4).

    Args:
        degrees: about x, y and z.
        shift: millimetres along them.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = scipy.spatial.transform.Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def about(centre: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """A transform whose rotation is about another point than the origin, (4, 4).

    Args:
        centre: (3,) in millimetres.
        matrix: (4, 4), about the origin.
    """
    there = np.eye(4)
    there[:3, 3] = centre
    return there @ matrix @ np.linalg.inv(there)
