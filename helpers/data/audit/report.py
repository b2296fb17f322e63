"""The audit: checks whether a score on these folders can be trusted.

Overlap among the folders or splits that one run uses is an error (data leakage: a patient in both training and test
makes a model score better than it is), and so is a file that cannot be used. Unused copies, missing masks, unusual file
names and counts that differ from the data set's card are notes.
"""

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.data.audit.folders import Finding, Member, Progress, find_readers, read_folder
from helpers.data.audit.perceptual_hash import near_duplicates
from helpers.data.brats import read_name_mapping
from helpers.data.splits import Split, load_split
from helpers.runtime.errors import DataError
from helpers.runtime.settings import expanded

if TYPE_CHECKING:
    import pandas as pd

_HOW = ("the same patient", "the same picture", "nearly the same picture")
_OLDER = re.compile(r"^brats1[789]_(?P<name>.+)$", re.IGNORECASE)


@dataclass(frozen=True)
class _Run:
    """A finished training: its split, and the voxel hashes of the patients it was trained on."""

    folder: Path
    split: Split
    learned_from: dict[str, dict[str, str]]

    def side(self, identity: str) -> str | None:
        return next((s for s in ("train", "validation", "test") if identity in getattr(self.split, s)), None)


def audit(
    folders: Sequence[str | os.PathLike], progress: Progress = lambda folder, done, total: None
) -> tuple[Finding, ...]:
    """Check the folders that a run uses together.

    Args:
        folders: each holds patients (BraTS, the chest set, loose PNG files) or a finished training (`run.json` and
            `split.json`). Patients of two folders must be different people. Within one folder, pictures of different
            patients must differ; where a training's split covers the folder, only those of different sides must.
        progress: called after each patient, see `Progress`; every file is read to its end.

    Returns:
        The findings, errors first.

    Raises:
        DataError: a folder does not exist, holds nothing to audit, or was given twice.
    """
    folders = [expanded(folder) for folder in folders]
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise DataError(f"A folder was given twice: {', '.join(map(str, folders))}. Give each once.")
    members, findings, runs = [], [], []
    for folder in folders:  # before any is read, which may take an hour
        if not (folder / "run.json").is_file():
            find_readers(folder)
    for folder in folders:
        if (folder / "run.json").is_file():
            run, found = _read_run(folder)
            runs += [run] if run else []
        else:
            one, found = read_folder(folder, progress)
            members += one
        findings += found
    for run in runs:
        members += [Member(run.folder, i, frozenset(hashes.values())) for i, hashes in run.learned_from.items()]
    names, found = _names(folders)
    findings += found + _overlaps(members, runs, names)
    return tuple(sorted(findings, key=lambda finding: finding.level))


def table(findings: Iterable[Finding]) -> "pd.DataFrame":
    """A table with one row per finding: level, check, folder, what was found, and the names it concerns.

    Args:
        findings: as `audit` returns them.
    """
    import pandas as pd

    columns = ["level", "check", "folder", "what", "names"]
    rows = [(f.level, f.check, f.folder, f.message, ", ".join(f.names)) for f in findings]
    return pd.DataFrame(rows, columns=columns)


def refuse_errors(findings: Iterable[Finding]) -> None:
    """Stop a training on data with errors.

    Args:
        findings: as `audit` returns them.

    Raises:
        DataError: there is an error among the findings; each is named.
    """
    if errors := [str(finding) for finding in findings if finding.level == "error"]:
        heading = f"The audit found {len(errors)} error(s); nothing is trained on such data:"
        error = DataError.listing(heading, errors)
        raise error


def _read_run(folder: Path) -> tuple[_Run | None, list[Finding]]:
    """A finished training, and findings where it used test patients.

    This package normalises every volume by itself, so its own trainings fit no statistics over patients, and there is
    nothing to check; a training that does fit some records them in `run.json` as `"statistics": {"fitted_on": [ids]}`.
    """
    where = str(folder)
    try:
        split = load_split(folder / "split.json")
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        learned_from = {identity: dict(hashes) for identity, hashes in run["learned_from"].items()}
        fitted_on = set(run.get("statistics", {}).get("fitted_on", []))
        "".join(fitted_on.union(*(hashes.values() for hashes in learned_from.values())))  # TypeError: not all are text
    except (DataError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"not a finished training ({error}); restore its run.json and split.json, or train again"
        return None, [Finding("error", "file at fault", where, message)]
    findings = []
    if beyond := sorted(fitted_on - set(split.train)):
        message = f"preprocessing statistics were fitted on {len(beyond)} patients beyond the training split"
        findings.append(Finding("error", "statistics", where, message, tuple(beyond)))
    if tested := sorted(set(learned_from) & set(split.test)):
        message = f"{len(tested)} test patients were trained on"
        findings.append(Finding("error", "overlap", where, message, tuple(tested)))
    return _Run(folder, split, learned_from), findings


def _names(folders: Sequence[Path]) -> tuple[dict[str, frozenset[str]], list[Finding]]:
    """All names of a patient, under each of its names: BraTS renamed its patients from year to year.

    Tables of names that cannot be read are findings.
    """
    names: dict[str, frozenset[str]] = {}
    findings = []
    for folder in folders:
        try:
            rows = read_name_mapping(folder)
        except (DataError, OSError, ValueError) as error:
            findings.append(Finding("error", "file at fault", str(folder), f"a table of names cannot be read: {error}"))
            continue
        for _, ids in rows:
            for identity in ids:
                names[identity] = names.get(identity, frozenset()).union(*map(_own_names, ids))
    return names, findings


def _own_names(identity: str) -> frozenset[str]:
    """An id, and the part of it that is the same every year: `CBICA_AAB_1` of `Brats18_CBICA_AAB_1`."""
    older = _OLDER.match(identity)
    return frozenset([identity.lower(), *([older["name"].lower()] if older else [])])


def _overlaps(members: list[Member], runs: list[_Run], names: dict[str, frozenset[str]]) -> list[Finding]:
    """One finding for each pair of folders and each way in which their members are the same."""
    groups = defaultdict(list)
    for how, i, j in _same(members, names):
        first, second = members[i], members[j]
        level = _level(first, second, members, runs)
        if level:
            groups[level, first.folder, second.folder, how].append((first.id, second.id))
    findings = []
    for (level, first, second, how), pairs in groups.items():
        where = str(first) if first == second else f"{first} and {second}"
        message = f"{len(pairs)} {'time' if len(pairs) == 1 else 'times'} {_HOW[how]} " + (
            "twice" if first == second else "in both folders"
        )
        labels = tuple(sorted(a if a == b else f"{a} = {b}" for a, b in pairs))
        findings.append(Finding(level, "overlap", where, message, labels))
    return findings


def _same(members: list[Member], names: dict[str, frozenset[str]]) -> list[tuple[int, int, int]]:
    """Pairs of positions that are one patient, each with the strongest evidence for it (an index of `_HOW`)."""
    by_name, by_digest = defaultdict(set), defaultdict(set)
    for position, member in enumerate(members):
        for name in names.get(member.id, frozenset()) | _own_names(member.id):
            by_name[name].add(position)
        for digest in member.digests:
            by_digest[digest].add(position)
    found: dict[tuple[int, int], int] = {}
    for how, index in enumerate((by_name, by_digest)):
        for positions in index.values():
            for pair in combinations(sorted(positions), 2):
                found.setdefault(pair, how)
    hashed = [position for position, member in enumerate(members) if member.picture_hash]
    for i, j, _ in near_duplicates([members[position].picture_hash for position in hashed]):
        found.setdefault((hashed[i], hashed[j]), 2)
    return [(how, i, j) for (i, j), how in sorted(found.items())]


def _level(first: Member, second: Member, members: list[Member], runs: list[_Run]) -> str | None:
    """The level of two members being one patient; None where that is intended."""
    owners = {run.folder: run for run in runs}
    if first.folder != second.folder:
        if {first.folder, second.folder} <= owners.keys():
            return None  # two trainings, as the folds of one cross-validation
        for run, other in ((owners.get(first.folder), second), (owners.get(second.folder), first)):
            if run and _holds_all(run, other.folder, members):
                return None  # the run's own data
        return "error"
    if first.id == second.id:
        return None  # the catalogue reports it
    using = [run for run in runs if _holds_all(run, first.folder, members)]
    sides = [(run.side(first.id), run.side(second.id)) for run in using]
    if using and all(one is None or other is None or one == other for one, other in sides):
        return "note"
    return "error"


def _holds_all(run: _Run, folder: Path, members: list[Member]) -> bool:
    ids = {member.id for member in members if member.folder == folder}
    return ids >= {*run.split.train, *run.split.validation, *run.split.test}
