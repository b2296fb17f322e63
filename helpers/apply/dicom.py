"""From the scanner's files to a mask in the archive: catalogue, volumes, registration, brain, network, and back.

Nothing is taken on trust. A series that nobody can name surely, a stack with a gap, a registration that does not undo
itself and a head with its skull are refused, each with what would mend it; what was decided and measured on the way
stands beside the masks in `study.json`. No message and no file of it has a patient's name, but the DICOM segmentation,
which has to carry the identity of its series, or no archive could file it.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers import __version__
from helpers.data.dicom.catalogue import Study, read_archive
from helpers.data.dicom.study import read_study
from helpers.data.dicom.volume import DicomVolume
from helpers.data.volumes import Scan, unusual_voxels, write_segmentation
from helpers.learn.run_folder import check_network, member_folders, read_run
from helpers.prepare.brain_extraction import check_extent, extract_brain, read_brain_mask, require_tool, skull_fault
from helpers.prepare.network_space import NetworkSpace, find_space
from helpers.prepare.registration import Image, write_transform
from helpers.runtime.disk import explain_full_disk, write_json
from helpers.runtime.errors import DataError
from helpers.runtime.outputs import scratch_folder, writable_folder
from helpers.runtime.settings import expanded
from helpers.tasks.brain.recipe import needed_modalities

if TYPE_CHECKING:
    from helpers.tasks.brain.inference import Segmenter  # which loads Keras

Log = Callable[[str], None]
RECORD = "study.json"


def predict_dicom(
    model_dir: str | os.PathLike,
    folders: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    named: Mapping[str, str] | None = None,
    brain_mask: str | os.PathLike | None = None,
    log: Log = print,
) -> list[Path]:
    """Outline the tumour of every study in folders of DICOM, on each series that the model reads.

    A study gets a folder of its own, named by a hash of its UID, that is built beside its final name and moved there:
    for each series `<kind>_seg.nii.gz` and `<kind>_seg.dcm`, the transforms, and `study.json`. A study that is finished
    is left as it is.

    Args:
        model_dir: folder of a `train brain`.
        folders: as an archive exports them.
        out: receives the folders of the studies.
        named: kind to SeriesInstanceUID, where a person has chosen; studies without these series are left out.
        brain_mask: NIfTI on the grid of one of the series, for a head that has its skull; of one study.
        log: called with a line for each study.

    Returns:
        The folders of the studies.

    Raises:
        DataError: some studies, or all, cannot be used (each is named, and the others get their masks); or the disk is
            full.
        FileExistsError: a study's folder is there, not as this command makes it. Nothing is overwritten.
    """
    model = _Model.of(model_dir)
    out = writable_folder(out)
    studies = _studies(folders, named)
    if brain_mask is not None and len(studies) > 1:
        raise DataError(f"--brain-mask is of one study, and {len(studies)} are here. Give the folder of one.")
    done: list[Path] = []
    refused: list[str] = []
    segmenter = None
    for study in studies:
        target = out / study.id
        try:
            read = _read(study, model, named, brain_mask)
            if read.made_of == _made_of(target):
                log(f"{study.id}: {target}, finished before")
            else:
                if os.path.lexists(target):
                    raise FileExistsError(
                        f"{target} is there already, not as this model makes it of these files, and not overwritten; "
                        "choose another --out."
                    )
                placed = _place(read, brain_mask)
                if segmenter is None:
                    from helpers.tasks.brain.inference import Segmenter

                    segmenter = Segmenter.load(model_dir)
                _write(target, read, placed, _outline(segmenter, placed.scan, placed.space))
                log(f"{study.id}: {target}" + "".join(f"\n  {note}" for note in placed.notes))
            done.append(target)
        except (DataError, MemoryError) as error:
            text = str(error) or "there is not enough memory for it"
            refused.append((text if study.id in text else f"{study.id}: {text}").rstrip(".") + ".")
    if refused and len(studies) == 1:
        raise DataError(refused[0])
    if refused:
        error = DataError.listing(f"Without a mask: {len(refused)} of {len(studies)} studies:", refused)
        raise error
    return done


@dataclass(frozen=True)
class _Model:
    """What a brain model reads, and what tells it from others."""

    modalities: tuple[str, ...]
    needed: tuple[str, ...]
    digest: str

    @classmethod
    def of(cls, folder: str | os.PathLike) -> "_Model":
        parameters = read_run(folder, "brain")["parameters"]
        check_network(folder)
        whole = hashlib.sha256()
        for path in (expanded(folder) / "run.json", *(member / "model.keras" for member in member_folders(folder))):
            whole.update(path.read_bytes())
        return cls(tuple(parameters["modalities"]), tuple(needed_modalities(parameters)), whole.hexdigest())


@dataclass(frozen=True, eq=False)
class _Read:
    """A study that was read.

    Attributes:
        study: of the catalogue.
        volumes: by kind.
        made_of: the model and the files, by which a finished folder is known again.
        fault: why a series is no brain without skull; None where all are.
    """

    study: Study
    volumes: Mapping[str, DicomVolume]
    made_of: dict
    fault: str | None


@dataclass(frozen=True, eq=False)
class _Placed:
    """A study in the space of the network.

    Attributes:
        scan: what the network sees.
        space: the way there and back.
        brain: where the brain mask is from.
        notes: what a user has to know, a sentence each.
    """

    scan: Scan
    space: NetworkSpace
    brain: str
    notes: tuple[str, ...]


def _studies(folders: Sequence[str | os.PathLike], named: Mapping[str, str] | None) -> list[Study]:
    """The studies of the folders; where series are named, those that have them.

    Raises:
        DataError: a folder holds no DICOM, or files that cannot be read; or no study has the named series.
    """
    studies: list[Study] = []
    for folder in folders:
        archive = read_archive(expanded(folder))
        archive.require_whole()
        studies += archive.studies
    if not named:
        return [one for one in studies if any(series.modality == "MR" for series in one.series)] or studies
    wanted = set(named.values())
    chosen = [one for one in studies if wanted <= {series.uid for series in one.series}]
    return chosen or studies  # and then `Study.choose` lists what is there


def _read(study: Study, model: _Model, named: Mapping[str, str] | None, brain_mask: str | os.PathLike | None) -> _Read:
    """Read what the model needs of a study, and what it can use.

    Raises:
        DataError: a series is missing, doubled or unreadable, or is no head.
    """
    kinds = [
        kind for kind in model.modalities if kind in model.needed or kind in (named or {}) or study.kinds[kind] == 1
    ]
    if not kinds:
        study.choose(model.modalities, named)  # says that there is none of them
    volumes = read_study(study, kinds, {kind: uid for kind, uid in (named or {}).items() if kind in kinds})
    faults = []
    for kind, volume in volumes.items():
        image = Image(volume.voxels, volume.affine)
        check_extent(image, f"{study.id}: {kind}, series {volume.series.uid}")
        if fault := skull_fault(image):
            faults.append(f"{kind}: {fault}")
    files = {
        kind: [[one.text("SOPInstanceUID"), one.path.stat().st_size] for one in volume.series.instances]
        for kind, volume in volumes.items()
    }
    made_of = {
        "model": model.digest,
        "files": hashlib.sha256(repr(files).encode()).hexdigest(),
        "brain_mask": None if brain_mask is None else hashlib.sha256(Path(brain_mask).read_bytes()).hexdigest(),
    }
    return _Read(study, volumes, made_of, faults[0] if faults else None)


def _place(read: _Read, brain_mask: str | os.PathLike | None) -> _Placed:
    """Register the series of a study, and leave the brain alone.

    Raises:
        DataError: a registration cannot be trusted, or there is a skull, and neither a mask nor a tool to make one.
    """
    images = {kind: Image(volume.voxels, volume.affine) for kind, volume in read.volumes.items()}
    given = None if brain_mask is None else read_brain_mask(Path(brain_mask), images)
    if read.fault and given is None:
        require_tool(read.fault)  # before minutes of registration
    frames = {kind: volume.series.first.uid("FrameOfReferenceUID") for kind, volume in read.volumes.items()}
    space = find_space(images, frames)
    brain, source = None, "the series have no skull"
    if given is not None:
        brain, source = space.to_network(*given, nearest=True) > 0, f"--brain-mask, on the grid of {given[0]}"
    elif read.fault:
        brain, source = extract_brain(Image(space.to_network(space.reference), space.affine), read.fault)
    shown = [space.to_network(kind) for kind in images]
    voxels = np.stack([one if brain is None else one * brain for one in shown], axis=-1).astype(np.float32)
    if empty := [kind for place, kind in enumerate(images) if not voxels[..., place].any()]:
        raise DataError(f"{', '.join(empty)}: every voxel of the brain is 0. Export the series again")
    scan = Scan(read.study.id, voxels, tuple(images), None, space.affine)
    notes = [f"{kind}: {note}" for kind, volume in read.volumes.items() for note in volume.notes]
    return _Placed(scan, space, source, (*notes, *space.notes, f"brain: {source}", *unusual_voxels(scan)))


def _outline(segmenter: "Segmenter", scan: Scan, space: NetworkSpace) -> dict[str, np.ndarray]:
    """The labels on the grid of each series; where that is the network's, they are those of any other prediction."""
    same = [kind for kind in scan.modalities if space.shares_grid(kind)]
    labels = {}
    if same:
        found = segmenter.predict(scan)
        labels = {kind: space.to_series(kind, found[..., None])[..., 0] for kind in same}
    others = {kind: partial(space.to_series, kind) for kind in scan.modalities if kind not in same}
    return {**labels, **(segmenter.labels_on(scan, others) if others else {})}


def _write(target: Path, read: _Read, placed: _Placed, labels: Mapping[str, np.ndarray]) -> None:
    """Write the folder of a study, and move it into place."""
    from helpers.data.dicom.segmentation import write_dicom_segmentation

    with explain_full_disk(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(target) as scratch:
            folder = scratch / "study"
            folder.mkdir()
            for kind, found in labels.items():
                volume = read.volumes[kind]
                write_segmentation(folder / f"{kind}_seg.nii.gz", found, volume.affine)
                write_dicom_segmentation(folder / f"{kind}_seg.dcm", found, volume, read.made_of["model"][:16])
                write_transform(folder / f"{kind}.tfm", placed.space.matrices[kind])
            write_json(_record(read, placed, labels), folder / RECORD)
            os.replace(folder, target)


def _record(read: _Read, placed: _Placed, labels: Mapping[str, np.ndarray]) -> dict:
    """What was decided and measured on the way to the masks of a study."""
    return {
        "made_of": read.made_of,
        "version": __version__,
        "study": read.study.uid,
        "series": {
            kind: {
                "uid": volume.series.uid,
                "reason": volume.series.reason,
                "voxels": list(volume.voxels.shape),
                "spacing_mm": list(volume.spacing),
                "tumour_voxels": [int(np.count_nonzero(labels[kind] == label)) for label in (1, 2, 3)],
            }
            for kind, volume in read.volumes.items()
        },
        "reference": placed.space.reference,
        "registrations": {
            kind: {"motion_mm": one.motion_mm, "residual_mm": one.residual_mm, "overlap": one.overlap}
            for kind, one in placed.space.registrations.items()
        },
        "brain": placed.brain,
        "notes": list(placed.notes),
    }


def _made_of(target: Path) -> dict | None:
    """What a study's folder was made of; None where there is none, or another."""
    try:
        return json.loads((target / RECORD).read_text(encoding="utf-8"))["made_of"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
