"""Reading volumes and writing masks: NIfTI files as arrays on the native grid, with every check of the voxels.

Arrays are in the axis order of the training set (`helpers.data.nifti`), masks are written in that of their images.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np

from helpers.data.brats import BRATS_2017, BRATS_2023, Convention, Patient
from helpers.data.nifti import Geometry, read_voxels
from helpers.runtime.disk import atomic_path
from helpers.runtime.errors import DataError

DISK_LABELS = BRATS_2017.disk_labels
"""Background, necrotic and non-enhancing core, oedema, enhancing tumour; index = label in the network."""

_ROUNDING = 1e-3  # labels that a scale in the header made of whole numbers: 3.9999999991
_FAR, _FEW = 100.0, 1e-5  # a voxel of 100 times all but one in 100,000 is no tissue
_LEVELS = 16  # a volume of fewer values is no image
_UNKNOWN = 255  # no label of the network
_MOST = 8  # unknown labels that a message lists


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
        geometry: where the first file lies, and the order of its axes; None for a scan that is from no file.
        convention: how the set of the patient names and numbers its masks.
        notes: what a user has to know of how the files were read, a sentence each.
    """

    id: str
    images: np.ndarray
    modalities: tuple[str, ...]
    seg: np.ndarray | None
    affine: np.ndarray
    geometry: Geometry | None = None
    convention: Convention = BRATS_2017
    notes: tuple[str, ...] = ()

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

    def only(self, modalities: Sequence[str]) -> "Scan":
        """The same patient with some of the modalities alone.

        Args:
            modalities: of `modalities`; the order of this scan's is kept.
        """
        kept = [index for index, modality in enumerate(self.modalities) if modality in modalities]
        names = tuple(self.modalities[index] for index in kept)
        return replace(self, images=self.images[..., kept], modalities=names)


def read_scan(patient: Patient, modalities: tuple[str, ...], seg: bool = True, optional: tuple[str, ...] = ()) -> Scan:
    """Read a patient's volumes and check every voxel.

    Args:
        patient: of a catalogue.
        modalities: the volumes to read, in this order.
        seg: whether to read the segmentation as well.
        optional: those of `modalities` that are left out where the patient has no such file; but not all of them.

    Raises:
        DataError: a file is missing, unreadable or cut short; shapes or affines differ; a volume is empty or holds
            values that are no numbers or none of float32; the segmentation holds labels outside {0, 1, 2, 4}, or
            {0, 1, 2, 3} where 3 is the enhancing tumour. The message names the file.
    """
    wanted = modalities
    modalities = tuple(kind for kind in wanted if kind not in optional or patient.file(kind) is not None)
    if not modalities:
        raise DataError(
            f"{patient.id} has none of {', '.join(wanted)} in {patient.folder}; it has "
            f"{', '.join(patient.images) or 'no images'}. Add one of them, or leave the patient out."
        )
    volumes, geometry, first, notes = [], None, None, ()
    for kind in (*modalities, *(("seg",) if seg else ())):
        path = patient.file(kind)
        if path is None:
            raise DataError(
                f"{patient.id} has no {kind} file in {patient.folder}; it has "
                f"{', '.join(patient.images) or 'no images'}."
            )
        try:
            volume, own = read_voxels(path)
            if geometry is None:
                geometry, first, notes = own, path, own.notes
            elif message := geometry.difference(own, first.name):
                raise DataError(message)
            if kind == "seg":
                whole = _whole(volume)
                enhancing, remarks = _enhancing(whole, patient)
                volume, notes = _to_network(volume, whole, enhancing), notes + remarks
            else:
                volume = _check_image(volume)
        except DataError as error:
            raise DataError(f"{path}: {error}.") from error
        volumes.append(volume)
    labels = volumes.pop() if seg else None
    images = np.stack(volumes, axis=-1)
    return Scan(patient.id, images, modalities, labels, geometry.affine, geometry, patient.convention, notes)


def _check_image(volume: np.ndarray) -> np.ndarray:
    """The volume as float32.

    Raises:
        DataError: it is empty, or holds what is no number of float32.
    """
    if volume.dtype.kind not in "iuf":
        raise DataError(f"voxels of type {volume.dtype}; expected numbers, one per voxel")
    if volume.dtype.kind == "f" and (bad := volume.size - int(np.isfinite(volume).sum())):
        raise DataError(f"{_count(bad)} NaN or infinite; expected finite values. Export the volume again")
    with np.errstate(over="ignore"):
        single = volume.astype(np.float32)
    if volume.dtype.itemsize > 4 and (bad := volume.size - int(np.isfinite(single).sum())):
        raise DataError(
            f"{_count(bad)} beyond the range of float32 (the largest is {float(np.abs(volume).max()):.3g}); expected "
            "intensities of a scanner. Export the volume again"
        )
    if not (single if volume.dtype.kind == "f" else volume).any():  # a tiny float64 is 0 by now
        raise DataError("every voxel is 0; expected a head. Export the volume again, or leave the patient out")
    return single


def _count(voxels: int) -> str:
    return "1 voxel is" if voxels == 1 else f"{voxels:,} voxels are"


def _enhancing(labels: np.ndarray, patient: Patient) -> tuple[int, tuple[str, ...]]:
    """The label of the enhancing tumour in a patient's mask, and a note where it is not that of the file names.

    Raises:
        DataError: 3 and 4 both occur, so that one of them is another tissue.
    """
    threes, fours, unknown = (int(np.count_nonzero(labels == label)) for label in (3, 4, _UNKNOWN))
    if unknown:
        return patient.convention.enhancing, ()  # no mask of any set: it is refused for that
    if patient.convention is BRATS_2023:
        if fours:
            raise DataError(
                f"labels {{4.0: {fours}}} (label: voxels): with names of {BRATS_2023.name}, 3 is the enhancing tumour "
                "and 4 the resection cavity, which this course does not know. Make 0 of every 4, or leave the patient "
                "out; if 4 is the enhancing tumour, name the files as BraTS 2020 does (_flair, _t1, _t1ce, _t2, _seg)"
            )
        return BRATS_2023.enhancing, ()
    if not threes:
        return BRATS_2017.enhancing, ()
    if holder := patient.seg if fours else patient.masks.holder(4):
        where = "in the same mask" if fours else f"in {holder.name} of the same folder"
        raise DataError(
            f"labels {{3.0: {threes}}} (label: voxels), and 4 {where}: before BraTS 2017, 3 was the non-enhancing core "
            "beside 4, the enhancing tumour. If it is that, make 1 of every 3, as BraTS did; if 3 is the enhancing "
            "tumour here, make 4 of it"
        )
    return BRATS_2023.enhancing, ("label 3 is read as the enhancing tumour: no mask of this folder has the label 4",)


def _whole(labels: np.ndarray) -> np.ndarray:
    """Labels as uint8; `_UNKNOWN` where a value is no whole number, or none of a byte.

    Raises:
        DataError: they are no numbers.
    """
    if labels.dtype.kind in "iub":
        if not labels.size or (labels.min() >= 0 and labels.max() < _UNKNOWN):
            return labels.astype(np.uint8, copy=False)
        known, whole = (labels >= 0) & (labels < _UNKNOWN), labels
    elif labels.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = np.rint(labels)
            known = (np.abs(labels - whole) <= _ROUNDING) & (whole >= 0) & (whole < _UNKNOWN)
    else:
        raise DataError(f"labels of type {labels.dtype}; expected whole numbers, one per voxel")
    return np.where(known, whole, _UNKNOWN).astype(np.uint8)


def to_network(labels: np.ndarray, path: str | os.PathLike = "segmentation", enhancing: int = 4) -> np.ndarray:
    """Convert labels from 0, 1, 2, 4 as on disk to 0, 1, 2, 3 as in the network.

    Args:
        labels: any shape; values within 0.001 of a whole number count as that.
        path: the file they are from, for the message.
        enhancing: the label of the enhancing tumour on disk, 4 or (from BraTS 2023 on) 3.

    Returns:
        uint8 of the same shape.

    Raises:
        DataError: there is another label.
    """
    labels = np.asarray(labels)
    try:
        return _to_network(labels, _whole(labels), enhancing)
    except DataError as error:
        raise DataError(f"{path}: {error}.") from error


def _to_network(labels: np.ndarray, whole: np.ndarray, enhancing: int) -> np.ndarray:
    """Network labels of what `_whole` made of labels.

    Raises:
        DataError: there is a label that the network does not have.
    """
    disk = (*DISK_LABELS[:3], enhancing)
    table = bytearray([_UNKNOWN] * 256)
    for label, value in enumerate(disk):
        table[value] = label
    network = np.frombuffer(bytearray(whole.tobytes()).translate(table), np.uint8).reshape(whole.shape)
    if (unknown := network == _UNKNOWN).any():
        values, counts = np.unique(labels[unknown], return_counts=True)
        named = {float(v): int(n) for v, n in zip(values[:_MOST], counts[:_MOST], strict=True)}
        more = f" and {len(values) - _MOST} more labels" if len(values) > _MOST else ""
        raise DataError(
            f"labels {named} (label: voxels){more}; expected only {disk} (background, core, oedema, enhancing). A mask "
            "that was resampled with interpolation gets other values: use the original"
        )
    return network


def to_disk(labels: np.ndarray, enhancing: int = 4) -> np.ndarray:
    """Convert labels from 0, 1, 2, 3 as in the network to 0, 1, 2, 4 as on disk.

    Args:
        labels: any shape, any integer type.
        enhancing: the label of the enhancing tumour on disk, 4 or (from BraTS 2023 on) 3.

    Returns:
        uint8 of the same shape.

    Examples:
        >>> to_disk(np.array([0, 1, 2, 3])).tolist()
        [0, 1, 2, 4]
        >>> to_network(to_disk(np.array([0, 1, 2, 3]))).tolist()
        [0, 1, 2, 3]
    """
    return np.asarray((*DISK_LABELS[:3], enhancing), np.uint8)[labels]


def write_segmentation(path: str | os.PathLike, labels: np.ndarray, grid: Scan | np.ndarray) -> Path:
    """Write network labels as a BraTS segmentation (`.nii.gz`, uint8) that lies where the scan lies.

    With a scan that was read from files, the mask is in their axis order and has both forms (qform, sform) with their
    codes, and its labels are those of the patient's set: 0, 1, 2, 4, or 0, 1, 2, 3 from 2023 on. The file is written
    beside its final name and then moved there, so that it is whole or absent.

    Args:
        path: ends in `.nii.gz`; `scan.convention.seg_name(scan.id)` is the name that the patient's set has for it.
        labels: (rows, columns, slices) with values 0 to 3.
        grid: the scan the labels belong to; or the (4, 4) affine of one, for labels in the order of that affine.

    Returns:
        `path`.

    Raises:
        ValueError: `path` has another ending, or the labels are not of this scan.
        FileExistsError: the file exists; nothing is overwritten.
        DataError: the disk is full.
    """
    path = Path(path)
    if not path.name.endswith(".nii.gz"):
        raise ValueError(f"{path}: a segmentation is written as .nii.gz; give a name that ends so.")
    if path.exists():
        raise FileExistsError(f"{path} is there already and is not overwritten; move it away or choose another folder.")
    if isinstance(grid, Scan) and labels.shape != grid.images.shape[:3]:
        raise ValueError(f"{path}: labels of shape {labels.shape} for a scan of {grid.images.shape[:3]}; give its own.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path, labels.nbytes // 100) as scratch:
        nib.save(_image(labels, grid), scratch)
    return path


def _image(labels: np.ndarray, grid: Scan | np.ndarray) -> nib.Nifti1Image:
    if isinstance(grid, Scan) and grid.geometry is not None:
        return grid.geometry.mask_image(to_disk(labels, grid.convention.enhancing))
    affine = grid.affine if isinstance(grid, Scan) else grid
    image = nib.Nifti1Image(to_disk(labels), affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")  # some viewers read the one, some the other
    return image


def unusual_voxels(scan: Scan) -> list[str]:
    """Warnings for a patient whose voxels can be read, but are not as a scanner makes them.

    A few voxels that lie beyond all others by orders of magnitude are no tissue, and z-scores are relative to the
    standard deviation: one of them hides the whole brain. A volume of few values is a mask, and the same volume twice
    is one file under two names.

    Args:
        scan: any patient.

    Returns:
        A sentence each.
    """
    warnings = []
    for number, modality in enumerate(scan.modalities):
        image = scan.image(modality)
        warnings += [
            f"{modality} and {other} are the same volume: one of the files is wrong. Do not use this mask."
            for other in scan.modalities[:number]
            if np.array_equal(image[::8, ::8, ::8], scan.image(other)[::8, ::8, ::8])
            and np.array_equal(image, scan.image(other))
        ]
        if len(np.unique(image[::4, ::4, ::4])) < _LEVELS and len(levels := np.unique(image)) < _LEVELS:
            warnings.append(
                f"{modality}: only {len(levels)} different values: is it a mask, or were its grey levels lost? Export "
                "the volume again, and do not use this mask."
            )
        largest = max(float(image.max()), -float(image.min()))
        beyond = image > largest / _FAR
        if image.min() < 0:
            beyond |= image < -largest / _FAR
        few = int(np.count_nonzero(beyond))
        if few <= max(1, _FEW * image.size):
            rest = float(np.abs(image[~beyond]).max())
            warnings.append(
                f"{modality}: {few:,} voxel{'s' if few > 1 else ''} of up to {largest:.3g}, all others at most "
                f"{rest:.3g}: the brain has no contrast beside {'them' if few > 1 else 'it'}. Export the volume again, "
                "and do not use this mask."
            )
    return warnings
