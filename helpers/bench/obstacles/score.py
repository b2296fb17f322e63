"""`obstacles score`: what a reader made of each patient of the course, from one line of JSON a patient.

A line has `id`, `outcome` ("mended" or "refused") and `message`; where it was mended, `nifti` has the path of the
volume of each series ("flair", "t1", "t1ce", "t2", or "radiograph"), relative to the log. Any tool in any language can
write that. A volume is compared with the truth in millimetres, so that its order and orientation are free.
"""

import itertools
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import scipy

from helpers.runtime.errors import DataError
from helpers.runtime.json_files import check_json, read_json

MENDED, NAMED, WARNED = "mended", "refused by name", "told, and delivered"
REFUSED, WRONG, NOTHING = "refused, not why", "silently wrong", "no answer"
OUTCOMES = (MENDED, NAMED, WARNED, REFUSED, WRONG, NOTHING)
"""What may have become of a patient, from best to worst."""

SAME, MOVED = 0.02, 0.2
"""Largest mean error of a volume, as a share of the mean signal: on its own grid; and after a registration, which may
interpolate (0.16 where that is all that is wrong, 0.40 where nothing was registered)."""

_ALIKE = 0.99  # correlation of two radiographs, whose windows may differ

_LINE = {
    "type": "object",
    "required": ["id", "outcome"],
    "properties": {
        "id": {"type": "string"},
        "outcome": {"enum": ["mended", "refused"], "description": '"mended" or "refused"'},
        "message": {"type": "string"},
        "nifti": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
_KEY = {
    "type": "object",
    "required": ["patients"],
    "properties": {
        "patients": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "fault", "betrays", "mend", "words", "truth", "spaces", "names"],
            },
        }
    },
}


@dataclass(frozen=True)
class Score:
    """What became of a patient.

    Attributes:
        id: of the patient.
        fault: what is wrong with its files.
        outcome: of `OUTCOMES`.
        why: what decided it.
    """

    id: str
    fault: str
    outcome: str
    why: str


def score_log(key: str | os.PathLike, log: str | os.PathLike) -> list[Score]:
    """Score a reader by its log.

    Args:
        key: the file that `make_course` left.
        log: one line of JSON a patient.

    Returns:
        A score for each patient of the key, in its order.

    Raises:
        DataError: a file cannot be read, is not what was expected, or has a patient twice or one that the key has not.
    """
    patients = read_json(key, _KEY, "Give the key.json that `obstacles make` wrote.")["patients"]
    lines = _read_lines(Path(log))
    if unknown := sorted(lines.keys() - {patient["id"] for patient in patients}):
        raise DataError(f"{log}: the key has no patient {', '.join(unknown)}. Give the log of this course.")
    roots = Path(key).parent, Path(log).parent
    return [Score(one["id"], one["fault"], *_judge(one, lines.get(one["id"]), *roots)) for one in patients]


def counts(scores: list[Score]) -> dict[str, int]:
    """How many patients there are of each outcome.

    Args:
        scores: of a log.
    """
    found = Counter(score.outcome for score in scores)
    return {outcome: found[outcome] for outcome in OUTCOMES}


def _read_lines(log: Path) -> dict[str, dict[str, Any]]:
    """The lines of a log by patient.

    Raises:
        DataError: it cannot be read, or a line is not what was expected.
    """
    try:
        text = log.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"{log} cannot be read ({getattr(error, 'strerror', None) or error}). Give a log.") from error
    lines: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise DataError(f"{log}, line {number}: no JSON ({error}). Give one object a line.") from error
        check_json(entry, f"{log}, line {number}", _LINE)
        if entry["id"] in lines:
            raise DataError(f"{log}, line {number}: patient {entry['id']} has a line before. Give one a patient.")
        lines[entry["id"]] = entry
    return lines


def _judge(patient: Mapping[str, Any], line: Mapping[str, Any] | None, root: Path, place: Path) -> tuple[str, str]:
    """Outcome of a patient, and why."""
    if line is None:
        return NOTHING, "the log has no line"
    message = line.get("message", "")
    paths = {kind: place / path for kind, path in line.get("nifti", {}).items()}
    if leaks := list(_leaks(patient["names"], message, paths)):
        return WRONG, f"a planted name is in {leaks[0]}"
    named = [word for word in patient["words"] if word in message.lower()]
    if line["outcome"] == "refused":
        return (NAMED, f"says {named[0].strip()!r}") if named else (REFUSED, "its message does not name the fault")
    if patient["mend"]:
        wrong = _compare(patient, paths, root)
        if not wrong:
            return MENDED, "equal to the truth"
    else:
        wrong = "what it delivered cannot be right"
    return (WARNED, f"says {named[0].strip()!r}") if named else (WRONG, wrong)


def _leaks(names: list[str], message: str, paths: Mapping[str, Path]) -> Iterator[str]:
    for name in names:
        if name.lower() in message.lower():
            yield "its message"
        for path in paths.values():
            if name.lower() in path.name.lower():
                yield "the name of a file"
            elif path.is_file() and name.lower().encode() in path.read_bytes()[:352].lower():
                yield "the header of a file"


def _compare(patient: Mapping[str, Any], paths: Mapping[str, Path], root: Path) -> str:
    """What is wrong with the volumes; "" where they are right."""
    if missing := sorted(patient["truth"].keys() - paths.keys()):
        return f"no volume of {', '.join(missing)}"
    try:
        found = {kind: nib.load(paths[kind]) for kind in patient["truth"]}
        truth = {kind: nib.load(root / path) for kind, path in patient["truth"].items()}
        if "radiograph" in truth:
            return _compare_radiographs(found["radiograph"], truth["radiograph"])
        spaces = [np.array(space) for space in patient["spaces"]]
        limit = MOVED if len(spaces) > 1 else SAME
        errors = [{kind: error(found[kind], truth[kind], space) for kind in truth} for space in spaces]
    except (OSError, ValueError, nib.filebasedimages.ImageFileError) as fault:
        return f"a volume cannot be read ({type(fault).__name__})"
    best = min(errors, key=lambda one: max(one.values()))
    worst = max(best, key=best.get)
    return f"{worst} differs by {best[worst]:.0%} of its signal" if best[worst] > limit else ""


def error(found: nib.Nifti1Image, truth: nib.Nifti1Image, space: np.ndarray) -> float:
    """Mean difference of two volumes on the grid of the true one, as a share of its mean signal.

    Args:
        found: on any grid; outside of it all is 0.
        truth: what it should show.
        space: (4, 4), from the truth's millimetres to those of `found`.
    """
    expected = np.asarray(truth.dataobj, np.float32)
    voxels = np.asarray(found.dataobj, np.float32)
    if voxels.ndim != 3:
        return float("inf")
    index = np.round(np.linalg.inv(found.affine) @ space @ truth.affine, 6)
    here = scipy.ndimage.affine_transform(
        voxels, index[:3, :3], index[:3, 3], expected.shape, order=1, mode="grid-constant"
    )
    return float(np.abs(here - expected).mean() / np.abs(expected).mean())


def _compare_radiographs(found: nib.Nifti1Image, truth: nib.Nifti1Image) -> str:
    expected, voxels = (np.squeeze(np.asarray(one.dataobj, np.float64)) for one in (truth, found))
    if voxels.shape != expected.shape:
        return f"the radiograph has {' x '.join(map(str, voxels.shape))} pixels"
    flips = itertools.product((1, -1), repeat=2)  # without a position, which way up it lies is not told
    alike = max(np.corrcoef(voxels[::x, ::y].ravel(), expected.ravel())[0, 1] for x, y in flips)
    return "" if alike >= _ALIKE else f"correlation with the true radiograph is {alike:.2f}"
