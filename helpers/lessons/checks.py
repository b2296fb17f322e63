"""Exercise checks that answer like a person.

    with exercise_check("Exercise 1"):
        value = filled(my_dice(empty, empty))
        answer(value == 1, f"your Dice of two empty masks is {value}; by our rule it is 1")

While the stub is unfilled the notebook says so and goes on. With COURSE_STRICT=1, as the solutions are
run, it stops.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class NotYetError(Exception):
    """An exercise is not solved yet; the message says what is missing."""


def require(passed: bool, message: str) -> None:
    """Leave the check with `message` unless `passed`: what came out, and what should have."""
    if not passed:
        raise NotYetError(message)


def filled(value: T) -> T:
    """`value`, unless the stub is as it was and gave nothing (None or `...`)."""
    given = value is not None and value is not ...
    require(given, "there is nothing here yet; replace the ... above and run again")
    return value


@contextmanager
def exercise_check(task: str) -> Iterator[None]:
    """Print how `task` stands after the body has looked at the learner's answer.

    Raises:
        NotYetError: the answer is wrong or missing, and COURSE_STRICT is 1. So do other errors.
    """
    try:
        yield
    except Exception as problem:
        if os.environ.get("COURSE_STRICT") == "1":
            raise
        # An unfilled stub must not stop the lesson, which goes on with the helper's own function.
        known = isinstance(problem, NotYetError)
        missing = problem if known else f"your code stopped with {type(problem).__name__}: {problem}"
        print(f"{task}, not yet: {missing}.")
    else:
        print(f"{task}: solved.")
