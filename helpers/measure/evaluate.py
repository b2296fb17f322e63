"""The score of a model: per patient, on the patient's own grid, all slices, the trivial model in the same table."""

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
    """Predict and score each patient.

    Args:
        predict: from a scan to network labels (rows, columns, slices).
        patients: each with the modalities and a segmentation.
        progress: told (patients done, patients in all).

    Returns:
        `n`; `regions`, mean and 95 % interval of Dice, Jaccard, HD95 (mm) and volume error (ml) per region; `trivial`,
        the same for the model that calls everything background; `patients`, each patient's own scores.
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
    """One table of patients that were scored each for itself; they may come from several folds."""
    return {
        "n": len(patients),
        "regions": summarise([patient["regions"] for patient in patients]),
        "trivial": summarise([patient["trivial"] for patient in patients]),
        "patients": patients,
    }
