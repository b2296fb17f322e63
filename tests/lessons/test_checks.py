import pytest

from helpers.lessons.checks import NotYetError, exercise_check, filled, require


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
