"""What a learner's notebook says of its exercises, read from its saved outputs; nothing of it is executed.

An exercise is known by its check, the cell that the course handed out, and its state by the line that the check printed
when the learner ran it. Whatever puts that line in doubt, such as a check that was edited, is said beside it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from helpers.lessons.form import tags
from helpers.lessons.manifest import Course, LessonError
from helpers.runtime.errors import DataError
from helpers.runtime.json_files import read_json

NEVER_RUN = "was never run, or saved without its outputs"

State = Literal["solved", "not yet", "stopped", "silent", "not run", "missing"]

_TEXT = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_OUTPUT = {
    "type": "object",
    "properties": {"text": _TEXT, "output_type": {"type": "string"}},
    "required": ["output_type"],
}
_CELL = {
    "type": "object",
    "required": ["cell_type", "source"],
    "properties": {
        "cell_type": {"type": "string"},
        "source": _TEXT,
        "outputs": {"type": "array", "items": _OUTPUT},
        "execution_count": {"type": ["integer", "null"]},
        "metadata": {"type": "object"},
    },
}
_NOTEBOOK = {
    "type": "object",
    "required": ["nbformat", "cells"],
    "properties": {
        "nbformat": {
            "const": 4,
            "description": "4, the format of today's notebooks: open it in JupyterLab and save it",
        },
        "cells": {"type": "array", "items": _CELL},
    },
}
_CHECK = re.compile(r"exercise_check\(\s*(['\"])(.+?)\1")


@dataclass(frozen=True)
class ExerciseState:
    """What a notebook says of an exercise.

    Attributes:
        task: its name, such as "Exercise 1".
        state: "solved" or "not yet", as the check printed; "stopped" by an error, "silent" where the check printed
            neither, "not run", and "missing" where the notebook has no such check.
        words: what the check printed after "not yet", or the error; empty without.
        remarks: what puts the state in doubt, a sentence each.
    """

    task: str
    state: State
    words: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class HandedIn:
    """A learner's notebook.

    Attributes:
        file: its path within the folder of the class.
        lesson: the lesson it holds, such as `04_build_the_unet`; None where it holds none.
        exercises: those of the lesson, in its order.
        remarks: what a teacher should know of the notebook, a sentence each.
    """

    file: str
    lesson: str | None
    exercises: tuple[ExerciseState, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def was_run(self) -> bool:
        """Whether any of its cells was."""
        return NEVER_RUN not in self.remarks

    @property
    def solved(self) -> int:
        """How many exercises its checks call solved."""
        return sum(exercise.state == "solved" for exercise in self.exercises)


@dataclass(frozen=True)
class HandedOut:
    """A lesson as learners get it: the cells that no other lesson has, and each exercise's stub and check."""

    lesson: str
    sources: frozenset[str]
    exercises: tuple[tuple[str, dict, dict], ...]


def read_handed_out(notebooks: Path, course: Course) -> list[HandedOut]:
    """Read the lessons, to tell by them what was handed in.

    Args:
        notebooks: the folder of the learner's notebooks.
        course: the manifest.

    Raises:
        LessonError: a notebook is missing or damaged.
    """
    cells = {lesson.name: _cells(notebooks / f"{lesson.name}.ipynb") for lesson in course.lessons}
    shared = Counter(source for lesson in cells.values() for source in {_source(cell) for cell in lesson})
    made = []
    for lesson, found in cells.items():
        exercises, stub = [], {"source": ""}
        for cell in found:
            stub = cell if "stub" in tags(cell) else stub
            if "check" in tags(cell) and (task := _CHECK.search(_source(cell))):
                exercises.append((task[2], stub, cell))
        own = frozenset(source for source in map(_source, found) if shared[source] == 1)
        made.append(HandedOut(lesson, own, tuple(exercises)))
    return made


def read_handed_in(path: Path, name: str, lessons: Iterable[HandedOut]) -> HandedIn:
    """Read what a notebook says of its exercises.

    Args:
        path: the notebook.
        name: what to call it.
        lessons: those that it may hold.
    """
    try:
        content = read_json(path, _NOTEBOOK, finite=False)
    except DataError as error:
        return HandedIn(name, None, remarks=(f"cannot be read: {str(error).replace(str(path), 'it')}",))
    cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    sources = {_source(cell) for cell in content["cells"]}
    likely = max(lessons, key=lambda lesson: len(lesson.sources & sources))
    if not likely.sources & sources:
        return HandedIn(name, None, remarks=("holds no lesson of the course",))
    remarks = []
    number = re.search(r"(?<!\d)(\d\d)_", path.name)
    if number and not likely.lesson.startswith(number[1]):
        remarks.append(f"its name says lesson {number[1]}, and it holds {likely.lesson}")
    if not any(_was_run(cell) for cell in cells):
        remarks.append(NEVER_RUN)
    return HandedIn(name, likely.lesson, tuple(_states(cells, likely)), tuple(remarks))


def _states(cells: list[dict], lesson: HandedOut) -> Iterator[ExerciseState]:
    for task, stub, check in lesson.exercises:
        found = _find(cells, check) or _edited(cells, task)
        if found is None:
            yield ExerciseState(task, "missing")
            continue
        state, words = _outcome(found, task)
        remarks = []
        if _source(found) != _source(check):
            remarks.append("the check was edited")
        mine = _by_id(cells, stub) or _find(cells, stub)
        if state == "solved" and mine is not None and _source(mine) == _source(stub):
            remarks.append("the cell to fill is as it was handed out")
        if mine is not None and (mine.get("execution_count") or 0) > (found.get("execution_count") or 0) > 0:
            remarks.append("the exercise was run again after its check")
        yield ExerciseState(task, state, words, tuple(remarks))


def _outcome(cell: dict, task: str) -> tuple[State, str]:
    """The state that the last output of a check says, and its words."""
    state: State = "silent" if _was_run(cell) else "not run"
    words = ""
    said = re.compile(rf"^{re.escape(task)}(?:: solved\.|, not yet: (.*))", re.MULTILINE | re.DOTALL)
    for output in cell.get("outputs", []):
        if output["output_type"] == "error":
            state, words = "stopped", f"{output.get('ename')}: {output.get('evalue')}"
        for line in said.finditer(_joined(output.get("text", ""))):
            state, words = ("solved", "") if line[1] is None else ("not yet", line[1])
    return state, printable(words)


def printable(text: str) -> str:
    """Replace what would move a terminal's cursor or colour its text, and runs of white space by a space.

    Args:
        text: anything that a learner's notebook holds.

    Examples:
        >>> printable("twice" + chr(27) + "[31m 2" + chr(10) + " is 4.")
        'twice?[31m 2 is 4.'
    """
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))


def _find(cells: list[dict], wanted: dict) -> dict | None:
    """The cell with the same text; that with the same id if there are several, else the last."""
    same = [cell for cell in cells if _source(cell) == _source(wanted)]
    return _by_id(same, wanted) or (same[-1] if same else None)


def _by_id(cells: list[dict], wanted: dict) -> dict | None:
    return next((cell for cell in cells if cell.get("id") == wanted.get("id") is not None), None)


def _edited(cells: list[dict], task: str) -> dict | None:
    """The last cell that checks the task in another way."""
    checks = [cell for cell in cells if (found := _CHECK.search(_source(cell))) and found[2] == task]
    return checks[-1] if checks else None


def _was_run(cell: dict) -> bool:
    return cell.get("execution_count") is not None or bool(cell.get("outputs"))


def _source(cell: dict) -> str:
    return "\n".join(line.rstrip() for line in _joined(cell["source"]).strip().splitlines())


def _joined(text: Any) -> str:
    return text if isinstance(text, str) else "".join(text)


def _cells(path: Path) -> list[dict]:
    """The cells of a notebook of the course.

    Raises:
        LessonError: it is missing or damaged.
    """
    try:
        return read_json(path, _NOTEBOOK, "Run: python -m helpers build.", finite=False)["cells"]
    except DataError as error:
        raise LessonError(str(error)) from error
