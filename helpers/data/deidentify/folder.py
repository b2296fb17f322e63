"""`deidentify`: a folder of DICOM files, cleaned into a new one, whole or not at all."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.data.deidentify.image import clean_file
from helpers.data.deidentify.key import Pseudonyms, read_key
from helpers.data.deidentify.profile import EDITION, METHOD, basic_profile
from helpers.data.deidentify.refusal import RefusedError
from helpers.runtime.disk import atomic_path, explain_full_disk, write_text
from helpers.runtime.errors import DataError
from helpers.runtime.folders import walk_once
from helpers.runtime.lock import LOCK, lock_folder
from helpers.runtime.outputs import writable_folder

REPORT = "deidentification"
"""Name of the two files of the report, `.json` and `.txt`."""

_JOURNAL = ".finished"
_SHOWN = ("file", "outcome", "as", "why")
_LEFT_OUT = ("no DICOM", "DICOMDIR")
_FACE = "Slices of a head show a face, from which a person can be known; it is not removed here."


@dataclass(frozen=True)
class _Run:
    source: Path
    work: Path
    pseudonyms: Pseudonyms


def deidentify(
    source: str | os.PathLike,
    out: str | os.PathLike,
    key: str | os.PathLike | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Clean every DICOM image under a folder, and write them to a new folder with a report.

    The images are cleaned beside `out` and moved there in the end. With a key, what a stopped call finished is not
    done again. Neither the report nor an error repeats anything that a file holds or is called: files have numbers, in
    the order of their sorted paths.

    Args:
        source: a folder; links are followed, hidden folders are not.
        out: the folder to make, outside of `source`; nothing may be there.
        key: a file with the key of the pseudonyms, made if it is not there; with it a later call gives the same ones.
            Without, a key is drawn and forgotten.
        progress: called with the number of files done, and of all.

    Returns:
        The report, as it is written.

    Raises:
        DataError: there is nothing to clean, something is at `out`, it lies in `source` or cannot be written, the key
            cannot be used, or dicom-anonymizer is not installed.
        BaseException: the call was stopped.
    """
    source, out = Path(source).expanduser(), Path(out).expanduser()
    if not source.is_dir():
        raise DataError(
            "The folder of DICOM files is not there (its name is not repeated, as it may hold another). Give the one "
            "that the archive exported to."
        )
    if os.path.lexists(out):
        raise DataError("What --out names is there already; nothing is written over. Name a new folder.")
    out = writable_folder(out, beside=True)
    if out.resolve().is_relative_to(source.resolve()):
        raise DataError(
            "--out lies in the folder that is cleaned, where cleaned and uncleaned files would stand side by side. "
            "Name a folder outside of it."
        )
    pseudonyms = Pseudonyms(read_key(None if key is None else Path(key).expanduser(), out))
    paths = sorted(Path(folder, name) for folder, _, names in walk_once(source) for name in names)
    if not paths:
        raise DataError(
            "There is no image that can be cleaned: the folder is empty. Give the one that the archive exported to."
        )
    basic_profile()  # so that what is missing is said before the work begins
    out.parent.mkdir(parents=True, exist_ok=True)
    work = out.with_name(f".{out.name}-{pseudonyms.fingerprint}")
    try:
        with lock_folder(work, "cleans into"), explain_full_disk(out):
            report = _clean_all(_Run(source, work, pseudonyms), paths, progress)
            if not report["written"]:
                reasons = ", ".join(f"{count} {subject}" for subject, count in report["refused"].items())
                raise DataError(f"There is no image that can be cleaned: {reasons}.")
            write_text(json.dumps(report, indent=1) + "\n", work / f"{REPORT}.json")
            write_text("\n".join(in_words(report)) + "\n", work / f"{REPORT}.txt")
            for name in (_JOURNAL, LOCK):
                (work / name).unlink(missing_ok=True)
            if os.path.lexists(out):
                raise DataError("What --out names was made while the images were cleaned; name a new folder.")
            work.rename(out)
    except BaseException as error:
        if key is None or isinstance(error, DataError):
            shutil.rmtree(work, ignore_errors=True)
        raise
    return report


def in_words(report: dict[str, Any]) -> Iterator[str]:
    """The report as lines of text.

    Args:
        report: as `deidentify` returns it.

    Yields:
        Lines.
    """
    yield f"{report['written']} images of {report['patients']} patient(s) were cleaned and written."
    yield f"Profile: PS3.15 {report['edition']} Annex E; {', '.join(report['method'])}."
    yield "UIDs are replaced, the same wherever they occur; dates are shifted, by one offset a patient."
    yield "Private attributes, overlays, curves, icons and documents are gone, as is whatever the list of what is kept"
    yield "does not name; of descriptions, words of a fixed vocabulary are left."
    looked = "looked for text in" if report["pixels_read"] else "is not installed, and has not looked at"
    yield f"tesseract {looked} the pixels."
    yield _FACE
    for series in report["series"]:
        yield f"- {series['as']}: {series['images']} images; {len(series['removed'])} attributes removed, " + (
            f"{series['private']} private, {series['overlays']} of overlays; cleaned: "
            f"{', '.join(series['cleaned']) or 'nothing'}."
        )
    for one in report["files"]:
        if one["outcome"] != "written":
            yield f"- file {one['file']} was not written: {one['why']}"
    yield "Files are numbered in the order of their sorted paths."


def _clean_all(run: _Run, paths: list[Path], progress: Callable[[int, int], None]) -> dict[str, Any]:
    finished, entries, taken = _finished(run.work), [], {}
    with (run.work / _JOURNAL).open("a", encoding="utf-8") as journal:
        for number, path in enumerate(paths, 1):
            stamp = _stamp(run, path)
            entry = finished.get(stamp)
            if entry is None:
                entry = _clean_one(run, path, taken)
                journal.write(json.dumps({"stamp": stamp, "entry": entry}) + "\n")
                journal.flush()
            entries.append({"file": number, **entry})
            if "as" in entry:
                taken[entry["as"]] = entry["content"]
            progress(number, len(paths))
    return _report(entries)


def _clean_one(run: _Run, path: Path, taken: dict[str, str]) -> dict[str, Any]:
    """Clean a file and write it; returns its entry in the journal."""
    try:
        image = clean_file(path, run.pseudonyms)
    except RefusedError as refusal:
        return {"outcome": "refused", "subject": refusal.subject, "why": str(refusal)}
    content = run.pseudonyms.stamp(image.content.hex())
    target = f"{image.series}/{image.name}"
    if taken.get(target) == content:
        return {"outcome": "refused", "subject": "copy", "why": "copy: the same image was written before."}
    if target in taken:
        return {
            "outcome": "refused",
            "subject": "same UID",
            "why": "same UID: another image that was written before has its SOPInstanceUID.",
        }
    (run.work / image.series).mkdir(parents=True, exist_ok=True)
    with atomic_path(run.work / target, len(image.content)) as scratch:
        scratch.write_bytes(image.content)
    done = image.doings
    sets = {name: sorted(getattr(done, name)) for name in ("removed", "cleaned", "shifted", "replaced")}
    return {
        "outcome": "written",
        "as": target,
        "content": content,
        "private": done.private,
        "overlays": done.overlays,
        "pixels_read": image.pixels_read,
        **sets,
    }


def _report(entries: list[dict[str, Any]]) -> dict[str, Any]:
    written = [entry for entry in entries if entry["outcome"] == "written"]
    series: dict[str, dict[str, Any]] = {}
    for entry in written:
        name = entry["as"].rpartition("/")[0]
        one = series.setdefault(name, {"as": name, "images": 0, "private": 0, "overlays": 0})
        one["images"] += 1
        for count in ("private", "overlays"):
            one[count] += entry[count]
        for kind in ("removed", "cleaned", "shifted", "replaced"):
            one[kind] = sorted({*one.get(kind, ()), *entry[kind]})
    refused = Counter(entry["subject"] for entry in entries if entry["outcome"] == "refused")
    return {
        "edition": EDITION,
        "method": list(METHOD.values()),
        "written": len(written),
        "patients": len({name.partition("/")[0] for name in series}),
        "refused": dict(refused),
        "images_refused": sum(count for subject, count in refused.items() if subject not in (*_LEFT_OUT, "copy")),
        "pixels_read": bool(written) and all(entry["pixels_read"] for entry in written),
        "series": list(series.values()),
        "files": [
            {name: entry[name] for name in ("file", "outcome", "as", "why") if name in entry} for entry in entries
        ],
    }


def _finished(work: Path) -> dict[str, dict[str, Any]]:
    """The entries of a call that was stopped, by the stamp of their file."""
    found: dict[str, dict[str, Any]] = {}
    path = work / _JOURNAL
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            one = json.loads(line)
        except ValueError:  # the line in which it was stopped
            continue
        if "as" not in one["entry"] or (work / one["entry"]["as"]).is_file():
            found[one["stamp"]] = one["entry"]
    return found


def _stamp(run: _Run, path: Path) -> str:
    state = path.stat() if path.exists() else None
    return run.pseudonyms.stamp(
        os.fsencode(path.relative_to(run.source)).hex(), state and state.st_size, state and state.st_mtime_ns
    )
