"""Evaluation of a model: per patient, on the patient's own grid, all slices, with the trivial model as baseline."""

from collections.abc import Callable, Sequence

import numpy as np

from helpers.data.brats import Patient
from helpers.data.volumes import Scan, read_scan
from helpers.measure.regions import score_patient
from helpers.measure.statistics import summarise


def evaluate(
    predict: Callable[[Scan], np.ndarray],
    patients: Sequence[Patient],
    modalities: tuple[str, ...],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict:
    """Run inference on each patient and score it against the ground truth.

    Args:
        predict: from a scan to network labels (rows, columns, slices).
        patients: each with the modalities and a segmentation.
        modalities: the modalities to read, in the order of the network's input channels.
        progress: called with (patients done, patients in all).

    Returns:
        `n`; `regions`, mean and 95 % confidence interval of Dice, Jaccard, HD95 (mm) and volume error (ml) per region;
        `trivial`, the same for the model that predicts background everywhere; `patients`, each patient's own scores.
    """
    rows = []
    for done, patient in enumerate(patients, start=1):
        scan = read_scan(patient, modalities)
        regions = score_patient(scan.seg, predict(scan), scan.spacing)
        trivial = score_patient(scan.seg, np.zeros_like(scan.seg), scan.spacing)
        rows.append({"id": patient.id, "regions": regions, "trivial": trivial})
        progress(done, len(patients))
    return pooled(rows)


def pooled(patients: list[dict]) -> dict:
    """One table over patients that were scored separately, in one fold or in several.

    Args:
        patients: for each `id`, `regions` and `trivial`, as in `patients` of `evaluate`.

    Returns:
        As `evaluate`.
    """
    return {
        "n": len(patients),
        "regions": summarise([patient["regions"] for patient in patients]),
        "trivial": summarise([patient["trivial"] for patient in patients]),
        "patients": patients,
    }
