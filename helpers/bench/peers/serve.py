"""Protocol between a peer's script and the benchmark: one line of JSON per request, one per response."""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

Measure = Callable[..., dict[str, Any]]

_OUT_OF_MEMORY = (
    "out of memory",
    "outofmemory",
    "resource_exhausted",
    "resourceexhausted",
    "alloc_failed",
    "can't allocate memory",
    "memoryerror",
)
"""What errors have in name or text where memory ran out: TensorFlow's, JAX's, PyTorch's, cuDNN's and Python's."""


def serve(begin: Callable[..., tuple[Measure, dict[str, Any]]]) -> None:
    """Respond to requests until the input ends.

    Args:
        begin: called with the settings of the first line; returns the function that handles all further lines, and the
            response to the first.
    """
    responses = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not mix with the responses
    measure = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if measure is None:
                measure, response = begin(**request)
            else:
                response = measure(**request)
        except ModuleNotFoundError as error:
            response = {"missing": error.name}
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            if not any(word in text.lower() for word in _OUT_OF_MEMORY):
                raise
            response = {"out_of_memory": text.splitlines()[0]}
        print(json.dumps(response), file=responses, flush=True)
