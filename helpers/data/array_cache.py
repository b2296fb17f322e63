"""Arrays that are made once from files and kept in a folder, with a manifest of what they were made from.

They are written beside their final name and moved into place, so a killed run leaves no half folder and two notebooks
may build the same one at once; checksums tell a damaged one.
"""

import json
import os
import platform
import shutil
import tempfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from helpers.runtime.disk import explain_full_disk
from helpers.runtime.errors import DataError


def get_or_build(folder: Path, wanted: dict, write: Callable[[Path], list[dict]]) -> dict:
    """The manifest of the arrays in `folder`, which are made anew unless they were made from what is `wanted`.

    Args:
        wanted: version, parameters and sources, ready for JSON.
        write: leaves `.npy` files in a folder, and returns one entry for each patient.

    Raises:
        DataError: what is in `folder` is damaged, or the disk is full.
    """
    if (folder / "manifest.json").exists():
        manifest = read_manifest(folder)
        if {key: manifest[key] for key in wanted} == wanted:
            return manifest
    folder.parent.mkdir(parents=True, exist_ok=True)
    ours = f".{folder.name}-{platform.node()}-"  # the process and a few letters follow
    _remove_abandoned(folder.parent, ours)
    with explain_full_disk(folder):
        scratch = Path(tempfile.mkdtemp(prefix=f"{ours}{os.getpid()}-", dir=folder.parent))
        try:
            entries = write(scratch)
            checksums = {path.name: _checksum(path) for path in sorted(scratch.glob("*.npy"))}
            manifest = {**wanted, "patients": entries, "checksums": checksums}
            (scratch / "manifest.json").write_text(json.dumps(manifest, indent=1))
            _move_into_place(scratch, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return read_manifest(folder)


def read_manifest(folder: Path) -> dict:
    """What the arrays were made from, once their checksums are found right.

    Raises:
        DataError: a file is missing, cut short or changed since it was written.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        for name, checksum in manifest["checksums"].items():
            if _checksum(folder / name) != checksum:
                raise ValueError(f"{name} has changed since it was written")
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{folder}: this slice store is damaged ({error}). Delete the folder; it is built anew from the scans."
        ) from error
    return manifest


def map_cases(one: Callable[[int], dict], n: int, progress: Callable[[int, int], None]) -> list[dict]:
    """What `one` makes of patient 0, 1 … n - 1, in order, a few at a time: unpacking and arithmetic leave the GIL.

    Raises:
        DataError: it did for some; all of them are listed.
    """

    def attempt(index: int) -> dict | DataError:
        try:
            return one(index)
        except DataError as error:
            return error

    entries, errors = [], []
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        for done, result in enumerate(pool.map(attempt, range(n)), start=1):
            (errors if isinstance(result, DataError) else entries).append(result)
            progress(done, n)
    if errors:
        raise DataError.listing(
            f"{len(errors)} of {n} patients cannot be used. Mend or remove these files, then run again:",
            [str(error) for error in errors],
        )
    return entries


def file_signature(path: Path | None) -> list | None:
    """What stands for a file's contents: hashing 42 GB takes minutes, name, size and time of change do not."""
    if path is None:
        return None
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


def _remove_abandoned(parent: Path, ours: str) -> None:
    """Remove what builders on this machine left when they were killed; it may be as large as what they built."""
    for left in parent.glob(f"{ours}*"):
        process = left.name.removeprefix(ours).partition("-")[0]
        if os.name == "posix" and process.isdigit() and not _alive(int(process)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def _move_into_place(scratch: Path, folder: Path) -> None:
    aside = scratch.with_name(scratch.name + "-old")
    if folder.exists():
        folder.rename(aside)
    try:
        scratch.rename(folder)
    except OSError:  # another process was quicker: its arrays are as good as ours
        if not (folder / "manifest.json").exists():
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            value = zlib.crc32(block, value)
    return value
