"""Reads profiles: how large a run is."""

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
