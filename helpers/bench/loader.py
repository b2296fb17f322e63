"""Benchmark of data loading, slices per second: our loader, the public kernel's, and MONAI's cached data set.

All read the same `.nii.gz` files and deliver FLAIR and T1ce on a grid of one size. The kernel reads them again for each
batch; the two others once, before the measurement. They are measured in turns, see `helpers.bench.interleave`.
"""

import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.table import Table

from helpers.bench import report
from helpers.bench.footprint import STATUS
from helpers.bench.interleave import interleave
from helpers.bench.kernel import MODALITIES, kernel_batch
from helpers.bench.patients import BRATS, patients
from helpers.bench.subprocess_peer import NoPeerError, Peer, run_fresh
from helpers.data.brats import Patient
from helpers.data.resample import Grid
from helpers.data.store import open_store
from helpers.learn.batches import training_batches

SIZE, BATCH = 128, 32
PATIENTS = 4
ROUNDS, SECONDS = 7, 2.0
COUNTS = (20, 100)  # numbers of patients for the memory measurement
SMALL = {
    "shape": (60, 60, 39),
    "spacing": (4.0, 4.0, 155 / 39),
}  # of their phantoms; the growth with their number is what counts
PACKAGES = ("numpy", "nibabel", "keras", "tensorflow", "tensorflow-cpu")
KERNEL, STORED, AUGMENTED = "the kernel's way", "ours, as stored", "ours, with the numbers that augment them"
MONAI = {
    "volumes": "MONAI, volumes cached",
    "slices": "MONAI, slices cached",
    "classes": "MONAI, slices cached, as many bytes as ours",
}


def bench_loader(
    data: str | os.PathLike | None = None,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
    size: int = SIZE,
    grid: dict[str, Any] = BRATS,
    counts: tuple[int, ...] = COUNTS,
) -> dict[str, Any]:
    """Measure the loaders.

    Args:
        data: a folder of patients, of which the first `PATIENTS` are read; phantoms are made if it is None.
        rounds: measurements of each loader.
        seconds: duration of one measurement; at least one batch is drawn.
        size: pixels along each side of a slice.
        grid: `shape` and `spacing` of the phantoms.
        counts: numbers of phantom patients for the memory measurement, which is skipped if empty.

    Returns:
        `rates`: slices/s of each loader, as `report.spread`; `ratios`: our rate without augmentation over each other
        one; `slice_bytes`: size of one of our slices; `monai`: version, cache time and slice sizes of MONAI, or None,
        and `why`; `memory`: MB by number of patients, or None; `machine`, `versions`.

    Raises:
        DataError: there is no folder `data`, or no patient in it that can be used.
    """
    with TemporaryDirectory(prefix="bench-") as name, ExitStack() as peers:
        folder = Path(name)
        chosen = patients(data, folder / "brats", PATIENTS, MODALITIES, grid)
        turns, info = _ours(chosen, folder / "slices", size, seconds)
        result = {
            **report.about(PACKAGES),
            "data": "phantoms" if data is None else "the user's own",
            "patients": len(chosen),
            "files": sorted({"".join(path.suffixes[-2:]) for path in chosen[0].images.values()}),
            "size": size,
            "batch": BATCH,
            **info,
        }
        try:
            peer = peers.enter_context(_monai(chosen, size))
            result["monai"] = peer.info
            turns |= {MONAI[way]: _turn(peer, way, seconds) for way in MONAI}
        except NoPeerError as missing:
            result |= {"monai": None, "why": str(missing)}
        measured = interleave(turns, rounds)
        result["rates"] = {name: report.spread(rates) for name, rates in measured.items()}
        result["ratios"] = {
            name: report.ratio(measured[STORED], rates) for name, rates in measured.items() if name != STORED
        }
        result["memory"] = _memory(folder, counts, size)
    return result


def delivered(batches: Iterator[Any], seconds: float, images: Callable[[Any], Any]) -> float:
    """Slices per second that an iterator delivers.

    Args:
        batches: does not end.
        seconds: time after which no further batch is drawn.
        images: returns the images of a batch; their first axis is counted.
    """
    count, start = 0, time.perf_counter()
    while time.perf_counter() < start + seconds:
        count += len(images(next(batches)))
    return count / (time.perf_counter() - start)


def show(result: dict[str, Any]) -> None:
    """Print the result of `bench_loader` as a table."""
    table = Table(title=f"Slices a second, {result['size']} x {result['size']} pixels, FLAIR and T1ce")
    for column in ("", "slices/s\nmedian", "lowest to\nhighest", "ours over\nit, median", "lowest to\nhighest"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for name, found in result["rates"].items():
        over = report.cells(result["ratios"][name], 1) if name in result["ratios"] else ("", "")
        table.add_row(name, *report.cells(found), *over)
    report.show_table(result, table, _notes(result))


def _notes(result: dict[str, Any]) -> Iterable[str]:
    yield (
        f"{result['patients']} patients, {', '.join(result['files'])} ({result['data']}), batches of "
        f"{result['batch']}; the kernel's is one patient. Building our store took {result['prepare_seconds']:.1f} s."
    )
    monai = result["monai"]
    if monai is None:
        yield f"MONAI's cached data set was not measured. {result['why']}"
    else:
        yield f"MONAI {monai['version']} filled its cache in memory in {monai['fill_seconds']:.1f} s."
        sizes = {way: size / 1000 for way, size in monai["slice_bytes"].items()}
        yield (
            f"A slice of ours has {result['slice_bytes'] / 1000:.0f} kB, soft labels included: a byte a pixel for each "
            f"class but the background. One of MONAI's has {sizes['slices']:.0f} with a label of one byte a pixel, and "
            f"{sizes['classes']:.0f} with a byte for each class."
        )
    if result["memory"]:
        peaks = [
            f"{found['anonymous']:,.0f} MB with {found['patients']} patients (and {found['mapped']:,.0f} mapped)"
            for found in result["memory"]
        ]
        yield f"Peak memory of building a store and drawing batches: {', '.join(peaks)}."


def _ours(
    chosen: tuple[Patient, ...], folder: Path, size: int, seconds: float
) -> tuple[dict[str, Callable[[], float]], dict[str, float]]:
    """Turns of the kernel's loader and of ours; the seconds to build our store, and the bytes of one of its slices."""
    start = time.perf_counter()
    store = open_store(chosen, folder, MODALITIES, Grid(size))
    info = {
        "prepare_seconds": time.perf_counter() - start,
        "slice_bytes": store.images[0].nbytes + store.label_planes[0, 1:].nbytes,
    }
    ids = [patient.id for patient in chosen]
    kernel = (kernel_batch(patient, size) for patient in itertools.cycle(chosen))
    stored, augmented = (iter(training_batches(store, ids, BATCH, 0, kinds)) for kinds in ("none", "usual"))
    return {
        KERNEL: lambda: delivered(kernel, seconds, lambda batch: batch[0]),
        STORED: lambda: delivered(stored, seconds, lambda batch: batch["images"]),
        AUGMENTED: lambda: delivered(augmented, seconds, lambda batch: batch["images"]),
    }, info


def _monai(chosen: tuple[Patient, ...], size: int) -> Peer:
    paths = [
        {"image": [str(patient.images[kind]) for kind in MODALITIES], "label": str(patient.seg)} for patient in chosen
    ]
    return Peer("cached_slices", patients=paths, size=size, batch=BATCH)


def _turn(peer: Peer, way: str, seconds: float) -> Callable[[], float]:
    def turn() -> float:
        response = peer.ask(way=way, seconds=seconds)
        return response["slices"] / response["seconds"]

    return turn


def _memory(folder: Path, counts: tuple[int, ...], size: int) -> list[dict[str, float]] | None:
    """Peak memory with each number of patients, from `footprint`; None where the system does not report it."""
    if not counts or not STATUS.exists():
        return None
    many = folder / "many"
    patients(None, many, max(counts), MODALITIES, SMALL)
    return [run_fresh("helpers.bench.footprint", many, count, size) for count in counts]
