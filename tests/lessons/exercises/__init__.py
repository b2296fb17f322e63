"""Tries answers on the checks of the lessons' exercises, without running the lessons."""

import ast
import io
from contextlib import redirect_stdout
from pathlib import Path

from helpers.lessons.form import exercises, tags
from helpers.lessons.source import read_source

SOURCES = Path(__file__).parents[3] / "notebooks" / "src"
SOLUTION = object()
"""The answer that stands in the lesson's source."""


def answer(lesson: str, number: int, code: object, **planted: object) -> str:
    """What the check of an exercise prints on an answer.

    Args:
        lesson: two digits.
        number: of the exercise.
        code: the answer, as the learner would write it in place of the stub; or SOLUTION.
        planted: what the check needs of the lesson above it, by name; its imports are there without.
    """
    cells = read_source(next(SOURCES.glob(f"{lesson}_*.py")))
    stub = next(task.cell for task in exercises(cells) if task.number == number)
    _, solution, check = cells[stub : stub + 3]
    scope = dict(planted)
    for cell in cells[:stub]:
        if cell["cell_type"] == "code" and "stub" not in tags(cell):
            imports = [node for node in ast.parse(cell["source"]).body if isinstance(node, ast.Import | ast.ImportFrom)]
            exec(ast.unparse(ast.Module(imports, [])), scope)
    scope |= planted  # which may stand in for something that is imported
    exec(solution["source"] if code is SOLUTION else code, scope)
    with redirect_stdout(io.StringIO()) as printed:
        exec(check["source"], scope)
    return printed.getvalue()
