"""Output folders: tried before the work begins, and built in a scratch folder beside their final name."""

import os
import platform
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from helpers.runtime.disk import explain_full_disk, is_running
from helpers.runtime.errors import DataError

_building: set[str] = set()  # the scratch folders that this process is building in


def writable_folder(path: str | os.PathLike, option: str = "--out", beside: bool = False) -> Path:
    """Try whether a folder can be made and written to, before work begins that would be lost; nothing is left there.

    Args:
        path: the folder, which need not exist; a leading `~` is expanded.
        option: of the command line, for the message.
        beside: the folder is built beside its final name and moved there, so that its parent must be writable instead.

    Returns:
        The path, expanded; with `beside` the folder that a link names.

    Raises:
        DataError: a file is in the way, or the folder may not be written to.
    """
    try:
        folder = Path(path).expanduser()
        whole = folder.absolute()
        if beside and whole.is_symlink():  # what the link names is made or replaced, and not the link
            folder = whole = whole.resolve()
            if not whole.is_dir():
                raise DataError(f"{path} is a link to {whole}, which is no folder. Name another one by {option}.")
        place = next(one for one in (whole, *whole.parents)[beside:] if os.path.lexists(one))
        if not place.is_dir():
            reason = "is a file" if place.exists() else "is a link to nothing"
            raise DataError(f"{folder} cannot be made: {place} {reason}. Name another folder by {option}.")
        for name in whole.relative_to(place).parts:
            with suppress(FileNotFoundError):
                (place / name).lstat()  # the system refuses a name that is too long
        with explain_full_disk(folder), tempfile.TemporaryFile(dir=place):
            pass
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no user of the name after ~
        reason = getattr(error, "strerror", None) or error
        message = f"{path} cannot be written ({reason}). Name a folder that you may write to by {option}."
        raise DataError(message) from error
    return folder


def writable_file(path: str | os.PathLike, option: str = "--json", suffixes: Collection[str] = (".json",)) -> Path:
    """Try whether a file can be written or replaced, before work begins that would be lost; nothing is left there.

    Only a file that is called as what is written there is replaced: who names a scan by mistake keeps the scan.

    Args:
        path: the file, which need not exist, nor its folder; a leading `~` is expanded.
        option: of the command line, for the message.
        suffixes: of files that may be replaced, in lower case.

    Returns:
        The path, expanded.

    Raises:
        DataError: a folder is there, a file is in the way or has another suffix, or it may not be written.
    """
    file = Path(path)
    with suppress(RuntimeError):  # there is no user of the name after ~, and `writable_folder` says so
        file = file.expanduser()
    if file.is_dir():
        such = file / f"table{next(iter(suffixes))}"
        raise DataError(f"{file} is a folder; name a file by {option}, such as {such}.")
    if os.path.lexists(file) and file.suffix.lower() not in suffixes:
        raise DataError(
            f"{file} is there already and does not end in {' or '.join(suffixes)}, so it is not replaced; name another "
            f"file by {option}."
        )
    if file.exists() and not os.access(file, os.W_OK):
        raise DataError(f"{file} may not be written; name another file by {option}.")
    writable_folder(file.parent, option)
    return file


@contextmanager
def scratch_folder(final: Path) -> Iterator[Path]:
    """A folder beside `final` to build it in, which is removed when the block ends.

    Its name holds the machine and the process, so that the folders of killed processes are recognised: those of this
    `final` are removed first, since they may be as large as `final` itself.

    Args:
        final: what is built; its parent folder exists.

    Yields:
        The folder, empty, readable by this user alone.
    """
    ours = f".{final.name}-{platform.node()}-"  # the process and a few letters follow
    _remove_abandoned(final.parent, ours)
    scratch = Path(tempfile.mkdtemp(prefix=f"{ours}{os.getpid()}-", dir=final.parent))
    _building.add(scratch.name)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        _building.discard(scratch.name)


def _remove_abandoned(parent: Path, ours: str) -> None:
    """Remove the scratch folders of killed processes of this machine."""
    if os.name != "posix":  # elsewhere signal 0 is no question: it ends the process
        return
    for left in parent.iterdir():  # no glob: the name may hold brackets
        process = left.name.removeprefix(ours).partition("-")[0]
        if not (left.name.startswith(ours) and process.isdigit()):
            continue
        own = int(process) == os.getpid()  # in a container each process may have the number of the one before
        if left.name.removesuffix("-old") not in _building if own else not is_running(int(process)):
            shutil.rmtree(left, ignore_errors=True)
