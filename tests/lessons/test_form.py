"""Every lesson of the course has the form of a lesson; hints, questions and notes come out as they should."""

from pathlib import Path

import jupytext
import pytest

from helpers.lessons.build import build
from helpers.lessons.form import exercises, folded, missing, question
from helpers.lessons.manifest import LessonError, read_manifest
from helpers.lessons.source import read_source

from .conftest import EXERCISE, PARAMETERS
from .test_build import cells, tagged

SOURCES = Path(__file__).parents[2] / "notebooks/src"
COURSE = read_manifest()
HINTS = """
# %% [markdown] tags=["hint"]
# What is two times two?

# %% [markdown] tags=["hint"]
# Use `*`.

# %% [markdown] tags=["teacher"]
# Some square it.
"""
QUESTION = """
# %% [markdown] tags=["question"]
# Which is larger, `a < b`
# or not?
#
# - the first, `a` :: No: it is
#   smaller.
# - the second :: Right: **it** is.
"""


@pytest.mark.parametrize("lesson", COURSE.lessons, ids=lambda lesson: lesson.number)
def test_every_lesson_has_the_form(lesson):
    assert missing(read_source(SOURCES / f"{lesson.name}.py"), lesson) == []


def test_the_learner_meets_check_then_hints_then_solution_each_folded(workshop):
    workshop.source("00_first", PARAMETERS + EXERCISE + HINTS + "\n# %%\nx = 1\n")
    path = workshop.build()[0]
    sources = [cell["source"] for cell in cells(path)]
    titles = ("exercise_check(", "<summary>Hint 1<", "<summary>Hint 2<", "<summary>Solution<", "x = 1")
    places = [next(i for i, source in enumerate(sources) if title in source) for title in titles]
    assert places == sorted(places)
    assert not any("Some square it" in source for source in sources)


def test_the_teacher_reads_what_a_class_gets_wrong_and_no_hints(workshop):
    workshop.source("00_first", PARAMETERS + EXERCISE + HINTS)
    path = build(workshop.notebooks, "solution", course=workshop.course)[0]
    assert [cell["source"] for cell in tagged(path, "teacher")] == ["**For teachers.** Some square it."]
    assert tagged(path, "hint") == []


def test_a_question_folds_each_answer_under_its_option(workshop):
    workshop.source("00_first", PARAMETERS + QUESTION)
    [cell] = tagged(workshop.build()[0], "question")
    assert cell["source"].startswith("**Check yourself.** Which is larger, `a < b`\nor not?\n\n<details>")
    assert folded("the first, <code>a</code>", "No: it is smaller.") in cell["source"]
    assert cell["source"].endswith(folded("the second", "Right: **it** is."))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (" :: No: it is\n#   smaller.", "", "each a line `- option :: answer`"),
        ("# - the second :: Right: **it** is.\n", "", "two options or more"),
        ("Right:", "No:", "exactly one answer"),
        ("No:", "Right:", "exactly one answer"),
        ("No:", "Perhaps:", "exactly one answer"),
        ("# %% [markdown]", "# %%", "must be markdown|not plain Python"),
    ],
)
def test_a_question_out_of_form_is_refused(workshop, old, new, message):
    workshop.source("00_first", PARAMETERS + QUESTION.replace(old, new))
    with pytest.raises(LessonError, match=message):
        workshop.build()


def test_a_hint_without_an_exercise_is_refused(workshop):
    workshop.source("00_first", PARAMETERS + "\n# %%\nx = 1\n" + HINTS)
    with pytest.raises(LessonError, match="this hint follows no check"):
        workshop.build()


def test_a_question_needs_its_list():
    with pytest.raises(LessonError, match="two options or more"):
        question("Why?")


def in_form():
    """The cells of a lesson that has everything, and its entry with the minutes of its exercises."""
    lesson = COURSE.lessons[0]
    tasks = ""
    for number, kind in enumerate(("core", "core", "core", "stretch"), start=1):
        task = EXERCISE.replace("## Exercise 1\n# Double", f"**Exercise {number}** ({kind}, 2 minutes). Double")
        tasks += task + HINTS
    text = PARAMETERS + '\n# %% tags=["guess"]\nmy_guess = None\n' + tasks + 3 * QUESTION
    text += '\n# %%\nprint(compare_guess("x", my_guess, 1))\nclosing_table([])\n'
    changed = {"minutes": {"read": 1, "work": 8}, "further": ("a book",)}
    return text, type(lesson)(**{**vars(lesson), **changed})


def test_a_lesson_in_form_lacks_nothing():
    text, lesson = in_form()
    assert missing(jupytext.reads(text, fmt="py:percent")["cells"], lesson) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("(stretch,", "(core,", "it has 0 stretch exercises of 1"),
        ("(core,", "(stretch,", "it has 0 core exercises of 3"),
        ("(stretch, 2", "(stretch, 9", "take 15 minutes, the header says 8"),
        ("**Exercise 4**", "**Exercise 5**", r"numbered \[1, 2, 3, 5\]"),
        ('["teacher"]', '["other"]', "exercise 1 is not followed by 2 hints and a note"),
        ("closing_table", "table", "no closing table"),
        ("compare_guess", "print", "no guess"),
        ('["question"]', '["other"]', "asks 0 questions of 3"),
    ],
)
def test_what_a_lesson_lacks_is_named(old, new, message):
    text, lesson = in_form()
    found = missing(jupytext.reads(text.replace(old, new), fmt="py:percent")["cells"], lesson)
    with pytest.raises(AssertionError, match=message):
        assert found == []


def test_a_task_without_its_minutes_is_refused():
    text, _ = in_form()
    with pytest.raises(LessonError, match=r"does not say `\*\*Exercise N\*\*"):
        exercises(jupytext.reads(text.replace("(core, 2 minutes)", ""), fmt="py:percent")["cells"])
