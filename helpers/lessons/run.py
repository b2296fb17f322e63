"""Runs lessons one after the other without a user; each leaves an executed copy and `metrics.json`."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from helpers.lessons.build import NOTEBOOKS, Variant
from helpers.lessons.execute import execute
from helpers.lessons.manifest import Course, read_manifest
from helpers.lessons.plan import Job, plan
from helpers.lessons.private_paths import machine_roots, without_roots
from helpers.lessons.record import collect
from helpers.lessons.report import METRICS, read_metrics, write_report
from helpers.lessons.source import unlisted_files
from helpers.runtime import machine
from helpers.runtime.disk import explain_full_disk, write_text
from helpers.runtime.lock import lock_folder
from helpers.runtime.outputs import writable_folder

COLOURS = {"passed": "green", "out of band": "yellow", "failed": "red"}


@dataclass(frozen=True)
class LessonRun:
    """The outcome of one lesson. Its status is "passed", "failed" or "out of band"."""

    lesson: str
    status: str
    seconds: float
    error: str | None
    reused: bool


@dataclass(frozen=True)
class RunResult:
    """All lessons of a run, and its report. `exit_code` is 0 when every lesson passed."""

    lessons: tuple[LessonRun, ...]
    report: Path
    stopped: bool

    @property
    def exit_code(self) -> int:
        """0 all passed, 1 not all, 130 stopped by Ctrl-C, as the shell has it."""
        if self.stopped:
            return 130
        return int(any(run.status != "passed" for run in self.lessons))


def run_lessons(
    names: Sequence[str],
    profile: str,
    out: Path,
    data: Path | None = None,
    variant: Variant = "student",
    again: bool = False,
    notebooks: Path = NOTEBOOKS,
    course: Course | None = None,
) -> RunResult:
    """Run lessons and write the report; a lesson that fails does not stop the others.

    Each leaves OUT/NN_slug/ with the executed notebook, `files/` (its OUTPUT_DIR, empty when it starts) and
    `metrics.json`, which is written last. A lesson that passed before, with the same fingerprint, is reused.

    Args:
        names: lessons to run; none means all.
        profile: "quick" or "full".
        out: folder of the run.
        data: a folder with the data sets; None lets `helpers.data.sources` choose, and compares the numbers
            with the profile's baselines, which were taken on that data.
        variant: "student", with the stubs unfilled, or "solution".
        again: run also what could be reused.
        notebooks: the folder of the student's notebooks, with `src/`.
        course: the manifest; by default that of the package.

    Raises:
        LessonError: a lesson, notebook, parameter, profile or baseline is not in order, or this is no checkout; nothing
            has run.
        DataError: `out` may not be written to, another process runs lessons into it, or the disk is full.
    """
    console = Console(soft_wrap=True)
    course = course or read_manifest()
    out = writable_folder(out)
    jobs = plan(names, profile, out, data, variant, notebooks, course)
    with lock_folder(out, "runs lessons into"):
        for note in [*_copies(notebooks, course), *_damaged(out, course)]:
            console.print(note, markup=False, highlight=False)
        return _run_jobs(console, jobs, out, variant, again, course)


def _copies(notebooks: Path, course: Course) -> list[str]:
    """A line for each notebook that is not run because it is no lesson, such as a copy that a learner made."""
    return [f"{path} is no lesson, and is not run." for path in unlisted_files(notebooks, ".ipynb", course)]


def _damaged(out: Path, course: Course) -> list[str]:
    """A line for each lesson whose numbers of an earlier run cannot be read."""
    paths = [out / lesson.name / METRICS for lesson in course.lessons]
    return [
        f"{path} is damaged; the lesson counts as not run."
        for path in paths
        if path.is_file() and not read_metrics(path)
    ]


def _run_jobs(console: Console, jobs: list[Job], out: Path, variant: Variant, again: bool, course: Course) -> RunResult:
    _announce(console, jobs)
    finished, stopped = [], False
    try:
        for job in jobs:
            with console.status(job.lesson):
                result = None if again else _reused(job)
                result = result or _run(job)
            finished.append(result)
            _print(console, result, variant)
    except KeyboardInterrupt:
        stopped = True
        console.print(f"Stopped. {len(finished)} lessons are kept; the same command takes up from there.")
    report = write_report(out, course)
    console.print(f"Report: {report}", markup=False)
    return RunResult(tuple(finished), report, stopped)


def _run(job: Job) -> LessonRun:
    with explain_full_disk(job.folder):
        return _execute(job)


def _execute(job: Job) -> LessonRun:
    shutil.rmtree(job.folder, ignore_errors=True)
    (job.folder / "files").mkdir(parents=True)
    start = time.perf_counter()
    done = execute(job.notebook, job.folder / job.notebook.name, job.overrides, job.cell_timeout, job.strict, job.roots)
    seconds, values, error = round(time.perf_counter() - start, 2), {}, done.error
    try:
        values = collect(done.notebook)
    except ValueError as twice:
        error = error or str(twice)
    outside = [
        f"{metric} is {values.get(metric)}; the band is {band.min:g} to {band.max:g}"
        for metric, band in job.bands.items()
        if not band.holds(values.get(metric))
    ]
    status = "failed" if error else "out of band" if outside else "passed"
    error = error or "\n".join(outside) or None
    content = {
        "lesson": job.lesson,
        "status": status,
        "error": error,
        "values": values,
        "bands": {metric: band.ends for metric, band in job.bands.items()},
        "seconds": seconds,
        "cells": done.cells,
        "profile": job.profile,
        "variant": job.variant,
        "parameters": without_roots(job.parameters, {**machine_roots(), **job.roots}),
        "versions": machine.versions(),
        "device": machine.device(),
        "commit": machine.commit(job.notebook.parent),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": job.fingerprint,
    }
    write_text(json.dumps(content, indent=2), job.folder / METRICS)
    return LessonRun(job.lesson, status, seconds, error, reused=False)


def _reused(job: Job) -> LessonRun | None:
    """The lesson's last run, if it passed and its fingerprint is the same."""
    last = read_metrics(job.folder / METRICS)
    if not last or last["status"] != "passed" or last["fingerprint"] != job.fingerprint:
        return None
    return LessonRun(job.lesson, "passed", last["seconds"], None, reused=True)


def _announce(console: Console, jobs: list[Job]) -> None:
    hours = {place: sum(job.hours.get(place, 0.0) for job in jobs) for place in ("cpu", "t4x2")}
    if hours["cpu"] and not machine.gpus():
        console.print(
            f"This machine has no GPU. Expect about {hours['cpu']:.1f} hours for these {len(jobs)} lessons "
            f"(an estimate; {hours['t4x2']:.1f} on Kaggle's two T4)."
        )


def _print(console: Console, run: LessonRun, variant: Variant) -> None:
    note = "  reused" if run.reused else ""
    colour = COLOURS[run.status]
    name = run.lesson if variant == "student" else f"{run.lesson}, solved"  # both may run side by side
    line = f"{name:<34} [{colour}]{run.status:<12}[/] {run.seconds:7.1f} s{note}"
    console.print(line, highlight=False)
    if run.error:
        console.print(run.error, style="dim", markup=False, highlight=False)
