"""Atomic writes, and a full disk reported in one line.

A killed process or a full disk leaves half a file. So a file is written beside its final name and moved into place.
A memory-mapped array is worse: its file has its full length without occupying the disk, and the write that finds the
disk full does not fail, it ends the process (SIGBUS). So its space is allocated first.
"""

import errno
import json
import os
import platform
import secrets
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from helpers.runtime.errors import DataError

_writing: set[str] = set()  # the scratch files that this process is writing


@contextmanager
def atomic_path(path: Path, wanted: int = 0) -> Iterator[Path]:
    """A scratch file beside `path`, moved into place when the block ends without an exception, and removed otherwise.

    Each call has a scratch file of its own, so that several processes may write the same `path` at once: it is whole at
    any moment, and in the end that of the last. The name holds the machine and the process; what a killed process of
    this machine left of `path` is removed by the next write.

    Args:
        path: the final name; its folder exists.
        wanted: bytes that will be written, for the message; 0 where that is unknown.

    Yields:
        The scratch name, in the same folder and with the same ending as `path`.

    Raises:
        DataError: the disk is full. The previous file at `path` is unchanged.
    """
    ours = f".part-{zlib.crc32(platform.node().encode()):08x}-"  # a file's name has at most 255 bytes
    _remove_abandoned(path, ours)
    # Some writers choose the format by the ending.
    scratch = path.with_name(f"{ours}{os.getpid()}-{secrets.token_hex(4)}.{path.name}")
    _writing.add(scratch.name)
    try:
        with explain_full_disk(path, wanted):
            yield scratch
            with scratch.open("rb+") as file:
                os.fsync(file.fileno())  # otherwise a power loss may leave the new name without its contents
            os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
        _writing.discard(scratch.name)


def is_running(process: int) -> bool:
    """Whether there is a process of this number on this machine, whoever started it; POSIX alone.

    Args:
        process: its number.
    """
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # a process of another user
        pass
    return True


def _remove_abandoned(path: Path, ours: str) -> None:
    """Remove the scratch files of `path` that killed processes of this machine left."""
    if os.name != "posix" or not path.parent.is_dir():  # elsewhere signal 0 is no question: it ends the process
        return
    for name in os.listdir(path.parent):
        process, _, rest = name.removeprefix(ours).partition("-")
        if not (name.startswith(ours) and rest.partition(".")[2] == path.name and process.isdigit()):
            continue
        own = int(process) == os.getpid()  # in a container each process may have the number of the one before
        if name not in _writing if own else not is_running(int(process)):
            path.with_name(name).unlink(missing_ok=True)


def write_text(text: str, path: Path) -> None:
    """Write a text file (UTF-8) whole or not at all; its folder is made if it does not exist.

    Args:
        text: the contents.
        path: the file; replaced if it exists.

    Raises:
        DataError: the disk is full.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_text("dice,0.91", Path(folder) / "new" / "scores.csv")
        ...     print((Path(folder) / "new" / "scores.csv").read_text())
        dice,0.91
    """
    content = text.encode("utf-8", "backslashreplace")  # half a letter, as a file's name may hold it, has no UTF-8
    with explain_full_disk(path, len(content)):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path, len(content)) as scratch:
        scratch.write_bytes(content)


def write_json(content: dict, path: Path) -> None:
    """Write a file of JSON whole or not at all.

    Args:
        content: what `json.dumps` takes.
        path: the file; its folder is made if it is not there.

    Raises:
        DataError: the disk is full. What stood at `path` before still does.
    """
    write_text(json.dumps(content, indent=1), path)


@contextmanager
def explain_full_disk(path: Path, wanted: int = 0) -> Iterator[None]:
    """Replace the error of a full disk by a DataError that names `path` and the missing space.

    Args:
        path: what the block writes, for the message.
        wanted: bytes that the block writes; 0 where that is unknown, or where `allocate_arrays` counts them.

    Raises:
        DataError: the block found the disk full.
    """
    try:
        yield
    except Exception as error:  # zipfile and HDF5 raise others on top of the cause
        if isinstance(error, DataError) or not _is_full_disk(error):
            raise
        raise DataError(_describe_full_disk(path, getattr(error, "wanted", wanted))) from error


def allocate_arrays(folder: Path, **arrays: tuple[DTypeLike, tuple[int, ...]]) -> list[np.memmap]:
    """New memory-mapped arrays of zeros, whose space on the disk is allocated.

    Args:
        folder: the folder of their files; it exists.
        **arrays: dtype and shape by name; array `images` is in the file `images.npy`.

    Returns:
        The arrays, in the order of the arguments.

    Raises:
        OSError: the disk has no space for all of them; `explain_full_disk` makes a message of it.
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


def _is_full_disk(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def _describe_full_disk(path: Path, wanted: int) -> str:
    free = shutil.disk_usage(next(folder for folder in path.absolute().parents if folder.exists())).free
    figures = [f"{_size(wanted)} are wanted"] * bool(wanted) + [f"{_size(free)} free"]
    figures += [f"{_size(wanted - free)} missing"] * (wanted > free)
    return (
        f"{path} cannot be written: the disk, or your share of it, is full ({', '.join(figures)}). Nothing half "
        "written is left, and what was there before still is. Make room, then give the same command again."
    )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
