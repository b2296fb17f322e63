"""The map of the paper: where in the course each of its figures, sections and numbers is shown or answered.

Cells say so themselves, by a tag such as `paper: figure 4`; `notebooks/PAPER.md` is written from these.
"""

import re
from pathlib import Path

from helpers.lessons.form import tags
from helpers.lessons.manifest import Course, LessonError, read_yaml

ITEMS = Path(__file__).with_name("paper.yml")
PAGE = "PAPER.md"
MARK = "paper: "

_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_TOP = """\
# The map of the paper

What the paper shows and claims, in its order, and where the course shows or answers it.

| in the paper | what it is | in the course |
|---|---|---|
"""


def read_items(path: Path = ITEMS) -> dict[str, str]:
    """Read what the paper has: a line on each figure, section and number, by its name.

    Args:
        path: the file; by default that of the package.
    """
    return read_yaml(path)


def places(cells: list[dict]) -> dict[str, list[str]]:
    """Find the sections of a lesson that show or answer something of the paper.

    Args:
        cells: of the source, as nbformat cells.

    Returns:
        Headings, in the order of the lesson, by the name of the figure, section or number.
    """
    found: dict[str, list[str]] = {}
    heading = ""
    for cell in cells:
        headings = _HEADING.findall(cell["source"]) if cell["cell_type"] == "markdown" else []
        heading = headings[-1] if headings else heading
        for tag in tags(cell):
            if tag.startswith(MARK) and heading not in found.setdefault(tag.removeprefix(MARK), []):
                found[tag.removeprefix(MARK)].append(heading)
    return found


def render_page(lessons: dict[str, list[dict]], course: Course, items: dict[str, str]) -> str:
    """Write the page.

    Args:
        lessons: the cells of each source, by the lesson's name.
        course: the manifest.
        items: of the paper, as `read_items` gives them.

    Raises:
        LessonError: a cell is tagged with something that the paper has not.
    """
    found: dict[str, list[str]] = {}
    for lesson in course.lessons:
        for item, headings in places(lessons[lesson.name]).items():
            if item not in items:
                raise LessonError(
                    f"{lesson.name}.py tags a cell with '{MARK}{item}', which is not in {ITEMS.name}; correct either."
                )
            found.setdefault(item, []).extend(_link(lesson.name, lesson.label, heading) for heading in headings)
    rows = [f"| {item} | {what} | {'; '.join(found.get(item, ['nowhere']))} |" for item, what in items.items()]
    return _TOP + "\n".join(rows) + "\n"


def _link(name: str, label: str, heading: str) -> str:
    """A link to a section as JupyterLab names it: its heading with hyphens for spaces."""
    return f"[{label}, {heading}]({name}.ipynb#{heading.replace(' ', '-')})" if heading else f"[{label}]({name}.ipynb)"
