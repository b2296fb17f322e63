"""Plants a fault, runs the lesson that should notice, and sees by what."""

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.lessons.bands import Band, read_baselines
from helpers.lessons.manifest import Course, read_manifest
from helpers.lessons.report import METRICS, read_metrics
from helpers.lessons.run import run_lessons
from tests.planted_faults.catalogue import PlantedFault

STARTUP = Path(__file__).with_name("startup")
CAUGHT, UNNOTICED, NOT_PLANTED = "caught", "not caught", "not planted"


@dataclass(frozen=True)
class Outcome:
    """What became of a fault.

    Attributes:
        fault: the fault.
        verdict: `CAUGHT`, `UNNOTICED`, or `NOT_PLANTED` where the lesson never loads the module.
        by: the number that left its band, where the lesson was stopped, or the error in which it ended.
        seconds: of the run.
    """

    fault: PlantedFault
    verdict: str
    by: str
    seconds: float


def meet(fault: PlantedFault, out: Path, course: Course | None = None, **options: Any) -> Outcome:
    """Plant a fault and run its lesson alone, until a number leaves its band.

    Args:
        fault: what to plant.
        out: folder of the run.
        course: the manifest; by default that of the package.
        options: further ones of `run_lessons`.
    """
    begun, course = time.monotonic(), course or read_manifest()
    bands = read_baselines("quick", course).get(course.find(fault.lesson).name, {})
    with planted(fault, bands) as folder:
        done = run_lessons([fault.lesson], "quick", out, again=True, at_once=1, course=course, **options)
        reached = (folder / "planted").exists()
    if done.stopped:
        raise KeyboardInterrupt
    [lesson] = done.lessons
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
        error, _, number = _last_line(metrics["error"]).partition("NoticedError: ")
        return Outcome(fault, CAUGHT, number or f"the lesson stops: {error}", seconds)
    if metrics["status"] == "out of band":
        return Outcome(fault, CAUGHT, metrics["error"].replace("\n", ", "), seconds)
    return Outcome(fault, UNNOTICED, "every number is in its band", seconds)


@contextlib.contextmanager
def planted(fault: PlantedFault, bands: Mapping[str, Band]) -> Iterator[Path]:
    """An environment in which every Python that starts plants the fault.

    Args:
        fault: what to plant.
        bands: of the lesson.

    Yields:
        A folder, in which a file `planted` appears once it is.
    """
    before = dict(os.environ)
    path = os.pathsep.join(filter(None, [str(STARTUP), before.get("PYTHONPATH")]))
    try:
        with tempfile.TemporaryDirectory(prefix="planted-") as folder:
            held = json.dumps({name: vars(band) for name, band in bands.items()})
            (Path(folder) / "bands.json").write_text(held, encoding="utf-8")
            names = {"COURSE_PLANTED_FAULT": fault.name, "COURSE_PLANTED_FOLDER": folder}
            os.environ.update(names | {"PYTHONPATH": path})
            yield Path(folder)
    finally:
        os.environ.clear()
        os.environ.update(before)


def _last_line(error: str) -> str:
    return [line for line in error.splitlines() if line.strip()][-1]
