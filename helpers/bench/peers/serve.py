"""A line of JSON in, a line of JSON out: how a peer's script talks to the benchmark."""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

Measure = Callable[..., dict[str, Any]]


def serve(begin: Callable[..., tuple[Measure, dict[str, Any]]]) -> None:
    """Answer until the input ends.

    Args:
        begin: takes the first line's settings, and gives a function that answers all further lines, and the first
            answer.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    measure = None
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if measure is None:
                measure, answer = begin(**question)
            else:
                answer = measure(**question)
        except ModuleNotFoundError as error:
            answer = {"missing": error.name}
        print(json.dumps(answer), file=answers, flush=True)
