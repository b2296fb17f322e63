"""Benchmark of inference, from the files of a scan to a saved mask: the first patient of a process, and later ones."""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.table import Table

from helpers.bench import report
from helpers.bench.patients import BRATS, patients
from helpers.bench.subprocess_peer import run_fresh
from helpers.data.brats import MODALITIES
from helpers.data.resample import Grid
from helpers.models.unet import unet
from helpers.tasks.brain.inference import Segmenter

DEFAULT = {"size": 96, "filters": 16}
"""Defaults of `train brain`."""

ROUNDS, PATIENTS = 3, 3
PARTS = ("reading", "network", "writing")
PACKAGES = ("numpy", "nibabel", "keras", "tensorflow", "tensorflow-cpu")


def bench_prediction(
    model: str | os.PathLike | None = None,
    rounds: int = ROUNDS,
    grid: dict[str, Any] = BRATS,
    network: dict[str, int] = DEFAULT,
) -> dict[str, Any]:
    """Measure inference on phantom patients.

    Args:
        model: a folder that `train brain` wrote. By default an untrained network of the same architecture with all four
            modalities: inference takes as long, but its irregular masks take longer to write.
        rounds: number of processes, each with one cold and `PATIENTS` warm patients.
        grid: `shape` and `spacing` of the patients.
        network: `size` and `filters` of the default network.

    Returns:
        `cold` and `warm`: seconds of `PARTS` and of `all`, as `report.spread`; `imports` and `loading`, seconds before
        the first patient, the same way; `network`, `patient`, `files` of a patient, `machine`, `versions`.

    Raises:
        DataError: `model` holds no finished training of the brain.
    """
    with TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        run = Path(model) if model else _untrained(folder / "model", **network)
        segmenter = Segmenter.load(run)
        chosen = patients(None, folder / "brats", 1 + PATIENTS, segmenter.modalities, grid, seg=False)
        runs = [
            run_fresh("helpers.bench.cold_start", run, folder / str(number), *(patient.folder for patient in chosen))
            for number in range(rounds)
        ]
    return {
        **report.about(PACKAGES),
        "trained": model is not None,
        "network": {"size": segmenter.grid.size, "parameters": segmenter.network.count_params()},
        "patient": list(grid["shape"]),
        "files": len(segmenter.modalities),
        "imports": report.spread([run["imports"] for run in runs]),
        "loading": report.spread([run["loading"] for run in runs]),
        "cold": _parts([run["patients"][0] for run in runs]),
        "warm": _parts([patient for run in runs for patient in run["patients"][1:]]),
    }


def show(result: dict[str, Any]) -> None:
    """Print the result of `bench_prediction` as a table."""
    size = " x ".join(map(str, result["patient"]))
    table = Table(title=f"From {result['files']} files, {size}, to a saved mask: seconds")
    for column in ("", "first,\nmedian", "lowest to\nhighest", "later,\nmedian", "lowest to\nhighest"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for part in (*PARTS, "all"):
        cells = (*report.cells(result["cold"][part], 2), *report.cells(result["warm"][part], 2))
        table.add_row(part, *cells, end_section=part == PARTS[-1])
    before = []
    for part, name in (("imports", "imports"), ("loading", "loading the model")):
        median, spread = report.cells(result[part], 2)
        before.append(f"{name} {median} s ({spread})")
    untrained = "" if result["trained"] else "untrained, "
    notes = (
        f"Before the first: {', '.join(before)}. {result['cold']['all']['n']} processes.",
        f"The network: {untrained}{result['network']['size']} pixels a side, {result['network']['parameters']:,} "
        "parameters; every slice with brain, with test-time mirroring.",
    )
    report.show_table(result, table, notes)


def _parts(measured: list[dict[str, float]]) -> dict[str, dict[str, Any]]:
    whole = [{**patient, "all": sum(patient[part] for part in PARTS)} for patient in measured]
    return {part: report.spread([patient[part] for patient in whole]) for part in (*PARTS, "all")}


def _untrained(folder: Path, size: int, filters: int) -> Path:
    """Write a folder as `train brain` does, with an untrained network."""
    folder.mkdir()
    unet(size, len(MODALITIES), filters=filters).save(folder / "model.keras")
    parameters = {"modalities": list(MODALITIES), "size": size, "extent_mm": Grid().extent_mm, "filters": filters}
    (folder / "run.json").write_text(json.dumps({"task": "brain", "parameters": parameters}))
    return folder
