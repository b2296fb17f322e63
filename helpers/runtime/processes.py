"""Processes side by side, each kept to its share of the machine's cores."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import TypeVar

import psutil

from helpers.runtime import machine
from helpers.runtime.interrupt import terminate_as_interrupt

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_CONTEXT = multiprocessing.get_context("spawn")  # a forked copy of threads and graphs would hang
_LAST_WORDS = 20  # seconds in which a process that is stopped may end what it has started


class DeadProcessError(RuntimeError):
    """A process ended before it gave a result, for example because memory ran out."""


def map_processes(
    function: Callable[[_Item], _Result], items: Iterable[_Item], at_once: int
) -> Iterator[tuple[_Item, _Result | Exception]]:
    """Apply `function` to every item in processes of their own, and yield each outcome as soon as it is there.

    Items are begun in their order. What `function` raises is yielded in place of its result, and a process that dies
    is replaced, so that neither stops the others. Where the caller stops early, as by Ctrl-C, the processes are
    terminated, and end what they started; where the caller is killed, they end by themselves.

    Args:
        function: can be pickled, as its results; called with one item.
        items: can be pickled.
        at_once: processes at most; each keeps to its share of the cores, where the system knows such a thing.

    Yields:
        An item, and its result or an exception; `DeadProcessError` where there is neither.
    """
    waiting, busy = deque(items), {}
    shares = _shares(min(at_once, len(waiting)))
    idle = [_Worker.start(function, share) for share in reversed(shares)]
    try:
        while waiting or busy:
            while waiting and idle:
                worker, item = idle.pop(), waiting.popleft()
                worker.connection.send(item)
                busy[worker.connection] = worker, item
            for connection in wait(list(busy)):
                worker, item = busy.pop(connection)
                try:
                    outcome = connection.recv()
                except (EOFError, ConnectionError):
                    outcome = worker.died()
                    worker = _Worker.start(function, worker.share)
                idle.append(worker)
                yield item, outcome
    finally:
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.process.terminate()
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.end()


def _shares(processes: int) -> list[list[int]]:
    """The cores of each process: all of them, dealt out; one that several share where there are too few."""
    cores = machine.cores()
    return [cores[number::processes] or [cores[number % len(cores)]] for number in range(processes)]


@dataclass(frozen=True)
class _Worker:
    process: SpawnProcess
    connection: Connection
    share: list[int]

    @classmethod
    def start(cls, function: Callable, share: list[int]) -> "_Worker":
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_serve, args=(function, theirs, share), daemon=False)
        process.start()
        theirs.close()  # so that ours ends with the process
        return cls(process, ours, share)

    def died(self) -> DeadProcessError:
        self.end()
        code = self.process.exitcode
        how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
        return DeadProcessError(f"Its process {how} before it was done. Is there enough memory for so many at once?")

    def end(self) -> None:
        self.process.join(_LAST_WORDS)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        self.connection.close()


def _serve(function: Callable, connection: Connection, share: list[int]) -> None:
    """Answer with `function` to every item, until the process is terminated."""
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C in a terminal reaches all; whoever started us decides
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    _keep_to(share)
    with suppress(KeyboardInterrupt, EOFError), terminate_as_interrupt():
        while True:
            item = connection.recv()
            try:
                outcome = function(item)
            except Exception as error:
                outcome = error
            connection.send(outcome)


def _keep_to(share: list[int]) -> None:
    """Keep this process, and those it starts, to some cores: by affinity, and by the number of threads elsewhere."""
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):
        with suppress(OSError):
            process.cpu_affinity(share)
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ.setdefault(name, str(len(share)))


def _end_with_the_parent() -> None:
    """Once the parent has died without a word, end this process and what it has started."""
    wait([multiprocessing.parent_process().sentinel])
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            child.kill()
    os._exit(1)
