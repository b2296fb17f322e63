"""Plants a fault, runs the lesson that should notice, and sees by what."""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.lessons.report import METRICS, read_metrics
from helpers.lessons.run import RunResult, run_lessons
from tests.planted_faults.catalogue import PlantedFault

STARTUP = Path(__file__).with_name("startup")
CAUGHT, UNNOTICED, NOT_PLANTED = "caught", "not caught", "not planted"


@dataclass(frozen=True)
class Outcome:
    """What became of a fault.

    Attributes:
        fault: the fault.
        verdict: `CAUGHT`, `UNNOTICED`, or `NOT_PLANTED` where the lesson never loads the module.
        by: the numbers that left their bands, or the error in which the lesson ended.
        seconds: of the run.
    """

    fault: PlantedFault
    verdict: str
    by: str
    seconds: float


def meet(fault: PlantedFault, out: Path, run: Callable[..., RunResult] = run_lessons, **options: Any) -> Outcome:
    """Plant a fault and run its lesson alone.

    Args:
        fault: what to plant.
        out: folder of the run.
        run: as `run_lessons`.
        options: further ones of `run`.
    """
    begun = time.monotonic()
    with planted(fault) as mark:
        [lesson] = run([fault.lesson], "quick", out, again=True, at_once=1, **options).lessons
        reached = fault.name in mark.read_text(encoding="utf-8").splitlines()
    return judge(fault, read_metrics(out / lesson.lesson / METRICS), reached, time.monotonic() - begun)


def judge(fault: PlantedFault, metrics: dict[str, Any], reached: bool, seconds: float = 0.0) -> Outcome:
    """Say whether a lesson noticed, and by what.

    Args:
        fault: what was planted.
        metrics: the lesson's `metrics.json`.
        reached: whether its kernel has loaded what the fault is in.
        seconds: that it took.
    """
    if not reached:
        return Outcome(fault, NOT_PLANTED, f"lesson {fault.lesson} never loads {fault.module}", seconds)
    if metrics["status"] == "failed":
        return Outcome(fault, CAUGHT, f"the lesson stops: {_last_line(metrics['error'])}", seconds)
    if metrics["status"] == "out of band":
        return Outcome(fault, CAUGHT, metrics["error"].replace("\n", ", "), seconds)
    return Outcome(fault, UNNOTICED, "every number is in its band", seconds)


@contextlib.contextmanager
def planted(fault: PlantedFault) -> Iterator[Path]:
    """An environment in which every Python that starts plants the fault; then its name stands in the file given."""
    before = dict(os.environ)
    path = os.pathsep.join(filter(None, [str(STARTUP), before.get("PYTHONPATH")]))
    try:
        with tempfile.TemporaryDirectory(prefix="planted-") as folder:
            mark = Path(folder) / "mark"
            mark.touch()
            names = {"COURSE_PLANTED_FAULT": fault.name, "COURSE_PLANTED_MARK": str(mark)}
            os.environ.update(names | {"PYTHONPATH": path})
            yield mark
    finally:
        os.environ.clear()
        os.environ.update(before)


def _last_line(error: str) -> str:
    return [line for line in error.splitlines() if line.strip()][-1]
