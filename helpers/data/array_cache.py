"""A cache of arrays on disk: built once from files, in a folder with a manifest of what they were built from.

The folder is written beside its final name and moved into place, so a killed process leaves no partial cache and two
processes may build the same one at once. Checksums detect a damaged one.

The lessons of a run have a folder in common, where the same arrays are built once: each lesson has them in a folder of
its own all the same, as links to the same files, which nobody writes to.
"""

import json
import os
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from helpers.runtime.disk import explain_full_disk
from helpers.runtime.errors import DataError
from helpers.runtime.outputs import scratch_folder
from helpers.runtime.shared import built_once
from helpers.runtime.threads import map_threads


def get_or_build(folder: Path, wanted: dict, write: Callable[[Path], list[dict]]) -> dict:
    """The manifest of the arrays in `folder`, which are built anew unless they were built from what is `wanted`.

    A cache of another version, of other parameters or of changed sources is replaced.

    Args:
        folder: the cache; made where it does not exist.
        wanted: version, parameters and sources, ready for JSON.
        write: writes `.npy` files into the folder that it is given, and returns one entry per patient.

    Returns:
        `wanted`, and `patients` (the entries) and `checksums` (CRC-32 by file name).

    Raises:
        DataError: the cache in `folder` is damaged, or the disk is full.
    """
    if (folder / "manifest.json").exists():
        manifest = read_manifest(folder)
        if {key: manifest.get(key) for key in wanted} == wanted:
            return manifest

    def build(scratch: Path) -> None:
        entries = write(scratch)
        checksums = {path.name: _checksum(path) for path in sorted(scratch.glob("*.npy"))}
        manifest = {**wanted, "patients": entries, "checksums": checksums}
        (scratch / "manifest.json").write_text(json.dumps(manifest, indent=1))

    if arrays := built_once("arrays", wanted, build):
        _fill(folder, lambda scratch: _link(arrays, scratch))
    else:
        _fill(folder, build)
    return read_manifest(folder)


def read_manifest(folder: Path) -> dict:
    """What the arrays of a cache were built from, once their checksums are verified.

    Args:
        folder: the cache.

    Returns:
        The manifest, see `get_or_build`.

    Raises:
        DataError: a file is missing, cut short or changed since it was written.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        checksums = manifest["checksums"].items()
        changed = next((name for name, checksum in checksums if _checksum(folder / name) != checksum), None)
        cause = ValueError(f"{changed} has changed since it was written") if changed else None
    except (OSError, ValueError, KeyError) as error:
        cause = error
    if cause:
        raise DataError(
            f"{folder}: this slice store is damaged ({cause}). Delete the folder; it is built anew from the scans."
        ) from cause
    return manifest


def map_cases(one: Callable[[int], dict], n: int, progress: Callable[[int, int], None]) -> list[dict]:
    """Apply `one` to patients 0, 1 … n - 1, a few at a time, and list the results in order.

    Args:
        one: turns the position of a patient into its manifest entry; called from several threads.
        n: number of patients.
        progress: called with (patients done, patients in all) after each patient.

    Returns:
        An entry per patient.

    Raises:
        DataError: `one` raised it for some patients; all of them are listed. Other errors are passed on at once.
    """

    def attempt(index: int) -> dict | DataError:
        try:
            return one(index)
        except DataError as error:
            return error

    entries, errors = [], []
    for done, result in enumerate(map_threads(attempt, range(n)), start=1):
        (errors if isinstance(result, DataError) else entries).append(result)
        progress(done, n)
    if errors:
        heading = f"{len(errors)} of {n} patients cannot be used. Mend or remove these files, then run again:"
        error = DataError.listing(heading, [str(error) for error in errors])
        raise error
    return entries


def file_signatures(files: Mapping[str, Sequence[Path | None]]) -> dict[str, list[list | None]]:
    """Path, size (bytes) and time of change (ns) of files. They stand for their contents: hashing 42 GB takes minutes.

    The paths are relative to the folder that all files have in common: a cache may leave the machine, and the names of
    the folders above it say who works where.

    Args:
        files: of each patient; None stands for a file that the patient lacks.

    Returns:
        For each patient a signature, or None, per file.
    """
    real = {path: path.resolve() for paths in files.values() for path in paths if path is not None}
    root = os.path.commonpath([path.parent for path in real.values()]) if real else ""

    def sign(path: Path | None) -> list | None:
        if path is None:
            return None
        status = path.stat()
        return [real[path].relative_to(root).as_posix(), status.st_size, status.st_mtime_ns]

    return {identity: [sign(path) for path in paths] for identity, paths in files.items()}


def _fill(folder: Path, build: Callable[[Path], None]) -> None:
    """Replace a folder by what `build` writes into the scratch folder that it is given."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with explain_full_disk(folder), scratch_folder(folder) as scratch:
        build(scratch)
        _move_into_place(scratch, folder)


def _link(source: Path, target: Path) -> None:
    """Link all files of one folder into another, or copy them where the file system has no links."""
    for path in source.iterdir():
        try:
            os.link(path, target / path.name)
        except OSError:
            shutil.copyfile(path, target / path.name)


def _move_into_place(scratch: Path, folder: Path) -> None:
    aside = scratch.with_name(scratch.name + "-old")
    if folder.exists():
        folder.rename(aside)
    try:
        scratch.rename(folder)
    except OSError:  # another process was faster: its arrays are the same
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
