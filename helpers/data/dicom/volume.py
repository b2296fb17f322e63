"""One series as a volume: its slices by position, its voxels in the scanner's units, and where they lie.

A series is a heap of slices. In which order they belong, and how far apart they lie, stands in the position of each
alone: names, and the numbers of the images, follow no rule. So slices are sorted along the normal of their plane, and
whatever cannot be a box of equal voxels is refused: a gap would be closed without a word, and an outline on it would be
of the wrong size and in the wrong place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.data.dicom.catalogue import Series
from helpers.data.dicom.headers import AGAIN, Instance, each, number, numbers, quiet
from helpers.data.dicom.pixels import read_frames
from helpers.runtime.errors import DataError

if TYPE_CHECKING:
    from pydicom import Dataset

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_UNIT = 1e-3  # by which a direction may miss the length 1, and two of them a right angle
_SAME_PLANE = 2e-3  # by which directions of the slices of a series may differ: rounding, as some scanners write it
_UNEVEN = 0.02, 0.02  # by which a step between slices may differ: a part of it, and millimetres
_TILT_DEGREES = 0.5
_SPACING_MM = (0.05, 20.0)


@dataclass(frozen=True, eq=False)
class Frame:
    """One slice: a file, or a frame of a multi-frame file.

    Attributes:
        instance: the file.
        index: the frame in the file, from 0 on.
        position: (3,) mm, the centre of its first voxel; x to the left, y to the back, z to the head.
        along: (2, 3), the directions in which columns and rows are counted.
        spacing: millimetres between rows and between columns.
        shape: (rows, columns).
        slope: of the rescaling to the scanner's units.
        intercept: of the same.
    """

    instance: Instance
    index: int
    position: np.ndarray
    along: np.ndarray
    spacing: tuple[float, float]
    shape: tuple[int, int]
    slope: float
    intercept: float


@dataclass(frozen=True, eq=False)
class DicomVolume:
    """A series as a volume.

    Attributes:
        series: of the catalogue.
        voxels: (columns, rows, slices) float32, in the scanner's units; slices by position along the normal.
        affine: (4, 4), voxel index to millimetres, x to the right, y to the front, z to the head, as nibabel has it.
        frames: the slices, in the order of the last axis of `voxels`.
        notes: what a user has to know of how it was read, a sentence each.
    """

    series: Series
    voxels: np.ndarray
    affine: np.ndarray
    frames: tuple[Frame, ...]
    notes: tuple[str, ...] = ()

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between columns, rows and slices."""
        return tuple(float(mm) for mm in np.linalg.norm(self.affine[:3, :3], axis=0))


def read_volume(series: Series) -> DicomVolume:
    """Read a series as a volume.

    Args:
        series: of a catalogue.

    Raises:
        DataError: it is no box of equal voxels (geometry is missing or contradicts itself, slices are missing, doubled,
            unevenly spaced, tilted, or of several planes or sizes), or its pixels cannot be read. The message names
            series and file, what was expected and how to mend it.
    """
    try:
        if series.problems:
            raise DataError(series.problems[0])
        frames = [frame for instance in series.instances for frame in _frames(instance)]
        step, frames, notes = _stack(series, frames)
        pixels, remarks = read_frames([(frame.instance, frame.index, frame.slope, frame.intercept) for frame in frames])
        _check_filled(frames, pixels)
    except DataError as error:
        raise DataError(f"Series {series.uid}: {error}.") from error
    first = frames[0]
    affine = np.eye(4)
    affine[:3, 0] = first.along[0] * first.spacing[1]
    affine[:3, 1] = first.along[1] * first.spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    voxels = np.transpose(pixels, (2, 1, 0))
    return DicomVolume(series, voxels, _LPS_TO_RAS @ affine, tuple(frames), (*series.remarks, *notes, *remarks))


def _frames(instance: Instance) -> list[Frame]:
    """The slices of a file.

    Raises:
        DataError: a position, direction, spacing or size is missing or cannot be.
    """
    header = instance.header
    with quiet():
        groups = header.get("PerFrameFunctionalGroupsSequence")
        if not groups:
            if (instance.number("NumberOfFrames") or 1) > 1:
                raise DataError(
                    f"{instance.label}: {instance.number('NumberOfFrames'):.0f} frames without a position of their own "
                    "(no PerFrameFunctionalGroupsSequence). Export the original series"
                )
            return [_frame(instance, 0, [header])]
        shared = header.get("SharedFunctionalGroupsSequence")
        return [
            _frame(instance, index, [*_items(group), *_items(shared[0] if shared else None), header])
            for index, group in enumerate(groups)
        ]


def _items(group: "Dataset | None") -> list["Dataset"]:
    """The first item of each of the functional groups of a frame, of those that place it."""
    names = (
        "PlanePositionSequence",
        "PlaneOrientationSequence",
        "PixelMeasuresSequence",
        "PixelValueTransformationSequence",
    )
    return [group[name][0] for name in names if group is not None and group.get(name)]


def _frame(instance: Instance, index: int, places: Sequence["Dataset"]) -> Frame:
    """One slice, from the first of these data sets that has each tag.

    Raises:
        DataError: a tag is missing or cannot be.
    """

    def find(keyword: str, count: int) -> tuple[float, ...] | None:
        return next((found for place in places if (found := numbers(place, keyword, count))), None)

    def scalar(keyword: str, default: float) -> float:
        return next((found for place in places if (found := number(place, keyword)) is not None), default)

    wanted = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
    found = {keyword: find(keyword, count) for keyword, count in wanted.items()}
    if missing := [keyword for keyword, values in found.items() if values is None]:
        raise DataError(
            f"{instance.label} has no {' and no '.join(missing)}, so nobody knows where this slice lies; expected "
            "the three tags of geometry in every file. Export the original series, not a screenshot or a copy without "
            "geometry"
        )
    along = np.reshape(found["ImageOrientationPatient"], (2, 3))
    if abs(np.linalg.norm(along, axis=1) - 1).max() > _UNIT or abs(along[0] @ along[1]) > _UNIT:
        raise DataError(
            f"{instance.label}: its ImageOrientationPatient is no pair of directions (lengths "
            f"{np.linalg.norm(along[0]):.3g} and {np.linalg.norm(along[1]):.3g}, expected 1, at a right angle). {AGAIN}"
        )
    along = along / np.linalg.norm(along, axis=1, keepdims=True)
    if not all(_SPACING_MM[0] <= mm <= _SPACING_MM[1] for mm in found["PixelSpacing"]):
        raise DataError(
            f"{instance.label}: its PixelSpacing is {found['PixelSpacing'][0]:.3g} x {found['PixelSpacing'][1]:.3g} "
            f"mm; expected {_SPACING_MM[0]:g} to {_SPACING_MM[1]:g} mm. {AGAIN}"
        )
    rows, columns = (int(instance.number(keyword) or 0) for keyword in ("Rows", "Columns"))
    return Frame(
        instance,
        index,
        np.array(found["ImagePositionPatient"]),
        along,
        found["PixelSpacing"],
        (rows, columns),
        scalar("RescaleSlope", 1.0),
        scalar("RescaleIntercept", 0.0),
    )


def _stack(series: Series, frames: list[Frame]) -> tuple[np.ndarray, list[Frame], list[str]]:
    """The step from slice to slice in mm (3,), the slices in order, and notes.

    Raises:
        DataError: the slices are no box of equal voxels.
    """
    _check_alike(series, frames)
    if len(frames) < 2:
        raise DataError("one slice; expected a whole series. Export all of its images")
    normal = np.cross(*frames[0].along)
    heights = np.array([frame.position @ normal for frame in frames])
    order = np.argsort(heights, kind="stable")
    frames, heights = [frames[place] for place in order], heights[order]
    steps = np.diff(heights)
    typical = float(np.median(steps))
    _check_doubled(frames, steps, heights)
    tolerance = _UNEVEN[0] * typical + _UNEVEN[1]
    if (wrong := np.abs(steps - typical) > tolerance).any():
        raise DataError(_uneven(heights, steps, typical, wrong))
    _check_count(frames)
    step = (frames[-1].position - frames[0].position) / (len(frames) - 1)
    _check_straight(frames, step, normal)
    notes = _check_spacing(frames, float(step @ normal))
    _check_letters(frames[0])
    if not (typical >= _SPACING_MM[0] and typical <= _SPACING_MM[1]):
        raise DataError(f"its slices lie {typical:.3g} mm apart; expected {_SPACING_MM[0]:g} to {_SPACING_MM[1]:g} mm")
    return step, frames, notes


def _check_alike(series: Series, frames: Sequence[Frame]) -> None:
    """Refuse slices that differ in what all of a volume share.

    Raises:
        DataError: they are of several sizes, planes, pixel spacings, frames of reference or patients.
    """
    first = frames[0]
    for frame in frames[1:]:
        if frame.shape != first.shape:
            sizes = " and ".join(f"{shape[1]} x {shape[0]}" for shape in dict.fromkeys(one.shape for one in frames))
            raise DataError(
                f"its slices are of several sizes ({sizes} pixels, {frame.instance.label} among them); expected one. "
                "Name another series, or export this one in parts of one size"
            )
        if np.abs(frame.along - first.along).max() > _SAME_PLANE:
            angle = np.degrees(np.arccos(np.clip(abs(np.cross(*frame.along) @ np.cross(*first.along)), 0, 1)))
            raise DataError(
                f"its slices lie in several planes ({angle:.1f} degrees between {first.instance.label} and "
                f"{frame.instance.label}); expected parallel slices, as a localiser has not. Name another series"
            )
        if np.abs(np.subtract(frame.spacing, first.spacing)).max() > 1e-3 * max(first.spacing):
            raise DataError(
                f"its slices have several pixel spacings ({first.spacing[0]:.4g} and {frame.spacing[0]:.4g} mm, "
                f"{frame.instance.label}); expected one. {AGAIN}"
            )
    if len(each(list(series.instances), lambda one: one.uid("FrameOfReferenceUID") or None)) > 1:
        raise DataError(f"its files have several frames of reference, so their positions do not compare. {AGAIN}")
    for index, tag in enumerate(("PatientID", "PatientBirthDate")):
        if len(each(list(series.instances), lambda one, index=index: one.subject[index] or None)) > 1:
            raise DataError(f"its files have several values of {tag}; expected one patient. Sort the files by patient")


def _check_doubled(frames: Sequence[Frame], steps: np.ndarray, heights: np.ndarray) -> None:
    """Refuse two slices at one position.

    Raises:
        DataError: there are some; the message says in what they differ.
    """
    same = np.flatnonzero(steps < max(1e-3, 0.1 * float(np.percentile(steps, 90))))
    if not same.size:
        return
    one, other = frames[same[0]], frames[same[0] + 1]
    differing = [
        f"{keyword} {a:g} and {b:g}"
        for keyword in ("EchoTime", "TemporalPositionIdentifier", "DiffusionBValue", "AcquisitionNumber")
        if (a := one.instance.number(keyword)) != (b := other.instance.number(keyword)) and None not in (a, b)
    ]
    which = "; ".join([f"{one.instance.label} and {other.instance.label}", *differing])
    raise DataError(
        f"{same.size} positions have two slices, the first at {heights[same[0]]:.2f} mm along the normal ({which}); "
        "expected one slice a position. Export one echo, one time and one acquisition alone, or remove the copies"
    )


def _uneven(heights: np.ndarray, steps: np.ndarray, typical: float, wrong: np.ndarray) -> str:
    first = int(np.flatnonzero(wrong)[0])
    whole = steps[wrong] / typical
    between = f"between {heights[first]:.2f} and {heights[first + 1]:.2f} mm along the normal"
    if (np.abs(whole - np.rint(whole)) < 0.1).all() and (whole > 1.5).all():
        missing = int(np.rint(whole - 1).sum())
        return (
            f"{missing} slice{'s are' if missing > 1 else ' is'} missing, the first {between} (slices lie "
            f"{typical:.3g} mm apart). Export the whole series again"
        )
    return (
        f"its slices lie unevenly: {steps[first]:.3g} mm {between}, {typical:.3g} mm elsewhere; expected one distance. "
        "Export the whole series again, or name another"
    )


def _check_count(frames: Sequence[Frame]) -> None:
    """Refuse a series with fewer images than its header counts: a missing first or last slice leaves no gap.

    Raises:
        DataError: images are missing.
    """
    instances = list(dict.fromkeys(frame.instance for frame in frames))
    claimed = {one.number("ImagesInAcquisition") for one in instances}
    acquisitions = {one.number("AcquisitionNumber") for one in instances}
    if len(claimed) == len(acquisitions) == 1 and (count := claimed.pop() or 0) > len(frames):
        raise DataError(
            f"{len(frames)} slices are here, and its header counts {count:.0f} (ImagesInAcquisition). Export the whole "
            "series again"
        )


def _check_straight(frames: Sequence[Frame], step: np.ndarray, normal: np.ndarray) -> None:
    """Refuse a tilted stack, and slices beside the line of the others.

    Raises:
        DataError: positions move along the plane as well.
    """
    tilt = float(np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1, 1))))
    if tilt > _TILT_DEGREES:
        raise DataError(
            f"its slices are shifted against each other, by {tilt:.1f} degrees from their normal (a tilted gantry); "
            "expected a box. Have the scanner or the archive reformat it to a straight stack"
        )
    line = np.array([frames[0].position + place * step for place in range(len(frames))])
    off = np.linalg.norm(line - np.array([frame.position for frame in frames]), axis=1)
    if off.max() > max(0.1, 0.1 * min(frames[0].spacing)) + _UNEVEN[0] * float(np.linalg.norm(step)):
        worst = frames[int(off.argmax())].instance.label
        raise DataError(f"{worst} lies {off.max():.2f} mm beside the line of the other slices; expected a box. {AGAIN}")


def _check_spacing(frames: Sequence[Frame], step: float) -> list[str]:
    """Compare the distance that positions give with the one that the header claims; a note where it is the gap alone.

    Raises:
        DataError: the two contradict each other.
    """
    first = frames[0].instance
    claimed, thickness = (_measure(first, keyword) for keyword in ("SpacingBetweenSlices", "SliceThickness"))
    tolerance = _UNEVEN[0] * step + _UNEVEN[1]
    if not claimed or abs(claimed - step) <= tolerance:
        return []
    if thickness and claimed < thickness and abs(claimed + thickness - step) <= tolerance:
        return [f"SpacingBetweenSlices is the gap alone ({claimed:.3g} mm); positions give {step:.3g} mm, which count"]
    raise DataError(
        f"its positions lie {step:.3g} mm apart and its SpacingBetweenSlices says {claimed:.3g} mm, so one of the two "
        f"is wrong and volumes would be by a factor {claimed / step:.2g}. Ask the archive for the original, or correct "
        "the header"
    )


def _check_filled(frames: Sequence[Frame], pixels: np.ndarray) -> None:
    """Refuse a series with empty slices between others, as an export leaves that was stopped or could not decode.

    Raises:
        DataError: there are some.
    """
    filled = np.flatnonzero([one.min() < one.max() for one in pixels])
    if empty := sorted(set(range(filled[0], filled[-1])) - set(filled.tolist())) if filled.size else []:
        raise DataError(
            f"{len(empty)} slice{'s' if len(empty) > 1 else ''} between others {'are' if len(empty) > 1 else 'is'} "
            f"empty (every pixel is the same), {frames[empty[0]].instance.label} first; expected an image in each. "
            "Export the whole series again"
        )


def _measure(instance: Instance, keyword: str) -> float | None:
    """A distance of the header, also of a multi-frame file, as its size."""
    places: list[Any] = [instance.header]
    with quiet():
        if shared := instance.header.get("SharedFunctionalGroupsSequence"):
            places = [*_items(shared[0]), *places]
    value = next((found for place in places if (found := number(place, keyword)) is not None), None)
    return None if value is None else abs(value)


def _check_letters(frame: Frame) -> None:
    """Compare the letters of PatientOrientation with the directions that the numbers give.

    Raises:
        DataError: a letter says the opposite of its direction.
    """
    letters = frame.instance.words("PatientOrientation")
    if len(letters) != 2 or not all(letters):
        return
    for said, direction, of in zip(letters, frame.along, ("rows", "columns"), strict=True):
        signs = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "H": (2, 1), "F": (2, -1)}
        if (found := signs.get(said[0])) and direction[found[0]] * found[1] < -0.1:
            raise DataError(
                f"its PatientOrientation says that {of} run to {said[0]}, its ImageOrientationPatient says the "
                "opposite: left and right, front and back or head and feet are exchanged in one of them. Ask where it "
                "was exported which is right, and correct the other"
            )
