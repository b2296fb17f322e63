"""A class is read from saved outputs: what the checks said, what puts it in doubt, and nothing is executed unasked."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from helpers.cli import app
from helpers.cli.tables import class_table
from helpers.lessons.classroom import as_csv, as_json, read_class
from helpers.runtime.errors import DataError

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NAME = "00_first.ipynb"
SOLVED = "def double(x):\n    return 2 * x"


@pytest.fixture
def course(workshop):
    workshop.build()
    return workshop


def handed_out(course, name=NAME):
    return json.loads((course.notebooks / name).read_text(encoding="utf-8"))


def cell(notebook, tag):
    return next(one for one in notebook["cells"] if tag in one["metadata"].get("tags", []))


def run(notebook, words="Exercise 1: solved.\n"):
    """As a learner leaves it who ran all cells from top to bottom."""
    for count, one in enumerate(one for one in notebook["cells"] if one["cell_type"] == "code"):
        one["execution_count"] = count + 1
    cell(notebook, "check")["outputs"] = [{"output_type": "stream", "name": "stdout", "text": [words]}]
    return notebook


def solved(course):
    notebook = run(handed_out(course))
    cell(notebook, "stub")["source"] = SOLVED
    return notebook


def hand_in(course, notebook, name=f"anna/{NAME}"):
    path = course.root / "class" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(notebook if isinstance(notebook, str) else json.dumps(notebook), encoding="utf-8")


def read(course, **settings):
    return read_class(course.root / "class", notebooks=course.notebooks, course=course.course, **settings)


def only(course, notebook, name=f"anna/{NAME}"):
    hand_in(course, notebook, name)
    (one,) = read(course)
    return one


def test_an_exercise_is_solved_where_its_check_said_so(course):
    one = only(course, solved(course))
    assert (one.file, one.lesson, one.solved, one.remarks) == (f"anna/{NAME}", "00_first", 1, ())
    assert [(exercise.task, exercise.state, exercise.remarks) for exercise in one.exercises] == [
        ("Exercise 1", "solved", ())
    ]


def test_the_checks_own_words_are_kept(course):
    words = "Exercise 1, not yet: twice 2 is 4; yours gives [[3]\n [5]].\n"
    (exercise,) = only(course, run(handed_out(course), words)).exercises
    assert (exercise.state, exercise.words) == ("not yet", "twice 2 is 4; yours gives [[3] [5]].")


def test_the_last_word_of_a_check_counts(course):
    words = "Exercise 1: solved.\nExercise 1, not yet: twice 2 is 4."
    assert only(course, run(handed_out(course), words)).exercises[0].state == "not yet"


def test_words_of_another_exercise_do_not_count(course):
    (exercise,) = only(course, run(handed_out(course), "Exercise 10: solved.\n")).exercises
    assert exercise.state == "silent"


def test_an_error_in_the_check_is_told(course):
    notebook = solved(course)
    error = {"output_type": "error", "ename": "NameError", "evalue": "no double", "traceback": []}
    cell(notebook, "check")["outputs"] = [error]
    (exercise,) = only(course, notebook).exercises
    assert (exercise.state, exercise.words) == ("stopped", "NameError: no double")


def test_a_notebook_that_was_never_run_is_named(course):
    one = only(course, handed_out(course))
    assert "never run" in one.remarks[0]
    assert one.exercises[0].state == "not run"


def test_an_edited_check_is_named(course):
    notebook = solved(course)
    check = cell(notebook, "check")
    check["source"] = "".join(check["source"]).replace("value == 4", "True")
    (exercise,) = only(course, notebook).exercises
    assert (exercise.state, exercise.remarks) == ("solved", ("the check was edited",))


def test_a_check_that_is_gone_is_missing(course):
    notebook = solved(course)
    notebook["cells"].remove(cell(notebook, "check"))
    assert only(course, notebook).exercises[0].state == "missing"


def test_a_check_is_known_by_its_text_where_ids_and_tags_are_lost(course):
    notebook = solved(course)
    for one in notebook["cells"]:
        del one["id"]
        one["metadata"] = {}
    (exercise,) = only(course, notebook).exercises
    assert (exercise.state, exercise.remarks) == ("solved", ())


def test_solved_without_an_answer_is_doubted(course):
    (exercise,) = only(course, run(handed_out(course))).exercises
    assert exercise.remarks == ("the cell to fill is as it was handed out",)


def test_an_answer_that_was_run_after_its_check_is_doubted(course):
    notebook = solved(course)
    cell(notebook, "stub")["execution_count"] = 99
    (exercise,) = only(course, notebook).exercises
    assert exercise.remarks == ("the exercise was run again after its check",)


@pytest.mark.parametrize(
    ("content", "remark"),
    [
        ("{", "cannot be read: it is damaged"),
        ("[" * 100_000, "cannot be read: it is damaged"),
        ('{"nbformat": 3, "worksheets": []}', "cannot be read"),
        ('{"nbformat": 3, "cells": []}', "expected 4"),
        ('{"nbformat": 4, "cells": [{"cell_type": "code", "source": 3}]}', "cannot be read"),
        ('{"nbformat": 4, "cells": [{"cell_type": "code", "source": "print(1)"}]}', "holds no lesson of the course"),
        ('{"nbformat": 4, "cells": []}', "holds no lesson of the course"),
    ],
)
def test_a_notebook_that_is_no_lesson_is_named_and_the_others_are_read(course, content, remark):
    hand_in(course, content, "bert.ipynb")
    hand_in(course, solved(course))
    anna, bert = read(course)
    assert anna.solved == 1
    assert (bert.file, bert.lesson, bert.exercises) == ("bert.ipynb", None, ())
    assert remark in bert.remarks[0]


def test_a_lesson_under_the_name_of_another_is_named(course):
    one = only(course, solved(course), "03_second.ipynb")
    assert one.lesson == "00_first"
    assert one.remarks == ("its name says lesson 03, and it holds 00_first",)


def test_other_files_and_hidden_folders_are_left_aside(course):
    hand_in(course, solved(course))
    hand_in(course, solved(course), f"anna/.ipynb_checkpoints/{NAME}")
    hand_in(course, "zip", "carla.zip")
    said = []
    assert len(read(course, log=said.append)) == 1
    assert said == ["1 other files were not read: carla.zip"]


def test_a_folder_without_notebooks_is_refused(course):
    (course.root / "class").mkdir()
    with pytest.raises(DataError, match="No notebook under"):
        read(course)


def test_nothing_is_executed_unless_it_is_asked_for(course, tmp_path, monkeypatch):
    notebook = handed_out(course)
    mark = tmp_path / "executed"
    cell(notebook, "stub")["source"] = f"{SOLVED}\nopen({str(mark)!r}, 'w')"
    hand_in(course, notebook)
    before = (course.root / "class" / "anna" / NAME).read_bytes()
    assert read(course)[0].exercises[0].state == "not run"
    assert not mark.exists()
    said = []
    (one,) = read(course, run=True, log=said.append)
    assert (one.solved, one.remarks, said) == (1, (), [f"Executing anna/{NAME}"])
    assert mark.exists()
    assert (course.root / "class" / "anna" / NAME).read_bytes() == before


def test_a_copy_that_stops_says_why(course):
    notebook = handed_out(course)
    cell(notebook, "stub")["source"] = "raise RuntimeError('too early')"
    hand_in(course, notebook)
    (one,) = read(course, run=True)
    assert one.exercises[0].state == "not run"
    assert "RuntimeError: too early" in one.remarks[0]


def test_a_table_for_spreadsheets_holds_no_formula_and_every_notebook(course):
    hand_in(course, solved(course), "=1+1.ipynb")
    hand_in(course, "{", "bert.ipynb")
    first, second = csv.DictReader(io.StringIO(as_csv(read(course))))
    assert (first["notebook"], first["exercise"], first["state"]) == ("'=1+1.ipynb", "Exercise 1", "solved")
    assert (second["notebook"], second["exercise"]) == ("bert.ipynb", "")
    assert "damaged" in second["remarks"]


def test_json_has_the_same(course):
    hand_in(course, solved(course))
    (one,) = json.loads(json.dumps(as_json(read(course))))["notebooks"]
    assert (one["solved"], one["exercises"][0]["state"]) == (1, "solved")


def test_the_table_on_screen_says_how_many_and_what_is_missing_and_holds_no_escape(course, capsys):
    hand_in(course, solved(course))
    hand_in(course, run(handed_out(course), "Exercise 1, not yet: \x1b[2Jtwice 2 is 4."), "bert.ipynb")
    class_table(read(course))
    text = capsys.readouterr().out
    assert "1 of 1" in text
    assert "Exercise 1, not yet: ?[2Jtwice 2 is 4." in text
    assert "\x1b[2J" not in text


def test_a_second_call_replaces_its_own_tables_and_no_other_file(tmp_path):
    (tmp_path / "class").mkdir()
    shutil.copy(NOTEBOOKS / "03_prepare_and_augment.ipynb", tmp_path / "class" / "03_prepare_and_augment.ipynb")
    call = ["class", str(tmp_path / "class"), "--csv", str(tmp_path / "t.csv"), "--json", str(tmp_path / "t.json")]
    assert [CliRunner().invoke(app, call).exit_code for _ in range(2)] == [0, 0]
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    CliRunner().invoke(app, ["class", str(tmp_path / "class"), "--csv", str(tmp_path / "thesis.txt")])
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "mine"
