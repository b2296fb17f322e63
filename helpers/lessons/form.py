"""The form of a lesson beyond its code: exercises with hints, questions to check oneself by, and what every lesson has.

In a source an exercise is a task in Markdown, then the code cells `stub`, `solution` and `check`, then two cells tagged
`hint` and one tagged `teacher`. A cell tagged `question` holds a question and a list of options, each with its answer:

    Which of the two masks is larger?

    - the first :: No: it is drawn larger, and holds fewer voxels.
    - the second :: Right: it has more voxels, though each is smaller.
"""

import re
from dataclasses import dataclass

from helpers.lessons.manifest import Lesson, LessonError

HINTS, QUESTIONS, CORE, STRETCH = 2, 3, 3, 1
"""How many hints an exercise has, and how many questions, core and stretch exercises a lesson has at least."""

_TASK = re.compile(r"\*\*Exercise (\d+)\*\*\s\((core|stretch),\s(\d+)\sminutes?\)")
_OPTION = re.compile(r"^- (.+?) :: (.+)$", re.DOTALL)


@dataclass(frozen=True)
class Exercise:
    """An exercise as its task announces it.

    Attributes:
        number: within the lesson, from 1.
        kind: "core" or "stretch".
        minutes: to work it.
        cell: index of its stub among the cells of the source.
    """

    number: int
    kind: str
    minutes: int
    cell: int


def tags(cell: dict) -> list[str]:
    """Give the cell's tags."""
    return cell["metadata"].get("tags", [])


def exercises(cells: list[dict]) -> list[Exercise]:
    """Read what the tasks of a lesson announce.

    Args:
        cells: of the source, as nbformat cells.

    Raises:
        LessonError: a stub does not follow a task `**Exercise N** (core, M minutes)`.
    """
    found = []
    for i, cell in enumerate(cells):
        if "stub" not in tags(cell):
            continue
        task = _TASK.search(cells[i - 1]["source"]) if i else None
        if task is None:
            raise LessonError(
                f"cell {i}: the task before this stub does not say `**Exercise N** (core, M minutes)`, or `stretch`."
            )
        found.append(Exercise(int(task[1]), task[2], int(task[3]), i))
    return found


def folded(title: str, text: str) -> str:
    """Fold Markdown under a title, as a notebook and a rendered page show it alike.

    Args:
        title: plain text, always seen.
        text: Markdown, seen when the title is clicked.
    """
    return f"<details>\n<summary>{title}</summary>\n\n{text}\n\n</details>"


def question(source: str) -> str:
    """Render a question with each answer folded under its option.

    Args:
        source: of the cell: the question, an empty line, and a list of `- option :: answer`.

    Raises:
        LessonError: there are fewer than two options, one lacks its answer, or not exactly one answer begins with
            "Right" and the others with "No".
    """
    text, _, rest = source.partition("\n\n- ")
    items = [" ".join(item.split()) for item in re.split(r"\n- ", rest)] if rest else []
    options = [_OPTION.match(f"- {item}") for item in items]
    if len(options) < 2 or not all(options):
        raise LessonError("a question has two options or more, each a line `- option :: answer`.")
    answers = [option[2] for option in options]
    if sum(answer.startswith("Right") for answer in answers) != 1 or not all(
        answer.startswith(("Right", "No")) for answer in answers
    ):
        raise LessonError("exactly one answer of a question begins with `Right`, the others with `No`.")
    folds = "\n\n".join(folded(_html(option[1]), option[2]) for option in options)
    return f"**Check yourself.** {text.strip()}\n\n{folds}"


def exercise_problems(cells: list[dict]) -> list[str]:
    """List hints and notes that follow no exercise, and questions out of form.

    Args:
        cells: of the source, as nbformat cells.

    Returns:
        One sentence each.
    """
    found, within = [], False
    for i, cell in enumerate(cells):
        names = tags(cell)
        if {"hint", "teacher", "question"} & set(names) and cell["cell_type"] != "markdown":
            found.append(f"cell {i}: is tagged {names[0]}, and must be markdown.")
        within = "check" in names or (within and ("hint" in names or "teacher" in names))
        if ("hint" in names or "teacher" in names) and not within:
            found.append(f"cell {i}: this {names[0]} follows no check; an exercise ends with check, hints, teacher.")
        if "question" in names:
            try:
                question(cell["source"])
            except LessonError as error:
                found.append(f"cell {i}: {error}")
    return found


def missing(cells: list[dict], lesson: Lesson) -> list[str]:
    """List what a lesson of the course should have and lacks.

    Args:
        cells: of the source, as nbformat cells.
        lesson: its entry in the manifest.

    Returns:
        One sentence each.
    """
    try:
        tasks = exercises(cells)
    except LessonError as error:
        return [str(error)]
    found = []
    numbers = [task.number for task in tasks]
    if numbers != list(range(1, len(tasks) + 1)):
        found.append(f"its exercises are numbered {numbers}; count from 1.")
    for kind, least in (("core", CORE), ("stretch", STRETCH)):
        count = sum(task.kind == kind for task in tasks)
        if count < least:
            found.append(f"it has {count} {kind} exercises of {least}.")
    minutes = sum(task.minutes for task in tasks)
    if minutes != lesson.minutes["work"]:
        found.append(f"its exercises take {minutes} minutes, the header says {lesson.minutes['work']}.")
    for task in tasks:
        after = [tags(cell) for cell in cells[task.cell + 3 : task.cell + 6]]
        if after != [["hint"]] * HINTS + [["teacher"]]:
            found.append(f"exercise {task.number} is not followed by {HINTS} hints and a note for teachers.")
    asked = sum("question" in tags(cell) for cell in cells)
    if asked < QUESTIONS:
        found.append(f"it asks {asked} questions of {QUESTIONS}.")
    code = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "code")
    if not any("guess" in tags(cell) for cell in cells) or "compare_guess(" not in code:
        found.append("it asks for no guess that it compares.")
    if "closing_table(" not in code:
        found.append("it has no closing table of what was tried.")
    if not lesson.further:
        found.append("it says nowhere where to go further.")
    return found


def _html(text: str) -> str:
    """A summary is HTML, in which Markdown is not read: code in ticks becomes `<code>`."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
