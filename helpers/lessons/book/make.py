"""Makes the book of a run, whole or not at all: sources, site, and what the site is held to."""

import importlib
import re
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from helpers.lessons.book.check import SiteCheck, check_site
from helpers.lessons.book.notebooks import read_executed
from helpers.lessons.book.pages import STYLE, write_sources
from helpers.lessons.build import NOTEBOOKS
from helpers.lessons.manifest import Course, read_manifest
from helpers.lessons.source import require_checkout
from helpers.runtime.disk import explain_full_disk
from helpers.runtime.errors import DataError
from helpers.runtime.json_files import import_jsonschema
from helpers.runtime.outputs import scratch_folder, writable_folder

_MARK = "searchindex.js"  # every site of Sphinx has it


@dataclass(frozen=True)
class Book:
    """The first page of a book, what its site was found to hold, and what a reader is told of single lessons."""

    index: Path
    check: SiteCheck
    notes: tuple[str, ...]


def make_book(runs: Path, out: Path, notebooks: Path = NOTEBOOKS, course: Course | None = None) -> Book:
    """Make the book of the lessons that a run executed.

    Args:
        runs: folder of the run, as `run --out` leaves it.
        out: folder of the site; an older book there is replaced.
        notebooks: the folder of the learner's notebooks, in a checkout.
        course: the manifest; by default that of the package.

    Raises:
        LessonError: this is no checkout, or no lesson was run.
        DataError: Sphinx is missing, a page has a fault, or `out` holds something else or may not be written to.
    """
    course = course or read_manifest()
    require_checkout(notebooks, course, built=True)
    lessons = read_executed(runs, notebooks, course)
    notes = tuple(f"{executed.lesson.label}: {executed.note}" for executed in lessons if executed.note)
    out = writable_folder(out, beside=True)
    if out.is_dir() and any(out.iterdir()) and not (out / _MARK).is_file():
        raise DataError(f"{out} holds files that are no book. Name another folder by --out.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(out) as scratch, explain_full_disk(out):
        write_sources(lessons, scratch / "source", notebooks.absolute().parent, course)
        complaints = _build(scratch, course)
        check = check_site(scratch / "site")
        if faults := [*complaints, *check.faults]:
            error = DataError.listing("The book is not in order:", [*notes, *faults])
            raise error
        if out.exists():
            out.rename(scratch / "old")
        (scratch / "site").rename(out)
    return Book(out / "index.html", check, notes)


def _build(scratch: Path, course: Course) -> list[str]:
    """Build `scratch/site` from `scratch/source`; what Sphinx complained of.

    Raises:
        DataError: Sphinx, or what it needs here, is not installed.
    """
    import_jsonschema()  # which nbformat imports
    try:
        for name in ("sphinx", "furo", "myst_nb"):
            importlib.import_module(name)
        from sphinx.application import Sphinx
        from sphinx.util.docutils import docutils_namespace, patch_docutils

        from helpers.lessons.book import formulas

        formulas.mathjax_files()
    except ModuleNotFoundError as error:
        raise DataError(
            f"{error.name} is not installed, which makes the book: pip install 'biomedseg-course[book]'."
        ) from error
    source, warnings = scratch / "source", StringIO()
    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            source,
            None,
            scratch / "site",
            scratch / "doctrees",
            "html",
            confoverrides=_settings(course),
            status=None,
            warning=warnings,
            freshenv=True,
        )
        app.build()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", warnings.getvalue()).replace(f"{source}/", "")
    # Whether a page has a place is asked of the site, for MyST does not know those that are written in HTML.
    return [line for line in plain.splitlines() if line.strip() and "local id not found in doc" not in line]


def _settings(course: Course) -> dict[str, Any]:
    """What a `conf.py` would hold."""
    from helpers.lessons.book import formulas

    return {
        "project": course.title,
        "html_title": course.title,
        "language": "en",
        "extensions": ["myst_nb", formulas.__name__],
        "html_math_renderer": formulas.RENDERER,
        "html_theme": "furo",
        "html_static_path": ["_static"],
        "html_css_files": [STYLE],
        "html_copy_source": False,
        "html_use_index": False,
        "html_show_copyright": False,
        "myst_enable_extensions": ["colon_fence", "dollarmath"],
        "myst_heading_anchors": 4,
        "nb_execution_mode": "off",  # the run executed them
        "nb_ipywidgets_js": {},  # no widget is shown, and its scripts would come from elsewhere
        "nb_merge_streams": True,
    }
