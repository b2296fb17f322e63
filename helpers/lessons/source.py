"""Reads and checks a lesson's source, `notebooks/src/NN_slug.py` in py:percent format.

A lesson consists of markdown and code cells. Tags on code cells give their role:

    parameters               the one cell of literals that a profile overrides
    stub, solution, check    an exercise: these three in a row, after the markdown cell that sets the task
    guess                    holds a variable for what the learner expects
    long                     more than 20 lines, on purpose

Tags on markdown cells, `hint`, `teacher` and `question`, are those of `helpers.lessons.form`.
"""

import ast
from pathlib import Path
from typing import Any

import yaml

import helpers
from helpers.lessons.form import exercise_problems, tags
from helpers.lessons.manifest import Course, Lesson, LessonError
from helpers.runtime.json_files import import_jsonschema

LONGEST_CELL = 20
EXERCISE = ("stub", "solution", "check")


def require_checkout(notebooks: Path, course: Course, built: bool = False) -> None:
    """Refuse a folder that holds nothing of the course, which is where a command was given elsewhere.

    Args:
        notebooks: the folder that should hold `src/`.
        course: the manifest.
        built: the notebooks are enough, their sources may be missing.

    Raises:
        LessonError: there is neither a source nor, with `built`, a notebook of any lesson.
    """
    places = [notebooks / "src" / f"{lesson.name}.py" for lesson in course.lessons]
    places += [notebooks / f"{lesson.name}.ipynb" for lesson in course.lessons if built]
    if any(place.is_file() for place in places):
        return
    checkout = Path(helpers.__file__).parents[1]
    where = f", {checkout}" if (checkout / "pyproject.toml").is_file() and (checkout / "notebooks").is_dir() else ""
    raise LessonError(f"{notebooks.absolute()} holds no lesson of the course; run this from the checkout{where}.")


def read_source(path: Path) -> list[dict]:
    """Read the cells of a py:percent file.

    Args:
        path: the file.

    Returns:
        The cells, as nbformat has them.

    Raises:
        LessonError: the file is missing, or cannot be read.
    """
    import_jsonschema()  # which nbformat imports
    import jupytext
    from nbformat.validator import NotebookValidationError

    if not path.is_file():
        raise LessonError(f"{path} is missing; every lesson in course.yml has a source there.")
    try:
        return jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent")["cells"]
    except (ValueError, KeyError, yaml.YAMLError, NotebookValidationError) as error:
        reason = str(error).partition("\n")[0]
        raise LessonError(f"{path} is no source of a lesson ({reason}); restore it, or save it as UTF-8.") from error


def parameters(cells: list[dict]) -> dict[str, Any]:
    """Read the cell tagged `parameters`.

    Args:
        cells: of a lesson, as nbformat cells.

    Returns:
        The values by their names.

    Raises:
        LessonError: there is no such cell or more than one, or it holds anything but `NAME = literal`.
    """
    tagged = [cell for cell in cells if "parameters" in tags(cell)]
    if len(tagged) != 1:
        raise LessonError(f"{len(tagged)} cells are tagged 'parameters'; a lesson has exactly one.")
    values = {}
    try:
        lines = ast.parse(tagged[0]["source"]).body
    except SyntaxError as error:
        raise LessonError(f"the parameters cell is not Python ({error}); correct it.") from None
    for line in lines:
        try:
            (target,) = line.targets
            values[target.id] = ast.literal_eval(line.value)
        except (AttributeError, ValueError):
            raise LessonError(
                f"the parameters cell holds `{ast.unparse(line)}`; it takes only NAME = literal, since a "
                "profile replaces the values and the rest would still be computed from the old ones."
            ) from None
    return values


def problems(cells: list[dict], lesson: Lesson) -> list[str]:
    """List where a source breaks the contract.

    Args:
        cells: of the source, as nbformat cells.
        lesson: its entry in the manifest.

    Returns:
        One sentence each; empty when there is nothing.
    """
    found = []
    for i, cell in enumerate(cells):
        if cell["cell_type"] == "raw":
            found.append(f"cell {i}: is raw; a lesson has markdown and code.")
        if cell["cell_type"] == "code":
            found += [f"cell {i}: {fault}" for fault in _code_problems(cell)]
    if found:
        return found
    try:
        values = parameters(cells)
    except LessonError as error:
        return [str(error)]
    if lesson.needs != "none" and "DATA_DIR" not in values:
        found.append(f"the lesson needs {lesson.needs}, so its parameters must hold DATA_DIR.")
    return found + _exercise_problems(cells) + exercise_problems(cells)


def unlisted_files(folder: Path, suffix: str, course: Course) -> list[Path]:
    """List the files that belong to no lesson of the manifest.

    Args:
        folder: of sources or notebooks.
        suffix: of the files to check, such as ".py".
        course: the manifest.
    """
    names = {lesson.name for lesson in course.lessons}
    return [path for path in sorted(folder.glob(f"*{suffix}")) if path.stem not in names]


def unlisted(folder: Path, suffix: str, course: Course) -> list[str]:
    """Complain about each file that belongs to no lesson of the manifest.

    Args:
        folder: of sources or notebooks.
        suffix: of the files to check, such as ".py".
        course: the manifest.

    Returns:
        One sentence each.
    """
    return [
        f"{path} is no lesson of course.yml; move it to another folder, or list it there."
        for path in unlisted_files(folder, suffix, course)
    ]


def _code_problems(cell: dict) -> list[str]:
    lines = [line for line in cell["source"].splitlines() if line.strip()]
    try:
        tree = ast.parse(cell["source"])
    except SyntaxError as error:
        return [f"is not plain Python (magics and shell lines have no place in a lesson): {error}."]
    found = []
    if not lines:
        found.append("is empty.")
    if len(lines) > LONGEST_CELL and "long" not in tags(cell):
        found.append(f"has {len(lines)} lines; aim at 8, split above {LONGEST_CELL}, or tag it 'long'.")
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "FAST":
            found.append("uses FAST; name the size as a parameter and let the profile set it.")
        called = getattr(node, "attr", None) or getattr(node, "id", None)
        if called in ("exit", "_exit", "quit", "SystemExit"):
            found.append("leaves the notebook with exit; the cells below would not run.")
    return found


def _exercise_problems(cells: list[dict]) -> list[str]:
    found = []
    roles = [next((tag for tag in tags(cell) if tag in EXERCISE), None) for cell in cells]
    for i, role in enumerate(roles):
        if role == "stub":
            if tuple(roles[i : i + 3]) != EXERCISE or i == 0 or cells[i - 1]["cell_type"] != "markdown":
                found.append(f"cell {i}: an exercise is a markdown cell, then stub, solution, check in a row.")
            elif _signature(cells[i]) != _signature(cells[i + 1]):
                found.append(
                    f"cell {i}: the stub begins with `{_signature(cells[i])}`, its solution with "
                    f"`{_signature(cells[i + 1])}`; they must agree."
                )
        elif role and (i == 0 or roles[i - 1] != EXERCISE[EXERCISE.index(role) - 1]):
            found.append(f"cell {i}: this {role} stands alone; stub, solution and check come in a row.")
    return found


def _signature(cell: dict) -> str:
    """The first definition, without its body, or the names of the first assignment."""
    for node in ast.parse(cell["source"]).body:
        if isinstance(node, ast.FunctionDef):
            returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
            return f"def {node.name}({ast.unparse(node.args)}){returns}"
        if isinstance(node, ast.ClassDef):
            return f"class {node.name}"
        if isinstance(node, ast.Assign):
            return " = ".join(ast.unparse(target) for target in node.targets)
    return "nothing"
