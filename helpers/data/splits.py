"""Training, validation and test splits by patient, stratified by grade and site, the same on every machine.

A split is computed once from the patients' ids and a seed, and saved with every result. All slices of a patient are on
one side. `split_by_site` tests one hospital on a model of the others, which is what a model meets in use.
"""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from helpers.runtime.disk import write_json
from helpers.runtime.errors import DataError
from helpers.runtime.json_files import read_json
from helpers.runtime.settings import check_seed, check_whole, expanded

MIN_SITE = 4
"""Patients of a site, at least, so that it is tested by itself; smaller ones are pooled."""

OTHERS = "others"
"""The sites that are pooled."""

_VALIDATION_SHARE = 8  # of the patients that are not tested, one in eight is for validation
_SIDE = {"type": "array", "items": {"type": "string", "description": "an id"}, "description": "a list of ids"}
_SCHEMA = {
    "type": "object",
    "properties": {
        "train": _SIDE,
        "validation": _SIDE,
        "test": _SIDE,
        "seed": {"type": "integer", "description": "a whole number"},
        "digest": {"type": "string", "description": "a string of eight characters"},
    },
    "required": ["train", "validation", "test", "seed", "digest"],
    "description": "an object",
}
_RESTORE = "It is not a split written by this package; restore the original file, or train again to make one."


class SplitItem(Protocol):
    """What a split is made of: a `Patient` or an `XRay`."""

    @property
    def id(self) -> str:
        """The patient's name."""

    @property
    def strata(self) -> tuple[str, ...]:
        """The groups that every side gets its share of, e.g. grade and site."""


class SitedItem(SplitItem, Protocol):
    """A `SplitItem` whose hospital may be known."""

    @property
    def site(self) -> str | None:
        """The hospital; None where nobody knows it."""


@dataclass(frozen=True)
class Split:
    """Patient ids by side; no id is on two sides.

    Attributes:
        train: the weights are fitted on these patients.
        validation: checkpoints and thresholds are chosen on these.
        test: the final score is taken on these.
        seed: that the split was made with.
    """

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
        """Eight characters of a hash of who is on which side."""
        sides = [sorted(self.train), sorted(self.validation), sorted(self.test)]
        return hashlib.sha256(json.dumps(sides).encode()).hexdigest()[:8]


def make_split(patients: Sequence[SplitItem], seed: int = 0, folds: int = 5, fold: int = 0) -> Split:
    """Split the patients for one fold of a cross-validation: it is for test, an eighth of the rest for validation.

    Patients are ordered by their strata (grade and site) and a hash of seed and id, and dealt out in turn, so that
    every fold gets its share of every grade and site. The 369 patients of BraTS 2020 become 258 for training, 37 for
    validation and 74 for test. Over `fold = 0 … folds - 1` each patient is tested exactly once.

    Args:
        patients: of all sides, in any order.
        seed: another seed is another split.
        folds: number of folds.
        fold: the fold that is tested, from 0 to `folds - 1`.

    Raises:
        DataError: there is no such fold; or fewer patients than needed (one for training, one for validation, one for
            each fold).

    Examples:
        >>> from types import SimpleNamespace
        >>> patients = [SimpleNamespace(id=f"p{n}", strata=("HGG" if n < 6 else "LGG",)) for n in range(10)]
        >>> split = make_split(patients, folds=5)
        >>> len(split.train), len(split.validation), len(split.test)
        (7, 1, 2)
        >>> sorted(patient for fold in range(5) for patient in make_split(patients, fold=fold).test)
        ['p0', 'p1', 'p2', 'p3', 'p4', 'p5', 'p6', 'p7', 'p8', 'p9']
    """
    check_seed(seed)
    check_whole("folds", folds, 2, example=5)
    if not 0 <= fold < folds:
        raise DataError(f"fold {fold} of {folds}; expected a number from 0 to {folds - 1}.")
    if len(patients) < max(3, folds):
        raise DataError(
            f"{len(patients)} patients cannot be split into {folds} folds; it takes at least {max(3, folds)}."
        )
    order = _stratified_order(patients, seed)
    test = order[fold::folds]
    return _as_split([patient for patient in order if patient not in test], test, seed, fold)


def keep_out(patients: Sequence[SplitItem], count: int, seed: int = 0, validate: bool = True) -> Split:
    """Keep a number of patients for the test, from as many grades and sites as it allows.

    Args:
        patients: of all sides, in any order.
        count: of the patients for the test.
        seed: another seed is another split.
        validate: whether one in eight of the others is for validation; else all of them are for training.

    Raises:
        DataError: too few patients would be left.

    Examples:
        >>> from types import SimpleNamespace
        >>> patients = [SimpleNamespace(id=f"p{n}", strata=("HGG" if n < 6 else "LGG",)) for n in range(9)]
        >>> split = keep_out(patients, 3)
        >>> len(split.train), len(split.validation), sum(patient < "p6" for patient in split.test)
        (5, 1, 2)
    """
    check_seed(seed)
    check_whole("test", count, 1, example=5)
    if len(patients) <= count + validate:
        raise DataError(
            f"{count} of {len(patients)} patients are to be kept for the test; too few are left to learn from."
        )
    order = _stratified_order(patients, seed)
    test = [order[place * len(order) // count] for place in range(count)]
    rest = [patient for patient in order if patient not in test]
    if validate:
        return _as_split(rest, test, seed)
    return Split(tuple(sorted(one.id for one in rest)), (), tuple(sorted(one.id for one in test)), seed)


def site_groups(patients: Sequence[SitedItem]) -> dict[str, tuple[str, ...]]:
    """The patients of each site; sites with fewer than `MIN_SITE` patients are pooled as `OTHERS`.

    Patients whose site is unknown are in no group: they might be from any of them.

    Args:
        patients: of all sites, in any order.

    Returns:
        Sorted ids by site, the sites sorted by name, `OTHERS` last.

    Examples:
        >>> from types import SimpleNamespace
        >>> sites = ["CBICA"] * 5 + ["TCIA01", "TCIA02", None]
        >>> site_groups([SimpleNamespace(id=f"p{n}", site=site) for n, site in enumerate(sites)])
        {'CBICA': ('p0', 'p1', 'p2', 'p3', 'p4'), 'others': ('p5', 'p6')}
    """
    by_site = defaultdict(list)
    for patient in patients:
        if patient.site:
            by_site[patient.site].append(patient.id)
    groups = {site: tuple(sorted(by_site[site])) for site in sorted(by_site) if len(by_site[site]) >= MIN_SITE}
    pooled = sorted(identity for site, ids in by_site.items() if site not in groups for identity in ids)
    return groups | ({OTHERS: tuple(pooled)} if pooled else {})


def split_by_site(patients: Sequence[SitedItem], site: str, seed: int = 0) -> Split:
    """Split the patients so that one site is tested by a model that learned at the others.

    All patients of the site are for test; of the others one in eight is for validation, by grade and site as in
    `make_split`. Over all sites of `site_groups` each patient of a known site is tested exactly once.

    Args:
        patients: of all sites, in any order. Those of an unknown site are on no side: trained on, they might be from
            the site that is tested.
        site: one of `site_groups(patients)`.
        seed: another seed chooses other patients for validation.

    Raises:
        DataError: there is no such site, or fewer than two patients of other sites.

    Examples:
        >>> from types import SimpleNamespace
        >>> sites = ["CBICA"] * 5 + ["TCIA01", "TCIA02", "2013", None]
        >>> patients = [SimpleNamespace(id=f"p{n}", site=one, strata=(one or "",)) for n, one in enumerate(sites)]
        >>> split = split_by_site(patients, "others")
        >>> split.test, len(split.train), len(split.validation)
        (('p5', 'p6', 'p7'), 4, 1)
    """
    check_seed(seed)
    groups = site_groups(patients)
    if not groups:
        raise DataError(
            f"The site of none of the {len(patients)} patients is known, so none can be kept for the test. The ids of "
            "BraTS 2017 to 2019 have it (Brats18_CBICA_AAB_1), and name_mapping.csv of 2020; copy that table too."
        )
    counts = ", ".join(f"{name} ({len(ids)} patients)" for name, ids in groups.items())
    if site not in groups:
        raise DataError(f"There is no site {site!r} to test; there are {counts}. {_POOLED}")
    test = [patient for patient in patients if patient.id in groups[site]]
    rest = [p for p in _stratified_order(patients, seed) if p.site and p.id not in groups[site]]
    if len(rest) < 2:
        raise DataError(
            f"{len(rest)} patients are left to learn from where {site} is tested; there are {counts}. {_POOLED} It "
            "takes two patients of other sites, one to train and one to validate."
        )
    return _as_split(rest, test, seed, fold=seed % min(len(rest), _VALIDATION_SHARE))


_POOLED = f"Sites with fewer than {MIN_SITE} patients count as one, {OTHERS}."


def _as_split(rest: Sequence[SplitItem], test: Sequence[SplitItem], seed: int, fold: int = 0) -> Split:
    """Test patients, and the rest, in stratified order, dealt out for training and validation."""
    validation = rest[fold % _VALIDATION_SHARE :: _VALIDATION_SHARE]
    train = [patient for patient in rest if patient not in validation]
    return Split(*(tuple(sorted(p.id for p in group)) for group in (train, validation, test)), seed=seed)


def shuffled(identity: str, seed: int) -> str:
    """A sort key that shuffles ids in the same way on every machine: a hash of seed and id.

    Args:
        identity: of a patient.
        seed: another seed is another order.
    """
    return hashlib.sha256(f"{seed}:{identity}".encode()).hexdigest()


def _stratified_order(patients: Sequence[SplitItem], seed: int) -> list[SplitItem]:
    return sorted(patients, key=lambda patient: (*patient.strata, shuffled(patient.id, seed)))


def save_split(split: Split, path: str | os.PathLike) -> None:
    """Write a split as JSON.

    Args:
        split: to be written.
        path: the file; replaced if it exists.
    """
    write_json({**asdict(split), "digest": split.digest}, expanded(path))


def load_split(path: str | os.PathLike) -> Split:
    """Read a split.

    Args:
        path: the file that `save_split` wrote.

    Raises:
        DataError: the file is no split, or was edited so that its digest no longer matches.
    """
    path = expanded(path)
    content = read_json(path, _SCHEMA, _RESTORE)
    try:
        split = Split(*(tuple(content[side]) for side in ("train", "validation", "test")), seed=content["seed"])
    except DataError as error:
        raise DataError(f"{path}: {error} {_RESTORE}") from error
    if split.digest != content["digest"]:
        raise DataError(
            f"{path}: digest {content['digest']} is recorded, but its ids give {split.digest}; restore the original "
            "file."
        )
    return split
