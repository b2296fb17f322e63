import pytest

from helpers.lessons.build import build, check
from helpers.lessons.course_map import BEGIN, END, PAGE, lesson_modules, with_map
from helpers.lessons.manifest import LessonError

from .conftest import PARAMETERS

IMPORTS = """
# %%
import numpy as np

import helpers.runtime.machine
from helpers.show import slices, style
from helpers.data.resample import Grid as Window


def late():
    from helpers.learn import devices
"""
PAGE_TEXT = f"# Contributing\n\nbefore\n\n{BEGIN}\n{END}\n\nafter\n"


@pytest.fixture
def page(workshop):
    workshop.source("00_first", PARAMETERS + IMPORTS)
    path = workshop.root / PAGE
    path.write_text(PAGE_TEXT, encoding="utf-8")
    return path


def test_a_lesson_s_modules_are_those_it_imports_anywhere_and_a_name_is_no_module(page, workshop):
    modules = lesson_modules(workshop.notebooks / "src")
    assert list(modules) == ["00_first", "03_second"]
    assert modules["00_first"] == [
        "helpers.data.resample",
        "helpers.learn.devices",
        "helpers.runtime.machine",
        "helpers.show.slices",
        "helpers.show.style",
    ]


def test_a_build_writes_the_map_between_the_markers_and_nothing_else(page, workshop):
    workshop.build()
    text = page.read_text(encoding="utf-8")
    assert "| [00_first](notebooks/src/00_first.py) | `data.resample`, `learn.devices`, `runtime.machine`, " in text
    assert text.startswith("# Contributing\n\nbefore\n\n")
    assert text.endswith(f"{END}\n\nafter\n")
    assert check(workshop.notebooks, workshop.course) == []
    assert with_map(text, workshop.notebooks / "src") == text


def test_check_names_a_map_that_is_older_than_a_lesson(page, workshop):
    workshop.build()
    workshop.source("00_first", PARAMETERS + IMPORTS.replace("slices, style", "slices"))
    complaints = check(workshop.notebooks, workshop.course)
    assert any(PAGE in complaint and "python -m helpers build" in complaint for complaint in complaints)


def test_solutions_and_other_folders_leave_the_map_as_it_is(page, workshop, tmp_path):
    build(workshop.notebooks, "solution", course=workshop.course)
    build(workshop.notebooks, out=tmp_path / "elsewhere", course=workshop.course)
    assert page.read_text(encoding="utf-8") == PAGE_TEXT


@pytest.mark.parametrize("text", ["no markers", BEGIN, f"{END}\n{BEGIN}"])
def test_a_page_without_a_place_for_the_map_is_refused_and_nothing_written(text, page, workshop):
    page.write_text(text, encoding="utf-8")
    with pytest.raises(LessonError, match="map: begin"):
        workshop.build()
    assert list(workshop.notebooks.glob("*.ipynb")) == []
