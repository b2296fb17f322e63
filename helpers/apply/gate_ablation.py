"""Ablation of the gate and validation of the uncertainty, by cross-validation: each patient is a test patient once."""

import json
import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.apply.system import System
from helpers.apply.uncertainty import split_by_confidence
from helpers.data.brats import Patient, read_catalogue
from helpers.learn.run_folder import read_split
from helpers.measure.components import false_positive_components
from helpers.measure.overlap import dice
from helpers.measure.regions import REGIONS, mask
from helpers.measure.statistics import mean_interval
from helpers.runtime.disk import write_text
from helpers.runtime.errors import DataError
from helpers.runtime.json_files import read_json
from helpers.runtime.outputs import writable_file
from helpers.runtime.settings import expanded

if TYPE_CHECKING:
    import pandas as pd

ARMS = ("without gate", "with gate")

_ROW = {
    "type": "object",
    "required": ["id", *ARMS, "skipped", "false_negative_ml", "agreement", "volumes_ml", "true_ml"],
    "description": "the scores of a patient",
}
_RESULT = {
    "type": "object",
    "properties": {"patients": {"type": "array", "items": _ROW, "description": "a list of patients"}},
    "required": ["patients"],
    "description": "what `evaluate --gate` left",
}


def evaluate_case(system: System, patient: Patient) -> dict[str, Any]:
    """Segment one patient with and without the gate, and score both against the ground truth.

    Args:
        system: gate and network; neither has been trained on the patient.
        patient: has a segmentation.

    Returns:
        `id`; for each of `ARMS` the `seconds` from the volumes to the mask, `dice` per region,
        `false_positive_components` (their number, whole tumour) and `false_positive_ml` (their volume); `skipped`, the
        fraction of the slices with brain that the gate rejects, and `false_negative_ml`, the volume of tumour in
        rejected slices; `agreement` and `volumes_ml` of the passes, see `helpers.apply.system.SegmentationResult`;
        `true_ml`, the true volume per region; `warnings`.

    Raises:
        DataError: as `helpers.apply.system.System.predict`.
    """
    scan = system.read(patient, seg=True)
    start = time.perf_counter()
    ungated = system.segmenter.predict(scan)
    seconds = time.perf_counter() - start
    result = system.predict(scan)
    start = time.perf_counter()  # again, without the passes, which `predict` makes along with the mask
    images, centre = system.segmenter.preprocess(scan)
    system.segmenter.native_labels(system.segmenter.network_probabilities(images[result.passed]), scan, centre)
    gated_seconds = result.seconds["gate"] + time.perf_counter() - start
    voxel, brain = float(np.prod(scan.spacing)) / 1000, scan.images.any(axis=(0, 1, 3))
    row: dict[str, Any] = {"id": patient.id}
    for arm, labels, taken in zip(ARMS, (ungated, result.labels), (seconds, gated_seconds), strict=True):
        count, ml = false_positive_components(scan.seg > 0, labels > 0, scan.spacing)
        scores = {region: dice(mask(scan.seg, region), mask(labels, region)) for region in REGIONS}
        row[arm] = {"seconds": taken, "dice": scores, "false_positive_components": count, "false_positive_ml": ml}
    return row | {
        "skipped": float(1 - result.passed[brain].mean()),
        "false_negative_ml": float((scan.seg[..., ~result.passed] > 0).sum() * voxel),
        "agreement": result.agreement,
        "volumes_ml": result.volumes_ml,
        "true_ml": {region: float(mask(scan.seg, region).sum() * voxel) for region in REGIONS},
        "warnings": result.warnings,
    }


def gate_table(rows: Sequence[dict[str, Any]]) -> "pd.DataFrame":
    """Means over patients, one row for each of `ARMS`.

    Args:
        rows: results of `evaluate_case`.

    Returns:
        Columns: seconds, Dice per region with its 95 % bootstrap interval, below eight patients with the lowest and the
        highest, and the number and volume (ml) of the false positive components.
    """
    import pandas as pd

    table = {}
    for arm in ARMS:
        columns: dict[str, Any] = {"seconds": np.mean([row[arm]["seconds"] for row in rows])}
        for region in REGIONS:
            values = [row[arm]["dice"][region] for row in rows]
            low, high = mean_interval(values) or (min(values), max(values))
            columns[f"{region} Dice"] = f"{np.mean(values):.3f} [{low:.3f}, {high:.3f}]"
        columns["false positive components"] = np.mean([row[arm]["false_positive_components"] for row in rows])
        columns["ml in them"] = np.mean([row[arm]["false_positive_ml"] for row in rows])
        table[arm] = columns
    return pd.DataFrame.from_dict(table, orient="index")  # a column of numbers can then be rounded


def evaluate_folds(
    data: str | os.PathLike,
    gates: str | os.PathLike,
    models: str | os.PathLike,
    out: str | os.PathLike,
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Evaluate each patient with the models of the fold whose test set it is in.

    The result is written to `out` after each patient, so an interrupted run can be continued.

    Args:
        data: folder of the BraTS patients.
        gates: folder of the gates: has a `fold_k_of_n` for each fold, as `train gate --folds n` writes it.
        models: folder of the networks, the same layout, as `train brain --folds n` writes it.
        out: JSON file for the result; patients that it contains already are not evaluated again.
        log: called with one line per patient.

    Returns:
        `patients`, a row of `evaluate_case` for each, and the entries of `summary`.

    Raises:
        DataError: the folds of gates and models have different test patients, there are none, or they are damaged;
            patients are missing; or `out` cannot be written, or holds something else.
    """
    out, gates, models = writable_file(out), expanded(gates), expanded(models)
    rows = read_json(out, _RESULT, "Delete it, or name another file by --json.")["patients"] if out.exists() else []
    folders = sorted(models.glob("fold_*_of_*"))
    if not folders:
        raise DataError(f"{models} holds no folder fold_1_of_n; give what `train brain --folds n` left, n at least 2.")
    tests = {folder: read_split(folder).test for folder in folders}
    for folder, test in tests.items():
        if set(test) != set(read_split(gates / folder.name).test):
            raise DataError(
                f"{folder.name} of {gates} and {models} tests other patients; train both with the same seed."
            )
    catalogue = {patient.id: patient for patient in read_catalogue(expanded(data)).patients}
    if missing := sorted({one for test in tests.values() for one in test} - catalogue.keys()):
        error = DataError.listing(f"{len(missing)} test patients of {models} are not under {data}:", missing)
        raise error
    for folder, test in tests.items():
        system = System.load(folder, gates / folder.name)
        for patient_id in test:
            if patient_id not in {row["id"] for row in rows}:
                rows.append(evaluate_case(system, catalogue[patient_id]))
                log(f"{patient_id}: {rows[-1]['with gate']['dice']}")
                write_text(json.dumps({"patients": rows, **summary(rows)}, indent=1), out)
    return {"patients": rows, **summary(rows)}


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Summary over all patients.

    Args:
        rows: results of `evaluate_case`.

    Returns:
        `n`; `gate`, the table of `gate_table`; `halves`, per region the mean Dice of the more confident half of the
        patients and of the rest (`helpers.apply.uncertainty.split_by_confidence`), absent for one patient;
        `range_holds_truth`, per region the fraction of patients whose true volume lies within the range over the
        passes; means of `skipped` and `false_negative_ml`.
    """
    result: dict[str, Any] = {"n": len(rows), "gate": gate_table(rows).to_dict("index")}
    for region in REGIONS:
        score = [row["with gate"]["dice"][region] for row in rows]
        if len(rows) > 1:
            result.setdefault("halves", {})[region] = split_by_confidence(
                [row["agreement"][region] for row in rows], score
            )
        inside = [
            row["volumes_ml"][region]["low"] <= row["true_ml"][region] <= row["volumes_ml"][region]["high"]
            for row in rows
        ]
        result.setdefault("range_holds_truth", {})[region] = float(np.mean(inside))
    result["skipped"] = float(np.mean([row["skipped"] for row in rows]))
    result["false_negative_ml"] = float(np.mean([row["false_negative_ml"] for row in rows]))
    return result
