"""Reading volumes and writing masks: NIfTI files as arrays on the native grid, with every check of the voxels."""

import gzip
import os
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from helpers.data.brats import Patient
from helpers.runtime.errors import DataError

DISK_LABELS = (0, 1, 2, 4)
"""Background, necrotic and non-enhancing core, oedema, enhancing tumour; index = label in the network."""


@dataclass(frozen=True)
class Scan:
    """One patient's volumes on one grid.

    Attributes:
        id: the patient.
        images: (rows, columns, slices, modalities) float32, as on disk: no unit, the scale differs between scanners.
        modalities: the names along the last axis.
        seg: the ground truth, (rows, columns, slices) uint8 with the network's labels 0, 1, 2, 3; None where it was not
            read.
        affine: (4, 4), voxel index to millimetres.
    """

    id: str
    images: np.ndarray
    modalities: tuple[str, ...]
    seg: np.ndarray | None
    affine: np.ndarray

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between neighbouring voxels along rows, columns and slices."""
        return tuple(float(mm) for mm in nib.affines.voxel_sizes(self.affine))

    def image(self, modality: str) -> np.ndarray:
        """One modality, (rows, columns, slices) float32.

        Args:
            modality: one of `modalities`.
        """
        return self.images[..., self.modalities.index(modality)]


def read_scan(patient: Patient, modalities: tuple[str, ...], seg: bool = True, optional: tuple[str, ...] = ()) -> Scan:
    """Read a patient's volumes and check every voxel.

    Args:
        patient: of a catalogue.
        modalities: the volumes to read, in this order.
        seg: whether to read the segmentation as well.
        optional: those of `modalities` that are left out where the patient has no such file.

    Raises:
        DataError: a file is missing, unreadable or cut short; shapes or affines differ; a volume is empty or holds NaN
            or infinite values; the segmentation holds labels outside {0, 1, 2, 4}. The message names the file.
    """
    modalities = tuple(kind for kind in modalities if kind not in optional or patient.file(kind) is not None)
    volumes, affine, shape, first = [], None, None, None
    for kind in (*modalities, *(("seg",) if seg else ())):
        path = patient.file(kind)
        if path is None:
            raise DataError(
                f"{patient.id} has no {kind} file in {patient.folder}; it has "
                f"{', '.join(patient.images) or 'no images'}."
            )
        volume, own_affine = _read_volume(path)
        if affine is None:
            affine, shape, first = own_affine, volume.shape, path
        elif volume.shape != shape:
            raise DataError(f"{path}: shape {volume.shape}, but {first.name} has {shape}; one patient, one grid.")
        elif not np.allclose(own_affine, affine, atol=1e-3):
            raise DataError(f"{path}: its affine differs from that of {first.name}; resample both to one grid.")
        volumes.append(to_network(volume, path) if kind == "seg" else _check_image(volume, path))
    labels = volumes.pop() if seg else None
    return Scan(patient.id, np.stack(volumes, axis=-1), modalities, labels, affine)


def _read_volume(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        image = nib.load(path)
        # `dataobj` keeps the file's own type: get_fdata() would make float64 of it, four times the memory and time.
        return np.asarray(image.dataobj), image.affine
    except (nib.filebasedimages.ImageFileError, OSError, ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path}: not a NIfTI file that can be read to its end ({error}); copy or download it again."
        ) from error


def _check_image(volume: np.ndarray, path: Path) -> np.ndarray:
    if volume.dtype.kind not in "iuf":
        raise DataError(f"{path}: voxels of type {volume.dtype}; expected numbers, one per voxel.")
    if volume.ndim != 3:
        raise DataError(f"{path}: shape {volume.shape}; expected three dimensions (rows, columns, slices).")
    if volume.dtype.kind == "f" and (bad := volume.size - int(np.isfinite(volume).sum())):
        count = "1 voxel is" if bad == 1 else f"{bad:,} voxels are"
        raise DataError(f"{path}: {count} NaN or infinite; expected finite values. Export the volume again.")
    if not volume.any():
        raise DataError(
            f"{path}: every voxel is 0; expected a head. Export the volume again, or leave the patient out."
        )
    return volume.astype(np.float32)


def to_network(labels: np.ndarray, path: str | os.PathLike = "segmentation") -> np.ndarray:
    """Convert labels from 0, 1, 2, 4 as on disk to 0, 1, 2, 3 as in the network.

    Args:
        labels: any shape.
        path: the file they are from, for the message.

    Returns:
        uint8 of the same shape.

    Raises:
        DataError: there is another label.
    """
    values, counts = np.unique(labels, return_counts=True)
    if unknown := {float(v): int(n) for v, n in zip(values, counts, strict=True) if v not in DISK_LABELS}:
        raise DataError(
            f"{path}: labels {unknown} (label: voxels); expected only {DISK_LABELS} (background, core, oedema, "
            "enhancing). A mask that was resampled with interpolation gets other values: use the original."
        )
    return np.searchsorted(DISK_LABELS, labels).astype(np.uint8)


def to_disk(labels: np.ndarray) -> np.ndarray:
    """Convert labels from 0, 1, 2, 3 as in the network to 0, 1, 2, 4 as on disk.

    Args:
        labels: any shape, any integer type.

    Returns:
        uint8 of the same shape.

    Examples:
        >>> to_disk(np.array([0, 1, 2, 3])).tolist()
        [0, 1, 2, 4]
        >>> to_network(to_disk(np.array([0, 1, 2, 3]))).tolist()
        [0, 1, 2, 3]
    """
    return np.asarray(DISK_LABELS, np.uint8)[labels]


def write_segmentation(path: str | os.PathLike, labels: np.ndarray, affine: np.ndarray) -> Path:
    """Write network labels as a BraTS segmentation (`.nii.gz`, uint8, labels 0/1/2/4) on the grid given by `affine`.

    The file is written beside its final name and then moved there, so that it is whole or absent.

    Args:
        path: ends in `.nii.gz`.
        labels: (rows, columns, slices) with values 0 to 3.
        affine: (4, 4), of the scan the labels belong to.

    Returns:
        `path`.

    Raises:
        ValueError: `path` has another ending.
        FileExistsError: the file exists; nothing is overwritten.
    """
    path = Path(path)
    if not path.name.endswith(".nii.gz"):
        raise ValueError(f"{path}: a segmentation is written as .nii.gz; give a name that ends so.")
    if path.exists():
        raise FileExistsError(f"{path} is there already and is not overwritten; move it away or choose another folder.")
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(to_disk(labels), affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")  # some viewers read the one, some the other
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        whole = Path(scratch) / path.name
        nib.save(image, whole)
        os.replace(whole, path)
    return path
