"""The slice store: volumes turned once into arrays that a training step can pick single slices from.

The public kernel opens, unpacks and resizes whole volumes again in every epoch; a GPU waits most of that time. Here one
pass normalises each volume, brings it to the network's grid and writes all slices into `.npy` files that are
memory-mapped afterwards. A store is written beside its final name and moved into place, so a killed run leaves no half
store and two notebooks may build the same one at once.
"""

import hashlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nibabel as nib
import numpy as np

from helpers.data.brats import Patient
from helpers.data.errors import DataError
from helpers.data.familiar import fingerprint
from helpers.data.normalise import zscore
from helpers.data.resample import Grid, class_shares
from helpers.data.volumes import Scan, read_scan

VERSION = 2
"""Raised whenever the same sources would give another store."""


@dataclass(frozen=True)
class Store:
    """A finished store.

    Attributes:
        folder: where it lies.
        manifest: sources, parameters, and one entry per patient.
        images: (n, size, size, modalities) float16, z-scored, memory-mapped; 0 where a patient lacks an optional one.
        shares: (n, size, size, 4) uint8, the share of each class in the pixel in 255ths, memory-mapped.
    """

    folder: Path
    manifest: dict
    images: np.ndarray
    shares: np.ndarray

    @property
    def grid(self) -> Grid:
        return Grid(self.manifest["parameters"]["size"], self.manifest["parameters"]["extent_mm"])

    @cached_property
    def patients(self) -> dict[str, dict]:
        """Per patient id: grade, site, spacing, voxel hashes, fingerprint (`looks`), `first` and `count` of slices."""
        return {entry["id"]: entry for entry in self.manifest["patients"]}

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """The positions of all slices of these patients."""
        entries = [self.patients[identity] for identity in ids]
        return np.concatenate([np.arange(e["first"], e["first"] + e["count"]) for e in entries])

    def volume(self, identity: str) -> tuple[np.ndarray, np.ndarray]:
        """All slices of one patient: images and shares."""
        rows = slice(self.rows([identity])[0], self.rows([identity])[-1] + 1)
        return self.images[rows], self.shares[rows]

    @cached_property
    def voxels_per_class(self) -> np.ndarray:
        """(n, 4) float32: pixels of each class per slice, in pixels of the network's grid."""
        return np.load(self.folder / "voxels_per_class.npy")

    @cached_property
    def has_brain(self) -> np.ndarray:
        """(n,) bool: slices that show any brain."""
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
        folder: replaced if it holds a store of other sources or parameters.
        progress: told (patients done, patients in all).
        optional: those of `modalities` that a patient may lack; their images are 0 there.

    Raises:
        DataError: a patient's files are at fault (all findings are listed), or the store in `folder` is damaged.
    """
    folder = Path(folder)
    wanted = _description(patients, modalities, grid)
    if (folder / "manifest.json").exists():
        store = load_store(folder)
        if {key: store.manifest[key] for key in wanted} == wanted:
            return store
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write(scratch, patients, wanted, modalities, grid, progress, optional)
        _move_into_place(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return load_store(folder)


def load_store(folder: str | os.PathLike) -> Store:
    """Open a store.

    Raises:
        DataError: it is damaged: a file is missing, cut short or changed since it was written.
    """
    folder = Path(folder)
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        for name, checksum in manifest["checksums"].items():
            if _checksum(folder / name) != checksum:
                raise ValueError(f"{name} has changed since it was written")
        images = np.load(folder / "images.npy", mmap_mode="r")
        shares = np.load(folder / "shares.npy", mmap_mode="r")
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{folder}: this slice store is damaged ({error}). Delete the folder; it is built anew from the scans."
        ) from error
    return Store(folder, manifest, images, shares)


def voxel_hashes(scan: Scan) -> dict[str, str]:
    """Per modality a hash of the voxel values, the same whatever the file's name, type or compression."""
    return {
        modality: hashlib.blake2b(np.ascontiguousarray(scan.image(modality)), digest_size=16).hexdigest()
        for modality in scan.modalities
    }


def _description(patients: Sequence[Patient], modalities: tuple[str, ...], grid: Grid) -> dict:
    """What a store is made from. Size and time of a file stand for its contents: hashing 42 GB takes minutes."""

    def state(path: Path | None) -> list | None:
        if path is None:
            return None
        status = path.stat()
        return [str(path.resolve()), status.st_size, status.st_mtime_ns]

    return {
        "version": VERSION,
        "parameters": {"modalities": list(modalities), "size": grid.size, "extent_mm": grid.extent_mm},
        "sources": {p.id: [state(p.file(kind)) for kind in (*modalities, "seg")] for p in patients},
    }


def _write(
    folder: Path,
    patients: Sequence[Patient],
    description: dict,
    modalities: tuple[str, ...],
    grid: Grid,
    progress: Callable[[int, int], None],
    optional: tuple[str, ...],
) -> None:
    # The number of slices is in the headers, so the arrays are laid out before the first volume is read and memory does
    # not grow with the number of patients.
    counts = [int(_depth(patient.file("seg"))) for patient in patients]
    first = np.concatenate([[0], np.cumsum(counts)])
    n, side = int(first[-1]), grid.size
    new = np.lib.format.open_memmap
    images = new(folder / "images.npy", "w+", np.float16, (n, side, side, len(modalities)))
    shares = new(folder / "shares.npy", "w+", np.uint8, (n, side, side, 4))
    voxels_per_class, has_brain = np.zeros((n, 4), np.float32), np.zeros(n, bool)

    def one(index: int) -> dict | DataError:
        patient, rows = patients[index], slice(int(first[index]), int(first[index + 1]))
        try:
            scan = read_scan(patient, modalities, optional=optional)
            centre = grid.brain_centre(scan.images, scan.spacing)
            looks = fingerprint(scan)
        except DataError as error:
            return error
        held = [modalities.index(modality) for modality in scan.modalities]
        images[rows, ..., held] = grid.down(zscore(scan.images), scan.spacing, centre)
        shares[rows] = class_shares(scan.seg, grid, scan.spacing, centre)
        voxels_per_class[rows] = shares[rows].sum(axis=(1, 2), dtype=np.float32) / 255
        has_brain[rows] = scan.images.any(axis=(0, 1, 3))
        return {
            "id": patient.id,
            "grade": patient.grade,
            "site": patient.site,
            "spacing": scan.spacing,
            "voxels": voxel_hashes(scan),
            "looks": looks,
            "first": rows.start,
            "count": rows.stop - rows.start,
        }

    entries, errors = [], []
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:  # unpacking and arithmetic leave the GIL
        for done, result in enumerate(pool.map(one, range(len(patients))), start=1):
            (errors if isinstance(result, DataError) else entries).append(result)
            progress(done, len(patients))
    if errors:
        raise DataError.listing(
            f"{len(errors)} of {len(patients)} patients cannot be used. Mend or remove these files, then run again:",
            [str(error) for error in errors],
        )
    np.save(folder / "voxels_per_class.npy", voxels_per_class)
    np.save(folder / "has_brain.npy", has_brain)
    images.flush()
    shares.flush()
    checksums = {path.name: _checksum(path) for path in sorted(folder.glob("*.npy"))}
    manifest = {**description, "patients": entries, "checksums": checksums}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))


def _depth(path: Path) -> int:
    return nib.load(path).shape[2]


def _move_into_place(scratch: Path, folder: Path) -> None:
    aside = scratch.with_name(scratch.name + "-old")
    if folder.exists():
        folder.rename(aside)
    try:
        scratch.rename(folder)
    except OSError:  # another process was quicker: its store is as good as ours
        if not (folder / "manifest.json").exists():
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            value = zlib.crc32(block, value)
    return value
