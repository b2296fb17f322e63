"""Plants a fault, runs the lesson that should notice, and sees by what."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.lessons.execute import LOG
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
    with planted(fault):
        [lesson] = run([fault.lesson], "quick", out, again=True, at_once=1, **options).lessons
    folder = out / lesson.lesson
    return judge(fault, read_metrics(folder / METRICS), (folder / LOG).read_text("utf-8"), time.monotonic() - begun)


def judge(fault: PlantedFault, metrics: dict[str, Any], log: str, seconds: float = 0.0) -> Outcome:
    """Say whether a lesson noticed, and by what.

    Args:
        fault: what was planted.
        metrics: the lesson's `metrics.json`.
        log: what its kernel wrote to standard error.
        seconds: that it took.
    """
    if f"planted: {fault.name}" not in log:
        return Outcome(fault, NOT_PLANTED, f"lesson {fault.lesson} never loads {fault.module}", seconds)
    if metrics["status"] == "failed":
        return Outcome(fault, CAUGHT, f"the lesson stops: {_last_line(metrics['error'])}", seconds)
    if metrics["status"] == "out of band":
        return Outcome(fault, CAUGHT, metrics["error"].replace("\n", ", "), seconds)
    return Outcome(fault, UNNOTICED, "every number is in its band", seconds)


@contextlib.contextmanager
def planted(fault: PlantedFault) -> Iterator[None]:
    """An environment in which every Python that starts plants the fault."""
    before = dict(os.environ)
    path = os.pathsep.join(filter(None, [str(STARTUP), before.get("PYTHONPATH")]))
    os.environ.update({"PYTHONPATH": path, "COURSE_PLANTED_FAULT": fault.name})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _last_line(error: str) -> str:
    return [line for line in error.splitlines() if line.strip()][-1]
