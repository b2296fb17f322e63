"""An outline as DICOM segmentation, which an archive files beside its series and a viewer lays over it.

The segments carry the codes that the standard has for brain lesions (context group 7168): SNOMED for necrosis and
oedema; for an enhancing lesion, which SNOMED has not, those of the NCI Thesaurus. The header takes patient and study
from the series, without which no archive could file it: such a file is as private as the series itself.
"""

from pathlib import Path

import numpy as np

from helpers import __version__
from helpers.data.dicom.headers import quiet
from helpers.data.dicom.pixels import read_whole
from helpers.data.dicom.volume import DicomVolume
from helpers.runtime.disk import atomic_path
from helpers.runtime.errors import DataError

SEGMENTS = (
    ("Necrotic and non-enhancing core", "SCT", "6574001", "Necrosis"),
    ("Oedema", "SCT", "79654002", "Edema"),
    ("Enhancing tumour", "NCIt", "C113842", "Enhancing Lesion"),
)
"""Name, coding scheme, code and meaning of the segments 1, 2 and 3, which are the labels of the network."""


def write_dicom_segmentation(path: Path, labels: np.ndarray, volume: DicomVolume, model: str) -> Path:
    """Write labels as a DICOM segmentation of the series they lie on, and compare it voxel for voxel.

    The file is written beside its final name, opened again there, compared, and then moved.

    Args:
        path: of the file.
        labels: (columns, rows, slices) uint8, the network's labels 0 to 3, on the grid of `volume`.
        volume: the series.
        model: what the outline was made by, for the header; no patient's name.

    Returns:
        `path`.

    Raises:
        DataError: the labels are of another grid, the series lacks what the standard asks of its header, what was
            written reads differently, or the disk is full.
        FileExistsError: the file exists.
    """
    if labels.shape != volume.voxels.shape:
        raise DataError(f"labels of shape {labels.shape} for a series of {volume.voxels.shape}; give its own.")
    if path.exists():
        raise FileExistsError(f"{path} is there already and is not overwritten; choose another folder.")
    with atomic_path(path, labels.size) as scratch:
        try:
            with quiet():
                _build(labels, volume, model).save_as(scratch)
                read = read_dicom_segmentation(scratch, volume)
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # highdicom: a tag is missing or cannot be
            raise DataError(
                f"Series {volume.series.uid}: no DICOM segmentation can be made of it ({_told(error)}); the NIfTI file "
                "beside it is whole. Export the series from the archive again, with all its tags."
            ) from None
        if not np.array_equal(read, labels):
            raise DataError(
                f"{path}: {np.count_nonzero(read != labels):,} voxels read back differently; please report it."
            )
    return path


def read_dicom_segmentation(path: Path, volume: DicomVolume) -> np.ndarray:
    """The labels of a DICOM segmentation on the series it belongs to, by the images that its frames name.

    Args:
        path: of the file.
        volume: the series.

    Returns:
        (columns, rows, slices) uint8, on the grid of `volume`.
    """
    from highdicom.seg import segread

    with quiet():
        segmentation = segread(path)
        frames = volume.frames
        settings = {"combine_segments": True, "ignore_spatial_locations": True, "assert_missing_frames_are_empty": True}
        if _multi_frame(volume):
            read = segmentation.get_pixels_by_source_frame(
                frames[0].instance.text("SOPInstanceUID"), [frame.index + 1 for frame in frames], **settings
            )
        else:
            uids = [frame.instance.text("SOPInstanceUID") for frame in frames]
            read = segmentation.get_pixels_by_source_instance(uids, **settings)
    return np.transpose(read, (2, 1, 0)).astype(np.uint8)


def _multi_frame(volume: DicomVolume) -> bool:
    return len({frame.instance for frame in volume.frames}) == 1


def _build(labels: np.ndarray, volume: DicomVolume, model: str) -> "object":
    import highdicom as hd
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code
    from pydicom.uid import ExplicitVRLittleEndian

    frames = volume.frames
    by_file = list(dict.fromkeys(frame.instance for frame in frames))
    sources = [read_whole(instance) for instance in by_file]
    pixels = np.transpose(labels, (2, 1, 0))
    if _multi_frame(volume):  # in the order of the file
        pixels = pixels[np.argsort([frame.index for frame in frames])]
    algorithm = hd.AlgorithmIdentificationSequence(
        name="biomedseg-course", family=codes.DCM.ArtificialIntelligence, version=__version__
    )
    segments = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=Code(code, scheme, meaning),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            anatomic_regions=[codes.SCT.Brain],
        )
        for number, (label, scheme, code, meaning) in enumerate(SEGMENTS, start=1)
    ]
    return hd.seg.Segmentation(
        source_images=sources,
        pixel_array=np.ascontiguousarray(pixels),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=hd.UID(),
        series_number=9000 + int(frames[0].instance.number("SeriesNumber") or 0) % 1000,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="biomedseg-course",
        manufacturer_model_name=model[:64],
        software_versions=__version__,
        device_serial_number="0",
        content_label="TUMOUR",
        content_description="Brain tumour outlined by a network; not for diagnosis",
        series_description="Tumour outline (research)",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=bool(labels.any()),
    )


def _told(error: Exception) -> str:
    """What is wrong, without the values of tags: highdicom names the attribute that is missing."""
    words = str(error).split("'")
    return (
        f"{type(error).__name__}: {words[-2]}" if len(words) > 2 and words[-2].isidentifier() else type(error).__name__
    )
