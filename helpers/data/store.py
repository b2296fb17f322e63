"""The slice store: volumes turned once into arrays that a training step can pick single slices from.

The public kernel opens, unpacks and resizes whole volumes again in every epoch; a GPU waits most of that time. Here one
pass normalises each volume, brings it to the network's grid and writes all slices into `.npy` files that are
memory-mapped afterwards. `helpers.data.array_cache` writes it, and detects a damaged one.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from helpers.data.array_cache import file_signatures, get_or_build, map_cases
from helpers.data.brats import Patient
from helpers.data.nifti import read_geometry
from helpers.data.normalise import zscore
from helpers.data.out_of_distribution import fingerprint
from helpers.data.resample import Grid, soft_labels_on
from helpers.data.volumes import Scan, read_scan
from helpers.runtime.disk import allocate_arrays
from helpers.runtime.errors import DataError

VERSION = 6
"""Increased whenever the same sources give another store; a store of another version is rebuilt."""


@dataclass(frozen=True)
class Store:
    """A finished store.

    Attributes:
        folder: the folder on disk.
        manifest: version, parameters, sources, checksums, and one entry per patient.
        images: (n, size, size, modalities) float16, z-scored, memory-mapped; 0 where a patient lacks an optional one.
        label_planes: (n, 4, size, size) uint8, the fraction of the pixel that each class covers, in 255ths that sum to
            255; memory-mapped. A plane a class, the background first: those of the foreground lie in one piece, and
            they are all that training needs, see `helpers.learn.batches`.
    """

    folder: Path
    manifest: dict
    images: np.ndarray
    label_planes: np.ndarray

    @property
    def soft_labels(self) -> np.ndarray:
        """The same as `label_planes`, classes last: (n, size, size, 4) uint8, memory-mapped too."""
        return np.moveaxis(self.label_planes, 1, -1)

    @property
    def grid(self) -> Grid:
        """The grid of the network that the slices were resampled to."""
        return Grid(self.manifest["parameters"]["size"], self.manifest["parameters"]["extent_mm"])

    @cached_property
    def patients(self) -> dict[str, dict]:
        """Per patient id: grade, site, spacing, voxel hashes, `fingerprint`, `first` and `count` of slices."""
        return {entry["id"]: entry for entry in self.manifest["patients"]}

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """The row indices of all slices of these patients, (slices,) int.

        Args:
            ids: patient ids, in the order in which their rows are wanted.
        """
        entries = [self.patients[identity] for identity in ids]
        return np.concatenate([np.arange(e["first"], e["first"] + e["count"]) for e in entries])

    def volume(self, identity: str) -> tuple[np.ndarray, np.ndarray]:
        """All slices of one patient: images (slices, size, size, modalities) and soft labels (slices, size, size, 4).

        Args:
            identity: the patient's id.
        """
        rows = slice(self.rows([identity])[0], self.rows([identity])[-1] + 1)
        return self.images[rows], self.soft_labels[rows]

    @cached_property
    def volume_ends(self) -> tuple[np.ndarray, np.ndarray]:
        """For each row the first and the last row of its patient, (n,) int each."""
        first, count = (np.array([entry[key] for entry in self.manifest["patients"]]) for key in ("first", "count"))
        return np.repeat(first, count), np.repeat(first + count - 1, count)

    @cached_property
    def voxels_per_class(self) -> np.ndarray:
        """(n, 4) float32: pixels of each class per slice, in pixels of the network's grid."""
        return np.load(self.folder / "voxels_per_class.npy")

    @cached_property
    def has_brain(self) -> np.ndarray:
        """(n,) bool: slices with at least one brain voxel."""
        return np.load(self.folder / "has_brain.npy")


def open_store(
    patients: Sequence[Patient],
    folder: str | os.PathLike,
    modalities: tuple[str, ...],
    grid: Grid,
    progress: Callable[[int, int], None] = lambda done, total: None,
    optional: tuple[str, ...] = (),
) -> Store:
    """The store of these patients: the one in `folder` if it was made from the same files and parameters, else a new
    one.

    Args:
        patients: each with all `modalities` that are not optional, and a segmentation.
        folder: of the store; replaced if it holds a store of another version, other sources or other parameters.
        modalities: the channels of `images`, in this order.
        grid: the grid of the network.
        progress: called with (patients done, patients in all).
        optional: those of `modalities` that a patient may lack; their images are 0 there.

    Raises:
        DataError: a patient's files cannot be used (all problems are listed), the store in `folder` is damaged, or the
            disk is full.
    """
    wanted = _description(patients, modalities, grid)

    def write(scratch: Path) -> list[dict]:
        return _write(scratch, patients, modalities, grid, progress, optional)

    return opened(Path(folder), get_or_build(Path(folder), wanted, write))


def opened(folder: Path, manifest: dict) -> Store:
    """A finished store, its arrays memory-mapped.

    Args:
        folder: of the store.
        manifest: of this folder, as `get_or_build` or `read_manifest` returned it.
    """
    images, label_planes = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "soft_labels"))
    return Store(folder, manifest, images, label_planes)


def voxel_hashes(scan: Scan) -> dict[str, str]:
    """What tells a patient from any other, independent of the file's name, data type and compression.

    Of each modality one hash of the voxel values, and one of where they are not 0, `flair_brain`: somebody who scales
    the values, or corrects a bias field, leaves the outline of the brain. A scan that is 0 nowhere has no outline.

    Args:
        scan: any patient.

    Returns:
        The hashes by name, 32 letters each.
    """
    hashes = {}
    for modality in scan.modalities:
        voxels = np.ascontiguousarray(scan.image(modality))
        hashes[modality] = _hash(voxels)
        if not (brain := voxels != 0).all():
            hashes[f"{modality}_brain"] = _hash(np.packbits(brain), str(brain.shape).encode())
    return hashes


def _hash(*parts: np.ndarray | bytes) -> str:
    made = hashlib.blake2b(digest_size=16)
    for part in parts:
        made.update(part)
    return made.hexdigest()


def _description(patients: Sequence[Patient], modalities: tuple[str, ...], grid: Grid) -> dict:
    """What a store is built from: version, parameters and sources."""
    return {
        "version": VERSION,
        "parameters": {"modalities": list(modalities), "size": grid.size, "extent_mm": grid.extent_mm},
        "sources": file_signatures({p.id: [p.file(kind) for kind in (*modalities, "seg")] for p in patients}),
    }


def _write(
    folder: Path,
    patients: Sequence[Patient],
    modalities: tuple[str, ...],
    grid: Grid,
    progress: Callable[[int, int], None],
    optional: tuple[str, ...],
) -> list[dict]:
    # The number of slices is in the headers, so the arrays are laid out before the first volume is read and memory does
    # not grow with the number of patients.
    counts = [_depth(patient.file("seg")) for patient in patients]
    first = np.concatenate([[0], np.cumsum(counts)])
    n, side = int(first[-1]), grid.size
    images, label_planes = allocate_arrays(
        folder, images=(np.float16, (n, side, side, len(modalities))), soft_labels=(np.uint8, (n, 4, side, side))
    )
    voxels_per_class, has_brain = np.zeros((n, 4), np.float32), np.zeros(n, bool)

    def one(index: int) -> dict:
        patient, rows = patients[index], slice(int(first[index]), int(first[index + 1]))
        scan = read_scan(patient, modalities, optional=optional)
        centre = grid.brain_centre(scan.images, scan.spacing, scan.id)
        present = [modalities.index(modality) for modality in scan.modalities]
        images[rows, ..., present] = grid.down(zscore(scan.images), scan.spacing, centre)
        soft_labels = soft_labels_on(scan.seg, grid, scan.spacing, centre)
        label_planes[rows] = np.moveaxis(soft_labels, -1, 1)
        voxels_per_class[rows] = soft_labels.sum(axis=(1, 2), dtype=np.float32) / 255
        has_brain[rows] = scan.images.any(axis=(0, 1)).any(axis=-1)  # 16 times as fast as all axes in one call
        return {
            "id": patient.id,
            "grade": patient.grade,
            "site": patient.site,
            "spacing": scan.spacing,
            "voxels": voxel_hashes(scan),
            "fingerprint": fingerprint(scan),
            "first": rows.start,
            "count": rows.stop - rows.start,
        }

    entries = map_cases(one, len(patients), progress)
    np.save(folder / "voxels_per_class.npy", voxels_per_class)
    np.save(folder / "has_brain.npy", has_brain)
    images.flush()
    label_planes.flush()
    return entries


def _depth(path: Path) -> int:
    """The number of slices, in the axis order of the training set.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        return read_geometry(path).shape[2]
    except DataError as error:
        raise DataError(f"{path}: {error}.") from error
