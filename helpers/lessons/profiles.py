"""Reads profiles (how large a run is) and baselines (in which range its recorded numbers should lie)."""

import math
from dataclasses import dataclass
from typing import Any

from helpers.lessons.manifest import Course, LessonError, read_yaml


@dataclass(frozen=True)
class Profile:
    """The size of a run.

    Attributes:
        name: of the profile, such as "quick".
        cell_timeout: seconds that a cell may take at most.
        parameters: of each lesson, by the lesson's name.
        hours: expected for each lesson, by the kind of machine.
        seconds: that each lesson took alone on two cores, if it was measured.
        disk_mb: that each lesson's run left on disk, if it was measured.
    """

    name: str
    cell_timeout: int
    parameters: dict[str, dict[str, Any]]
    hours: dict[str, dict[str, float]]
    seconds: dict[str, float]
    disk_mb: dict[str, float]


@dataclass(frozen=True)
class Band:
    """The accepted range of a recorded number, ends included, and what the trivial predictor would record."""

    min: float
    max: float
    trivial: float

    @property
    def ends(self) -> dict[str, float | None]:
        """The band in JSON, which knows no infinity: an open end is null."""
        return {name: value if math.isfinite(value) else None for name, value in vars(self).items()}

    def holds(self, value: Any) -> bool:
        """Tell whether `value` is a number inside the band."""
        return isinstance(value, int | float) and self.min <= value <= self.max


def read_profile(name: str, course: Course) -> Profile:
    """Read a profile, which has an entry for every lesson of the course and no other.

    Args:
        name: of the profile.
        course: the manifest.

    Raises:
        LessonError: there is no such profile, or its entries and the manifest differ.
    """
    path = course.folder / "profiles" / f"{name}.yml"
    known = sorted(found.stem for found in (course.folder / "profiles").glob("*.yml"))
    if name not in known:
        raise LessonError(f"There is no profile '{name}'. There are: {', '.join(known)}.")
    content = read_yaml(path)
    entries = content["lessons"]
    listed = {lesson.name for lesson in course.lessons}
    if entries.keys() != listed:
        raise LessonError(
            f"{path.name} lacks entries for {sorted(listed - entries.keys())} and has some for unknown "
            f"lessons {sorted(entries.keys() - listed)}; it needs one for each lesson of course.yml."
        )
    return Profile(
        name,
        content["cell_timeout"],
        {lesson: entry["parameters"] for lesson, entry in entries.items()},
        {lesson: entry.get("hours", {}) for lesson, entry in entries.items()},
        {lesson: entry["seconds"] for lesson, entry in entries.items() if "seconds" in entry},
        {lesson: entry["disk_mb"] for lesson, entry in entries.items() if "disk_mb" in entry},
    )


def read_baselines(profile: str, course: Course) -> dict[str, dict[str, Band]]:
    """Read the bands of a profile.

    Args:
        profile: its name.
        course: the manifest.

    Returns:
        Bands by lesson name and metric; empty for a profile that has none.

    Raises:
        LessonError: an unknown lesson, or a band that is none or that lets the trivial predictor pass.
    """
    path = course.folder / "baselines" / f"{profile}.yml"
    entries = read_yaml(path) if path.is_file() else {}
    bands = {}
    for lesson, metrics in entries.items():
        course.find(lesson)
        where = f"{path.name}: {lesson}"
        bands[lesson] = {metric: _band(entry, f"{where}, {metric}") for metric, entry in metrics.items()}
    return bands


def _band(entry: dict[str, float], where: str) -> Band:
    if "trivial" not in entry or not entry.keys() <= {"min", "max", "trivial"} or len(entry) < 2:
        raise LessonError(f"{where} holds {sorted(entry)}; it needs trivial, and min or max or both.")
    band = Band(entry.get("min", -math.inf), entry.get("max", math.inf), entry["trivial"])
    if not band.min <= band.max:
        raise LessonError(f"{where}: min {band.min} lies above max {band.max}.")
    if band.holds(band.trivial):
        raise LessonError(
            f"{where}: the band {band.min} to {band.max} lets the trivial predictor pass ({band.trivial}); "
            "a lesson that learnt nothing would go unnoticed. Narrow it."
        )
    return band
