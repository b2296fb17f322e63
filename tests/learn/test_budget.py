"""Laws of the budget: what is spent, and what is left."""

import time

import pytest

from helpers.learn.budget import Budget
from helpers.runtime.errors import DataError


@pytest.mark.parametrize("arguments", [{}, {"epochs": 1, "seconds": 1}])
def test_budget_is_epochs_or_seconds(arguments):
    with pytest.raises(ValueError, match="either a number of epochs or a time"):
        Budget(**arguments)


def _ago(seconds):
    return time.monotonic() - seconds


def test_time_ends_before_what_follows_begins():
    budget = Budget(seconds=100, reserve=20, started=_ago(40))
    assert budget.fraction_spent(7) == pytest.approx(0.5, abs=0.01)
    assert budget.left(7) == pytest.approx(60, abs=1)


def test_time_left_of_epochs_is_told_by_their_pace_and_not_by_what_came_before_them():
    budget = Budget(epochs=10, started=_ago(1000))  # the slices had to be prepared first
    budget.resume(0, 0)
    budget._first = _ago(30), 0
    assert budget.fraction_spent(3) == pytest.approx(0.3)
    assert budget.left(3) == pytest.approx(70, abs=1)


def test_pace_is_this_sessions():
    budget = Budget(epochs=10, started=_ago(10))
    budget.resume(500, 4)
    budget._first = _ago(30), 4
    assert budget.left(7) == pytest.approx(30, abs=1)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(80, r"40 s \(50% of the budget, 40 s left\)"), (18000, r"9000 s \(50% of the budget, 2.5 h left\)")],
)
def test_progress_in_words(seconds, words):
    import re

    assert re.fullmatch(words, Budget(seconds=seconds, started=_ago(seconds / 2)).progress(1))


def test_nothing_is_left_at_the_end():
    assert Budget(seconds=100, reserve=50, started=_ago(50)).progress(3) == "50 s (100% of the budget)"
    assert Budget(epochs=3, started=_ago(50)).progress(3) == "50 s (100% of the budget)"


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf"), "15"])
def test_minutes_are_a_number_above_0(minutes):
    with pytest.raises(DataError, match=r"minutes is .*expected a number of more than 0"):
        Budget.of(minutes, epochs=30)


@pytest.mark.parametrize("epochs", [0, -1, 1.5, True])
def test_epochs_are_a_whole_number_above_0(epochs):
    with pytest.raises(DataError, match=r"epochs is .*expected a whole number of at least 1"):
        Budget.of(None, epochs)
