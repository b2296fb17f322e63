"""Evaluation of a model: per patient, on the patient's own grid, all slices, with the trivial model as baseline."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from helpers.data.brats import Patient
from helpers.data.volumes import Scan, read_scan
from helpers.measure.components import DILATION, MIN_LESION_MM3
from helpers.measure.mask_scores import DIAGONAL, TOLERANCE_MM, MaskCounts, label_digest, overlap_scores
from helpers.measure.overlap import share
from helpers.measure.regions import score_labels
from helpers.measure.statistics import MIN_PATIENTS, summarise

DEFINITIONS = {
    "regions": "mean over patients of each patient's score, all slices; `classes` the same by label",
    "empty_masks": "both empty: Dice, Jaccard and NSD are 1, distances 0; one empty: 0, and the diagonal, which "
    "`diagonals` counts; sensitivity and recall without ground truth, precision without prediction are undefined",
    "interval": f"95 % percentile bootstrap over patients, from {MIN_PATIENTS} patients on; `ci95` for any number",
    "hd95_mm": "the larger of the two directed 95th percentiles, over surface voxels",
    "assd_mm": "mean of all distances of both directions, over surface voxels",
    "nsd_1mm": f"share of both surfaces, by area, within {TOLERANCE_MM:g} mm of the other",
    "lesions": f"as BraTS 2023: 26 neighbours, truth grown by {DILATION} voxels, lesions above {MIN_LESION_MM3} mm^3",
    "pooled_voxels": "one score of the voxels of all patients together: large tumours count more",
    "pooled_lesions": "one recall and precision of the lesions of all patients together",
    "per_slice": "mean of Dice over all slices of all patients, by three rules for slices without either mask",
}
"""What the entries of a result mean; it travels with the scores."""


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
        As `summarise_patients`.
    """
    rows = []
    for done, patient in enumerate(patients, start=1):
        scan = read_scan(patient, modalities)
        trivial = score_labels(scan.seg, np.zeros_like(scan.seg), scan.spacing)
        rows.append(
            {
                "id": patient.id,
                "site": patient.site,
                **score_labels(scan.seg, predict(scan), scan.spacing),
                "trivial": trivial["regions"],
                "trivial_counts": trivial["counts"],
                "grid": {"shape": list(scan.seg.shape), "spacing_mm": [float(step) for step in scan.spacing]},
                "truth": label_digest(scan.seg),
            }
        )
        progress(done, len(patients))
    return summarise_patients(rows)


def summarise_patients(patients: list[dict[str, Any]]) -> dict[str, Any]:
    """One table over patients that were scored separately, in one fold or in several.

    Args:
        patients: as in `patients` of `evaluate`; those of older versions have `id`, `regions` and `trivial` alone.

    Returns:
        `n`; `regions`, by region and score what `helpers.measure.statistics.summarise` gives, and for distances
        `diagonals`, how many patients' scores are the diagonal of the volume because one mask alone is empty;
        `trivial`, the same for the model that predicts background everywhere; `patients`, each patient's own scores.
        Where each patient has the counts, also `classes`, as `regions`, by label; `sites`, for each site of the
        patients that carry one `n` and `regions`; `pooled_voxels`, `pooled_lesions` and `per_slice`; and `definitions`.
    """
    result = {
        "n": len(patients),
        "regions": _means(patients, "regions", "counts"),
        "trivial": _means(patients, "trivial", "trivial_counts"),
        "patients": patients,
    }
    if not all("counts" in patient for patient in patients):
        return result
    sites = sorted({patient["site"] for patient in patients if patient.get("site")})
    by_site = {site: [patient for patient in patients if patient["site"] == site] for site in sites}
    names = list(patients[0]["counts"])
    totals = {name: _total(patients, name) for name in names}
    return result | {
        "classes": _means(patients, "classes", "counts"),
        "sites": {
            site: {"n": len(those), "regions": _means(those, "regions", "counts")} for site, those in by_site.items()
        },
        "pooled_voxels": {name: overlap_scores(*totals[name][:3]) for name in names},
        "pooled_lesions": {name: _pooled_lesions(totals[name]) for name in names},
        "per_slice": {name: _per_slice([patient["slices"][name] for patient in patients]) for name in names},
        "definitions": DEFINITIONS,
    }


def _means(patients: list[dict], part: str, counts: str) -> dict[str, dict[str, dict[str, Any]]]:
    summary = summarise([patient[part] for patient in patients])
    for name, scores in summary.items():
        for distance in DIAGONAL:
            if distance in scores and all(counts in patient for patient in patients):
                diagonals = sum(MaskCounts(**patient[counts][name]).one_is_empty for patient in patients)
                scores[distance]["diagonals"] = diagonals
    return summary


def _total(patients: list[dict], name: str) -> MaskCounts:
    return MaskCounts(*(sum(patient["counts"][name][field] for patient in patients) for field in MaskCounts._fields))


def _pooled_lesions(total: MaskCounts) -> dict[str, Any]:
    found, missed, false = total.lesions_found, total.lesions_missed, total.lesions_false
    return {
        "recall": share(found, found + missed),
        "precision": share(found, found + false),
        "found": found,
        "missed": missed,
        "false": false,
    }


def _per_slice(patients: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean Dice over the slices of all patients, by each rule that is in use."""
    slices, with_truth, empty = (sum(one[key] for one in patients) for key in ("slices", "with_truth", "both_empty"))
    total = sum(one["sum_dice"] for one in patients)
    return {
        "dice_empty_slices_as_1": (total + empty) / slices,
        "dice_empty_slices_as_0": total / slices,
        "dice_slices_with_truth": total / with_truth if with_truth else None,
        "slices": slices,
        "slices_with_truth": with_truth,
    }
