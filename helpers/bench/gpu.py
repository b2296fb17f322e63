"""Benchmark on a GPU: training steps beside PyTorch's, memory, inference, loading, and the share of the card's rate.

Each measurement is written as soon as it is there, so that little is lost when the machine is taken away. Keras runs in
a process of its own for each size and precision (`helpers.bench.gpu_worker`), PyTorch in one for all of them
(`peers/unet_cells.py`), and while one of them computes the other holds no memory of the card. What does not fit into
memory, fails or takes too long is a row that says so. This process imports neither framework.
"""

import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from helpers.bench import report
from helpers.bench.gpu_tables import markdown
from helpers.bench.interleave import interleave, timed
from helpers.bench.patients import BRATS, patients
from helpers.bench.subprocess_peer import OutOfMemoryError, Peer, Process
from helpers.runtime import machine
from helpers.runtime.backend import backend_missing, check_backend
from helpers.runtime.disk import write_json, write_text
from helpers.runtime.errors import DataError

PACKAGES = ("numpy", "keras", "tensorflow", "tensorflow-cpu", "jax", "jaxlib")
MODALITIES = ("flair", "t1ce")
PATIENTS = 2
WORKER = (sys.executable, "-m", "helpers.bench.gpu_worker")
OUT_OF_MEMORY, LATE, NOT_TRIED = "out of memory", "no time left", "not tried after the smaller batch"

# What TensorFlow and JAX reserve at their start is not what they need, and PyTorch would miss it.
MEMORY = {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}

Progress = Callable[[str, int, int], None]
"""Called with what is measured next, the number of measurements before it, and that of all."""


@dataclass(frozen=True)
class Plan:
    """What is measured, and for how long; the defaults take about six minutes of a data-centre GPU.

    Attributes:
        sizes: pixels along each side of a slice; what is last is left out where the time does not suffice.
        precisions: "bfloat16", "float32", "float16".
        batches: slices in a batch.
        filters: of the U-Net's first level.
        depth: how often it halves the image.
        rounds: measurements of each.
        seconds: duration of one.
        side: rows and columns of the matrices whose product gives the card's rate.
        grid: `shape` and `spacing` of the patients.
        minutes: after so many no further measurement begins.
        limit: seconds that all of one may take, with compilation; then its process is ended.
        gpu: refuse a machine without one.
    """

    sizes: tuple[int, ...] = (128, 240)
    precisions: tuple[str, ...] = ("bfloat16", "float32", "float16")
    batches: tuple[int, ...] = (16, 64, 256)
    filters: int = 32
    depth: int = 4
    rounds: int = 3
    seconds: float = 0.4
    side: int = 8192
    grid: Mapping[str, Any] = field(default_factory=lambda: BRATS)
    minutes: float = 6
    limit: float = 90
    gpu: bool = True

    @property
    def network(self) -> dict[str, Any]:
        """Arguments of `unet` but the size: the paper's network."""
        return {
            "channels": len(MODALITIES),
            "classes": 4,
            "filters": self.filters,
            "depth": self.depth,
            "dropout": 0.2,
        }


def bench_gpu(
    path: Path | None = None, plan: Plan | None = None, progress: Progress = lambda doing, done, total: None
) -> dict[str, Any]:
    """Measure all of the plan.

    Args:
        path: JSON file for the figures, written anew after each measurement, as is the Markdown of `tables_path`.
        plan: what to measure; the default one is for a data-centre GPU.
        progress: see `Progress`.

    Returns:
        `card`, its name; `steps`: a row for each `size`, `precision` and `batch`, with slices/s of `keras`, `pytorch`
        and `compiled`; `matmul` in GFLOP/s and `prediction` in seconds for a patient, a row for each size and
        precision; `loading` in slices/s, a row for each size. Where it was measured, there is a `spread` as
        `report.spread`, else a `note` that says why not; with steps also `prepare_seconds`, from the start of their
        compilation to the end of the first, and `peak_mb` of memory, None where the backend cannot tell.
        `gflop_per_slice` by size; `pytorch`: its version and parameters, or None, and `why`; `backend`, `parameters`,
        `loader`, "tf.data" or "threads", `plan`, `machine`, `versions`, and `seconds` in all.

    Raises:
        DataError: there is no GPU, or the backend sees none, or it is not installed.
        RuntimeError: the two networks have different numbers of parameters, or Keras does not start.
    """
    plan = plan or Plan()
    run = _Run(plan, path, progress, select_backend(plan.gpu))
    with TemporaryDirectory(prefix="bench-") as folder:
        run.all(Path(folder))
    return run.result


def select_backend(gpu: bool) -> str:
    """The Keras backend: that of KERAS_BACKEND, else TensorFlow, else, where that is not installed, JAX.

    Unlike other commands with networks, this one needs no TensorFlow where there is JAX.

    Args:
        gpu: refuse a machine without an NVIDIA GPU.

    Raises:
        DataError: there is no GPU; or the backend is unknown or not installed.
    """
    if gpu and not machine.gpus():
        raise DataError(
            f"`bench gpu` needs an NVIDIA GPU, and nvidia-smi names none; this machine is {machine.device()}. "
            "`bench train`, `loader` and `predict` measure on a CPU."
        )
    backend = os.environ.get("KERAS_BACKEND")
    if backend == "jax" or (not backend and not find_spec("tensorflow") and find_spec("jax")):
        for package in ("keras", "jax"):
            if find_spec(package) is None:
                raise DataError(backend_missing(package))
        return "jax"
    check_backend()
    return "tensorflow"


def tables_path(path: Path) -> Path:
    """The Markdown file beside the JSON file of a benchmark.

    Args:
        path: of the JSON file.
    """
    return path.with_name(f"{path.name}.md")


class _Side:
    """The process of one framework: started when it is first asked for something, and anew after it was ended."""

    def __init__(self, start: Callable[[], Process]) -> None:
        self._start = start
        self._process: Process | None = None

    @property
    def info(self) -> dict[str, Any]:
        """What it tells of itself."""
        return self._running().info

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Its response to a request.

        Raises:
            OutOfMemoryError: memory ran out; the process goes on.
            RuntimeError: it failed, and is ended.
        """
        try:
            return self._running().ask(**request)
        except OutOfMemoryError:
            raise
        except RuntimeError:
            self.close()
            raise

    def release(self) -> None:
        """Have PyTorch give the memory of the device back, if it runs."""
        if self._process:
            with suppress(RuntimeError):  # it has ended, and its memory is free
                self.ask({"steps": 0})

    def kill(self) -> None:
        """End the request in progress."""
        if self._process:
            self._process.kill()

    def close(self) -> None:
        """End the process."""
        if self._process:
            self._process.close()
        self._process = None

    def _running(self) -> Process:
        if self._process is None:
            self._process = self._start()
        return self._process


class _Run:
    """One run of the benchmark: its clock, its progress, and the result so far."""

    def __init__(self, plan: Plan, path: Path | None, progress: Progress, backend: str) -> None:
        self.plan, self.path, self.progress, self.backend = plan, path, progress, backend
        self.started, self.done = time.monotonic(), 0
        groups = [{"size": size, "precision": precision} for size in plan.sizes for precision in plan.precisions]
        self.result: dict[str, Any] = {
            "card": (machine.gpus() or [machine.device()])[0],
            **report.about(PACKAGES),
            "plan": {**vars(plan), "grid": dict(plan.grid)},
            "backend": backend,
            "parameters": None,
            "gflop_per_slice": {},
            "loader": None,
            "pytorch": None,
            "steps": [{**group, "batch": batch} for group in groups for batch in sorted(plan.batches)],
            **{kind: [dict(group) for group in groups] for kind in ("matmul", "prediction")},
            "loading": [{"size": size} for size in plan.sizes],
        }

    def all(self, folder: Path) -> None:
        """Measure everything, one size and precision after the other; `folder` is for patients and slice stores."""
        pytorch = _Side(lambda: Peer("unet_cells", **self.plan.network))
        try:
            self.result["pytorch"] = pytorch.info
        except RuntimeError as missing:  # it is not installed, or does not start
            self.result["why"] = str(missing)
        self.total = sum(len(self.result[kind]) for kind in ("matmul", "prediction", "loading"))
        self.total += (3 if self.result["pytorch"] else 1) * len(self.result["steps"])
        try:
            self.progress("patients", self.done, self.total)
            patients(None, folder / "brats", PATIENTS, MODALITIES, self.plan.grid)
            for size, precision in itertools.product(self.plan.sizes, self.plan.precisions):
                self._keras(size, precision, folder)
                if self.result["pytorch"]:
                    self._pytorch(pytorch, size, precision)
        finally:
            pytorch.close()
            self._save()

    def _keras(self, size: int, precision: str, folder: Path) -> None:
        """What Keras does in one size and precision."""
        settings = {"size": size, "precision": precision, **self.plan.network}
        side = _Side(lambda: Process(WORKER, settings, {**MEMORY, "KERAS_BACKEND": self.backend}))
        data, group = str(folder / "brats"), {"size": size, "precision": precision}
        timing = {"seconds": self.plan.seconds, "rounds": self.plan.rounds}
        try:
            if not self._late():
                self._describe(size, side.info)
            self._steps(side, "keras", group, lambda batch: {"what": "steps", "batch": batch})
            self._values(side, "matmul", group, {"side": self.plan.side, **timing})
            self._values(side, "prediction", group, {"data": data, "rounds": self.plan.rounds})
            if precision == self.plan.precisions[0]:
                batch = sorted(self.plan.batches)[len(self.plan.batches) // 2]  # the rate hardly depends on it
                store = str(folder / f"slices-{size}")
                self._values(side, "loading", {"size": size}, {"data": data, "store": store, "batch": batch, **timing})
        finally:
            side.close()

    def _describe(self, size: int, info: Mapping[str, Any]) -> None:
        """Add to the result what Keras tells of itself and of the network.

        Raises:
            DataError: it sees no GPU.
            RuntimeError: PyTorch's network has another number of parameters.
        """
        if self.plan.gpu and not info["gpus"]:
            raise DataError(
                f"{self.result['card']} is there, and Keras on {self.backend} does not see it: {self.backend} was "
                "installed without CUDA. Install biomedseg-course[gpu], or jax[cuda13] and set KERAS_BACKEND=jax."
            )
        pytorch = self.result["pytorch"]
        if pytorch and pytorch["parameters"] != info["parameters"]:
            raise RuntimeError(f"{pytorch['parameters']} parameters in PyTorch, {info['parameters']} in Keras")
        self.result |= {name: info[name] for name in ("parameters", "loader")}
        self.result["gflop_per_slice"][str(size)] = info["gflop_per_slice"]

    def _pytorch(self, side: _Side, size: int, precision: str) -> None:
        """What PyTorch does in one size and precision; then it gives the memory back."""
        group = {"size": size, "precision": precision}
        for way, compiled in (("pytorch", False), ("compiled", True)):
            cell = {**group, "compiled": compiled}
            self._steps(side, way, group, lambda batch, cell=cell: {**cell, "batch": batch})
        side.release()

    def _steps(self, side: _Side, way: str, group: Mapping[str, Any], request: Callable[[int], dict[str, Any]]) -> None:
        """Training steps with each batch, in ascending order; after one that could not be measured, no larger one."""
        note = None
        for row in self._rows("steps", group):
            if note:
                row[way] = {"note": note if note in (OUT_OF_MEMORY, LATE) else NOT_TRIED}
                self.done += 1
                continue
            batch = row["batch"]
            doing = f"{way}, {row['size']} pixels, {row['precision']}, batches of {batch}"
            row[way] = self._measured(side, doing, lambda batch=batch: self._timed(side, request(batch), batch))
            note = row[way].get("note")
            self._save()

    def _timed(self, side: _Side, request: dict[str, Any], batch: int) -> dict[str, Any]:
        """Slices/s, peak memory, and the seconds that the first step took with all that it waits for."""
        response: dict[str, Any] = {}

        def run(steps: int) -> float:
            response.update(side.ask({**request, "steps": steps}))
            return response["seconds"]

        start = time.monotonic()
        run(1)
        prepared = time.monotonic() - start
        rates = interleave({"": timed(run, batch, self.plan.seconds)}, self.plan.rounds)[""]
        return {
            "spread": report.spread(rates),
            "prepare_seconds": round(prepared, 2),
            "peak_mb": response["peak_mb"],
        }

    def _values(self, side: _Side, what: str, group: Mapping[str, Any], request: dict[str, Any]) -> None:
        """A measurement whose rounds the process makes by itself."""
        (row,) = self._rows(what, group)
        doing = ", ".join([what, *(f"{value} pixels" if name == "size" else value for name, value in group.items())])

        def measure() -> dict[str, Any]:
            return {"spread": report.spread(side.ask({"what": what, **request})["values"])}

        row |= self._measured(side, doing, measure)
        self._save()

    def _measured(self, side: _Side, doing: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `measure` returns, or a note why it does not."""
        self.progress(doing, self.done, self.total)
        self.done += 1
        if self._late():
            return {"note": LATE}
        expired = threading.Event()

        def end() -> None:
            expired.set()
            side.kill()

        timer = threading.Timer(self.plan.limit, end)
        timer.start()
        try:
            return measure()
        except OutOfMemoryError:
            return {"note": OUT_OF_MEMORY}
        except RuntimeError as error:
            if expired.is_set():
                return {"note": f"ended after {self.plan.limit:g} s"}
            return {"note": "failed", "error": str(error)}
        finally:
            timer.cancel()

    def _late(self) -> bool:
        return time.monotonic() - self.started >= 60 * self.plan.minutes

    def _rows(self, kind: str, group: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [row for row in self.result[kind] if group.items() <= row.items()]

    def _save(self) -> None:
        self.result["seconds"] = round(time.monotonic() - self.started, 1)
        if self.path:
            write_json(self.result, self.path)
            write_text(markdown(self.result), tables_path(self.path))
