"""Ctrl-C (SIGINT) and SIGTERM: both end a command in the same way, a training once its step is complete.

A scheduler, a container and a machine that shuts down send SIGTERM, and SIGKILL some seconds later.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM was received: what ends a command by Ctrl-C ends it too."""


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Within the block, SIGTERM raises `Terminated`, so that scratch files are removed and a message is printed.

    Outside the main thread, or where another handler of SIGTERM is installed, nothing is changed.

    Raises:
        Terminated: SIGTERM was received.
    """
    if not _in_main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def defer_interrupt() -> Iterator[list[int]]:
    """Within the block, record the first Ctrl-C or SIGTERM instead of ending; the second ends the process at once.

    Outside the main thread nothing is changed, nor for a signal that has another handler than Python's own, or that of
    `terminate_as_interrupt`.

    Yields:
        The signal numbers received so far: an empty list until the first; `raise_interrupt` does what it would have
        done.

    Raises:
        KeyboardInterrupt: on the second Ctrl-C within the block.
        Terminated: on the second signal, if it is SIGTERM and `terminate_as_interrupt` is in force.
    """
    received: list[int] = []
    before: dict[int, object] = {}
    if _in_main_thread():
        own = {signal.SIGINT: (signal.default_int_handler,), signal.SIGTERM: (signal.SIG_DFL, _raise_terminated)}
        before = {number: signal.getsignal(number) for number in own if signal.getsignal(number) in own[number]}

    def record(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if received[1:]:
            restore()
            signal.raise_signal(number)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, record)
    try:
        yield received
    finally:
        restore()


def raise_interrupt(received: list[int]) -> None:
    """End as the first signal that was deferred would have ended, now that its step is complete.

    Args:
        received: from `defer_interrupt`, not empty.

    Raises:
        KeyboardInterrupt: it was Ctrl-C.
        Terminated: it was SIGTERM.
    """
    raise Terminated if received[0] == signal.SIGTERM else KeyboardInterrupt


def _raise_terminated(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
