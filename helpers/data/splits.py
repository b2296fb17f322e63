"""Who trains, who chooses, who judges: splits by patient, stratified by grade and site, the same on every machine.

A split is computed once from the patients' ids and a seed, written as a file, and travels with every result. No two
slices of one patient ever stand on different sides.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from helpers.runtime.errors import DataError

_VALIDATION_SHARE = 8  # of the patients that are not tested, one in eight chooses the model


class SplitItem(Protocol):
    """Whatever a split deals out: a `Patient`, an `XRay`.

    Attributes:
        strata: what every side shall get its share of, e.g. grade and site.
    """

    @property
    def id(self) -> str: ...

    @property
    def strata(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Split:
    """Patient ids for training, for choosing (validation) and for the final score (test); no id stands twice."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    seed: int

    def __post_init__(self) -> None:
        everyone = [*self.train, *self.validation, *self.test]
        if twice := sorted({identity for identity in everyone if everyone.count(identity) > 1}):
            raise DataError(f"The split puts {', '.join(twice)} into two sets; each patient belongs to exactly one.")

    @property
    def digest(self) -> str:
        """Eight characters that change when anybody changes sides."""
        parts = [sorted(self.train), sorted(self.validation), sorted(self.test)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]


def make_split(patients: Sequence[SplitItem], seed: int = 0, folds: int = 5, fold: int = 0) -> Split:
    """Deal the patients into `folds` test folds; fold number `fold` is tested, an eighth of the rest validates.

    Patients are ordered by their strata (grade and site) and a hash of seed and id, and dealt out like cards, so that
    every fold gets its share of every grade and site. The 369 patients of BraTS 2020 become 258 to train, 37 to
    validate and 74 to test.
    Over `fold = 0 … folds - 1` each patient is tested exactly once.

    Raises:
        DataError: fewer patients than it takes (one to train, one to validate, one for each fold).
    """
    if not 0 <= fold < folds:
        raise ValueError(f"fold {fold} of {folds}; expected a number from 0 to {folds - 1}.")
    if len(patients) < max(3, folds):
        raise DataError(
            f"{len(patients)} patients cannot be split into {folds} folds; it takes at least {max(3, folds)}."
        )
    order = _stratified_order(patients, seed)
    test = order[fold::folds]
    rest = [patient for patient in order if patient not in test]
    validation = rest[fold % _VALIDATION_SHARE :: _VALIDATION_SHARE]
    train = [patient for patient in rest if patient not in validation]
    return Split(*(tuple(sorted(p.id for p in group)) for group in (train, validation, test)), seed=seed)


def shuffled(identity: str, seed: int) -> str:
    """A key that puts ids into an order of chance, the same on every machine: a hash of seed and id."""
    return hashlib.sha256(f"{seed}:{identity}".encode()).hexdigest()


def _stratified_order(patients: Sequence[SplitItem], seed: int) -> list[SplitItem]:
    return sorted(patients, key=lambda patient: (*patient.strata, shuffled(patient.id, seed)))


def save_split(split: Split, path: str | os.PathLike) -> None:
    """Write a split as JSON."""
    Path(path).write_text(json.dumps({**asdict(split), "digest": split.digest}, indent=1))


def load_split(path: str | os.PathLike) -> Split:
    """Read a split.

    Raises:
        DataError: the file is no split, or was edited so that its digest no longer fits.
    """
    try:
        held = json.loads(Path(path).read_text())
        digest = held.pop("digest")
        split = Split(**{key: tuple(value) if isinstance(value, list) else value for key, value in held.items()})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a split written by this package ({error}); train again to make one.") from error
    if split.digest != digest:
        raise DataError(
            f"{path}: digest {digest} is noted, but its ids give {split.digest}; restore the original file."
        )
    return split
