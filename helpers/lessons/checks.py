"""Exercise checks: what the learner's code must do, and a message that says what it did instead.

    with exercise_check("Exercise 1"):
        value = filled(my_dice(empty, empty))
        require(value == 1, f"your Dice of two empty masks is {value}; by our rule it is 1")

While the stub is unfilled the check says so and the notebook goes on. With COURSE_STRICT=1, as solutions are run, a
failed check stops it.
"""

import os
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

T = TypeVar("T")
_AT_MOST = 60  # characters of a value in a message, which is one line


class NotYetError(Exception):
    """An exercise is not solved yet; the message says what is missing."""


def require(passed: bool, message: str) -> None:
    """Require a condition of the learner's result, within `exercise_check`.

    Args:
        passed: the condition.
        message: what the result was and what was expected, as a sentence without its full stop.

    Raises:
        NotYetError: the condition does not hold.
    """
    if not passed:
        raise NotYetError(message)


def filled(value: T) -> T:
    """Return `value` unless the stub is unfilled and gave nothing (None or `...`).

    Args:
        value: what the learner's code returned.

    Raises:
        NotYetError: there is nothing yet.
    """
    require(value is not ..., "there is nothing here yet; replace the ... above and run again")
    # A function whose `return` was forgotten gives None, and so does one that only prints.
    forgotten = "there is nothing here yet (None); replace the ... above, and end a function with `return`"
    require(value is not None, forgotten)
    return value


def shortly(value: object) -> str:
    """What the learner gave, for a message: an array by its shape, everything else by its first characters.

    Args:
        value: anything.
    """
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array of shape {value.shape}"
    text = " ".join(reprlib.repr(value).split())
    return text if len(text) <= _AT_MOST else f"{text[:_AT_MOST]} ..."


@contextmanager
def exercise_check(task: str) -> Iterator[None]:
    """Run the checks of an exercise in the body, and print the outcome.

    Args:
        task: name of the exercise, such as "Exercise 1".

    Raises:
        NotYetError: the result is wrong or missing, and COURSE_STRICT is 1; other errors of the learner's code are then
            raised too.
    """
    try:
        yield
    except Exception as problem:
        if os.environ.get("COURSE_STRICT") == "1":
            raise
        # An unfilled stub must not stop the lesson, which goes on with the helper's own function.
        known = isinstance(problem, NotYetError)
        missing = problem if known else f"your code stopped with {type(problem).__name__}: {problem}"
        said = str(missing)
        print(f"{task}, not yet: {said}" + "." * (not said.endswith((".", "?"))))
    else:
        print(f"{task}: solved.")
