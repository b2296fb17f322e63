"""Runs lessons without a user, several side by side; each leaves an executed copy and `metrics.json`."""

import json
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from helpers.lessons.bands import BETTER, WORSE, judge_all
from helpers.lessons.build import NOTEBOOKS, Variant
from helpers.lessons.effort import EFFORT, measured_effort
from helpers.lessons.execute import execute
from helpers.lessons.history import remember
from helpers.lessons.manifest import Course, read_manifest
from helpers.lessons.plan import Job, code_digest, plan
from helpers.lessons.private_paths import machine_roots, without_roots
from helpers.lessons.record import collect, leaves
from helpers.lessons.report import METRICS, read_metrics, write_report
from helpers.lessons.source import unlisted_files
from helpers.runtime import machine
from helpers.runtime.disk import explain_full_disk, write_text
from helpers.runtime.lock import lock_folder
from helpers.runtime.outputs import writable_folder
from helpers.runtime.processes import DeadProcessError, map_processes

COLOURS = {"passed": "green", "out of band": "yellow", "failed": "red"}


SOLVED = "solved"
"""Folder in that of a run of both variants: the lessons with their exercises solved."""

TRAININGS = "trainings"
"""Folder in that of a run: what its lessons share."""

_MOST_AT_ONCE = 4
_MEMORY = 3e9  # bytes that a lesson may take


@dataclass(frozen=True)
class LessonRun:
    """The outcome of one lesson.

    Attributes:
        lesson: its name.
        variant: of its notebook.
        status: "passed", "failed" or "out of band".
        seconds: that it took.
        error: why it failed, or which numbers are worse than their bands.
        reused: it passed in an earlier run, and nothing has changed since.
        notes: a line for each number that is better than its band, and one for those that have none.
    """

    lesson: str
    variant: Variant
    status: str
    seconds: float
    error: str | None
    reused: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunResult:
    """All lessons of a run in the order of the course, and a report for each variant."""

    lessons: tuple[LessonRun, ...]
    reports: tuple[Path, ...]
    stopped: bool

    @property
    def exit_code(self) -> int:
        """0 all ran to their end, 1 not all, 130 stopped by Ctrl-C, as the shell has it."""
        if self.stopped:
            return 130
        return int(any(run.status == "failed" for run in self.lessons))

    @property
    def regressed(self) -> bool:
        """Whether a number is worse than its band."""
        return any(run.status == "out of band" for run in self.lessons)


def lessons_at_once() -> int:
    """How many lessons this machine runs side by side: one a core, four at most, fewer where memory is short.

    One where there is a GPU: a second TensorFlow finds its memory taken.
    """
    if machine.gpus():
        return 1
    return max(1, min(_MOST_AT_ONCE, len(machine.cores()), int(machine.free_memory() / _MEMORY)))


def run_lessons(
    names: Sequence[str],
    profile: str,
    out: Path,
    data: Path | None = None,
    variants: Sequence[Variant] = ("student",),
    again: bool = False,
    at_once: int | None = None,
    notebooks: Path = NOTEBOOKS,
    course: Course | None = None,
    seed: int | None = None,
    budgets: bool = False,
) -> RunResult:
    """Run lessons and write the report; a lesson that fails does not stop the others.

    Each leaves OUT/NN_slug/ with the executed notebook, `files/` (its OUTPUT_DIR, empty when it starts) and
    `metrics.json`, which is written last. A lesson that passed before, with the same fingerprint, is reused. Of several
    that run side by side the longest begins first.

    Args:
        names: lessons to run; none means all.
        profile: "quick" or "full".
        out: folder of the run.
        data: a folder with the data sets; None lets `helpers.data.sources` choose, and compares the numbers
            with the profile's baselines, which were taken on that data.
        variants: "student", with the stubs unfilled, "solution", or both; then the solved ones go to OUT/`SOLVED`.
        again: run also what could be reused.
        at_once: lessons that run side by side, each in a process of its own on its share of the cores; 1 runs them in
            this process, and None is `lessons_at_once`.
        notebooks: the folder of the student's notebooks, with `src/`.
        course: the manifest; by default that of the package.
        seed: replaces the SEED of every lesson, and nothing is compared.
        budgets: compare also what the lessons cost.

    Raises:
        LessonError: a lesson, notebook, parameter, profile or baseline is not in order, or this is no checkout; nothing
            has run.
        DataError: `out` may not be written to, another process runs lessons into it, or the disk is full.
    """
    console = Console(soft_wrap=True)
    course = course or read_manifest()
    out = writable_folder(out)
    folders = {variant: out if variant == variants[0] else out / SOLVED for variant in variants}
    trainings = out.resolve() / TRAININGS / code_digest()[:12]
    jobs = [
        job
        for variant, folder in folders.items()
        for job in plan(names, profile, folder, data, variant, notebooks, course, trainings, seed, budgets)
    ]
    with ExitStack() as locks:
        for folder in folders.values():
            locks.enter_context(lock_folder(folder, "runs lessons into"))
        _remove_stale(trainings)
        for note in [*_copies(notebooks, course), *_damaged(folders.values(), course)]:
            console.print(note, markup=False, highlight=False)
        lessons, stopped = _run_jobs(console, jobs, again, at_once or lessons_at_once())
        for run in lessons:
            if not run.reused and (metrics := read_metrics(folders[run.variant] / run.lesson / METRICS)):
                remember(folders[run.variant], metrics)
        reports = tuple(write_report(folder, course) for folder in folders.values())
        for report in reports:
            console.print(f"Report: {report}", markup=False)
    return RunResult(lessons, reports, stopped)


def _copies(notebooks: Path, course: Course) -> list[str]:
    """A line for each notebook that is not run because it is no lesson, such as a copy that a learner made."""
    return [f"{path} is no lesson, and is not run." for path in unlisted_files(notebooks, ".ipynb", course)]


def _remove_stale(trainings: Path) -> None:
    """Remove the trainings of another state of the code."""
    for place in trainings.parent.glob("*"):
        if place != trainings:
            shutil.rmtree(place, ignore_errors=True)


def _damaged(folders: Iterable[Path], course: Course) -> list[str]:
    """A line for each lesson whose numbers of an earlier run cannot be read."""
    paths = [folder / lesson.name / METRICS for folder in folders for lesson in course.lessons]
    return [
        f"{path} is damaged; the lesson counts as not run."
        for path in paths
        if path.is_file() and not read_metrics(path)
    ]


def _run_jobs(console: Console, jobs: list[Job], again: bool, at_once: int) -> tuple[tuple[LessonRun, ...], bool]:
    """The outcomes in the order of `jobs`, and whether Ctrl-C ended it."""
    _announce(console, jobs)
    finished, stopped = {}, False
    with _progress(console) as progress:
        bar = progress.add_task("lessons", total=len(jobs))
        try:
            for job, result in _outcomes(jobs, again, at_once):
                finished[job.folder] = result
                _print(console, result)
                progress.advance(bar)
        except KeyboardInterrupt:
            stopped = True
    if stopped:
        console.print(f"Stopped. {len(finished)} lessons are kept; the same command takes up from there.")
    return tuple(finished[job.folder] for job in jobs if job.folder in finished), stopped


def _progress(console: Console) -> Progress:
    columns = (BarColumn(), TextColumn("{task.completed} of {task.total} lessons"), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)


def _outcomes(jobs: list[Job], again: bool, at_once: int) -> Iterator[tuple[Job, LessonRun]]:
    """Each job with its outcome: those of an earlier run first, then the others as they are done."""
    todo = []
    for job in jobs:
        if not again and (reused := _reused(job)):
            yield job, reused
        else:
            todo.append(job)
    if at_once == 1 or len(todo) < 2:
        yield from ((job, _run(job)) for job in todo)
        return
    # A long one that is begun last would run alone; and two variants of a lesson would wait for each other's trainings.
    first = todo[0].variant
    todo.sort(key=lambda job: (job.variant != first, -job.seconds))
    for job, outcome in map_processes(_run, todo, at_once):
        if isinstance(outcome, DeadProcessError):
            outcome = LessonRun(job.lesson, job.variant, "failed", 0.0, str(outcome), reused=False)
        elif isinstance(outcome, Exception):
            raise outcome
        yield job, outcome


def _run(job: Job) -> LessonRun:
    with explain_full_disk(job.folder):
        return _execute(job)


def _execute(job: Job) -> LessonRun:
    shutil.rmtree(job.folder, ignore_errors=True)
    (job.folder / "files").mkdir(parents=True)
    start = time.perf_counter()
    with measured_effort() as effort:
        done = execute(
            job.notebook,
            job.folder / job.notebook.name,
            job.overrides,
            job.cell_timeout,
            job.strict,
            job.roots,
            job.trainings,
        )
    seconds, values, error = round(time.perf_counter() - start, 2), {}, done.error
    try:
        values = collect(done.notebook)
    except ValueError as twice:
        error = error or str(twice)
    numbers = dict(leaves(values)) | {EFFORT: effort.ratio}
    judged = judge_all(job.bands, numbers)
    status = "failed" if error else "out of band" if judged[WORSE] else "passed"
    error = error or "\n".join(judged[WORSE].values()) or None
    improved = {} if status == "failed" else judged[BETTER]
    notes = [f"Better than its band: {sentence}" for sentence in improved.values()]
    if job.bands and (loose := [name for name in numbers if name not in job.bands and name != EFFORT]):
        notes.append(f"No band: {', '.join(loose)}; see `python -m helpers baseline`")
    content = {
        "lesson": job.lesson,
        "status": status,
        "error": error,
        "values": values,
        "bands": {name: band.in_json for name, band in job.bands.items()},
        "worse": {} if status == "failed" else judged[WORSE],
        "improved": improved,
        "seconds": seconds,
        "processor_seconds": effort.processor_seconds,
        "calibration_seconds": effort.calibration_seconds,
        "effort": effort.ratio,
        "megabytes": round(sum(path.stat().st_size for path in job.folder.rglob("*") if path.is_file()) / 1e6, 1),
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
    return LessonRun(job.lesson, job.variant, status, seconds, error, reused=False, notes=tuple(notes))


def _reused(job: Job) -> LessonRun | None:
    """The lesson's last run, if it passed and its fingerprint is the same."""
    last = read_metrics(job.folder / METRICS)
    if not last or last["status"] != "passed" or last["fingerprint"] != job.fingerprint:
        return None
    return LessonRun(job.lesson, job.variant, "passed", last["seconds"], None, reused=True)


def _announce(console: Console, jobs: list[Job]) -> None:
    hours = {place: sum(job.hours.get(place, 0.0) for job in jobs) for place in ("cpu", "t4x2")}
    if hours["cpu"] and not machine.gpus():
        console.print(
            f"This machine has no GPU. Expect about {hours['cpu']:.1f} hours for these {len(jobs)} lessons "
            f"(an estimate; {hours['t4x2']:.1f} on Kaggle's two T4)."
        )


def _print(console: Console, run: LessonRun) -> None:
    note = "  reused" if run.reused else ""
    colour = COLOURS[run.status]
    name = run.lesson if run.variant == "student" else f"{run.lesson}, solved"
    line = f"{name:<34} [{colour}]{run.status:<12}[/] {run.seconds:7.1f} s{note}"
    console.print(line, highlight=False)
    if run.error:
        console.print(run.error, style="dim", markup=False, highlight=False)
    for note in run.notes:
        console.print(note, style="dim", markup=False, highlight=False)
