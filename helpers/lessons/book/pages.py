"""The folder that Sphinx builds the book from: the checkout's pages and lessons in their places, and two pages more.

Files lie as they do in the checkout, so that every link of theirs leads where it does there.
"""

import json
import shutil
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

from helpers.lessons.book.notebooks import ExecutedLesson, page_notebook, page_text
from helpers.lessons.manifest import Course
from helpers.lessons.pictures import pictures
from helpers.lessons.report import clock
from helpers.runtime.disk import write_text

STYLE = "book.css"
FINDING = {"notebooks/PAPER.md": "Map of the paper", "GLOSSARY.md": "Glossary"}
PAGES = {
    **FINDING,
    "README.md": "About the course",
    "RESULTS.md": "Results",
    "data/README.md": "The data sets",
    "CONTRIBUTING.md": "For authors",
    "CHANGELOG.md": "Changelog",
}
"""Pages of the checkout, and how the menu names them."""

_FILES = ("LICENSE", "LICENSE-lessons", "CITATION.cff")
_FOLDERS = ("notebooks/src", "notebooks/figures")  # which the pages link to
_THUMBNAIL = 480  # pixels: sharp at the 240 that it is shown at


def write_sources(lessons: Sequence[ExecutedLesson], folder: Path, checkout: Path, course: Course) -> None:
    """Write what Sphinx builds the book from.

    Args:
        lessons: those of the course, in their order.
        folder: an empty folder.
        checkout: the folder with README.md and `notebooks/`.
        course: the manifest.
    """
    pages = {name: title for name, title in PAGES.items() if (checkout / name).is_file()}
    for name in pages:
        write_text(page_text((checkout / name).read_text(encoding="utf-8"), course.published), folder / name)
    for name in filter(lambda name: (checkout / name).is_file(), _FILES):
        shutil.copy(checkout / name, folder / name)
    for name in filter(lambda name: (checkout / name).is_dir(), _FOLDERS):
        shutil.copytree(checkout / name, folder / name)
    for executed in lessons:
        text = json.dumps(page_notebook(executed, course.published))
        write_text(text, folder / "notebooks" / f"{executed.lesson.name}.ipynb")
        _write_thumbnail(executed, folder)
    write_text(_index(lessons, pages, folder, course), folder / "index.md")
    write_text(_questions(course), folder / "questions.md")
    (folder / "_static").mkdir()
    shutil.copy(Path(__file__).with_name(STYLE), folder / "_static")


def _index(lessons: Sequence[ExecutedLesson], pages: dict[str, str], folder: Path, course: Course) -> str:
    """The first page: every lesson with its question and a picture, and how the book was made."""
    lines = [
        f"# {course.title}",
        "",
        "Every lesson as it ran: text, code, pictures and numbers. Exercises are unfilled and their solutions folded, "
        "as in the notebooks, in which you do them. Here is [which lesson answers your question](questions.md).",
        "",
    ]
    for executed in lessons:
        lines += _card(executed, folder)
    lines += ["## How this book was made", "", *_provenance(lessons, pages), ""]
    finding, others = ([name for name in pages if (name in FINDING) == wanted] for wanted in (True, False))
    lines += _menu("Find", ["questions", *_entries(finding)])
    lines += _menu("Lessons", [f"notebooks/{executed.lesson.name}" for executed in lessons])
    lines += _menu("Beside them", _entries(others))
    return "\n".join(lines)


def _card(executed: ExecutedLesson, folder: Path) -> list[str]:
    lesson = executed.lesson
    target, thumbnail = f"notebooks/{lesson.name}.ipynb", _thumbnail(executed)
    minutes = lesson.minutes["read"] + lesson.minutes["work"]
    picture = [":::{container} lesson-picture", f"[![{lesson.label}]({thumbnail})]({target})", ":::"]
    return [
        "::::{container} lesson-card",
        *(picture if (folder / thumbnail).is_file() else []),
        ":::{container} lesson-text",
        f"[**{lesson.label}**]({target})",
        "",
        lesson.question,
        "",
        f"{minutes} minutes{'' if executed.metrics else ' · not run'}",
        ":::",
        "::::",
        "",
    ]


def _thumbnail(executed: ExecutedLesson) -> str:
    return f"thumbnails/{executed.lesson.name}.png"


def _write_thumbnail(executed: ExecutedLesson, folder: Path) -> None:
    """A small copy of the lesson's first picture, if it has any."""
    from PIL import Image

    found = pictures(executed.notebook)
    if not found:
        return
    image = Image.open(BytesIO(found[0]["png"])).convert("RGB")
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    path = folder / _thumbnail(executed)
    path.parent.mkdir(exist_ok=True)
    image.save(path, optimize=True)


def _provenance(lessons: Iterable[ExecutedLesson], pages: Iterable[str]) -> list[str]:
    """What was run where, when and for how long; a lesson that was not run, or not as it should, is named."""
    ran = [executed for executed in lessons if executed.metrics]
    last = max((executed.metrics for executed in ran), key=lambda metrics: metrics["finished"])
    seconds = sum(executed.metrics["seconds"] for executed in ran)
    versions = ", ".join(f"{name} {version}" for name, version in last["versions"].items() if version)
    lessons_ran = f"{len(ran)} lesson{'s' * (len(ran) > 1)} ran in {clock(seconds)}"
    lines = [
        f"- {lessons_ran}, the last of them on {last['finished'][:10]}, in the profile `{last['profile']}`, on "
        f"{last['device']}.",
        f"- With {versions}.",
        f"- State of the code: {last['commit'] or 'unknown'}.",
    ]
    if last["profile"] == "quick":
        measured = ", and [Results](RESULTS.md) has what was measured at length" if "RESULTS.md" in pages else ""
        lines.append(
            f"- The quick profile is small and short on purpose: its numbers show how things are done{measured}."
        )
    return [*lines, *(f"- {executed.lesson.label}: {executed.note}" for executed in lessons if executed.note)]


def _entries(names: Iterable[str]) -> list[str]:
    return [f"{PAGES[name]} <{Path(name).with_suffix('')}>" for name in names]


def _menu(caption: str, entries: Iterable[str]) -> list[str]:
    return [":::{toctree}", ":hidden:", f":caption: {caption}", "", *entries, ":::", ""]


def _questions(course: Course) -> str:
    """Which lesson answers which question, and after which lesson one can do what."""
    lines = ["# Which lesson answers your question", "", "| your question | the lesson |", "|---|---|"]
    lines += [f"| {lesson.question} | [{lesson.label}](notebooks/{lesson.name}.ipynb) |" for lesson in course.lessons]
    lines += ["", "## What you want to be able to do", ""]
    for lesson in course.lessons:
        lines += [f"After [{lesson.label}](notebooks/{lesson.name}.ipynb) you can", ""]
        lines += [*(f"- {objective}" for objective in lesson.objectives), ""]
    return "\n".join(lines)
