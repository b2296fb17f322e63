"""Deferring Ctrl-C (SIGINT) until a step is complete."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def defer_interrupt() -> Iterator[list[int]]:
    """Within the block, record the first Ctrl-C instead of raising KeyboardInterrupt; the second raises it at once.

    Outside the main thread, or where another handler of SIGINT is installed, nothing is changed.

    Yields:
        The signal numbers received so far: an empty list until the first Ctrl-C.

    Raises:
        KeyboardInterrupt: on the second Ctrl-C within the block.
    """
    received: list[int] = []

    def record(number: int, frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not default or threading.current_thread() is not threading.main_thread():
        yield received
        return
    signal.signal(signal.SIGINT, record)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
