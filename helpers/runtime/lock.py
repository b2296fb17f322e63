"""One process at a time works in a folder: a lock that ends with the process, however that ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from helpers.runtime.errors import DataError

LOCK = ".lock"
"""Name of the file that is locked; it holds the number of the process, and goes with the end of its work."""


@contextmanager
def lock_folder(folder: Path, work: str, wait: float = 0.0) -> Iterator[None]:
    """Work in a folder while no other process does.

    The system keeps the lock, so that a killed process leaves none. Where the file system has no locks, or the folder
    may not be written to, nothing is locked.

    Args:
        folder: is made if it does not exist.
        work: what the process does there, for the message: "trains into".
        wait: seconds until another process that works there is an error.

    Raises:
        DataError: another process works there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, owner = folder / LOCK, ""
    with suppress(OSError, ValueError):  # before the lock is tried: older versions of filelock empty the file
        owner = f" (process {int(path.read_text())})"
    lock = FileLock(path)
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        raise DataError(
            f"Another process{owner} {work} {folder}; wait until it has finished, or choose another folder."
        ) from None
    except (OSError, NotImplementedError):
        pass  # a file system that knows no locks, such as some network drives: work goes on without one
    try:
        with suppress(OSError):  # Windows: a locked file is not written to by another handle
            if lock.is_locked:
                path.write_text(str(os.getpid()))
        yield
    finally:
        if lock.is_locked:
            if os.name == "posix":  # while it is locked: whoever opened it before finds that it has no name any more
                path.unlink(missing_ok=True)
            lock.release()
