"""Inference on patients, with a report: masks (NIfTI), numbers (JSON) and one HTML page."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.apply.page import PURPOSE, new_folder, origin, picture, render, without_roots, written_whole
from helpers.apply.recorded_scores import recorded_scores
from helpers.apply.system import SegmentationResult, System, needed
from helpers.data.brats import Patient
from helpers.data.patients import Selection, select_patients
from helpers.data.volumes import Scan, write_segmentation
from helpers.learn.run_folder import check_network, read_run
from helpers.runtime.disk import write_json, write_text
from helpers.runtime.errors import DataError
from helpers.runtime.machine import device, versions
from helpers.tasks.brain.recipe import needed_modalities

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NONE_OUTLINED = "None of these patients could be outlined; nothing was written:"
REGION_NAMES = {"WT": "whole tumour", "TC": "tumour core", "ET": "enhancing tumour"}


def report(
    folders: Sequence[str | os.PathLike],
    gate_dir: str | os.PathLike,
    model_dir: str | os.PathLike,
    out: str | os.PathLike,
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Segment every patient in the folders, and write `<patient>_seg.nii.gz`, `report.json` and `report.html`.

    Beside a patient's volumes stand the scores that were measured on the network's test patients, or that none were.
    The report is atomic: it is written beside `out` and moved there at the end. A patient that cannot be segmented is
    named in the report with the reason, and gets no mask.

    Args:
        folders: each holds one or more patients.
        gate_dir: folder of the gate, as `train gate` writes it.
        model_dir: folder of the segmentation network, as `train brain` writes it.
        out: a folder that does not exist yet, or is empty; no patient's own.
        log: called with one line per patient.

    Returns:
        The contents of `report.json`.

    Raises:
        DataError: a patient is given twice, or none can be segmented; a model's folder holds no finished training, or
            damaged scores; `out` is a patient's folder or may not be written to; the disk is full.
        FileExistsError: `out` is not empty; nothing is overwritten.
        KeyboardInterrupt: Ctrl-C; nothing is written.
    """
    out = new_folder(out)
    runs = [read_run(model_dir, "brain"), read_run(gate_dir, "gate")]
    for model in (model_dir, gate_dir):
        check_network(model)
    scores = recorded_scores(model_dir)
    brain, gate = (run["parameters"] for run in runs)
    selection = select_patients(folders, needed(needed_modalities(brain), gate["modalities"]), out)
    if not selection.patients:
        error = DataError.listing(_NONE_OUTLINED, [one.message for one in selection.refused])
        raise error
    system = System.load(model_dir, gate_dir)
    for note in selection.notes:
        log(note)
    with written_whole(out) as folder:
        models = {"gate": gate_dir, "outline": model_dir}
        result = _write(system, selection, folder, folders, models, scores, log)
    log(f"Report: {out / 'report.html'}")
    return result


def _write(
    system: System,
    selection: Selection,
    folder: Path,
    roots: Sequence[str | os.PathLike],
    models: Mapping[str, str | os.PathLike],
    scores: dict[str, Any] | None,
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Write the report into an empty folder, and return what `report.json` holds.

    Raises:
        DataError: no patient can be segmented.
    """
    entries, pictures, unusable = [], {}, {}
    for one in selection.refused:
        unusable[one.id] = [*unusable.get(one.id, ()), one.message]
    refused = [_refused(identity, "\n".join(messages)) for identity, messages in unusable.items()]
    for entry in refused:
        _log_entry(entry, log)
    for patient in selection.patients:
        entry, pictures[patient.id] = _one(system, patient, folder)
        _log_entry(entry, log)
        entries.append(entry)
    entries += refused
    if all(entry["status"] == "refused" for entry in entries):
        error = DataError.listing(_NONE_OUTLINED, [entry["warnings"][0] for entry in entries])
        raise error
    result = {
        "purpose": PURPOSE,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "device": device(),
        "models": {name: origin(model) for name, model in models.items()},
        "scores": scores,
        "passes": system.samples,
        "patients": [without_roots(entry, roots) for entry in entries],
    }
    write_json(result, folder / "report.json")
    write_text(_page(result, pictures), folder / "report.html")
    return result


def _refused(identity: str, message: str) -> dict[str, Any]:
    return {"id": identity, "status": "refused", "warnings": [message]}


def _log_entry(entry: dict[str, Any], log: Callable[[str], None]) -> None:
    log(f"{entry['id']}: {entry['status']}" + "".join(f"\n  {warning}" for warning in entry["warnings"]))


def _one(system: System, patient: Patient, folder: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """The report's entry for one patient, and its pictures; the mask is written into the folder."""
    start = time.perf_counter()
    try:
        scan = system.read(patient)
        read = time.perf_counter() - start
        result = system.predict(scan)
    except (DataError, MemoryError) as error:
        message = str(error) or "there is not enough memory for it"
        return _refused(patient.id, message), []
    pictures = [picture(figure, caption) for figure, caption in _figures(system, scan, result)]
    mask = write_segmentation(folder / patient.convention.seg_name(patient.id), result.labels, scan)
    entry = {
        "id": patient.id,
        "status": "outlined" if result.labels.any() else "no tumour found",
        "warnings": [*scan.notes, *result.warnings],
        "mask": mask.name,
        "modalities": [modality for modality in system.segmenter.modalities if modality in scan.modalities],
        "volumes_ml": {
            region: {key: np.round(ml, 2).tolist() for key, ml in volume.items()}
            for region, volume in result.volumes_ml.items()
        },
        "agreement": {region: round(value, 3) for region, value in result.agreement.items()},
        "slices": {
            "all": len(result.passed),
            "outlined": int(result.passed.sum()),
            "gate_threshold": system.gate and round(float(system.gate.threshold), 4),
            "gate": None if result.gate is None else [round(float(p), 3) for p in result.gate],
        },
    }
    total = time.perf_counter() - start
    seconds = {"read": read, **result.seconds, "draw and write": total - read - sum(result.seconds.values())}
    entry["seconds"] = {step: round(value, 2) for step, value in {**seconds, "in all": total}.items()}
    return entry, pictures


def _figures(system: System, scan: Scan, result: SegmentationResult) -> list[tuple["Figure", str]]:
    """The figures of one patient, each with its caption."""
    from helpers.show import certainty, slices

    uncertainty = certainty.outline_and_entropy(scan, result.labels, result.entropy)
    figures = [(uncertainty, "Outlined tumour, and entropy: bright where the network is uncertain.")]
    if result.labels.any():
        modality = "t1ce" if "t1ce" in scan.modalities else scan.modalities[0]
        core = slices.three_planes(replace(scan, seg=result.labels), modality=modality)
        figures.append((core, "The tumour core in three planes."))
    if result.gate is not None:
        strip = certainty.gate_strip(result.gate, system.gate.threshold)
        figures.append((strip, "The gate's probability of tumour for each slice; only the blue slices were outlined."))
    return figures


def _page(result: dict[str, Any], pictures: dict[str, list[dict[str, str]]]) -> str:
    return render("report.html.j2", result=result, pictures=pictures, regions=REGION_NAMES)
