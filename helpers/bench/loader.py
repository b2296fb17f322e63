"""How many slices a second reach a training step: our loader's, the public kernel's, and MONAI's cached data set's.

All read the same `.nii.gz` files and deliver FLAIR and T1ce on a grid of one size. The kernel reads them anew each
time; the two others once, before the clock starts. They take turns, so that a machine which is slow for a while is so
for all.
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
COUNTS = (20, 100)  # patients, for the memory
SMALL = {"shape": (60, 60, 39), "spacing": (4.0, 4.0, 155 / 39)}  # their volumes: all the memory that grows is shown
PACKAGES = ("numpy", "nibabel", "keras", "tensorflow", "tensorflow-cpu")
KERNEL, STORED, VARIED = "the kernel's way", "ours, as stored", "ours, to be varied"
MONAI = {"volumes": "MONAI, volumes cached", "slices": "MONAI, slices cached"}


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
        data: a folder of patients, of which the first few are read; phantoms are made if none is given.
        rounds: turns of each loader. seconds: how long one lasts, or as long as a batch takes.
        size: pixels along each side of a slice.
        grid: `shape` and `spacing` of the phantoms.
        counts: numbers of phantom patients to measure the memory with; none is measured where it is empty.

    Returns:
        `rates`: slices/s of each loader, as `report.spread`; `ratios`, of our batches as stored over each other's;
        `slice_bytes`, what a slice of ours weighs; `monai`: its version and the same of its, or None, and `why`;
        `memory`: MB by number of patients, or None; `machine`, `versions`.

    Raises:
        DataError: there is no folder `data`, or no patient in it that can be used.
    """
    with TemporaryDirectory(prefix="bench-") as name, ExitStack() as peers:
        folder = Path(name)
        chosen = patients(data, folder / "brats", PATIENTS, MODALITIES, grid)
        turns, told = _ours(chosen, folder / "slices", size, seconds)
        result = {
            **report.about(PACKAGES),
            "data": "phantoms" if data is None else "the user's own",
            "patients": len(chosen),
            "files": sorted({"".join(path.suffixes[-2:]) for path in chosen[0].images.values()}),
            "size": size,
            "batch": BATCH,
            **told,
        }
        try:
            peer = peers.enter_context(_cached(chosen, size))
            result["monai"] = peer.told
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
    """Slices a second: those that came, over the time they took.

    Args:
        seconds: after which no further batch is asked for.
        images: where a batch has its images, whose first axis is counted.
    """
    count, start = 0, time.perf_counter()
    while time.perf_counter() < start + seconds:
        count += len(images(next(batches)))
    return count / (time.perf_counter() - start)


def show(result: dict[str, Any]) -> None:
    """Print what `bench_loader` found."""
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
        f"{result['batch']}; the kernel's is one patient. Our store took {result['prepare_seconds']:.1f} s, once."
    )
    monai = result["monai"]
    if monai is None:
        yield f"MONAI's cached data set was not measured. {result['why']}"
    else:
        yield f"MONAI {monai['version']} filled its cache, which is in memory, in {monai['fill_seconds']:.1f} s."
        ours, its = result["slice_bytes"] / 1000, monai["slice_bytes"] / 1000
        yield f"A slice of ours is {ours:.0f} kB, shares of four classes in it; one of MONAI's {its:.0f}, with a label."
    if result["memory"]:
        held = [
            f"{found['anonymous']:,.0f} MB with {found['patients']} patients (and {found['mapped']:,.0f} mapped)"
            for found in result["memory"]
        ]
        yield f"Memory, at most, to build a store and draw from it: {', '.join(held)}."


def _ours(
    chosen: tuple[Patient, ...], folder: Path, size: int, seconds: float
) -> tuple[dict[str, Callable[[], float]], dict[str, float]]:
    """Turns of the kernel's way and of ours; the seconds that our store took, and what it holds of a slice."""
    start = time.perf_counter()
    store = open_store(chosen, folder, MODALITIES, Grid(size))
    told = {
        "prepare_seconds": time.perf_counter() - start,
        "slice_bytes": store.images[0].nbytes + store.soft_labels[0].nbytes,
    }
    ids = [patient.id for patient in chosen]
    again = (kernel_batch(patient, size) for patient in itertools.cycle(chosen))
    stored, varied = (iter(training_batches(store, ids, BATCH, 0, kinds)) for kinds in ("none", "usual"))
    return {
        KERNEL: lambda: delivered(again, seconds, lambda batch: batch[0]),
        STORED: lambda: delivered(stored, seconds, lambda batch: batch["images"]),
        VARIED: lambda: delivered(varied, seconds, lambda batch: batch["images"]),
    }, told


def _cached(chosen: tuple[Patient, ...], size: int) -> Peer:
    paths = [
        {"image": [str(patient.images[kind]) for kind in MODALITIES], "label": str(patient.seg)} for patient in chosen
    ]
    return Peer("cached_slices", patients=paths, size=size, batch=BATCH)


def _turn(peer: Peer, way: str, seconds: float) -> Callable[[], float]:
    def turn() -> float:
        answer = peer.ask(way=way, seconds=seconds)
        return answer["slices"] / answer["seconds"]

    return turn


def _memory(folder: Path, counts: tuple[int, ...], size: int) -> list[dict[str, float]] | None:
    """What `footprint` saw with each number of patients; None where the system does not tell."""
    if not counts or not STATUS.exists():
        return None
    many = folder / "many"
    patients(None, many, max(counts), MODALITIES, SMALL)
    return [run_fresh("helpers.bench.footprint", many, count, size) for count in counts]
