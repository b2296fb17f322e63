"""Builds the notebooks from the lessons' sources: the same bytes each time, no outputs.

Header and footer come from the manifest. The student's notebook has the stubs and folds hints and solutions; the
solution notebook, built on demand, runs them and tells teachers what a class usually gets wrong. The map from lessons
to modules in CONTRIBUTING.md is written with them, and that of the paper in notebooks/PAPER.md.
"""

import hashlib
import re
from pathlib import Path
from typing import Literal

from helpers.lessons import paper_map
from helpers.lessons.course_map import PAGE, with_map
from helpers.lessons.form import folded, question, tags
from helpers.lessons.glossary import linked, read_page
from helpers.lessons.manifest import Course, Lesson, LessonError, read_manifest
from helpers.lessons.profiles import read_profile
from helpers.lessons.setup_cell import setup_cell
from helpers.lessons.source import problems, read_source, require_checkout, unlisted
from helpers.runtime.disk import write_text
from helpers.runtime.json_files import import_jsonschema

Variant = Literal["student", "solution"]

NOTEBOOKS = Path("notebooks")
SOLUTIONS = Path("build/solutions")
MEND = "python -m helpers build"
NEEDS = {
    "brats": "BraTS from Kaggle ([licence](../data/README.md#brats-2020)), or phantoms",
    "chest": "chest X-rays from Kaggle ([licence](../data/README.md#chest-x-ray-masks-and-labels)), or phantoms",
    "none": "no data",
}
QUICK = "quick"
"""The profile whose seconds and megabytes stand above a lesson."""


def build(
    notebooks: Path = NOTEBOOKS,
    variant: Variant = "student",
    out: Path | None = None,
    course: Course | None = None,
) -> list[Path]:
    """Write the notebook of every lesson, and the maps of the course and of the paper where their pages are.

    Args:
        notebooks: folder with `src/`.
        variant: student goes to `notebooks`, solution to `build/solutions` beside it.
        out: a folder to write the notebooks to instead; the map is left as it is.
        course: the manifest; by default that of the package.

    Returns:
        The paths of the notebooks.

    Raises:
        LessonError: there are no sources, they break the contract, the manifest does not list them or a notebook
            beside them, or CONTRIBUTING.md has no place for the map; nothing is written.
    """
    course = course or read_manifest()
    folder = out or (notebooks if variant == "student" else notebooks.parent / SOLUTIONS)
    texts = render(notebooks, variant, course)
    if folder == notebooks and (foreign := unlisted(notebooks, ".ipynb", course)):
        raise LessonError("\n".join(foreign))
    pages = _pages(notebooks, course) if folder == notebooks else {}
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode())
    for page, text in pages.items():
        write_text(text, page)
    return [folder / name for name in texts]


def check(notebooks: Path = NOTEBOOKS, course: Course | None = None) -> list[str]:
    """Compare the notebooks and the map of the course with what the sources give.

    Args:
        notebooks: folder with `src/`.
        course: the manifest; by default that of the package.

    Returns:
        One complaint for each file that differs; empty when all agree.

    Raises:
        LessonError: as `build`.
    """
    course = course or read_manifest()
    complaints = unlisted(notebooks, ".ipynb", course)
    for name, text in render(notebooks, "student", course).items():
        path = notebooks / name
        if not path.is_file():
            complaints.append(f"{path} has not been built; run `{MEND}`.")
        elif path.read_text(encoding="utf-8", errors="replace") != text:
            complaints.append(f"{path} differs from src/{path.stem}.py; edit the source, then run `{MEND}`.")
    for page, text in _pages(notebooks, course).items():
        if page.read_text(encoding="utf-8") != text:
            complaints.append(f"{page} has a map of older lessons; run `{MEND}`.")
    return complaints


def render(notebooks: Path, variant: Variant, course: Course) -> dict[str, str]:
    """Render every lesson's notebook.

    Args:
        notebooks: folder with `src/`.
        variant: "student" or "solution".
        course: the manifest.

    Returns:
        The text of each notebook by its file name.

    Raises:
        LessonError: as `build`.
    """
    import_jsonschema()  # which nbformat imports
    import nbformat

    require_checkout(notebooks, course)
    faults, texts = unlisted(notebooks / "src", ".py", course), {}
    terms = read_page(notebooks.parent)
    for lesson in course.lessons:
        path = notebooks / "src" / f"{lesson.name}.py"
        try:
            cells = read_source(path)
        except LessonError as error:
            faults.append(str(error))
            continue
        found = problems(cells, lesson)
        faults += [f"{path}: {fault}" for fault in found]
        if found:
            continue
        # nbformat sorts the keys, so the text depends on nothing but the cells.
        notebook = assemble(cells, lesson, course, variant, terms)
        texts[f"{lesson.name}.ipynb"] = nbformat.writes(notebook) + "\n"
    if faults:
        raise LessonError("\n".join(faults))
    return texts


def assemble(cells: list[dict], lesson: Lesson, course: Course, variant: Variant, terms: dict[str, str]) -> dict:
    """Assemble the notebook of a lesson from the cells of its source.

    Args:
        cells: of the source, as nbformat cells.
        lesson: its entry in the manifest.
        course: the manifest.
        variant: "student" or "solution".
        terms: of the glossary, as `helpers.lessons.glossary.read_page` gives them.
    """
    import_jsonschema()  # which nbformat imports
    from nbformat import v4

    body = _student(cells) if variant == "student" else _teacher(cells)
    parts = [("markdown", header(lesson, course), []), ("code", setup_cell(course.repository), ["setup"])]
    seen: set[str] = set()
    for cell in body:
        prose = cell["cell_type"] == "markdown" and "solution" not in tags(cell)
        source = linked(cell["source"], terms, seen) if prose else cell["source"]
        parts.append((cell["cell_type"], source, tags(cell)))
    parts.append(("markdown", footer(lesson, course), []))
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    make = {"markdown": v4.new_markdown_cell, "code": v4.new_code_cell}
    return v4.new_notebook(
        metadata=metadata,
        cells=[
            make[kind](
                source,
                # jupytext gives random ids, by which two builds of one source would differ.
                id=hashlib.sha1(f"{i}{source}".encode()).hexdigest()[:8],
                metadata={"tags": names} if names else {},
            )
            for i, (kind, source, names) in enumerate(parts)
        ],
        nbformat_minor=5,
    )


def header(lesson: Lesson, course: Course) -> str:
    """Write what stands above a lesson: title, badges, question, objectives, time and data needed, links."""
    minutes = lesson.minutes["read"] + lesson.minutes["work"]
    quick = read_profile(QUICK, course)
    seconds, disk = quick.seconds.get(lesson.name), quick.disk_mb.get(lesson.name)
    notes = [f"{minutes} minutes: {lesson.minutes['read']} to read, {lesson.minutes['work']} to work"]
    notes += [f"runs in {seconds:g} s on phantoms"] if seconds else []
    notes += [f"leaves {disk:g} MB"] if disk else []
    notes.append(NEEDS[lesson.needs])
    notes += [f"{lesson.gpu_gb:g} GB of GPU memory"] if lesson.gpu_gb else []
    needs = [_reference(wanted, course) for wanted in lesson.prerequisites]
    return "\n\n".join(
        [
            f"# {lesson.number} · {lesson.title}",
            _badges(lesson, course),
            f"**{lesson.question}**",
            "After this lesson you can\n\n" + "\n".join(f"- {objective}" for objective in lesson.objectives),
            f"*{' · '.join(notes)}*",
            f"Before this: {', '.join(needs) or 'nothing'}.  \nFrom the paper: {', '.join(lesson.paper)}.",
            _links(lesson, course),
        ]
    )


def footer(lesson: Lesson, course: Course) -> str:
    """Write what stands below a lesson: take-aways, where to go further, and links."""
    parts = ["## What to take away", "\n".join(f"- {takeaway}" for takeaway in lesson.takeaways)]
    if lesson.further:
        parts += ["## Go further", "\n".join(f"- {reference}" for reference in lesson.further)]
    return "\n\n".join([*parts, "---", _links(lesson, course)])


def _badges(lesson: Lesson, course: Course) -> str:
    """Links that open the lesson at Kaggle and at Colab."""
    at = course.notebook_path(lesson)
    kaggle = f"https://kaggle.com/kernels/welcome?src=https://github.com/{at}"
    colab = f"https://colab.research.google.com/github/{at}"
    return (
        f"[![Open in Kaggle](https://kaggle.com/static/images/open-in-kaggle.svg)]({kaggle}) "
        f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab})"
    )


def _links(lesson: Lesson, course: Course) -> str:
    before, after = course.neighbours(lesson)
    links = [f"Previous: [{before.label}]({before.name}.ipynb)"] if before else []
    links += [f"Next: [{after.label}]({after.name}.ipynb)"] if after else ["This is the last lesson."]
    return " · ".join([*links, "[Glossary](../GLOSSARY.md)", f"[The paper]({paper_map.PAGE})"])


def _pages(notebooks: Path, course: Course) -> dict[Path, str]:
    """The maps of the course and of the paper as they should be, by their files; none where there is no such page."""
    modules, paper = notebooks.parent / PAGE, notebooks / paper_map.PAGE
    texts = {}
    if modules.is_file():
        texts[modules] = with_map(modules.read_text(encoding="utf-8"), notebooks / "src")
    if paper.is_file():
        lessons = {lesson.name: read_source(notebooks / "src" / f"{lesson.name}.py") for lesson in course.lessons}
        texts[paper] = paper_map.render_page(lessons, course, paper_map.read_items())
    return texts


def _reference(wanted: str, course: Course) -> str:
    if not wanted.isdecimal():
        return wanted
    lesson = course.find(wanted)
    return f"[{lesson.label}]({lesson.name}.ipynb)"


def _student(cells: list[dict]) -> list[dict]:
    """Every exercise as stub, check, hints and solution, all but the first two folded; no notes for teachers."""
    body: list[dict] = []
    answer: list[dict] = []  # what is still to come of the exercise
    hints = 0
    for cell in cells:
        names = tags(cell)
        if "solution" in names:
            answer, hints = (
                [{**cell, "cell_type": "markdown", "source": folded("Solution", _fenced(cell["source"]))}],
                0,
            )
        elif "hint" in names:
            hints += 1
            body.append({**cell, "source": folded(f"Hint {hints}", cell["source"])})
        elif "teacher" not in names:
            if "check" not in names:
                body += answer
                answer = []
            body.append(_asked(cell))
    return body + answer


def _teacher(cells: list[dict]) -> list[dict]:
    """Every exercise solved, with what a class usually gets wrong; no stubs, no hints."""
    body = []
    for cell in cells:
        names = tags(cell)
        if "teacher" in names:
            body.append({**cell, "source": f"**For teachers.** {cell['source']}"})
        elif "stub" not in names and "hint" not in names:
            body.append(_asked(cell))
    return body


def _asked(cell: dict) -> dict:
    return {**cell, "source": question(cell["source"])} if "question" in tags(cell) else cell


def _fenced(code: str) -> str:
    # A fence longer than any in the code, so that the code cannot close it.
    fence = "`" * max([3, *(len(ticks) + 1 for ticks in re.findall("`{3,}", code))])
    return f"{fence}python\n{code}\n{fence}"
