"""The 40 faults of the obstacle course, each with what betrays it and what a reader may do about it."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers.bench.obstacles.patient import Patient, about, rigid
from helpers.data.phantoms.dicom import SCANNED, Visit, write_radiograph, write_series
from helpers.data.phantoms.radiograph import plan_radiograph
from helpers.data.phantoms.thorax import take_xray

if TYPE_CHECKING:
    from pydicom import Dataset

_TILT_DEGREES, _GAP_MM, _OBLIQUE = 15.0, 10.0, (18.0, 7.0, -12.0)
_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_ENHANCED = "1.2.840.10008.5.1.4.1.1.4.1"
_SYNTAX = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"


@dataclass(frozen=True)
class Fault:
    """What is wrong with a patient's files.

    Attributes:
        name: a few words.
        betrays: what in the files shows it.
        build: writes the patient.
        mend: whether the files hold all that it takes to read them rightly.
        words: of which a refusal has to have one, in lower case; none where it is wrong to refuse.
    """

    name: str
    betrays: str
    build: Callable[[Patient], None]
    mend: bool
    words: tuple[str, ...] = ()


def _order(patient: Patient) -> None:
    patient.write_others()
    paths = sorted(patient.folder.iterdir())
    for path in paths:
        path.rename(path.with_suffix(".old"))
    for path, place in zip(paths, patient.rng.permutation(len(paths)), strict=True):
        path.with_suffix(".old").rename(patient.folder / f"IM{place:05d}.dcm")


def _numbers(patient: Patient) -> None:
    lies = patient.rng.permutation(patient.slices)
    patient.write("flair", lambda data, place: _with(data, InstanceNumber=int(lies[place]) + 1))
    patient.write_others("flair")


def _gap(patient: Patient) -> None:
    patient.write("flair", lambda data, place: _lifted(data, _GAP_MM * (place > patient.slices // 2)))
    patient.write_others("flair")


def _doubled(patient: Patient) -> None:
    middle = patient.slices // 2
    same = _series(patient.write("flair")[0])
    again = np.roll(patient.images["flair"], 2, axis=0)

    def another(data: "Dataset", place: int) -> "Dataset | None":
        uid = patient.visit.uid("again", place)
        data.file_meta.MediaStorageSOPInstanceUID = uid
        return _with(data, SOPInstanceUID=uid, **same) if place == middle else None

    patient.write("flair", another, voxels=again, series="again")
    patient.write_others("flair")


def _missing(patient: Patient) -> None:
    patient.write("flair", lambda data, place: None if place == patient.slices // 2 else data)
    patient.write_others("flair")


def _cut_off(patient: Patient) -> None:
    count = patient.slices

    def counted(data: "Dataset", place: int) -> "Dataset | None":
        return _with(data, ImagesInAcquisition=count, AcquisitionNumber=1) if place < count - 6 else None

    patient.write("flair", counted)
    patient.write_others("flair")


def _tilted(patient: Patient) -> None:
    shear = np.tan(np.radians(_TILT_DEGREES))
    step = float(np.linalg.norm(patient.affine[:3, 2]))

    def sheared(data: "Dataset", place: int) -> "Dataset":
        x, y, z = map(float, data.ImagePositionPatient)
        return _with(data, ImagePositionPatient=[_short(x), _short(y + shear * step * place), _short(z)])

    affine = patient.affine.copy()
    affine[1, 2] -= shear * step  # y runs to the front here, and to the back in DICOM
    patient.truth["flair"] = patient.images["flair"], affine
    patient.write("flair", sheared)
    patient.write_others("flair")


def _xray(patient: Patient) -> None:
    radiograph = plan_radiograph(patient.rng, "montgomery", 192)
    levels, _ = take_xray(patient.rng, radiograph, False, False)
    write_radiograph(patient.folder / "IM0001.dcm", levels, inverted=True, visit=patient.visit)
    patient.truth["radiograph"] = levels.T[:, :, None].astype(np.int16), np.diag([-1.0, -1.0, 1.0, 1.0])


def _slopes(patient: Patient) -> None:
    factors = patient.rng.uniform(0.25, 2.0, patient.slices).round(3)
    stored = np.rint(patient.images["flair"] / factors).astype(np.int16)
    patient.truth["flair"] = (stored * factors).astype(np.float32), patient.affine
    patient.write(
        "flair",
        lambda data, place: _with(data, RescaleSlope=str(factors[place]), RescaleIntercept="0"),
        voxels=stored,
    )
    patient.write_others("flair")


def _names(patient: Patient) -> None:
    patient.names += ["Qvandermeerx", "Qokonkwox", "Qlindqvistx"]
    patient.visit = Visit(patient.visit.seed, "Qvandermeerx^Annelies", "Qvandermeerx-1954")
    patient.folder /= "Qvandermeerx^Annelies"

    def planted(data: "Dataset", place: int) -> "Dataset":
        del place
        text = f"{data.SeriesDescription} Qvandermeerx"
        block = data.private_block(0x0029, "PHANTOM HEADER", create=True)
        block.add_new(0x10, "LO", "Qlindqvistx")
        return _with(data, SeriesDescription=text, ReferringPhysicianName="Qokonkwox^C", ImageComments="Qvandermeerx")

    for kind in patient.images:
        patient.write(kind, planted)
    for place, path in enumerate(sorted(patient.folder.iterdir())):
        path.rename(path.with_name(f"Qvandermeerx_{place:04d}.dcm"))


def _skull(patient: Patient) -> None:
    import scipy

    brain = patient.images["t1"] > 0
    spacing = np.linalg.norm(patient.affine[:3, :3], axis=0)
    away = scipy.ndimage.distance_transform_edt(~brain, sampling=spacing)
    for kind in patient.images:
        image = patient.images[kind].astype(np.float32)
        bright = float(np.percentile(image[brain], 90))
        head = np.where((away > 9) & (away <= 16), bright, np.where((away > 3) & (away <= 9), 0.1 * bright, image))
        noise = np.abs(patient.rng.normal(0, 0.02 * bright, image.shape))
        patient.write(kind, voxels=np.rint(head + noise * (head == 0)).astype(np.int16))


def _moved(patient: Patient) -> None:
    _move(patient, patient.visit)


def _other_frame(patient: Patient) -> None:
    visit = patient.visit
    _move(patient, Visit(visit.seed, visit.patient, visit.patient_id, frame=1))


def _move(patient: Patient, visit: Visit) -> None:
    matrix = about(patient.middle, rigid((6.0, -5.0, 8.0), (5.0, -4.0, 3.0)))
    moved = patient.moved("t2", matrix)
    patient.truth["t2"] = moved, np.linalg.inv(matrix) @ patient.affine
    patient.spaces.append(matrix)
    patient.write("t2", voxels=moved, visit=visit)
    patient.write_others("t2")


def _swapped(patient: Patient) -> None:
    for kind, other in (("t1", "t2"), ("t2", "t1")):
        patient.write(kind, tags={"SeriesDescription": SCANNED[other]["SeriesDescription"]})
    patient.write_others("t1", "t2")


def _letters(patient: Patient) -> None:
    patient.write("flair", tags={"PatientOrientation": ["R", "P"]})
    patient.write_others("flair")


def _spacing(patient: Patient) -> None:
    step = float(np.linalg.norm(patient.affine[:3, 2]))
    patient.write("flair", tags={"SpacingBetweenSlices": _short(2 * step), "SliceThickness": _short(step)})
    patient.write_others("flair")


def _thickness(patient: Patient) -> None:
    step = float(np.linalg.norm(patient.affine[:3, 2]))
    patient.write("flair", lambda data, _: _without(data, "SpacingBetweenSlices"), tags={"SliceThickness": 1.5 * step})
    patient.write_others("flair")


def _captures(patient: Patient) -> None:
    patient.write_others()

    def screen(data: "Dataset", place: int) -> "Dataset | None":
        data.file_meta.MediaStorageSOPClassUID = _CAPTURE
        data = _without(data, "ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID")
        return _with(data, SOPClassUID=_CAPTURE, ConversionType="WSD") if place < 3 else None

    _besides(patient, "flair", screen, "captures", {"SeriesDescription": "t2_flair key images"})


def _localisers(patient: Patient) -> None:
    patient.write_others()
    planes = {0: [1, 0, 0, 0, 1, 0], 1: [1, 0, 0, 0, 0, -1], 2: [0, 1, 0, 0, 0, -1]}

    def scout(data: "Dataset", place: int) -> "Dataset | None":
        types = ["ORIGINAL", "PRIMARY", "M", "LOCALIZER"]
        return _with(data, ImageType=types, ImageOrientationPatient=planes[place % 3]) if place < 9 else None

    _besides(patient, "t1", scout, "scout", {"SeriesDescription": "t1 localizer 3-plane"})


def _truncated(patient: Patient) -> None:
    path = patient.write("flair")[patient.slices // 2]
    os.truncate(path, int(path.stat().st_size * 0.6))
    patient.write_others("flair")


def _syntax(patient: Patient) -> None:
    for path in patient.write("flair"):
        path.write_bytes(path.read_bytes().replace(*_SYNTAX, 1))
    patient.write_others("flair")


def _two_studies(patient: Patient) -> None:
    patient.write_others()
    later = Visit(patient.visit.seed + 1000, patient.visit.patient, patient.visit.patient_id)
    for kind, image in patient.images.items():
        write_series(patient.folder, image[::-1].copy(), patient.affine, kind, later, tags={"StudyDate": "20210304"})


def _two_patients(patient: Patient) -> None:
    visit = patient.visit
    patient.write("t2", visit=Visit(visit.seed, "Phantom^Other", "PH-other"))
    patient.write_others("t2")


def _exported_twice(patient: Patient) -> None:
    patient.write_others()
    _besides(patient, "flair", lambda data, place: data, "exported again", {})


def _mixed(patient: Patient) -> None:
    half = patient.slices // 2
    upright = [1, 0, 0, 0, 0, -1]
    patient.write("flair", lambda data, place: _with(data, ImageOrientationPatient=upright) if place > half else data)
    patient.write_others("flair")


def _oblique(patient: Patient) -> None:
    patient.affine = about(patient.middle, rigid(_OBLIQUE, (3.0, -11.0, 6.0))) @ patient.affine
    patient.write_others()


def _thick(patient: Patient) -> None:
    image = patient.images["flair"][:, :, : patient.slices // 2 * 2].astype(np.float32)
    pairs = np.rint((image[:, :, ::2] + image[:, :, 1::2]) / 2).astype(np.int16)
    affine = patient.affine.copy()
    affine[:3, 3] += affine[:3, 2] / 2
    affine[:3, 2] *= 2
    patient.write("flair", voxels=pairs, affine=affine)
    patient.write_others("flair")


def _lacking(patient: Patient) -> None:
    patient.write_others("t2")


def _contrast(patient: Patient) -> None:
    patient.write(
        "t1ce", lambda data, _: _without(data, "ContrastBolusAgent"), tags={"SeriesDescription": "t1_se_tra post"}
    )
    patient.write_others("t1ce")


def _multi_frame(patient: Patient) -> None:
    import pydicom
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    paths = patient.write("flair")
    slices = [pydicom.dcmread(path) for path in paths]
    whole, frames = slices[0], Sequence()
    for place in patient.rng.permutation(len(slices)):
        one, frame, plane = slices[place], Dataset(), Dataset()
        plane.ImagePositionPatient = one.ImagePositionPatient
        frame.PlanePositionSequence = Sequence([plane])
        frames.append(frame)
        frame.pixels = one.PixelData
    shared, measures, direction = Dataset(), Dataset(), Dataset()
    for keyword in ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"):
        setattr(measures, keyword, whole[keyword].value)
    direction.ImageOrientationPatient = whole.ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([direction])
    whole.PixelData = b"".join(frame.__dict__.pop("pixels") for frame in frames)
    whole.SharedFunctionalGroupsSequence, whole.PerFrameFunctionalGroupsSequence = Sequence([shared]), frames
    whole.NumberOfFrames, whole.SOPClassUID = len(frames), _ENHANCED
    whole.file_meta.MediaStorageSOPClassUID = _ENHANCED
    _without(
        whole, "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
        "SpacingBetweenSlices", "InstanceNumber",
    )  # fmt: skip
    whole.InstanceNumber = 1
    for path in paths:
        path.unlink()
    whole.save_as(patient.folder / "multi", enforce_file_format=True)
    patient.write_others("flair")


def _zeros(patient: Patient) -> None:
    image = patient.images["flair"].copy()
    middle = patient.slices // 2
    image[:, :, middle : middle + 4] = 0
    patient.write("flair", voxels=image)
    patient.write_others("flair")


def _signs(patient: Patient) -> None:
    patient.write("flair", lambda data, place: _with(data, PixelRepresentation=place % 2))
    patient.write_others("flair")


def _twelve_bits(patient: Patient) -> None:
    image = patient.images["flair"]
    image = np.rint(image * min(1.0, 4000 / image.max())).astype(np.int16)

    def with_overlay(data: "Dataset", place: int) -> "Dataset":
        stored = np.frombuffer(data.PixelData, "<u2").copy()
        stored[place::7] |= 1 << 13  # an overlay as old scanners keep it, in bits that no pixel uses
        data.PixelData = stored.tobytes()
        for element, vr, value in ((0x10, "US", data.Rows), (0x11, "US", data.Columns), (0x40, "CS", "G")):
            data.add_new(0x60000000 + element, vr, value)
        data.add_new(0x60000100, "US", 16)
        data.add_new(0x60000102, "US", 13)
        return _with(data, BitsStored=12, HighBit=11, PixelRepresentation=0)

    patient.write("flair", with_overlay, voxels=image)
    patient.write_others("flair")


def _long_pixels(patient: Patient) -> None:
    affine = patient.affine.copy()
    affine[:3, 3] += affine[:3, 0] / 2
    affine[:3, 0] *= 2
    image = patient.images["flair"].astype(np.float32)
    patient.write("flair", voxels=np.rint((image[::2] + image[1::2]) / 2).astype(np.int16), affine=affine)
    patient.write_others("flair")


def _centimetres(patient: Patient) -> None:
    def shrunk(data: "Dataset", place: int) -> "Dataset":
        del place
        for keyword in ("PixelSpacing", "ImagePositionPatient", "SliceThickness", "SpacingBetweenSlices"):
            value = data[keyword].value
            tenth = [_short(float(one) / 10) for one in value] if hasattr(value, "__len__") else _short(value / 10)
            setattr(data, keyword, tenth)
        return data

    for kind in patient.images:
        patient.write(kind, shrunk)


def _directory(patient: Patient) -> None:
    from pydicom.fileset import FileSet

    patient.write_others()
    files = FileSet()
    for path in sorted(patient.folder.iterdir()):
        files.add(path)
    files.write(patient.folder / "export")
    for path in patient.folder.iterdir():
        if path.is_file():
            path.unlink()


def _bare(patient: Patient) -> None:
    import pydicom

    patient.write_others()
    for path in patient.folder.iterdir():
        data = pydicom.dcmread(path)
        del data.file_meta
        data.preamble = None
        path.unlink()
        data.save_as(path, implicit_vr=True, little_endian=True)


def _junk(patient: Patient) -> None:
    patient.write_others()
    (patient.folder / ".DS_Store").write_bytes(bytes(600))
    (patient.folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" * 90)
    (patient.folder / "viewer.exe").write_bytes(b"MZ" + bytes(400))
    (patient.folder / "letter.pdf").write_bytes(b"%PDF-1.4\n")
    (patient.folder / "notes.dcm").write_text("see the report")


def _echoes(patient: Patient) -> None:
    same = _series(patient.write("t2", tags={"EchoNumbers": 2})[0])

    def early(data: "Dataset", place: int) -> "Dataset":
        uid = patient.visit.uid("early", place)
        data.file_meta.MediaStorageSOPInstanceUID = uid
        return _with(data, SOPInstanceUID=uid, **same)

    echo = {"EchoTime": 20, "EchoNumbers": 1}
    write_series(patient.folder, patient.images["t1"], patient.affine, "t2", patient.visit, "early", early, echo)
    patient.write_others("t2")


def _copies(patient: Patient) -> None:
    patient.write_others()
    shutil.copytree(patient.folder, patient.folder / "copy of the CD")


_UNEVEN = ("gap", "uneven", "missing", "spaced", "distance", "uniform")
_TWICE = ("double", "two slices", "same position", "repeat", "echo", "different kinds")

FAULTS = (
    Fault("files in no order", "ImagePositionPatient", _order, True),
    Fault("InstanceNumber lies", "ImagePositionPatient", _numbers, True),
    Fault("a gap", "distances of positions", _gap, False, _UNEVEN),
    Fault("a doubled slice", "two images at one position", _doubled, False, _TWICE),
    Fault("a missing slice", "distances of positions", _missing, False, _UNEVEN),
    Fault("the last slices missing", "ImagesInAcquisition", _cut_off, False, ("missing", "slices are here", "counts")),
    Fault("gantry tilt", "positions beside the normal", _tilted, True, ("tilt", "shear", "from their normal")),
    Fault("MONOCHROME1", "PhotometricInterpretation", _xray, True),
    Fault("a rescale slope per slice", "RescaleSlope", _slopes, True),
    Fault("planted names", "PatientName", _names, True),
    Fault("skull on", "tissue around the brain", _skull, False, ("skull",)),
    Fault("moved between series", "the pixels of T2", _moved, True, ("moved", "motion", "registration")),
    Fault("another frame of reference", "FrameOfReferenceUID", _other_frame, True, ("of reference", "registration")),
    Fault(
        "descriptions swapped",
        "RepetitionTime, EchoTime",
        _swapped,
        False,
        ("but tr", "contradict", "disagree", "swap"),
    ),
    Fault("laterality", "PatientOrientation", _letters, False, ("patientorientation", "left and right", "lateral")),
    Fault("spacing against positions", "SpacingBetweenSlices", _spacing, False, ("spacingbetweenslices", "apart")),
    Fault("thickness is not spacing", "ImagePositionPatient", _thickness, True),
    Fault("secondary captures", "SOPClassUID", _captures, True),
    Fault("localisers", "ImageType", _localisers, True),
    Fault("a truncated file", "length of the pixel data", _truncated, False, ("truncat", "cut short", "not large")),
    Fault("an unknown transfer syntax", "TransferSyntaxUID", _syntax, False, ("syntax", "compress")),
    Fault("two studies", "StudyInstanceUID", _two_studies, False, ("studies",)),
    Fault("two patients", "PatientID", _two_patients, False, ("patientid", "patients", "one patient", "patient id")),
    Fault("one series exported twice", "equal pixels", _exported_twice, True, ("series could be", "twice")),
    Fault("mixed orientations", "ImageOrientationPatient", _mixed, False, ("orientation", "several planes")),
    Fault("oblique", "ImageOrientationPatient", _oblique, True),
    Fault("thick slices", "ImagePositionPatient", _thick, True),
    Fault("no T2", "the series that are there", _lacking, False, ("t2",)),
    Fault("contrast without its tag", "SeriesDescription", _contrast, True),
    Fault("multi-frame", "PerFrameFunctionalGroupsSequence", _multi_frame, True),
    Fault("empty slices", "pixels", _zeros, False, ("empty", "zero", "blank", "every pixel")),
    Fault("signed and unsigned", "PixelRepresentation", _signs, True),
    Fault("an overlay in unused bits", "BitsStored", _twelve_bits, True),
    Fault("pixels are not square", "PixelSpacing", _long_pixels, True),
    Fault("centimetres", "size of the head", _centimetres, True, ("it spans", "centimet", "too small")),
    Fault("a DICOMDIR", "MediaStorageSOPClassUID", _directory, True),
    Fault("no preamble, no suffix", "the first group", _bare, True),
    Fault("files that are no DICOM", "the first bytes", _junk, True, ("not a dicom", "no dicom", "without the uids")),
    Fault("two echoes in one series", "EchoTime", _echoes, True, _TWICE),
    Fault("every file twice", "SOPInstanceUID", _copies, True),
)
"""In the order of the patients."""


def _besides(
    patient: Patient, kind: str, change: Callable[["Dataset", int], "Dataset | None"], series: str, tags: dict
) -> None:
    write_series(patient.folder, patient.images[kind], patient.affine, kind, patient.visit, series, change, tags)


def _series(path: Path) -> dict[str, object]:
    """What tells to which series a file belongs."""
    import pydicom

    header = pydicom.dcmread(path, stop_before_pixels=True)
    return {keyword: header[keyword].value for keyword in ("SeriesInstanceUID", "SeriesNumber")}


def _with(data: "Dataset", **values: object) -> "Dataset":
    for keyword, value in values.items():
        setattr(data, keyword, value)
    return data


def _without(data: "Dataset", *keywords: str) -> "Dataset":
    for keyword in keywords:
        if keyword in data:
            delattr(data, keyword)
    return data


def _lifted(data: "Dataset", mm: float) -> "Dataset":
    x, y, z = map(float, data.ImagePositionPatient)
    return _with(data, ImagePositionPatient=[_short(x), _short(y), _short(z + mm)])


def _short(number: float) -> str:
    from pydicom.valuerep import format_number_as_ds

    return format_number_as_ds(float(number))
