"""Readers that run over the course and write its log: ours, and two that many scripts are made of.

The other two choose a series by its description, and among several the one with most slices, as scripts do that have
nothing else: neither claims to know which series is which, so a fault of that kind is the script's and not theirs.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np

from helpers.bench.obstacles.course import PATIENTS
from helpers.bench.obstacles.patient import KINDS
from helpers.data.dicom.catalogue import RADIOGRAPH, read_archive
from helpers.data.dicom.radiograph import read_radiograph
from helpers.data.dicom.study import read_study
from helpers.prepare.brain_extraction import check_extent, skull_fault
from helpers.prepare.network_space import find_space
from helpers.prepare.registration import Image
from helpers.runtime.disk import write_text
from helpers.runtime.errors import DataError

Volumes = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Voxels (columns, rows, slices) and affine (4, 4) of each kind."""

_CHAT = r"Chris|Found|Convert|Conversion|Warning: Empty protocol|\s*$"  # what dcm2niix says of every patient
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def run_reader(course: str | os.PathLike, out: str | os.PathLike, reader: str = "ours") -> Path:
    """Run a reader over the course.

    Args:
        course: the folder that `make_course` left.
        out: the folder for volumes and log; made if it is missing.
        reader: of `READERS`.

    Returns:
        The log, `log.jsonl` in `out`.

    Raises:
        DataError: there is no course, or the reader is not known or not installed.
    """
    folder, out = Path(course) / PATIENTS, Path(out)
    if not folder.is_dir():
        raise DataError(f"There is no course in {course}; make one by `python -m helpers obstacles make`.")
    if reader not in READERS:
        raise DataError(f"There is no reader {reader!r}; expected one of {', '.join(READERS)}.")
    read, lines = READERS[reader], []
    for patient in sorted(folder.iterdir()):
        entry: dict[str, object] = {"id": patient.name}
        try:
            volumes, message = read(patient)
            entry |= {"outcome": "mended", "message": message}
            entry["nifti"] = {kind: _save(out, patient.name, kind, *volume) for kind, volume in volumes.items()}
        except _DeclinedError as refusal:
            entry |= {"outcome": "refused", "message": str(refusal)}
        lines.append(json.dumps(entry))
    write_text("\n".join(lines) + "\n", out / "log.jsonl")
    return out / "log.jsonl"


class _DeclinedError(ValueError):
    """A patient that a reader does not deliver, with its words."""


def _save(out: Path, patient: str, kind: str, voxels: np.ndarray, affine: np.ndarray) -> str:
    path = out / f"{patient}_{kind}.nii"
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels.astype(np.float32), affine), path)
    return path.name


def _ours(folder: Path) -> tuple[Volumes, str]:
    try:
        archive = read_archive(folder)
        if all(series.kind == RADIOGRAPH for study in archive.studies for series in study.series):
            levels, notes = read_radiograph(archive.studies[0].series[0].first.path)
            return {RADIOGRAPH: (levels.T[:, :, None], np.eye(4))}, " ".join(notes)
        volumes = read_study(folder)
        images = {kind: Image(volume.voxels, volume.affine) for kind, volume in volumes.items()}
        for kind, image in images.items():
            check_extent(image, kind)
            if fault := skull_fault(image):
                raise DataError(f"{kind}: {fault}")
        frames = {kind: volume.series.first.uid("FrameOfReferenceUID") for kind, volume in volumes.items()}
        space = find_space(images, frames)
    except DataError as error:
        raise _DeclinedError(str(error)) from error
    notes = [note for volume in volumes.values() for note in volume.notes]
    placed = {
        kind: (image.voxels, np.linalg.inv(space.matrices[kind]) @ image.affine) for kind, image in images.items()
    }
    return placed, " ".join([*notes, *space.notes])


def _simpleitk(folder: Path) -> tuple[Volumes, str]:
    import SimpleITK as sitk  # noqa: N813 - the name it goes by

    reader, found, longest = sitk.ImageSeriesReader(), {}, {}
    with _standard_error() as text:
        for place in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
            for uid in reader.GetGDCMSeriesIDs(str(place)):
                files = reader.GetGDCMSeriesFileNames(str(place), uid)
                header = sitk.ImageFileReader()
                header.SetFileName(files[0])
                try:
                    header.ReadImageInformation()
                    keys = header.GetMetaDataKeys()
                    said = header.GetMetaData("0008|103e") if "0008|103e" in keys else ""
                    kind = header.GetMetaData("0008|0060").strip() if "0008|0060" in keys else ""
                    kind = RADIOGRAPH if kind in ("CR", "DX") else _described(said)
                    if kind and len(files) > longest.get(kind, 0):
                        found[kind], longest[kind] = sitk.ReadImage(files), len(files)
                except RuntimeError as error:
                    raise _DeclinedError(str(error)) from error
    _require(found, text[0])
    return {kind: _from_sitk(image) for kind, image in found.items()}, text[0]


def _from_sitk(image: object) -> tuple[np.ndarray, np.ndarray]:
    import SimpleITK as sitk  # noqa: N813

    voxels = sitk.GetArrayFromImage(image)
    if voxels.ndim != 3:
        raise _DeclinedError("a series is no volume of grey levels")
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return voxels.T, _LPS @ affine


def _dcm2niix(folder: Path) -> tuple[Volumes, str]:
    program = shutil.which("dcm2niix")
    if program is None:
        try:
            import dcm2niix

            program = dcm2niix.bin
        except ImportError as error:
            raise DataError("dcm2niix is not installed: python -m pip install 'biomedseg-course[clinic]'.") from error
    with tempfile.TemporaryDirectory() as scratch:
        command = [program, "-z", "n", "-b", "y", "-f", "%s_%d", "-o", scratch, str(folder)]
        answer = subprocess.run(command, capture_output=True, text=True, errors="replace")
        said = [line for line in (answer.stdout + answer.stderr).splitlines() if not re.match(_CHAT, line)]
        found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for path in sorted(Path(scratch).glob("*.json")):
            header = json.loads(path.read_text(errors="replace"))
            kind = _described(header.get("SeriesDescription", ""))
            kind = RADIOGRAPH if header.get("BodyPart") == "CHEST" else kind
            if kind and (image := path.with_suffix(".nii")).is_file():
                loaded = nib.load(image)
                if kind not in found or loaded.shape[-1] > found[kind][0].shape[-1]:
                    found[kind] = np.asarray(loaded.dataobj, np.float32), loaded.affine
    message = " ".join(said).replace(str(folder), "")
    _require(found, message)
    return found, message


def _described(text: str) -> str:
    """The kind of a series by its description, as a script would have it."""
    text = text.lower()
    if "flair" in text:
        return "flair"
    if "t1" in text:
        return "t1ce" if re.search("gd|post|km|ce", text) else "t1"
    return "t2" if "t2" in text else ""


def _require(found: Mapping[str, object], message: str) -> None:
    if RADIOGRAPH not in found and (missing := [kind for kind in KINDS if kind not in found]):
        raise _DeclinedError(f"no series of {', '.join(missing)}. {message}".strip())


@contextmanager
def _standard_error() -> Iterator[list[str]]:
    """What a library in C++ writes to standard error within the block, as the only entry of a list."""
    text, kept = [""], os.dup(2)
    with tempfile.TemporaryFile("w+b") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield text
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            text[0] = file.read().decode(errors="replace")


READERS: dict[str, Callable[[Path], tuple[Volumes, str]]] = {
    "ours": _ours,
    "simpleitk": _simpleitk,
    "dcm2niix": _dcm2niix,
}
"""By name: from a patient's folder to its volumes and a message."""
