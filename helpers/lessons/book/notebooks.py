"""Executed lessons as the book shows them: no set-up cell, still pictures with their alternative texts, no badges."""

import copy
import re
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

from helpers.lessons.form import tags
from helpers.lessons.manifest import Course, Lesson, LessonError
from helpers.lessons.pictures import pictures
from helpers.lessons.record import MIME
from helpers.lessons.report import METRICS, read_metrics
from helpers.runtime.errors import DataError
from helpers.runtime.json_files import read_json

_WIDGET = "application/vnd.jupyter.widget-view+json"
_BADGE = re.compile(r"\[!\[([^\]]*)\]\(https?://[^)\s]+\)\]\(([^)\s]+)\)")
_HEADING = re.compile(r"\.ipynb#([^)\s]+)")
_NOTEBOOK = {
    "type": "object",
    "required": ["cells"],
    "properties": {"cells": {"type": "array", "items": {"type": "object", "required": ["cell_type", "source"]}}},
}


@dataclass(frozen=True)
class ExecutedLesson:
    """A lesson of the book.

    Attributes:
        lesson: its entry in the manifest.
        notebook: as JSON has it; of a lesson that was not run the one without outputs.
        metrics: what the run recorded; None of a lesson that was not run.
        note: what a reader has to know of this copy; None if there is nothing.
    """

    lesson: Lesson
    notebook: dict[str, Any]
    metrics: dict[str, Any] | None
    note: str | None


def read_executed(runs: Path, notebooks: Path, course: Course) -> list[ExecutedLesson]:
    """Read the executed lessons of a run; one that is not there stands in the book without outputs.

    Args:
        runs: folder of the run, as `run --out` leaves it.
        notebooks: the folder of the learner's notebooks.
        course: the manifest.

    Raises:
        LessonError: no lesson was executed there, or with the exercises solved, or a notebook is damaged.
    """
    found = [(lesson, read_metrics(runs / lesson.name / METRICS)) for lesson in course.lessons]
    if not any(metrics for _, metrics in found):
        raise LessonError(f"{runs} holds no executed lesson. Run them first: make course, or python -m helpers run.")
    solved = [lesson.name for lesson, metrics in found if metrics and metrics["variant"] != "student"]
    if solved:
        raise LessonError(
            f"{runs} holds lessons whose exercises are solved ({', '.join(solved)}); the book shows them unfilled, "
            "their solutions folded. Name a folder of `run --variant student` or the one above."
        )
    return [_read(lesson, metrics, runs, notebooks) for lesson, metrics in found]


def _read(lesson: Lesson, metrics: dict[str, Any] | None, runs: Path, notebooks: Path) -> ExecutedLesson:
    handed_out = _notebook(notebooks / f"{lesson.name}.ipynb")
    if metrics is None:
        return ExecutedLesson(lesson, handed_out, None, "This lesson was not run, so it has no pictures or numbers.")
    notebook = _notebook(runs / lesson.name / f"{lesson.name}.ipynb")
    note = None
    if metrics["status"] == "failed":
        note = (
            "This run of the lesson stopped with an error, which stands where it happened; what follows has no outputs."
        )
    elif metrics["status"] == "out of band":
        note = f"A number of this run is not what was expected: {metrics['error']}."
    elif _sources(notebook) != _sources(handed_out):
        note = "This is a run of an older state of the lesson; run it again for the present one."
    return ExecutedLesson(lesson, notebook, metrics, note)


def _notebook(path: Path) -> dict[str, Any]:
    try:
        return read_json(path, _NOTEBOOK, "Run the lesson again.", finite=False)
    except DataError as error:
        raise LessonError(str(error)) from error


def _sources(notebook: dict) -> list[str]:
    """The text of all cells, those that papermill adds left out."""
    return ["".join(cell["source"]) for cell in notebook["cells"] if "injected-parameters" not in tags(cell)]


def page_notebook(executed: ExecutedLesson, published: bool) -> dict[str, Any]:
    """Make the notebook from which the lesson's page is built.

    Args:
        executed: the lesson.
        published: the course has a repository, to which badges can lead.

    Returns:
        A notebook; `executed` is unchanged.
    """
    notebook = copy.deepcopy(executed.notebook)
    notebook["cells"] = [cell for cell in notebook["cells"] if "setup" not in tags(cell)]
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = page_text("".join(cell["source"]), published)
        elif cell["cell_type"] == "code":
            _adapt_code(cell)
    _describe(notebook)
    if executed.note:
        note = {"cell_type": "markdown", "id": "note", "metadata": {}, "source": f"> **Note.** {executed.note}"}
        notebook["cells"].insert(1, note)
    return notebook


def page_text(text: str, published: bool) -> str:
    """Adapt Markdown to the book.

    Badges, which a browser would fetch from other sites, become links, or are dropped while they lead nowhere; headings
    of notebooks are named as MyST names them, and not as JupyterLab does.

    Args:
        text: Markdown.
        published: the course has a repository.

    Examples:
        >>> page_text("[![Open in Kaggle](https://a.b/c.svg)](https://kaggle.com/x)", published=True)
        '[Open in Kaggle](https://kaggle.com/x)'
        >>> page_text("[the gate](06_gate.ipynb#The-gate,-as-in-the-paper)", published=True)
        '[the gate](06_gate.ipynb#the-gate-as-in-the-paper)'
    """
    text = _BADGE.sub(lambda badge: f"[{badge[1]}]({badge[2]})" if published else "", text)
    return _HEADING.sub(lambda link: ".ipynb#" + re.sub(r"[^\w-]", "", link[1].lower()), text)


def _adapt_code(cell: dict) -> None:
    if "injected-parameters" in tags(cell):
        cell["metadata"]["tags"].append("hide-input")
        cell["metadata"]["mystnb"] = {
            "code_prompt_show": "What this run sets",
            "code_prompt_hide": "What this run sets",
        }
    kept = []
    for output in cell.get("outputs", []):
        if "data" in output:
            output["data"] = {kind: data for kind, data in output["data"].items() if kind not in (MIME, _WIDGET)}
        if output.get("data") or "text" in output or output["output_type"] == "error":
            kept.append(output)
    cell["outputs"] = kept


def _describe(notebook: dict) -> None:
    """Tell MyST-NB each picture's alternative text and width, by the metadata of its cell.

    A picture with a width becomes a link to itself: on a telephone, one is opened and enlarged.
    """
    found = iter(pictures(notebook))
    for cell in notebook["cells"]:
        count = sum("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
        if shown := list(islice(found, count)):
            alt = " ".join(dict.fromkeys(picture["alt"] for picture in shown))
            width = max(_width(picture["png"]) for picture in shown)
            cell["metadata"].setdefault("mystnb", {})["image"] = {"alt": alt, "width": f"{width}px"}


def _width(png: bytes) -> int:
    from PIL import Image

    return Image.open(BytesIO(png)).width
