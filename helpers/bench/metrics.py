"""Benchmark of the evaluation: all metrics of one patient, beside four libraries, on one core."""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.table import Table

from helpers.bench import report
from helpers.bench.interleave import interleave
from helpers.bench.patients import BRATS, patients
from helpers.bench.subprocess_peer import NoPeerError, Peer
from helpers.data.volumes import read_scan
from helpers.measure.regions import REGIONS, score_labels, score_patient

ROUNDS = 3
PACKAGES = ("numpy", "scipy", "scikit-image")
OURS, WITH_CLASSES = "ours, regions", "ours, and the classes"
COVERED = {
    OURS: "Dice, Jaccard, sensitivity, precision, HD95, ASSD, NSD, volume errors, lesions",
    WITH_CLASSES: "the same of the three classes, and slices",
    "medpy": "Dice, Jaccard, sensitivity, precision, HD95, ASSD",
    "monai": "Dice, Jaccard, HD95, ASSD, NSD",
    "surface_distance": "HD95, average distance, NSD",
    "panoptica": "lesions, and its metrics of each",
}
"""What each computes."""


def bench_metrics(
    data: str | os.PathLike | None = None, rounds: int = ROUNDS, grid: dict[str, Any] = BRATS
) -> dict[str, Any]:
    """Time the scores of a patient whose prediction is the ground truth moved by a few voxels, with stray voxels.

    Args:
        data: a folder of patients, of which the first is taken; a phantom is made if it is None.
        rounds: measurements of each library, in turns, on one core.
        grid: `shape` and `spacing` of the phantom.

    Returns:
        `seconds` of each, as `report.spread`; `ratios`, each library's seconds over ours; `agreement`, for each score
        of the same definition the largest difference over regions; `voxels` of the tumour; `peers`, their versions, or
        None and `why`; `machine`, `versions`.

    Raises:
        DataError: there is no folder `data`, or no patient in it that can be used.
    """
    with TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        folder = Path(name)
        patient = patients(data, folder / "brats", 1, ("flair",), grid)[0]
        scan = read_scan(patient, ("flair",))
        truth, prediction = scan.seg, _prediction(scan.seg)
        file = folder / "masks.npz"
        np.savez(file, truth=truth, prediction=prediction, spacing=scan.spacing)
        result = {
            **report.about(PACKAGES),
            "data": "phantom" if data is None else "the user's own",
            "patient": list(truth.shape),
            "voxels": int(np.count_nonzero(truth)),
        }
        turns: dict[str, Callable[[], float]] = {
            OURS: lambda: _seconds(lambda: score_patient(truth, prediction, scan.spacing)),
            WITH_CLASSES: lambda: _seconds(lambda: score_labels(truth, prediction, scan.spacing)),
        }
        ours, theirs = score_patient(truth, prediction, scan.spacing), {}
        stack.callback(_one_core())
        try:
            peer = stack.enter_context(Peer("mask_metrics"))
        except NoPeerError as missing:
            result |= {"peers": None, "why": str(missing)}
        else:
            result["peers"] = peer.info["versions"]
            for library in peer.info["libraries"]:
                turns[library] = _turn(peer, library, file, theirs)
        seconds = interleave(turns, rounds)
    result["seconds"] = {name: report.spread(values) for name, values in seconds.items()}
    result["ratios"] = {
        name: report.ratio(values, seconds[OURS])
        for name, values in seconds.items()
        if name not in (OURS, WITH_CLASSES)
    }
    result["agreement"] = _agreement(ours, theirs)
    return result


def show(result: dict[str, Any]) -> None:
    """Print the result of `bench_metrics` as a table."""
    size = " x ".join(map(str, result["patient"]))
    table = Table(title=f"Seconds to score a patient, {size}, three regions, one core")
    for column in ("", "s,\nmedian", "lowest to\nhighest", "over\nours", "scores"):
        table.add_column(column, justify="left" if column in ("", "scores") else "right", no_wrap=True)
    for name, found in result["seconds"].items():
        over = f"{result['ratios'][name]['median']:.1f}" if name in result["ratios"] else ""
        table.add_row(name, *report.cells(found, 2), over, COVERED[name])
    report.show_table(result, table, list(_notes(result)))


def _notes(result: dict[str, Any]) -> list[str]:
    notes = [f"{result['data']}, {result['voxels']:,} voxels of tumour."]
    if result["peers"] is None:
        return [*notes, f"No other library was measured. {result['why']}"]
    notes.append(", ".join(f"{name} {version}" for name, version in result["peers"].items()))
    listed = ", ".join(f"{name} {difference:.1g}" for name, difference in result["agreement"].items())
    return [*notes, f"Largest difference to our scores of the same definition: {listed}."]


def _prediction(truth: np.ndarray) -> np.ndarray:
    """The ground truth moved by a few voxels, and a false lesion in a corner."""
    moved = np.roll(truth, (2, 1, 1), axis=(0, 1, 2))
    moved[-6:-3, -6:-3, -6:-3] = 2
    return moved


def _seconds(score: Callable[[], object]) -> float:
    start = time.perf_counter()
    score()
    return time.perf_counter() - start


def _turn(peer: Peer, library: str, file: Path, theirs: dict[str, dict]) -> Callable[[], float]:
    def turn() -> float:
        response = peer.ask(library=library, file=str(file), regions=REGIONS)
        theirs[library] = response["scores"]
        return response["seconds"]

    return turn


def _one_core() -> Callable[[], None]:
    """Leave this process, and those that it starts, one core; returns what undoes it. Linux alone."""
    if not hasattr(os, "sched_setaffinity"):
        return lambda: None
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    return lambda: os.sched_setaffinity(0, before)


def _agreement(ours: dict[str, dict], theirs: dict[str, dict]) -> dict[str, float]:
    largest: dict[str, float] = {}
    for scores in theirs.values():
        for region, values in scores.items():
            for name, value in values.items():
                if name in ours[region]:
                    largest[name] = max(largest.get(name, 0.0), abs(value - ours[region][name]))
    return largest
