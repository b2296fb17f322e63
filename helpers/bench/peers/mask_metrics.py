"""Scores masks with other libraries: MedPy, MONAI, DeepMind's surface-distance and panoptica.

Each computes what it has, called as its documentation does. Scores of a library stand under the names of ours where the
definition is the same.
"""

import importlib.util
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

from serve import Measure, serve

PACKAGES = {"medpy": "MedPy", "monai": "monai", "surface_distance": "surface-distance", "panoptica": "panoptica"}
"""The module of each library, and its name on PyPI."""

TOLERANCE = 1.0


def begin(libraries: list[str] | None = None) -> tuple[Measure, dict[str, Any]]:
    """Import the libraries, so that no import is measured.

    Args:
        libraries: some of `PACKAGES`; by default those that are installed.

    Returns:
        The function that measures one of them, and `libraries` and `versions`.

    Raises:
        ModuleNotFoundError: none is installed.
    """
    if libraries is None:
        libraries = [module for module in PACKAGES if importlib.util.find_spec(module)]
    if not libraries:
        raise ModuleNotFoundError("MedPy, MONAI, surface-distance or panoptica", name=", ".join(PACKAGES.values()))
    scorers = {name: SCORERS[name]() for name in libraries}

    def measure(library: str, file: str, regions: dict[str, list[int]]) -> dict[str, Any]:
        """Seconds to score all regions of a patient, and the scores by region.

        Args:
            library: one of the libraries.
            file: `.npz` with `truth` and `prediction`, label volumes, and `spacing` in mm.
            regions: the labels of each.
        """
        import numpy as np

        with np.load(file) as arrays:
            truth, prediction = arrays["truth"], arrays["prediction"]
            spacing = tuple(float(step) for step in arrays["spacing"])
        start, scores = time.perf_counter(), {}
        for name, labels in regions.items():
            scores[name] = scorers[library](np.isin(truth, labels), np.isin(prediction, labels), spacing)
        return {"seconds": time.perf_counter() - start, "scores": scores}

    versions = {PACKAGES[name]: metadata.version(PACKAGES[name]) for name in libraries}
    return measure, {"libraries": libraries, "versions": versions}


def _medpy() -> Callable[..., dict[str, float]]:
    from medpy.metric import binary

    def score(truth: Any, prediction: Any, spacing: tuple[float, ...]) -> dict[str, float]:
        scores = {"dice": binary.dc(prediction, truth), "jaccard": binary.jc(prediction, truth)}
        if truth.any() and prediction.any():  # MedPy refuses empty masks
            scores |= {
                "sensitivity": binary.sensitivity(prediction, truth),
                "precision": binary.precision(prediction, truth),
                "hd95_pooled_mm": binary.hd95(prediction, truth, spacing),
                "assd_mm": binary.assd(prediction, truth, spacing),
            }
        return {name: float(value) for name, value in scores.items()}

    return score


def _monai() -> Callable[..., dict[str, float]]:
    import torch
    from monai import metrics

    torch.set_num_threads(1)

    def score(truth: Any, prediction: Any, spacing: tuple[float, ...]) -> dict[str, float]:
        y, y_pred = (torch.from_numpy(mask.astype("uint8"))[None, None] for mask in (truth, prediction))
        scores = {
            "dice": metrics.compute_dice(y_pred, y, ignore_empty=False),
            "jaccard": metrics.compute_iou(y_pred, y, ignore_empty=False),
        }
        if truth.any() and prediction.any():  # NaN or infinity otherwise
            scores |= {
                "hd95_mm": metrics.compute_hausdorff_distance(
                    y_pred, y, include_background=True, percentile=95, spacing=spacing
                ),
                "assd_mm": metrics.compute_average_surface_distance(
                    y_pred, y, include_background=True, symmetric=True, spacing=spacing
                ),
                "nsd_voxels": metrics.compute_surface_dice(
                    y_pred, y, class_thresholds=[TOLERANCE], include_background=True, spacing=spacing
                ),
            }
        return {name: float(value) for name, value in scores.items()}

    return score


def _surface_distance() -> Callable[..., dict[str, float]]:
    import surface_distance as library

    def score(truth: Any, prediction: Any, spacing: tuple[float, ...]) -> dict[str, float]:
        if not (truth.any() and prediction.any()):
            return {}
        distances = library.compute_surface_distances(truth, prediction, spacing)
        average = library.compute_average_surface_distance(distances)
        return {
            "nsd_1mm": float(library.compute_surface_dice_at_tolerance(distances, TOLERANCE)),
            "hd95_by_area_mm": float(library.compute_robust_hausdorff(distances, 95)),
            "average_by_area_mm": float(sum(average) / 2),
        }

    return score


def _panoptica() -> Callable[..., dict[str, float]]:
    import panoptica

    panoptica.disable_citation_reminder()
    evaluator = panoptica.Panoptica_Evaluator(
        expected_input=panoptica.InputType.SEMANTIC,
        instance_approximator=panoptica.ConnectedComponentsInstanceApproximator(),
        instance_matcher=panoptica.NaiveThresholdMatching(matching_threshold=1e-9, allow_many_to_one=True),
    )

    def score(truth: Any, prediction: Any, spacing: tuple[float, ...]) -> dict[str, float]:
        groups = evaluator.evaluate(prediction.astype("uint8"), truth.astype("uint8"), voxelspacing=spacing)
        result = next(iter(groups.values()))
        return {"lesions_found": int(result.tp), "lesions_missed": int(result.fn), "lesions_false": int(result.fp)}

    return score


SCORERS = {"medpy": _medpy, "monai": _monai, "surface_distance": _surface_distance, "panoptica": _panoptica}

if __name__ == "__main__":
    serve(begin)
