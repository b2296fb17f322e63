"""The book shows the lessons as they ran, leads nowhere wrong, fetches nothing, and is whole or not there."""

import base64
import json
import re
import sys
from io import BytesIO

import pytest
from bs4 import BeautifulSoup
from PIL import Image

from helpers.lessons.book.check import check_site
from helpers.lessons.book.formulas import to_mathml
from helpers.lessons.book.make import make_book
from helpers.lessons.book.notebooks import page_text
from helpers.lessons.manifest import LessonError
from helpers.lessons.record import MIME
from helpers.runtime.errors import DataError
from tests.lessons.conftest import EXERCISE, PARAMETERS, make_workshop

pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated:PendingDeprecationWarning:myst_parser",
                                        "ignore:.*is deprecated:DeprecationWarning:myst_parser")  # fmt: skip

PROSE = r"""
# %% [markdown]
# ## A formula, drawn
# The overlap $D$ of two masks:
#
# $$D = \frac{2\,|A \cap B|}{|A| + |B|}$$

# %%
show()
"""
ALT = "Two squares, one in the other"
METRICS = {
    "lesson": "00_first", "status": "passed", "error": None, "values": {}, "bands": {}, "seconds": 12.0, "cells": [],
    "profile": "quick", "variant": "student", "parameters": {}, "versions": {"python": "3.11.7", "keras": None},
    "device": "A machine", "commit": None, "finished": "2026-01-02T03:04:05+00:00", "fingerprint": "",
}  # fmt: skip


def png() -> str:
    buffer = BytesIO()
    Image.new("RGB", (300, 200), "teal").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def executed(handed_out, alt=ALT):
    """The notebook after a run: papermill's cell, an output of the check, a picture, a recorded number, a widget."""
    notebook = json.loads(handed_out.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if "check" in cell["metadata"].get("tags", []):
            text = "Exercise 1, not yet: there is nothing here yet.\n"
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": [text]}]
        if cell["source"] == ["show()"]:
            data = [{"image/png": png()}, {MIME: {"name": "a", "value": 1}},
                    {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}}]  # fmt: skip
            about = {"image/png": {"alt": alt}} if alt else {}
            cell["outputs"] = [
                {"output_type": "display_data", "data": one, "metadata": about if "image/png" in one else {}}
                for one in data
            ]
    added = {
        "cell_type": "code", "execution_count": 1, "id": "added", "metadata": {"tags": ["injected-parameters"]},
        "outputs": [], "source": ["# Parameters\n", "EPOCHS = 1"],
    }  # fmt: skip
    notebook["cells"].insert(3, added)
    return notebook


def leave(workshop, notebook, name="00_first", **changes):
    folder = workshop.root / "runs" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(METRICS | {"lesson": name} | changes), encoding="utf-8")
    (folder / f"{name}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")


def make(workshop, out="book"):
    return make_book(workshop.root / "runs", workshop.root / out, workshop.notebooks, workshop.course)


def prepared(root):
    """The small course with a formula and a picture, its first lesson executed, the second not."""
    workshop = make_workshop(root)
    workshop.source("00_first", PARAMETERS + PROSE + EXERCISE)
    (root / "GLOSSARY.md").write_text(
        "# Glossary\n\n- <a id='dice'></a>**Dice**: see [here](notebooks/00_first.ipynb).\n"
    )
    links = "[terms](GLOSSARY.md#dice), the [licence](LICENSE), [how](notebooks/00_first.ipynb#A-formula,-drawn)"
    (root / "README.md").write_text(f"# Read me\n\nSee the {links}.\n")
    (root / "LICENSE").write_text("Free.")
    (root / "notebooks" / "PAPER.md").touch()  # the builder writes it where there is one
    workshop.build()
    leave(workshop, executed(workshop.notebooks / "00_first.ipynb"))
    return workshop


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    workshop = prepared(tmp_path_factory.mktemp("course"))
    return workshop, make(workshop)


@pytest.fixture(scope="module")
def site(made):
    return made[1].index.parent


def page(site, name):
    return BeautifulSoup((site / f"{name}.html").read_text(encoding="utf-8"), "html.parser")


def text(site, name):
    return re.sub(r"\s+", " ", page(site, name).find("article").get_text())


def test_every_lesson_and_page_is_reached_from_the_first_and_every_link_leads_somewhere(made, site):
    menu = {link["href"].split("#")[0] for link in page(site, "index").find_all("a", href=True)}
    assert {"notebooks/00_first.html", "notebooks/03_second.html", "questions.html", "notebooks/PAPER.html"} <= menu
    assert {"README.html", "GLOSSARY.html", "search.html"} <= {*menu, *(path.name for path in site.glob("*.html"))}
    assert made[1].check.faults == ()
    assert made[1].check.links > 50
    assert page(site, "README").find("a", href="GLOSSARY.html#dice")
    assert page(site, "README").find("a", href="notebooks/00_first.html#a-formula-drawn")


def test_the_first_page_has_every_question_and_says_what_ran_and_what_did_not(site):
    first = text(site, "index")
    assert first.count("Why?") == 2
    assert "1 lesson ran in 12.0 s, the last of them on 2026-01-02, in the profile quick, on A machine" in first
    assert "not run" in first
    assert "This lesson was not run" in text(site, "notebooks/03_second")


def test_questions_lead_to_lessons(site):
    assert page(site, "questions").find("a", href="notebooks/03_second.html", string="03 Second")


def test_a_picture_keeps_its_words_and_opens_in_full(site):
    image = page(site, "notebooks/00_first").find("article").find("img")
    assert image["alt"] == ALT
    assert (site / "notebooks" / image["src"]).is_file()
    assert image.find_parent("a")["href"] == image["src"]


def test_formulas_are_drawn_without_javascript_and_mathjax_lies_in_the_site(site):
    lesson = page(site, "notebooks/00_first")
    assert len(lesson.find_all("math")) == 2
    assert "\\frac" not in lesson.find("article").get_text()
    (script,) = [one["src"] for one in lesson.find_all("script", src=True) if "mathjax" in one["src"]]
    assert (site / "notebooks" / script).is_file()
    assert not [
        one for one in page(site, "notebooks/03_second").find_all("script", src=True) if "mathjax" in one["src"]
    ]


def test_the_lesson_is_the_learners_the_exercise_open_and_its_solution_folded(site):
    lesson = page(site, "notebooks/00_first")
    assert "Exercise 1, not yet" in lesson.get_text()
    folded = next(one for one in lesson.find_all("details") if one.find("summary").get_text() == "Solution")
    assert "return 2 * x" in folded.get_text()
    assert "pip" not in text(site, "notebooks/00_first")  # the set-up cell is for Kaggle
    assert "model_id" not in str(lesson)
    assert lesson.find("details", class_="hide").find("pre").get_text().startswith("# Parameters")


def test_a_badge_is_a_link_and_none_while_the_course_has_no_repository(site):
    link = page(site, "notebooks/00_first").find("a", string="Open in Kaggle")
    assert "someone/course" in link["href"]
    assert page_text("[![a](https://b.c/d.svg)](https://e.f)", published=False) == ""


@pytest.mark.parametrize(
    ("planted", "fault"),
    [
        ('<script src="https://a.b/c.js"></script>', "fetches https://a.b/c.js"),
        ('<link rel="stylesheet" href="//a.b/c.css">', "fetches //a.b/c.css"),
        (
            '<img alt="x" src="_static/x.png" srcset="_static/x.png 1x, http://a.b/c.png 2x">',
            "fetches http://a.b/c.png",
        ),
        ('<p style="background: url(https://a.b/c.png)">', "fetches https://a.b/c.png"),
        ("<style>@import 'https://a.b/c.css';</style>", "fetches https://a.b/c.css"),
        ('<iframe srcdoc="&lt;img alt=a src=&quot;https://a.b/c.png&quot;&gt;"></iframe>', "fetches https://a.b/c.png"),
        ('<a href="nowhere.html">x</a>', "links to nowhere.html, which is not there"),
        ('<a href="paper.html#nowhere">x</a>', "links to paper.html#nowhere, a page without that place"),
        ('<img alt=" " src="_static/x.png">', "_static/x.png has no alternative text"),
    ],
)
def test_what_a_page_must_not_hold_is_found(tmp_path, planted, fault):
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "x.png").touch()
    (tmp_path / "paper.html").write_text("<h1 id='top'>Paper</h1><a href='paper.html#top'>x</a>")
    assert check_site(tmp_path).faults == ()
    (tmp_path / "page.html").write_text(f"<p>{planted}</p>")
    (found,) = check_site(tmp_path).faults
    assert found.startswith("page.html")
    assert fault in found


def test_a_style_sheet_that_fetches_a_font_is_found(tmp_path):
    (tmp_path / "a.css").write_text("@font-face { src: url('https://a.b/c.woff') }")
    assert check_site(tmp_path).faults == ("a.css fetches https://a.b/c.woff from outside",)


def test_a_link_to_another_site_is_counted_and_not_requested(tmp_path):
    (tmp_path / "page.html").write_text("<a href='https://example.invalid/'>x</a>")
    assert (check_site(tmp_path).external, check_site(tmp_path).faults) == (1, ())


def test_a_run_of_an_older_lesson_is_named(tmp_path):
    workshop = prepared(tmp_path)
    workshop.source("00_first", PARAMETERS + PROSE + EXERCISE.replace("Double", "Halve"))
    workshop.build()
    assert make(workshop).notes[0].startswith("00 First: This is a run of an older state")


def test_a_lesson_that_leads_nowhere_stops_the_book_and_the_older_one_stays(tmp_path):
    workshop = prepared(tmp_path)
    notebook = executed(workshop.notebooks / "00_first.ipynb")
    notebook["cells"][-1]["source"] = "[a lesson](04_missing.ipynb) [a term](../GLOSSARY.md#nowhere) $\\nonsense{$"
    leave(workshop, notebook)
    out = tmp_path / "book"
    out.mkdir()
    (out / "searchindex.js").write_text("old")
    with pytest.raises(DataError) as error:
        make(workshop)
    assert all(fault in str(error.value) for fault in ("04_missing.ipynb", "GLOSSARY.html#nowhere", "nonsense"))
    assert [path.name for path in out.iterdir()] == ["searchindex.js"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_book_replaces_an_older_one_and_nothing_else(tmp_path):
    workshop = prepared(tmp_path)
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="holds files that are no book"):
        make(workshop)
    assert (tmp_path / "book" / "thesis.txt").read_text() == "mine"


def test_without_a_run_it_says_how_to_get_one(workshop):
    workshop.build()
    with pytest.raises(LessonError, match="make course"):
        make(workshop)


def test_lessons_with_solved_exercises_are_refused(workshop):
    workshop.build()
    leave(workshop, executed(workshop.notebooks / "00_first.ipynb"), variant="solution")
    with pytest.raises(LessonError, match="exercises are solved"):
        make(workshop)


def test_a_damaged_notebook_is_named(workshop):
    workshop.build()
    leave(workshop, {"cells": 3})
    with pytest.raises(LessonError, match=r"00_first.ipynb: cells"):
        make(workshop)


def test_without_sphinx_it_says_what_to_install(tmp_path, monkeypatch):
    workshop = prepared(tmp_path)
    monkeypatch.setitem(sys.modules, "furo", None)
    with pytest.raises(DataError, match=r"biomedseg-course\[book\]"):
        make(workshop)


def test_a_formula_that_cannot_be_drawn_is_an_error():
    with pytest.raises(ValueError, match="nonsense"):
        to_mathml(r"\nonsense{x}")
