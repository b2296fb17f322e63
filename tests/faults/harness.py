"""A fault, and what is seen of it: refused by name with a cure, mended with a word, or neither."""

import contextlib
import io
import os
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from helpers.cli import app, explain


@dataclass(frozen=True)
class Fault:
    """Something wrong that a user may hand to a command.

    Attributes:
        name: what is wrong, in a few words.
        kind: which of the kinds of fault it is one of.
        plant: makes the input in an empty folder, and returns the arguments of the command. What the command may write
            goes below `folder / "out"`.
        says: a regular expression that the command's output (both streams) has to match, any case: the file or setting
            at fault, and the cure.
        status: 1 where the command has to refuse (2: by the command line itself), 0 where it has to mend the fault.
        check: called after it with the folder; raises AssertionError where the result is wrong.
        leaves: patterns of files that may lie below `out` afterwards; none for a refusal.
        quick: whether `make test` plants it too.
        environment: variables that are set for it.
        within: gives the context that the command runs in, such as a full disk, or another working folder.
    """

    name: str
    kind: str
    plant: Callable[[Path], list[str]]
    says: str
    status: int = 1
    check: Callable[[Path], None] | None = None
    leaves: tuple[str, ...] = ()
    quick: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    within: Callable[[Path], contextlib.AbstractContextManager] = contextlib.nullcontext


@dataclass(frozen=True)
class Outcome:
    """What was seen: "refused", "mended", or what went wrong ("traceback", "wrong result", "no word", "files left")."""

    fault: Fault
    verdict: str
    output: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether the fault was met as it has to be."""
        return self.verdict in ("refused", "mended")


def run(arguments: list[str]) -> tuple[int, str]:
    """Run a command in this process, as `python -m helpers` does.

    Returns:
        Its status, and all that it printed; a traceback for a fault of ours.
    """
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            app([str(argument) for argument in arguments])
            status = 0
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except Exception as error:
            status, message = 1, explain(error)
            printed.write(f"Error: {message}" if message is not None else traceback.format_exc())
    return status, printed.getvalue()


def run_apart(arguments: list[str]) -> tuple[int, str]:
    """Run a command in a process of its own.

    Returns:
        Its status, and all that it printed.
    """
    command = [sys.executable, "-m", "helpers", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def meet(fault: Fault, folder: Path, run: Callable[[list[str]], tuple[int, str]] = run) -> Outcome:
    """Plant a fault in a folder, run its command, and see.

    Args:
        fault: what to plant.
        folder: an empty one.
        run: runs the command, in this process or in one of its own.
    """
    begun = time.monotonic()
    before = dict(os.environ)
    try:
        arguments = fault.plant(folder)
        os.environ.update(fault.environment)
        with fault.within(folder):
            status, output = run(arguments)
    finally:
        os.environ.clear()
        os.environ.update(before)
    verdict = _verdict(fault, folder, status, output)
    return Outcome(fault, verdict, output, time.monotonic() - begun)


def _verdict(fault: Fault, folder: Path, status: int, output: str) -> str:
    if "Traceback (most recent call last)" in output:
        return "traceback"
    if status != fault.status:
        return f"wrong result: status {status}"
    if not re.search(fault.says, re.sub(r"\s+", " ", output), re.IGNORECASE):
        return "no word"
    left = [path for path in (folder / "out").rglob("*") if path.is_file() and not any(map(path.match, fault.leaves))]
    if left:
        return f"files left: {', '.join(path.name for path in left[:3])}"
    if fault.check is not None:
        try:
            fault.check(folder)
        except AssertionError as error:
            return f"wrong result: {error}"
    return "refused" if fault.status else "mended"
