"""Makes the bands of the quick profile: every lesson once for each seed, and from these runs what a number should be.

The rule for a number of n runs with standard deviation s. The band is the median -/+ the larger of

- t(n - 1; 0.995) * sqrt(1 + 1 / n) * s, the prediction interval that one more run leaves in one case of a hundred. Few
  runs say little of their own spread, so the factor is 11.5 for three runs, 5.0 for five, 3.4 for ten;
- the least difference that matters, by `meaning.yml`; else a twentieth of the median.

Towards the trivial predictor a band ends where a quarter of the way from it is left, however large s is. Where two s
reach beyond that end, the number cannot tell a lesson that works from one that learnt nothing, and no baseline is
written until people record a steadier number, or say why it is not compared.

What a lesson costs may double, or be half as much again as that of the dearest run.
"""

import math
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from helpers.lessons.bands import BAND, BUDGET, EXACT, NOT_COMPARED, Band, make_band, read_baselines
from helpers.lessons.build import NOTEBOOKS
from helpers.lessons.effort import EFFORT
from helpers.lessons.manifest import Course, LessonError, read_manifest
from helpers.lessons.meaning import MEANING, Meaning, meaning_of, read_meaning
from helpers.lessons.record import leaves
from helpers.lessons.report import METRICS, read_metrics
from helpers.lessons.run import run_lessons
from helpers.runtime.disk import write_text

PROFILE = "quick"
FEWEST = 3
"""Runs without which a spread is a guess."""

_OUTSIDE = 0.01  # of further runs may leave a band
_FLOOR = 0.05  # of the median
_LEFT = 0.25  # of the way from the trivial predictor
_DOUBLE = 2.0  # times what a lesson costs is too much, and half of it an improvement
_DEARER = 1.5  # times the dearest run

_HEAD = """\
# What the numbers of the quick profile on phantoms should be. Written by `python -m helpers baseline`, never by hand:
# what people say of a number stands in {meaning}, and the rule in helpers/lessons/baseline.py.
#
# exact: the same in every run. band: median and standard deviation of `runs` runs, each with a seed of its own, and
# which way is `better`; beyond the other end, or beyond both, a number has regressed. budget: processor seconds of the
# lesson over those of a calibration step in the same run. trivial: what the predictor that knows nothing records.
"""


@dataclass(frozen=True)
class Baseline:
    """What was written.

    Attributes:
        path: of the file.
        rows: of each number (lesson, name, the old entry or None, the new one or None).
    """

    path: Path
    rows: tuple[tuple[str, str, Band | None, Band | None], ...]


def make_baseline(
    names: Sequence[str],
    seeds: int,
    out: Path,
    at_once: int | None = None,
    notebooks: Path = NOTEBOOKS,
    course: Course | None = None,
) -> Baseline:
    """Run lessons once for each seed, and write their bands; a lesson that ran for a seed before is not run again.

    Args:
        names: lessons; none means all. The bands of the others stay.
        seeds: how many; they are 0, 1, 2 and so on.
        out: gets a folder for each seed, as `python -m helpers run` leaves it.
        at_once: lessons side by side, see `helpers.lessons.run.run_lessons`.
        notebooks: the folder of the student's notebooks, with `src/`.
        course: the manifest; by default that of the package.

    Raises:
        LessonError: nobody is there, seeds are too few, a file of `baselines/` is not in order, a lesson failed, or no
            band can be made of a number; nothing was written.
        KeyboardInterrupt: Ctrl-C; the same call takes up from there.
    """
    course = course or read_manifest()
    wanted = [course.find(name) for name in names] or course.lessons
    if seeds < FEWEST:
        raise LessonError(f"{seeds} runs say nothing of their spread; give at least {FEWEST} seeds.")
    if os.environ.get("CI"):
        raise LessonError("A baseline is made by people who then look at it, not in CI; here CI is set.")
    read_meaning(course), read_baselines(PROFILE, course)  # what is wrong with these is said before hours of runs
    folders = [out / f"seed_{seed}" for seed in range(seeds)]
    for seed, folder in enumerate(folders):
        print(f"Seed {seed}, {seed + 1} of {seeds}:")
        done = run_lessons(names, PROFILE, folder, at_once=at_once, notebooks=notebooks, course=course, seed=seed)
        if done.stopped:
            raise KeyboardInterrupt
        if failed := [run.lesson for run in done.lessons if run.status == "failed"]:
            raise LessonError(f"{', '.join(failed)} failed with seed {seed}; mend that first. No baseline was written.")
    return write_baseline([lesson.name for lesson in course.lessons if lesson in wanted], folders, course)


def write_baseline(lessons: Sequence[str], folders: Sequence[Path], course: Course) -> Baseline:
    """Write the bands of lessons from finished runs.

    Args:
        lessons: their full names.
        folders: of the runs, one a seed; each holds every lesson.
        course: the manifest, beside which `baselines/` lies.

    Raises:
        LessonError: a run is missing, or no band can be made of a number; nothing was written.
    """
    said, old = read_meaning(course), read_baselines(PROFILE, course)
    new, problems = {}, []
    for lesson in lessons:
        runs = [read_metrics(folder / lesson / METRICS) for folder in folders]
        if not all(runs):
            raise LessonError(f"{lesson} was not run in {folders[runs.index(None)]}; no baseline was written.")
        new[lesson], wrong = bands_of(runs, said.get(lesson, {}))
        problems += [f"{lesson}: {words}" for words in wrong]
    if problems:
        raise LessonError("\n".join(["No baseline was written.", *problems]))
    kept = {lesson: numbers for lesson, numbers in old.items() if lesson not in new}
    entries = {one.name: {**kept, **new}[one.name] for one in course.lessons if one.name in kept.keys() | new.keys()}
    path = course.folder / "baselines" / f"{PROFILE}.yml"
    write_text(_in_yaml(entries), path)
    written = read_baselines(PROFILE, course)
    rows = [
        (lesson, name, old.get(lesson, {}).get(name), written[lesson].get(name))
        for lesson in new
        for name in {**old.get(lesson, {}), **new[lesson]}
    ]
    return Baseline(path, tuple(rows))


def bands_of(runs: Sequence[Mapping[str, Any]], said: Mapping[str, Meaning]) -> tuple[dict[str, Band], list[str]]:
    """Make the bands of a lesson, and say of which numbers none can be made.

    Args:
        runs: the `metrics.json` of each seed.
        said: what people say of the numbers.

    Returns:
        A band by the name of each number that was recorded, and what stands in the way of the others.
    """
    recorded = [dict(leaves(run["values"])) for run in runs]
    bands, problems = {}, []
    for name in {name: None for values in recorded for name in values}:
        try:
            bands[name] = _band(name, recorded, meaning_of(name, said))
        except LessonError as error:
            problems.append(str(error))
    efforts = [run[EFFORT] for run in runs if run.get(EFFORT) is not None]
    if len(efforts) > 1:
        bands[EFFORT] = _budget(efforts)
    return bands, problems


def _band(name: str, recorded: Sequence[Mapping[str, Any]], meaning: Meaning | None) -> Band:
    """The band of one number.

    Raises:
        LessonError: there can be none; the message says why.
    """
    if meaning is None:
        raise LessonError(f"{name} is not in {MEANING}; say there what it means.")
    if meaning.not_compared is not None:
        return Band(NOT_COMPARED, because=meaning.not_compared)
    values = [run.get(name) for run in recorded]
    trivial = _trivial(name, recorded, meaning)
    if meaning.exact:
        exact = Band(EXACT, value=values[0], runs=len(values))
        if any(exact.judge(value) != "same" for value in values):
            raise LessonError(f"{name} is said to be exact, but depends on the seed: {values}.")
        return _checked(name, exact, trivial)
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise LessonError(f"{name} is no number in every run: {values}; say in {MEANING} why it is not compared.")
    return _interval(name, values, meaning, trivial)


def _interval(name: str, values: Sequence[float], meaning: Meaning, trivial: float | None) -> Band:
    """The band of the rule above.

    Raises:
        LessonError: the runs spread too far, or no further than the trivial predictor.
    """
    middle, spread = statistics.median(values), statistics.stdev(values)
    floor = _FLOOR * abs(middle) if meaning.matters is None else meaning.matters
    half = max(factor(len(values)) * spread, floor)
    if half == 0:
        raise LessonError(f"{name} is 0 in every run; say in {MEANING} that it is exact, or what difference matters.")
    ends = {"min": middle - half, "max": middle + half}
    if trivial is not None:
        end = trivial + _LEFT * (middle - trivial)
        if trivial < middle:
            ends["min"] = max(ends["min"], end)
        else:
            ends["max"] = min(ends["max"], end)
        if not abs(middle - end) > 2 * spread:
            raise LessonError(
                f"{name} is {middle:.4g} with a standard deviation of {spread:.2g} in {len(values)} runs, and the "
                f"trivial predictor records {trivial:.4g}: a band that excludes it would not hold the runs. Record a "
                f"steadier number, or say in {MEANING} why it is not compared."
            )
    return _checked(name, Band(BAND, meaning.better, middle, **ends, spread=spread, runs=len(values)), trivial)


def _checked(name: str, band: Band, trivial: float | None) -> Band:
    """The band with what the trivial predictor records, in the digits that are written.

    Raises:
        LessonError: it lets the trivial predictor pass.
    """
    return make_band(_entry(band) | ({} if trivial is None else {"trivial": trivial}), name)


def _trivial(name: str, recorded: Sequence[Mapping[str, Any]], meaning: Meaning) -> float | None:
    """What the trivial predictor records: as people say, or as the runs did under another name, their median.

    Raises:
        LessonError: nothing was recorded under that name.
    """
    if not isinstance(meaning.trivial, str):
        return meaning.trivial
    values = [run.get(meaning.trivial) for run in recorded]
    if not all(isinstance(value, int | float) for value in values):
        raise LessonError(f"{name} is held against {meaning.trivial}, which is no number in every run: {values}.")
    return _rounded(statistics.median(values))


def _budget(values: Sequence[float]) -> Band:
    """What a lesson may cost: twice the median, or half as much again as the dearest run."""
    middle, spread = statistics.median(values), statistics.stdev(values)
    most = max(_DOUBLE * middle, _DEARER * max(values))
    return Band(BUDGET, "lower", middle, middle / _DOUBLE, most, spread=spread, runs=len(values))


def factor(runs: int) -> float:
    """By how many of their standard deviations one more run may differ from so many runs.

    Args:
        runs: at least two.
    """
    from scipy.stats import t

    return float(t.ppf(1 - _OUTSIDE / 2, runs - 1)) * math.sqrt(1 + 1 / runs)


def _in_yaml(entries: Mapping[str, Mapping[str, Band]]) -> str:
    """A line for each number; what a line holds, `read_baselines` reads back."""
    lines = [_HEAD.format(meaning=MEANING).rstrip()]
    for lesson, bands in entries.items():
        lines += ["", f"{lesson}:" if bands else f"{lesson}: {{}}"]
        for name, band in bands.items():
            text = yaml.safe_dump({name: _entry(band)}, default_flow_style=True, sort_keys=False, width=math.inf)
            key, _, rest = text.strip()[1:-1].partition(": {")
            lines.append(f"  {key}: {{{rest}")
    return "\n".join(lines) + "\n"


def _entry(band: Band) -> dict[str, Any]:
    """The fields that say something; numbers in six digits, but an exact one in all that it has."""
    if band.kind in (EXACT, NOT_COMPARED):
        fields = ("kind", "value", "trivial", "runs") if band.kind == EXACT else ("kind", "because")
        values = {name: getattr(band, name) for name in fields}
    else:
        values = {name: _rounded(value) for name, value in vars(band).items()}
    return {name: value for name, value in values.items() if value is not None}


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value
