"""Volumes and pictures written as DICOM, as a scanner and an archive would: phantoms for whatever reads them."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pydicom import Dataset

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
X_RAY = "1.2.840.10008.5.1.4.1.1.1.1"
_UNCOMPRESSED = "1.2.840.10008.1.2.1"  # explicit VR, little endian
_ROOT = "1.2.826.0.1.3680043.8.498."  # of pydicom, for UIDs that nobody else makes

SCANNED: Mapping[str, dict[str, Any]] = {
    "flair": {"SeriesDescription": "t2_flair_tra", "RepetitionTime": 9000, "EchoTime": 90, "InversionTime": 2500,
              "ScanningSequence": ["SE", "IR"]},
    "t1": {"SeriesDescription": "t1_se_tra", "RepetitionTime": 500, "EchoTime": 9, "ScanningSequence": "SE"},
    "t1ce": {"SeriesDescription": "t1_se_tra gd", "RepetitionTime": 500, "EchoTime": 9, "ScanningSequence": "SE",
             "ContrastBolusAgent": "Gadobutrol"},
    "t2": {"SeriesDescription": "t2_tse_tra", "RepetitionTime": 5000, "EchoTime": 100, "ScanningSequence": "SE"},
}  # fmt: skip
"""What a scanner writes of each sequence."""


@dataclass(frozen=True)
class Visit:
    """What all files of a study share.

    Attributes:
        seed: of all UIDs: the same seed gives the same.
        patient: PatientName.
        patient_id: PatientID.
        frame: of reference; series with another number do not share their positions.
    """

    seed: int = 0
    patient: str = "Phantom^Patient"
    patient_id: str = "P0"
    frame: int = 0

    def uid(self, *parts: object) -> str:
        """A UID that these parts always give.

        Args:
            parts: what it is of.
        """
        from pydicom.uid import generate_uid

        return str(generate_uid(prefix=_ROOT, entropy_srcs=[str(self.seed), *map(str, parts)]))


def write_series(
    folder: str | os.PathLike,
    voxels: np.ndarray,
    affine: np.ndarray,
    kind: str = "t1",
    visit: Visit = Visit(),
    series: str | None = None,
    change: Callable[["Dataset", int], "Dataset | None"] = lambda data, place: data,
    tags: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write a volume as one DICOM series, a file a slice, named as archives do: by numbers, without a suffix.

    Args:
        folder: receives the files; made if it is missing.
        voxels: (columns, rows, slices), numbers that int16 holds.
        affine: (4, 4), voxel index to millimetres, x to the right, y to the front, z to the head (RAS).
        kind: of `SCANNED`.
        visit: patient and study.
        series: what the series' UID is made of; `kind` without.
        change: called with each file's data set and the place of its slice; what it returns is written, None is not.
        tags: further tags of every file.

    Returns:
        The files, in the order of their slices.
    """
    folder, paths, series = Path(folder), [], series or kind
    folder.mkdir(parents=True, exist_ok=True)
    taken = sum(1 for _ in folder.iterdir())
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    directions = lps[:3, :3] / spacing
    for place in range(voxels.shape[2]):
        data = _blank(visit, MR_IMAGE, series, place)
        for keyword, value in {
            "Modality": "MR",
            "FrameOfReferenceUID": visit.uid("frame", visit.frame),
            "PositionReferenceIndicator": "",
            "PatientPosition": "HFS",
            "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
            "MRAcquisitionType": "2D",
            "SequenceVariant": "SK",
            "ScanOptions": "",
            "EchoTrainLength": 1,
            "PixelSpacing": [_short(spacing[1]), _short(spacing[0])],
            "SliceThickness": _short(spacing[2]),
            "SpacingBetweenSlices": _short(spacing[2]),
            "ImageOrientationPatient": [_short(one) for one in directions[:, :2].T.ravel()],
            "ImagePositionPatient": [_short(one) for one in lps[:3, :3] @ [0, 0, place] + lps[:3, 3]],
            **SCANNED[kind],
            **(tags or {}),
        }.items():
            setattr(data, keyword, value)
        _set_pixels(data, np.ascontiguousarray(voxels[:, :, place].T), np.int16, bits=16)
        if (data := change(data, place)) is not None:
            paths.append(_save(data, folder / f"{taken + len(paths):08d}"))
    return paths


def write_radiograph(
    path: str | os.PathLike,
    levels: np.ndarray,
    inverted: bool = False,
    visit: Visit = Visit(),
    bits: int = 12,
    tags: Mapping[str, Any] | None = None,
) -> Path:
    """Write a radiograph as DICOM, the levels spread over the depth of the detector.

    Args:
        path: of the file.
        levels: (rows, columns) uint8, bones bright.
        inverted: store it as MONOCHROME1, in which large values are dark: the same picture.
        visit: patient and study.
        bits: of the detector.
        tags: further tags.

    Returns:
        `path`.
    """
    data = _blank(visit, X_RAY, Path(path).stem, 0)
    stored = np.round(levels.astype(np.float64) * ((2**bits - 1) / 255)).astype(np.uint16)
    _set_pixels(data, 2**bits - 1 - stored if inverted else stored, np.uint16, bits)
    data.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    for keyword, value in {
        "Modality": "DX",
        "ImageType": ["ORIGINAL", "PRIMARY", ""],
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "PixelSpacing": [0.2, 0.2],
        **(tags or {}),
    }.items():
        setattr(data, keyword, value)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return _save(data, Path(path))


def _blank(visit: Visit, kind: str, series: str, place: int) -> "Dataset":
    from pydicom.dataset import Dataset, FileMetaDataset

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = _UNCOMPRESSED
    data.file_meta.MediaStorageSOPClassUID = kind
    for keyword, value in {
        "SOPClassUID": kind,
        "SOPInstanceUID": visit.uid("image", series, place),
        "SeriesInstanceUID": visit.uid("series", series),
        "StudyInstanceUID": visit.uid("study"),
        "PatientName": visit.patient,
        "PatientID": visit.patient_id,
        "PatientBirthDate": "",
        "PatientSex": "O",
        "StudyDate": "20200102",
        "StudyTime": "120000",
        "StudyID": "1",
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "SeriesNumber": 1 + int(visit.uid("series", series)[-4:]),
        "InstanceNumber": place + 1,
        "Manufacturer": "phantom",
    }.items():
        setattr(data, keyword, value)
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    return data


def _set_pixels(data: "Dataset", pixels: np.ndarray, kind: type, bits: int) -> None:
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, bits, bits - 1
    data.PixelRepresentation = int(kind is np.int16)
    data.PixelData = pixels.astype(kind).tobytes()


def _save(data: "Dataset", path: Path) -> Path:
    data.save_as(path, enforce_file_format=True)
    return path


def _short(number: float) -> str:
    """A number in the 16 characters that DICOM has for one."""
    from pydicom.valuerep import format_number_as_ds

    return format_number_as_ds(float(number))
