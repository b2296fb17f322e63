import numpy as np
import pytest

from helpers.lessons.checks import NotYetError, exercise_check, filled, require, shortly


def attempt(value):
    with exercise_check("Exercise 1"):
        require(filled(value) == 4, f"twice 2 is 4; yours gives {value}")


@pytest.fixture(autouse=True)
def _not_strict(monkeypatch):
    monkeypatch.delenv("COURSE_STRICT", raising=False)


@pytest.mark.parametrize("value", [None, ...])
def test_an_unfilled_stub_is_told_so_and_the_lesson_goes_on(value, capsys):
    attempt(value)
    assert "not yet: there is nothing here yet" in capsys.readouterr().out


def test_a_function_without_a_return_hears_of_it(capsys):
    attempt((lambda: print("4"))())
    assert "end a function with `return`" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.zeros((10, 10, 2), bool), "an array of shape (10, 10, 2)"),
        (np.float64(0.5), "np.float64(0.5)"),
        ("95%", "'95%'"),
        ([[1, 2]] * 3, "[[1, 2], [1, 2], [1, 2]]"),
    ],
)
def test_what_the_learner_gave_is_named_in_a_line(value, text):
    assert shortly(value) == text


@pytest.mark.parametrize("value", [[np.zeros((4, 5))] * 9, "x" * 999, dict.fromkeys(range(9), "y" * 50)])
def test_a_long_value_is_cut(value):
    assert len(shortly(value)) < 70
    assert "\n" not in shortly(value)


@pytest.mark.parametrize(("message", "end"), [("it is 5", "5."), ("is it 4?", "4?"), ("it is 5.", "5.")])
def test_a_message_ends_once(message, end, capsys):
    with exercise_check("Exercise 1"):
        require(False, message)
    assert capsys.readouterr().out.endswith(f"{end}\n")


def test_a_wrong_answer_hears_what_came_out_and_what_should_have(capsys):
    attempt(5)
    assert capsys.readouterr().out == "Exercise 1, not yet: twice 2 is 4; yours gives 5.\n"


def test_an_error_in_the_learner_s_code_does_not_stop_the_lesson(capsys):
    with exercise_check("Exercise 1"):
        _ = 1 / 0
    assert "your code stopped with ZeroDivisionError: division by zero" in capsys.readouterr().out


def test_a_right_answer_is_solved(capsys):
    attempt(4)
    assert capsys.readouterr().out == "Exercise 1: solved.\n"


@pytest.mark.parametrize("value", [None, 5])
def test_strict_checks_raise(value, monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "1")
    with pytest.raises(NotYetError):
        attempt(value)


def test_strict_checks_raise_other_errors_as_they_are(monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "1")
    with pytest.raises(ZeroDivisionError), exercise_check("Exercise 1"):
        _ = 1 / 0
