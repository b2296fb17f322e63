"""Writing to a disk that may be full: a file is whole or not there, and what is missing is said in one line.

A killed process leaves half a file, and a full disk leaves one as well. So a file is written beside its final name and
moved into place. A memory-mapped array is worse: its file promises a length without taking the room, and the write that
finds the disk full does not fail, it ends the process (SIGBUS). So the room is taken first.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from helpers.runtime.errors import DataError


@contextmanager
def atomic_path(path: Path, wanted: int = 0) -> Iterator[Path]:
    """A scratch name beside `path`: what is written there is moved into place when the block ends well, else removed.

    Args:
        wanted: bytes that are about to be written, for the message; 0 where nobody knows.

    Raises:
        DataError: the disk is full. What stood at `path` before still does.
    """
    scratch = path.with_name(f".part.{path.name}")  # some writers want a name to end as it does
    with explain_full_disk(path, wanted):
        try:
            yield scratch
            with scratch.open("rb+") as file:
                os.fsync(file.fileno())  # else a machine that loses power may keep the new name and not what it names
            os.replace(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)


def write_text(text: str, path: Path) -> None:
    """Write whole or not at all; the folder is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path, len(text)) as scratch:
        scratch.write_text(text)


@contextmanager
def explain_full_disk(path: Path, wanted: int = 0) -> Iterator[None]:
    """Where the block finds the disk full, it ends in a DataError that names `path` and the room that is missing.

    Args:
        wanted: bytes that the block writes; 0 where nobody knows, or `allocate_arrays` finds it out.
    """
    try:
        yield
    except Exception as error:  # zipfile and HDF5 raise others on top of the one that tells the cause
        if not _full(error):
            raise
        raise _no_room(path, getattr(error, "wanted", wanted)) from error


def allocate_arrays(folder: Path, **arrays: tuple[DTypeLike, tuple[int, ...]]) -> list[np.memmap]:
    """New memory-mapped arrays of zeros, whose room on the disk is taken.

    Args:
        arrays: type and shape by name; array `images` is in the file `images.npy`.

    Raises:
        OSError: the disk is too full for them; `explain_full_disk` makes a message of it.
    """
    wanted = sum(np.dtype(dtype).itemsize * int(np.prod(shape)) for dtype, shape in arrays.values())
    try:
        if wanted > shutil.disk_usage(folder).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return [_allocate(folder / f"{name}.npy", *array) for name, array in arrays.items()]
    except OSError as error:
        error.wanted = wanted
        raise


def _allocate(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> np.memmap:
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):  # not on macOS and Windows
        with path.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def _no_room(path: Path, wanted: int) -> DataError:
    free = shutil.disk_usage(next(folder for folder in path.absolute().parents if folder.exists())).free
    figures = [f"{_size(wanted)} are wanted"] * bool(wanted) + [f"{_size(free)} free"]
    figures += [f"{_size(wanted - free)} missing"] * (wanted > free)
    return DataError(
        f"{path} cannot be written: the disk, or your share of it, is full ({', '.join(figures)}). Nothing half "
        "written is left, and what was there before still is. Make room, then give the same command again."
    )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
