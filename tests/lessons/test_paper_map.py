"""The map of the paper names a cell for each of its figures, sections and numbers, and comes from the cells' tags."""

import re
from pathlib import Path

import jupytext
import pytest

from helpers.lessons.build import check
from helpers.lessons.manifest import LessonError, read_manifest
from helpers.lessons.paper_map import places, read_items, render_page
from helpers.lessons.source import read_source
from helpers.measure.paper_claims import CLAIMS

from .conftest import PARAMETERS

SOURCES = Path(__file__).parents[2] / "notebooks/src"
ITEMS = read_items()
PENDING: set[str] = set()
"""What is still to be shown."""
SOURCE = """
# %% [markdown]
# Before.
#
# ## The way down

# %% tags=["paper: figure 6"]
x = 1

# %% tags=["paper: figure 6", "paper: section 2"]
y = 2
"""


@pytest.fixture(scope="module")
def shown():
    sources = {lesson.name: read_source(SOURCES / f"{lesson.name}.py") for lesson in read_manifest().lessons}
    return {item for cells in sources.values() for item in places(cells)}


@pytest.mark.parametrize("item", ITEMS)
def test_the_course_answers_everything_of_the_paper(item, shown):
    if item in PENDING:
        assert item not in shown, "it is shown now: take it out of PENDING"
        pytest.xfail("nowhere yet")
    assert item in shown


@pytest.mark.parametrize("lesson", read_manifest().lessons, ids=lambda lesson: lesson.number)
def test_what_a_header_names_of_the_paper_is_shown_below_it(lesson):
    """A figure as such; a section by itself, by one of its parts, or by a number that stands in it."""
    named = ", ".join(map(str, lesson.paper))
    figures = [f"figure {n}" for part in re.findall(r"figures? ([\d, and]+)", named) for n in re.findall(r"\d+", part)]
    sections = re.findall(r"section [\d.]*\d", named)
    below = places(read_source(SOURCES / f"{lesson.name}.py"))
    missing = {one for one in figures if one not in below}
    missing |= {one for one in sections if not any(re.match(rf"{re.escape(one)}(?!\d)", item) for item in below)}
    assert not missing


def test_the_map_has_all_fifteen_figures_and_all_numbers_that_the_paper_claims():
    assert {f"figure {number}" for number in range(1, 16)} <= set(ITEMS)
    for claim in CLAIMS:
        number = claim.text.replace("%", " %")
        assert any(number in item for item in ITEMS) or claim.where.startswith(("7", "preprint")), claim


def test_a_cell_stands_under_the_heading_above_it_and_once():
    cells = jupytext.reads(PARAMETERS + SOURCE, fmt="py:percent")["cells"]
    assert places(cells) == {"figure 6": ["The way down"], "section 2": ["The way down"]}


def test_a_row_links_to_the_section_and_what_is_nowhere_says_so(workshop):
    lessons = {"00_first": jupytext.reads(PARAMETERS + SOURCE, fmt="py:percent")["cells"], "03_second": []}
    page = render_page(
        lessons, workshop.course, {"figure 6": "three phases", "section 2": "shapes", "figure 7": "a mask"}
    )
    assert "| figure 6 | three phases | [00 First, The way down](00_first.ipynb#The-way-down) |" in page
    assert "| figure 7 | a mask | nowhere |" in page


def test_a_tag_that_the_paper_has_not_is_refused(workshop):
    lessons = {"00_first": jupytext.reads(PARAMETERS + SOURCE, fmt="py:percent")["cells"], "03_second": []}
    with pytest.raises(
        LessonError, match=r"00_first\.py tags a cell with 'paper: section 2', which is not in paper\.yml"
    ):
        render_page(lessons, workshop.course, {"figure 6": "three phases"})


def test_a_page_of_older_lessons_is_told(workshop):
    workshop.build()
    (workshop.notebooks / "PAPER.md").write_text("old", encoding="utf-8")
    [complaint] = check(workshop.notebooks, workshop.course)
    assert "PAPER.md has a map of older lessons" in complaint
    workshop.build()
    assert check(workshop.notebooks, workshop.course) == []
