"""Is the gate worth its place, and does the doubt mean anything? Measured on patients that nobody learned from."""

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers.apply.system import System
from helpers.apply.uncertainty import split_by_confidence
from helpers.data.brats import Patient, read_catalogue
from helpers.data.splits import load_split
from helpers.measure.components import false_positive_components
from helpers.measure.overlap import dice
from helpers.measure.regions import REGIONS, mask
from helpers.measure.statistics import bootstrap_ci
from helpers.runtime.disk import write_text
from helpers.runtime.errors import DataError

ARMS = ("without gate", "with gate")


def evaluate_case(system: System, patient: Patient) -> dict[str, Any]:
    """One patient with and without the gate, held against the truth.

    Returns:
        `id`; for each of `ARMS` the `seconds` from the volumes to the mask, `dice` per region,
        `false_positive_components` (how many, of the whole tumour) and `false_positive_ml`; `skipped`, the share of
        slices with brain that the gate held back, and `false_negative_ml`, the tumour in them; `agreement` and
        `volumes_ml` of the passes, `true_ml`; `warnings`.
    """
    scan = system.read(patient, seg=True)
    begun = time.perf_counter()
    alone = system.segmenter.predict(scan)
    seconds = time.perf_counter() - begun
    outline = system.predict(scan)
    gated = sum(outline.seconds[step] for step in ("prepare", "gate", "outline", "place"))
    voxel, brain = float(np.prod(scan.spacing)) / 1000, scan.images.any(axis=(0, 1, 3))
    row: dict[str, Any] = {"id": patient.id}
    for way, labels, taken in zip(ARMS, (alone, outline.labels), (seconds, gated), strict=True):
        count, ml = false_positive_components(scan.seg > 0, labels > 0, scan.spacing)
        scores = {region: dice(mask(scan.seg, region), mask(labels, region)) for region in REGIONS}
        row[way] = {"seconds": taken, "dice": scores, "false_positive_components": count, "false_positive_ml": ml}
    return row | {
        "skipped": float(1 - outline.passed[brain].mean()),
        "false_negative_ml": float((scan.seg[..., ~outline.passed] > 0).sum() * voxel),
        "agreement": outline.agreement,
        "volumes_ml": outline.volumes_ml,
        "true_ml": {region: float(mask(scan.seg, region).sum() * voxel) for region in REGIONS},
        "warnings": outline.warnings,
    }


def gate_table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Means over patients, one row for each of `ARMS`: seconds, Dice per region with interval, islands."""
    table = {}
    for way in ARMS:
        columns: dict[str, Any] = {"seconds": np.mean([row[way]["seconds"] for row in rows])}
        for region in REGIONS:
            values = [row[way]["dice"][region] for row in rows]
            low, high = bootstrap_ci(values)
            columns[f"{region} Dice"] = f"{np.mean(values):.3f} [{low:.3f}, {high:.3f}]"
        columns["false positive components"] = np.mean([row[way]["false_positive_components"] for row in rows])
        columns["ml in them"] = np.mean([row[way]["false_positive_ml"] for row in rows])
        table[way] = columns
    return pd.DataFrame(table).T


def evaluate_folds(
    data: str | os.PathLike,
    gates: str | os.PathLike,
    models: str | os.PathLike,
    out: str | os.PathLike,
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Examine each patient with the fold that never saw it; results are kept in `out` patient by patient.

    Args:
        gates: holds `fold_k_of_n`, as `train gate --folds n` leaves it. models: the same of `train brain`.
        out: a JSON file; patients that it holds already are not examined again.

    Raises:
        DataError: the folds of gates and models differ.
    """
    out, gates, models = Path(out), Path(gates), Path(models)
    rows = json.loads(out.read_text())["patients"] if out.exists() else []
    catalogue = {patient.id: patient for patient in read_catalogue(data).patients}
    for folder in sorted(models.glob("fold_*_of_*")):
        test = load_split(folder / "split.json").test
        if set(test) != set(load_split(gates / folder.name / "split.json").test):
            raise DataError(f"{folder.name} of {gates} and {models} tests other patients; train both from one seed.")
        system = System.load(folder, gates / folder.name)
        for identity in test:
            if identity not in {row["id"] for row in rows}:
                rows.append(evaluate_case(system, catalogue[identity]))
                log(f"{identity}: {rows[-1]['with gate']['dice']}")
                write_text(json.dumps({"patients": rows, **summary(rows)}, indent=1), out)
    return {"patients": rows, **summary(rows)}


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Numbers over all patients: `gate`, `split_by_confidence` (mean Dice of the surest half and of the rest), and how
    often the range over the passes holds the true volume."""
    found: dict[str, Any] = {"n": len(rows), "gate": gate_table(rows).to_dict("index")}
    for region in REGIONS:
        score = [row["with gate"]["dice"][region] for row in rows]
        if len(rows) > 1:
            found.setdefault("halves", {})[region] = split_by_confidence(
                [row["agreement"][region] for row in rows], score
            )
        inside = [
            row["volumes_ml"][region]["low"] <= row["true_ml"][region] <= row["volumes_ml"][region]["high"]
            for row in rows
        ]
        found.setdefault("range_holds_truth", {})[region] = float(np.mean(inside))
    found["skipped"] = float(np.mean([row["skipped"] for row in rows]))
    found["false_negative_ml"] = float(np.mean([row["false_negative_ml"] for row in rows]))
    return found
