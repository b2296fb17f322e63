"""Answers that are none: of each, a check should say so in a sentence."""

import pytest

_OF_ANY_ARGUMENTS = (
    "{} = 'four'",
    "{} = None",
    "def {}():\n    return 1",
    "def {}(*_):\n    return np.zeros((3, 2))",
    "def {}(*_): ...",
)


def nonsense(name: str, arguments: str | None = None) -> list[str]:
    """Code that defines an answer of the wrong kind.

    Args:
        name: of the function, or of the variable, that the exercise asks for.
        arguments: of the function; None for a variable.
    """
    values = [f"{name} = {value}" for value in ("None", "'an answer'", "[]", "object()", "np.zeros((3, 1))")]
    if arguments is None:
        return values
    results = ("'an answer'", "None", "np.zeros((3, 1))", "object()")
    functions = [f"def {name}({arguments}): return {result}" for result in results]
    functions += [f"def {name}(): return 1", f"def {name}({arguments}): return {arguments.partition(',')[0]}.missing"]
    return values + functions


def is_a_sentence(said: str, number: int) -> bool:
    """Whether a check answered in one sentence that the exercise is not solved.

    Args:
        said: what it printed.
        number: of the exercise.
    """
    return said.startswith(f"Exercise {number}, not yet: ") and said.endswith(".\n") and "Traceback" not in said


def each_nonsense(name: str, *further: str) -> pytest.MarkDecorator:
    """Run a test with each answer, as `code`, that is none whatever the arguments.

    Args:
        name: of the function that the exercise asks for.
        further: answers of the exercise's own.
    """
    return pytest.mark.parametrize("code", [*(code.format(name) for code in _OF_ANY_ARGUMENTS), *further])


def refused(said: str, number: int) -> bool:
    """Whether a check has an answer of some length, and it is not that the exercise is solved.

    Args:
        said: what it printed.
        number: of the exercise.
    """
    return said.startswith(f"Exercise {number}, not yet: ") and len(said) > 30
