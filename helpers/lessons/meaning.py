"""Reads `baselines/meaning.yml`: what people say of the recorded numbers, in which no number comes from a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, get_args

from helpers.lessons.bands import Direction
from helpers.lessons.manifest import Course, LessonError, read_yaml

MEANING = "meaning.yml"

_FORMS = ({"exact"}, {"exact", "trivial"}, {"not compared"})
_BAND_FIELDS = {"better", "trivial", "matters"}


@dataclass(frozen=True)
class Meaning:
    """What people say of one number, or of several alike.

    Attributes:
        exact: it does not depend on the seed, and is the same in every run.
        better: otherwise, which way is an improvement: "higher", "lower" or "neither".
        trivial: what the predictor that knows nothing records; a number, or the name of a number of the same lesson.
        matters: the least difference that means anything; None leaves it to `helpers.lessons.baseline`.
        not_compared: the reason, where it is not compared.
    """

    exact: bool = False
    better: Direction | None = None
    trivial: float | str | None = None
    matters: float | None = None
    not_compared: str | None = None


def read_meaning(course: Course) -> dict[str, dict[str, Meaning]]:
    """Read what people say of the numbers of each lesson, by their names, which may hold `*` and `?`.

    Args:
        course: the manifest, beside which `baselines/` lies.

    Raises:
        LessonError: an unknown lesson, or an entry that says too little or too much.
    """
    path = course.folder / "baselines" / MEANING
    entries = (read_yaml(path) if path.is_file() else None) or {}
    said = {}
    for lesson, numbers in entries.items():
        course.find(lesson)
        said[lesson] = {name: _meaning(entry, f"{MEANING}: {lesson}, {name}") for name, entry in numbers.items()}
    return said


def meaning_of(name: str, said: Mapping[str, Meaning]) -> Meaning | None:
    """What is said of a number: the entry of that very name, else of the first pattern that fits, else None.

    Args:
        name: of the number, such as `dice.WT`.
        said: of its lesson.
    """
    if name in said:
        return said[name]
    return next((meaning for pattern, meaning in said.items() if fnmatchcase(name, pattern)), None)


def _meaning(entry: Any, where: str) -> Meaning:
    """Check an entry and make it one.

    Raises:
        LessonError: it is none.
    """
    fields = set(entry) if isinstance(entry, dict) else set()
    if fields in _FORMS and entry.get("exact", True) is True:
        return Meaning(bool(entry.get("exact")), None, entry.get("trivial"), None, entry.get("not compared"))
    if "better" in fields and fields <= _BAND_FIELDS and entry["better"] in get_args(Direction):
        return Meaning(**entry)
    raise LessonError(
        f"{where} holds {entry!r}; expected {{exact: true}}, {{not compared: why}}, or {{better: higher, lower or "
        "neither}, with trivial and matters where there are such."
    )
