"""A folder of learners' notebooks as a list of what is solved, which nobody sends anywhere."""

import csv
import io
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from helpers.lessons.build import NOTEBOOKS
from helpers.lessons.handed_in import NEVER_RUN, HandedIn, HandedOut, printable, read_handed_in, read_handed_out
from helpers.lessons.manifest import Course, read_manifest
from helpers.lessons.source import require_checkout
from helpers.runtime.errors import DataError
from helpers.runtime.folders import walk_once

WARNING = "--execute runs the learners' code on this machine, as you, with your files and your network."

_COLUMNS = ("notebook", "lesson", "exercise", "state", "words", "remarks")


def read_class(
    folder: Path,
    run: bool = False,
    log: Callable[[str], None] = print,
    notebooks: Path = NOTEBOOKS,
    course: Course | None = None,
) -> list[HandedIn]:
    """Read what each notebook of a class says of its exercises.

    Args:
        folder: searched for notebooks, its folders too.
        run: execute a copy of each in the quick profile first, and read that instead of the saved outputs. The copies
            are removed.
        log: is told what else lies in the folder, and what is executed.
        notebooks: the folder of the learner's notebooks, as they were handed out.
        course: the manifest; by default that of the package.

    Returns:
        The notebooks in the order of their paths.

    Raises:
        LessonError: this is no checkout, or a lesson of it is damaged.
        DataError: there is no such folder, or no notebook in it.
    """
    course = course or read_manifest()
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}. Name the one with the notebooks that were handed in.")
    found = [place / name for place, _, names in walk_once(folder) for name in names if not name.startswith(".")]
    handed_in = sorted(path for path in found if path.suffix == ".ipynb")
    if not handed_in:
        raise DataError(f"No notebook under {folder}: what was handed in should end in .ipynb, unpacked.")
    require_checkout(notebooks, course, built=True)
    lessons = read_handed_out(notebooks, course)
    if others := sorted(_name(path, folder) for path in found if path.suffix != ".ipynb"):
        log(f"{len(others)} other files were not read: {', '.join(others[:5])}{', …' * (len(others) > 5)}")
    read = []
    for path in handed_in:
        said = read_handed_in(path, _name(path, folder), lessons)
        read.append(_executed(path, said, lessons, notebooks, course, log) if run and said.lesson else said)
    return read


def _name(path: Path, folder: Path) -> str:
    return printable(path.relative_to(folder).as_posix())


def _executed(
    path: Path,
    said: HandedIn,
    lessons: Sequence[HandedOut],
    notebooks: Path,
    course: Course,
    log: Callable[[str], None],
) -> HandedIn:
    """What a copy of the notebook says after it was executed from top to bottom."""
    from helpers.lessons.execute import execute
    from helpers.lessons.plan import plan

    log(f"Executing {said.file}")
    with tempfile.TemporaryDirectory(prefix="class-") as scratch:
        (job,) = plan([said.lesson], "quick", Path(scratch), None, "student", notebooks, course)
        (job.folder / "files").mkdir(parents=True)
        copy = job.folder / path.name
        done = execute(path, copy, job.overrides, job.cell_timeout, strict=False, roots=job.roots)
        read = read_handed_in(copy, said.file, lessons)
    remarks = tuple(remark for remark in said.remarks if remark != NEVER_RUN)
    if done.error:
        last = printable(done.error.strip().splitlines()[-1])
        remarks += (f"did not run to its end: {last}",)
    return replace(read, remarks=remarks)


def as_csv(read: Sequence[HandedIn]) -> str:
    """Give a table for spreadsheets, an exercise a row; a notebook without exercises has a row of its own.

    Args:
        read: as `read_class` gives them.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for one in read:
        for exercise in one.exercises:
            remarks = "; ".join((*one.remarks, *exercise.remarks))
            writer.writerow(map(_cell, (one.file, one.lesson, exercise.task, exercise.state, exercise.words, remarks)))
        if not one.exercises:
            writer.writerow(map(_cell, (one.file, one.lesson or "", "", "", "", "; ".join(one.remarks))))
    return text.getvalue()


def as_json(read: Sequence[HandedIn]) -> dict:
    """Give the same as JSON.

    Args:
        read: as `read_class` gives them.
    """
    return {"notebooks": [asdict(one) | {"solved": one.solved} for one in read]}


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula, whatever a learner calls a file."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
