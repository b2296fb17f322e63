"""Weights with a passport: a finished training as one file that can be passed on, and checked by whoever gets it.

The file is a plain zip without compression. Beside the weights it has what is needed to use and to judge them:

passport.json   licence, scores with intervals and sites, digest and numbers of the split, versions, how many names were
                withheld, and of every file in it the length and SHA-256
model.keras     the network; of lungs also mean_mask.png, the trivial prediction
run.json        the recipe; the hashes of the voxels of those it learned from, so that nobody scores it on them
split.json      training, validation and test patients
fold_1_of_4/    the same files of each member, where the training is an ensemble

Left behind are each patient's own scores, the paths of folders, and the names of patients and sites that are not of a
public set (`helpers.learn.public_names`). The hashes of voxels stay: they tell whoever has the same scan that it was
learned from, which is what they are for, and nobody else anything.

A file that was damaged, edited, or added to is refused. The hashes lie in the file itself: against somebody who forges
a whole file, and computes them all anew, helps the SHA-256 of the file, if the two of you compare it on another way.
"""

import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from helpers.data.splits import Split, save_split
from helpers.learn.public_names import pseudonyms, with_pseudonyms, without_folders
from helpers.learn.run_folder import check_network, member_folders, read_metrics, read_run, read_split, write_signed
from helpers.runtime.disk import atomic_path, explain_full_disk, write_json
from helpers.runtime.errors import DataError
from helpers.runtime.json_files import check_json, read_json
from helpers.runtime.machine import versions
from helpers.runtime.outputs import scratch_folder, writable_file, writable_folder
from helpers.runtime.settings import expanded

PASSPORT = "passport.json"
"""The file in a packed model, and in the folder that it is opened to, with everything about the others."""

_FORMAT = "weights with a passport, version 1"
_NEEDED = ("run.json", "split.json", "model.keras")
_FILES = (*_NEEDED, "mean_mask.png")  # the last one of lungs
_NETWORK = {"metadata.json", "config.json", "model.weights.h5"}  # what Keras has in an archive of these networks
_MEMBER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_NAME = re.compile(rf"({_MEMBER.pattern}/)?({'|'.join(map(re.escape, _FILES))})")
_DAMAGE = (zipfile.BadZipFile, OSError, ValueError, EOFError, RuntimeError)  # what zipfile ends in
_MOST = 10_000_000  # bytes of a passport; that of an ensemble of ten has some hundred thousand
_CURE = "Get the file again from where it was packed."
_SCHEMA = {
    "type": "object",
    "properties": {
        "format": {"const": _FORMAT, "description": f"{_FORMAT!r}"},
        "task": {"type": "string", "description": "a string"},
        "licence": {"type": "string", "minLength": 1, "description": "the licence"},
        "scores": {
            "type": "object",
            "additionalProperties": {"type": "object", "description": "scores"},
            "required": ["."],
            "description": "scores by folder",
        },
        "splits": {"type": "object", "description": "numbers of patients by folder"},
        "withheld": {"type": "integer", "minimum": 0, "description": "a number of names"},
        "versions": {"type": "object", "description": "versions by package"},
        "files": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": "object",
                "properties": {
                    "bytes": {"type": "integer", "minimum": 0, "description": "a length in bytes"},
                    "sha256": {"type": "string", "description": "a hash"},
                },
                "required": ["bytes", "sha256"],
                "description": "length and hash of a file",
            },
            "description": "lengths and hashes by file",
        },
        "digest": {"type": "string", "description": "a hash"},
    },
    "required": ["format", "task", "licence", "scores", "splits", "withheld", "versions", "files", "digest"],
    "description": "a passport",
}


def pack_weights(model_dir: str | os.PathLike, out: str | os.PathLike, licence: str) -> dict[str, Any]:
    """Write a finished training as one file; the same training and licence give the same bytes.

    Args:
        model_dir: folder of a finished training, or of an ensemble whose `run.json` names its `members`.
        out: the file; a packed model that is there is replaced.
        licence: under which the weights are passed on, with what the data they learned from asks for.

    Returns:
        The passport, and as `sha256` the hash of the file.

    Raises:
        DataError: the folder holds no finished training, or a damaged one; there is no licence; or `out` cannot be
            written.
    """
    folder, out = expanded(model_dir), writable_file(out, "--out", [Path(out).suffix.lower()])
    if out.exists() and not zipfile.is_zipfile(out):
        raise DataError(f"{out} is there already and is no packed model, so it is not replaced; name another by --out.")
    if not licence.strip():
        raise DataError(
            "The licence is empty. Say under which licence the weights are passed on, such as --licence 'CC BY 4.0; "
            "learned from BraTS 2018, cite its papers'; without a licence nobody may use them."
        )
    if (folder / PASSPORT).exists():
        raise DataError(f"{folder} was opened from a packed file; pass that file on, it is the same.")
    scores = read_metrics(folder)  # first of all: what has none is not finished
    with explain_full_disk(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(out) as scratch:
            passport = _copy_without_names(folder, scratch, scores) | {"licence": licence.strip()}
            try:
                _check_trainings(scratch)
            except DataError as error:
                raise DataError(f"{folder} cannot be packed: {_elsewhere(error, scratch)}") from error
            names = sorted(str(path.relative_to(scratch).as_posix()) for path in scratch.rglob("*") if path.is_file())
            files = {
                name: {"bytes": (scratch / name).stat().st_size, "sha256": _sha256(scratch / name)} for name in names
            }
            passport = {"format": _FORMAT, **passport, "versions": versions(), "files": files}
            passport["digest"] = _digest(passport)
            write_json(passport, scratch / PASSPORT)
            with atomic_path(out) as target, zipfile.ZipFile(target, "w") as archive:
                for name in (PASSPORT, *names):
                    _add(archive, scratch / name, name)
    return passport | {"sha256": _sha256(out)}


def open_weights(file: str | os.PathLike, out: str | os.PathLike) -> dict[str, Any]:
    """Check a packed training, and write the folder that `predict`, `report` and `evaluate --split all` take.

    Args:
        file: that `pack_weights` wrote.
        out: a folder that does not exist yet, or is empty.

    Returns:
        The passport, and as `sha256` the hash of the file.

    Raises:
        DataError: the file is missing, or is not as it was packed: damaged, cut short, edited, with other files or
            names than its passport has; or `out` may not be written to.
        FileExistsError: `out` is not empty; nothing is overwritten.
    """
    file, out = expanded(file), writable_folder(out, beside=True)
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is there already and is not overwritten; choose another --out.")
    if not file.is_file():
        raise DataError(f"There is no file {file}; give one that `python -m helpers weights pack` wrote.")
    with _explain_damage(file), zipfile.ZipFile(file) as archive, explain_full_disk(out):
        passport = _read_passport(file, archive)
        out.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(out) as scratch:
            building = scratch / "weights"  # readable by others, unlike the scratch folder
            building.mkdir()
            for name, entry in passport["files"].items():
                _extract(file, archive, name, entry, building)
            try:
                _check_trainings(building)
            except DataError as error:
                raise DataError(f"{file}: {_elsewhere(error, building)}") from error
            write_json(passport, building / PASSPORT)
            if out.exists():
                out.rmdir()
            building.replace(out)
    return passport | {"sha256": _sha256(file)}


def recorded_passport(folder: str | os.PathLike) -> dict[str, Any]:
    """The passport in a folder that `open_weights` wrote.

    Args:
        folder: of the training; a leading `~` is expanded.

    Raises:
        DataError: there is none, or it was damaged or edited since.
    """
    path = expanded(folder) / PASSPORT
    return _unedited(read_json(path, _SCHEMA, _CURE, finite=False), path)


def _unedited(passport: dict[str, Any], where: str | os.PathLike) -> dict[str, Any]:
    """The passport, if its content is that of its digest.

    Raises:
        DataError: it is not.
    """
    if (made := _digest(passport)) != passport["digest"]:
        raise DataError(
            f"{where} was edited: digest {passport['digest']} is recorded, its content gives {made}. {_CURE}"
        )
    return passport


@contextmanager
def _explain_damage(file: Path) -> Iterator[None]:
    """Replace the many errors that a damaged zip ends in by a DataError that names it.

    Raises:
        DataError: the block found the zip damaged.
    """
    try:
        yield
    except Exception as error:
        of_another = isinstance(error, DataError) or getattr(error, "filename", None) is not None
        if of_another or not isinstance(error, _DAMAGE):
            raise
        raise DataError(f"{file} is no packed model, or a damaged one ({error}). {_CURE}") from error


def _copy_without_names(folder: Path, target: Path, scores: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a training and its members without the names that stay here.

    Returns:
        The task; scores and splits by folder; and how many names are withheld.
    """
    trainings = _trainings(folder)
    runs = {one: read_run(one) for one in trainings}
    splits = {one: read_split(one) for one in trainings if "members" not in runs[one]}
    metrics = {one: scores if one == folder else read_metrics(one) for one in trainings if _has(one, "metrics.json")}
    learned_from = {name: hashes for run in runs.values() for name, hashes in run["learned_from"].items()}
    others = {name for split in splits.values() for name in (*split.train, *split.validation, *split.test)}
    sites = _sites(metrics.values())
    names = pseudonyms(learned_from, others, sites)
    described: dict[str, Any] = {"task": runs[folder]["task"], "scores": {}, "splits": {}, "withheld": len(names)}
    hidden = {site: names[site] for site in sites if site in names}
    copies = {one: "." if one == folder else _without_sites(one.name, hidden, n) for n, one in enumerate(trainings)}
    names |= {one.name: copy for one, copy in copies.items() if one != folder}
    # the ensemble last: it names the digests of its members
    for one, place in sorted(copies.items(), key=lambda item: item[0] == folder):
        copy, run = target / place, {name: value for name, value in runs[one].items() if value is not None}
        copy.mkdir(exist_ok=True)
        for name in {"model.keras", "mean_mask.png"} & {*_files(run)}:
            if _has(one, name):
                shutil.copyfile(one / name, copy / name)
        if one in splits:
            sides = [tuple(names.get(name, name) for name in side) for side in _sides(splits[one])]
            renamed = Split(*sides, seed=splits[one].seed)
            save_split(renamed, copy / "split.json")
            counts = dict(zip(("train", "validation", "test"), map(len, sides), strict=True))
            described["splits"][place] = {"digest": renamed.digest, **counts}
            names[splits[one].digest] = renamed.digest
        run["parameters"] = without_folders(run["parameters"])
        digest = write_signed(with_pseudonyms(run, names), copy / "run.json")
        names[run.get("digest", digest)] = digest
        if one in metrics:
            described["scores"][place] = with_pseudonyms(_without_patients(metrics[one]), names)
    return described


def _trainings(folder: Path) -> list[Path]:
    """The folder of a training; that of an ensemble, and those of its members."""
    return list(dict.fromkeys([folder, *member_folders(folder)]))


def _sides(split: Split) -> tuple[tuple[str, ...], ...]:
    return split.train, split.validation, split.test


def _without_sites(name: str, hidden: Mapping[str, str], number: int) -> str:
    """The name of a member's folder, which may be called after the site that it tests."""
    for site, pseudonym in hidden.items():
        name = name.replace(site, pseudonym)
    return name if _MEMBER.fullmatch(name) else f"member_{number}"


def _has(folder: Path, name: str) -> bool:
    return (folder / name).is_file()


def _files(run: Mapping[str, Any]) -> tuple[str, ...]:
    """The files that a training leaves for inference; an ensemble has those of its members."""
    if "members" in run:
        return ("run.json",)
    return _FILES if run["task"] == "lungs" else _NEEDED


def _check_trainings(folder: Path) -> None:
    """See that a folder holds a training that can be used, and its members, and nothing else.

    Raises:
        DataError: a file is missing, damaged, or no part of a training.
    """
    known = set()
    for one in _trainings(folder):
        run = read_run(one)
        if missing := [name for name in _files(run) if not _has(one, name)]:
            raise DataError(f"{one / missing[0]} is missing, which a training of {run['task']!r} has. {_CURE}")
        known |= {one / name for name in _files(run)}
        read_split(one)
        if "members" not in run:
            _check_archive(one)
    if beyond := sorted(path for path in folder.rglob("*") if path.is_file() and path not in known):
        raise DataError(f"{beyond[0]} is no part of the training. {_CURE}")


def _check_archive(folder: Path) -> None:
    """See that an archive of Keras holds what those of this package do, and no more than it weighs.

    Raises:
        DataError: it is damaged, or holds other files, or compressed ones, which may unpack to any size.
    """
    check_network(folder)
    with zipfile.ZipFile(folder / "model.keras") as archive:
        members = archive.infolist()
        if sorted(one.filename for one in members) != sorted(_NETWORK) or not _weighs(members, folder / "model.keras"):
            raise DataError(
                f"{folder / 'model.keras'} holds {', '.join(one.filename for one in members) or 'nothing'}; expected "
                f"{', '.join(sorted(_NETWORK))}, not compressed, as Keras saves a network. {_CURE}"
            )


def _weighs(members: list[zipfile.ZipInfo], file: Path) -> bool:
    """Whether the files in a zip are neither compressed nor encrypted, and have room in it one beside the other."""
    plain = all(one.compress_type == zipfile.ZIP_STORED and not one.flag_bits & 1 for one in members)
    return plain and sum(one.file_size for one in members) <= file.stat().st_size


def _read_passport(file: Path, archive: zipfile.ZipFile) -> dict[str, Any]:
    """The passport of a packed training, once it is known that the zip holds the very files that it lists.

    Raises:
        DataError: the passport is missing or was edited; or a file is missing, is there twice, is not listed, has a
            name that leads elsewhere, or is compressed.
    """
    members = archive.infolist()
    names = [one.filename for one in members]
    if odd := [name for name in names if name != PASSPORT and not _NAME.fullmatch(name)]:
        raise DataError(f"{file} holds {odd[0]!r}, which is no part of a training; nothing was opened. {_CURE}")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{file} holds {twice[0]} twice; nothing was opened. {_CURE}")
    if not _weighs(members, file):
        raise DataError(f"{file} has compressed files, which packed weights have not; nothing was opened. {_CURE}")
    if PASSPORT not in names:
        raise DataError(f"{file} holds no {PASSPORT}; expected a file that `python -m helpers weights pack` wrote.")
    if archive.getinfo(PASSPORT).file_size > _MOST:
        raise DataError(f"{file}: {PASSPORT} has more than {_MOST} bytes; nothing was opened. {_CURE}")
    where = f"{file}: {PASSPORT}"
    try:
        passport = json.loads(archive.read(PASSPORT))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is damaged: it is no JSON ({error}). {_CURE}") from error
    check_json(passport, where, _SCHEMA, _CURE, finite=False)
    _unedited(passport, where)
    if (listed := {PASSPORT, *passport["files"]}) != {*names}:
        beyond, missing = sorted({*names} - listed), sorted(listed - {*names})
        what = f"holds {beyond[0]}, which is not in its passport" if beyond else f"lacks {missing[0]}"
        raise DataError(f"{file} {what}; nothing was opened. {_CURE}")
    return passport


def _extract(file: Path, archive: zipfile.ZipFile, name: str, entry: Mapping[str, Any], folder: Path) -> None:
    """Write one file of a packed training.

    Raises:
        DataError: it is not the one of the passport.
    """
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(name) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target)
    if path.stat().st_size != entry["bytes"] or _sha256(path) != entry["sha256"]:
        raise DataError(f"{file}: {name} is not the one of its passport, it was altered. {_CURE}")


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    """Add a file to a zip without its time and rights, so that the same contents give the same bytes."""
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr, info.file_size = 3, 0o644 << 16, path.stat().st_size
    with path.open("rb") as source, archive.open(info, "w") as target:
        shutil.copyfileobj(source, target)


def _sites(metrics: Iterable[Mapping[str, Any]]) -> set[str]:
    """The sites in scores, by their tables and by the rows of patients."""
    found: set[str] = set()
    for result in metrics:
        found |= {*(result.get("sites") or {})}
        found |= {row["site"] for row in (*result.get("patients", ()), *result.get("images", ())) if row.get("site")}
    return found


def _without_patients(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Scores without each patient's own, and without the provenance, which `run.json` has."""
    return {
        name: value
        for name, value in scores.items()
        if name != "run" and not (isinstance(value, list) and value and isinstance(value[0], dict))
    }


def _digest(passport: Mapping[str, Any]) -> str:
    content = {name: value for name, value in passport.items() if name != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _elsewhere(error: DataError, scratch: Path) -> str:
    """A message without the scratch folder, which is gone when it is read."""
    return str(error).replace(f"{scratch}{os.sep}", "").replace(str(scratch), "the folder")
