"""Comparison of models by the files that `evaluate --json` wrote: the same patients, paired, several seeds averaged."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.measure.statistics import MIN_PATIENTS, PairedComparison, compare_paired, with_holm
from helpers.runtime.errors import DataError
from helpers.runtime.json_files import check_json, read_json
from helpers.runtime.settings import expanded

SCORE = "dice"
"""The score that models are compared by; others stand beside it, untested."""

OTHERS = ("hd95_mm", "assd_mm", "assd_px", "nsd_1mm", "sensitivity", "precision", "absolute_volume_error_ml",
          "lesion_recall", "lesion_precision")  # fmt: skip

LUNGS = "lungs"
"""The one region of an X-ray."""

_CURE = "Give files that `evaluate --json` wrote, or the metrics.json of a training."
_OBJECT = {"type": "object", "description": "an object"}
_SCORES = {
    SCORE: {"type": "number", "minimum": 0, "maximum": 1, "description": "a number from 0 to 1"},
    **{name: {"type": ["number", "null"], "description": "a number or null"} for name in OTHERS},
}
_REGION = {"type": "object", "properties": _SCORES, "required": [SCORE], "description": f"scores, with {SCORE}"}
_REGIONS = {"type": "object", "additionalProperties": _REGION, "minProperties": 1, "description": "scores by region"}
_ROW = {"id": {"type": "string", "description": "a string"}, "trivial": _OBJECT}


def _rows(properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    row = {**_OBJECT, "properties": {**_ROW, **properties}, "required": ["id", *required]}
    return {"type": "array", "items": row, "minItems": 1, "description": "a list of objects, one at least"}


_TRAINING = {**_OBJECT, "properties": {"parameters": _OBJECT}}
_FOLDS = {"type": "array", "items": _TRAINING, "description": "a list of objects"}
_SCHEMA = {
    **_OBJECT,
    "properties": {
        "patients": _rows({"regions": _REGIONS}, "regions"),
        "images": _rows(_SCORES, SCORE),
        "run": {**_TRAINING, "properties": {"parameters": _OBJECT, "folds": _FOLDS}},
    },
}


@dataclass(frozen=True)
class Evaluation:
    """The scores of one trained model.

    Attributes:
        path: the file.
        regions: of each patient by id, the scores of each region.
        truths: of each patient, what tells its ground truth and its grid from another.
        parameters: of the training, without its seed and split; empty where the file has none.
    """

    path: Path
    regions: Mapping[str, Mapping[str, Mapping[str, float | None]]]
    truths: Mapping[str, Mapping[str, Any]]
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Model:
    """A model, trained once or with several seeds.

    Attributes:
        name: what tables and figures call it.
        evaluations: one for each seed.
    """

    name: str
    evaluations: tuple[Evaluation, ...]

    def scores(self, patients: Sequence[str], region: str, score: str = SCORE) -> NDArray[np.float64]:
        """The scores of patients, NaN where one is not defined.

        Args:
            patients: their ids.
            region: of the mask.
            score: its name.

        Returns:
            (seeds, patients) float64.
        """
        rows = [[one.regions[patient][region].get(score) for patient in patients] for one in self.evaluations]
        return np.array(rows, dtype=float)  # None becomes NaN


@dataclass(frozen=True)
class RegionComparison:
    """Two models in one region, second minus first.

    Attributes:
        first: name of a model.
        second: name of the other.
        region: of the mask.
        means: of both, over the patients and seeds.
        paired: the statistics.
    """

    first: str
    second: str
    region: str
    means: tuple[float, float]
    paired: PairedComparison


@dataclass(frozen=True)
class Comparison:
    """All pairs of some models in all regions.

    Attributes:
        models: as given.
        patients: ids of those that every file has.
        left_out: by file the ids of those that others lack.
        rows: every pair of models and region; p values are corrected for their number.
        notes: what a reader should know, one sentence each.
    """

    models: tuple[Model, ...]
    patients: tuple[str, ...]
    left_out: Mapping[str, tuple[str, ...]]
    rows: tuple[RegionComparison, ...]
    notes: tuple[str, ...]

    @property
    def regions(self) -> tuple[str, ...]:
        """Their names, in the order of the files."""
        return tuple(dict.fromkeys(row.region for row in self.rows))

    def sentences(self) -> Iterator[str]:
        """One sentence for each pair of models: which is better where, or that these patients cannot tell."""
        for first, second in itertools.combinations([model.name for model in self.models], 2):
            yield _sentence([row for row in self.rows if (row.first, row.second) == (first, second)])

    def as_json(self) -> dict[str, Any]:
        """The result, ready for JSON; `others` has further scores, whose differences are not tested."""
        return {
            "score": SCORE,
            "n": len(self.patients),
            "patients": list(self.patients),
            "left_out": {file: list(ids) for file, ids in self.left_out.items()},
            "models": [
                {"name": model.name, "files": [str(one.path) for one in model.evaluations]} for model in self.models
            ],
            "comparisons": [_row_json(row) for row in self.rows],
            "others": self._others(),
            "sentences": list(self.sentences()),
            "notes": list(self.notes),
        }

    def _others(self) -> list[dict[str, Any]]:
        others = []
        for (first, second), region, score in itertools.product(
            itertools.combinations(self.models, 2), self.regions, OTHERS
        ):
            scores = np.array([model.scores(self.patients, region, score).mean(axis=0) for model in (first, second)])
            defined = ~np.isnan(scores).any(axis=0)
            if defined.any():
                paired = compare_paired(*scores[:, defined])
                others.append(
                    {
                        "first": first.name,
                        "second": second.name,
                        "region": region,
                        "score": score,
                        "n": paired.n,
                        "undefined": int((~defined).sum()),
                        "difference": paired.difference,
                        "interval": paired.interval,
                    }
                )
        return others


def compare_models(files: Sequence[str]) -> Comparison:
    """Compare models by the files of their scores.

    Args:
        files: two or more models; each the file that `evaluate --json` wrote, of brain or of lungs, or several joined
            by commas, one for each seed of the model's training.

    Returns:
        The comparison, over the patients that every file has.

    Raises:
        DataError: fewer than two models; a file is missing, damaged, no such file, or given twice; the files have no
            patient or no region in common; they scored a patient against another ground truth or on another grid; or
            files that are joined differ in more than the seed. Each is named.
    """
    if len(files) < 2:
        raise DataError(f"{len(files)} model was given; expected two or more, such as A.json B.json.")
    paths = [[expanded(part) for part in one.split(",") if part] for one in files]
    if not all(paths):
        raise DataError("A name is empty; expected a file for each model.")
    every = [path for model in paths for path in model]
    if twice := sorted({str(path) for path in every if every.count(path) > 1}):
        raise DataError(f"{', '.join(twice)}: given twice; each file is one training.")
    names = _names(paths)
    models = tuple(Model(name, tuple(_read(path) for path in model)) for name, model in zip(names, paths, strict=True))
    evaluations = [one for model in models for one in model.evaluations]
    shared = [one for one in evaluations[0].regions if all(one in other.regions for other in evaluations)]
    left_out = {
        str(one.path): missing
        for one in evaluations
        if (missing := tuple(patient for patient in one.regions if patient not in shared))
    }
    if not shared:
        raise DataError(f"{', '.join(map(str, every))} have no patient in common; score the models on the same ones.")
    regions = [
        name
        for name in evaluations[0].regions[shared[0]]
        if all(name in one.regions[patient] for one in evaluations for patient in shared)
    ]
    if not regions:
        raise DataError(f"{', '.join(map(str, every))} have no region in common; compare models of one task.")
    _check_truths(evaluations, shared)
    for model in models:
        _check_seeds(model)
    pairs = [(*pair, region) for pair in itertools.combinations(models, 2) for region in regions]
    paired = with_holm([compare_paired(a.scores(shared, region), b.scores(shared, region)) for a, b, region in pairs])
    rows = tuple(
        RegionComparison(
            a.name,
            b.name,
            region,
            (float(a.scores(shared, region).mean()), float(b.scores(shared, region).mean())),
            one,
        )
        for (a, b, region), one in zip(pairs, paired, strict=True)
    )
    return Comparison(models, tuple(shared), left_out, rows, tuple(_notes(models, len(shared))))


def _read(path: Path) -> Evaluation:
    """The scores in a file.

    Raises:
        DataError: it is missing, damaged, or not what `evaluate --json` writes of brain or lungs.
    """
    content = read_json(path, _OBJECT, _CURE)
    if "auc" in content:
        raise DataError(f"{path} has the scores of a gate; `compare` takes those of brain or lungs.")
    check_json(content, path, _SCHEMA, _CURE)
    if "images" in content:
        rows = [{**row, "regions": {LUNGS: row}} for row in content["images"]]
    elif "patients" in content:
        rows = content["patients"]
    else:
        raise DataError(f"{path} has no scores of patients. {_CURE}")
    ids = [row["id"] for row in rows]
    if twice := sorted({one for one in ids if ids.count(one) > 1}):
        raise DataError(f"{path} has more than one row of {', '.join(twice)}. {_CURE}")
    return Evaluation(
        path,
        {row["id"]: row["regions"] for row in rows},
        {row["id"]: _truth(row) for row in rows},
        _parameters(content.get("run", {})),
    )


def _truth(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row says of its ground truth. Files of older versions have its volumes, as the trivial model's errors."""
    known = {key: row[key] for key in ("truth", "grid") if key in row}
    for region, scores in row.get("trivial", {}).items():
        if isinstance(scores, dict) and isinstance(volume := scores.get("volume_error_ml"), int | float):
            known[f"true volume of {region}"] = round(volume, 6)
    return known


def _parameters(run: Mapping[str, Any]) -> dict[str, Any]:
    folds = run.get("folds")
    parameters = (folds[0] if folds else run).get("parameters", {})
    return {name: value for name, value in parameters.items() if name not in ("seed", "split")}


def _names(paths: Sequence[Sequence[Path]]) -> list[str]:
    """Names as short as they can be while they differ: of files, or of their folders where files are called the same.

    Seeds of a model have the beginning of their names in common.
    """
    for parts in range(1, max(len(path.parts) for model in paths for path in model) + 1):
        tails = [[path.with_suffix("").parts[-parts:] for path in model] for model in paths]
        if parts > 1 and len({tail[-1] for model in tails for tail in model}) == 1:
            tails = [[tail[:-1] for tail in model] for model in tails]
        ends = [[str(Path(*tail)) for tail in model] for model in tails]
        names = [end[0] if len(end) == 1 else _beginning(end).rstrip("_-./ ") or end[0] for end in ends]
        if len(set(names)) == len(names):
            break
    return names


def _beginning(names: Sequence[str]) -> str:
    """The letters that all names begin with."""
    same = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in same)


def _check_truths(evaluations: Sequence[Evaluation], patients: Sequence[str]) -> None:
    """See that every file scored a patient against the same ground truth.

    Raises:
        DataError: two files did not.
    """
    for patient in patients:
        known: dict[str, tuple[Any, Path]] = {}
        for one in evaluations:
            for key, value in one.truths[patient].items():
                first, path = known.setdefault(key, (value, one.path))
                if first != value:
                    what = {"truth": "ground truth", "grid": "grid"}.get(key, key)
                    raise DataError(
                        f"{patient}: {path} and {one.path} do not have the same {what}, so their scores cannot be "
                        "compared. Score both models on the same files."
                    )


def _check_seeds(model: Model) -> None:
    """See that the trainings of a model differ in nothing but the seed.

    Raises:
        DataError: they do.
    """
    first = model.evaluations[0]
    for other in model.evaluations[1:]:
        if differing := _differing(first.parameters, other.parameters):
            raise DataError(
                f"{first.path} and {other.path} differ in {', '.join(differing)}, so they are no seeds of one model; "
                "give them as two, with a space between."
            )


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    return [
        f"{name} ({first[name]} and {second[name]})" for name in first if name in second and first[name] != second[name]
    ]


def _notes(models: Sequence[Model], n: int) -> Iterator[str]:
    if n < MIN_PATIENTS:
        yield f"{n} patients are too few for an interval, which takes {MIN_PATIENTS}."
    for first, second in itertools.combinations(models, 2):
        known = first.evaluations[0].parameters, second.evaluations[0].parameters
        if all(known) and known[0].keys() == known[1].keys() and not _differing(*known):
            yield (
                f"{first.name} and {second.name} differ in nothing but the seed; joined by a comma they are one model."
            )
    if once := [model.name for model in models if len(model.evaluations) == 1]:
        yield f"Trained once: {', '.join(once)}. What another seed would change is not in these intervals."


def _sentence(rows: Sequence[RegionComparison]) -> str:
    """What one pair of models may be said to differ in."""
    first, second, n = rows[0].first, rows[0].second, rows[0].paired.n
    if n < MIN_PATIENTS:
        return f"{first} and {second} cannot be ranked on {n} patients; look at each patient's difference."
    ahead = {winner: [row for row in rows if row.paired.is_told and (row.paired.difference > 0) == (winner == second)]
             for winner in (second, first)}  # fmt: skip
    parts = [
        f"{winner} is ahead of {first if winner == second else second} in {', '.join(map(_difference, told))}"
        for winner, told in ahead.items()
        if told
    ]
    if untold := [row for row in rows if not row.paired.is_told]:
        who = "they" if parts else f"{first} and {second}"
        parts.append(f"{who} cannot be told apart in {', '.join(map(_difference, untold))}")
    sentence = f"On {n} patients {'; '.join(parts)}."
    needed = {row.region: row.paired.patients_needed for row in untold}
    if listed := [f"{count:,} in {region}" for region, count in needed.items() if count]:
        sentence += f" If the true differences are those seen, it would take about {', '.join(listed)} to tell."
    return sentence


def _difference(row: RegionComparison) -> str:
    low, high = row.paired.interval or (np.nan, np.nan)
    return f"{row.region} ({row.paired.difference:+.3f} [{low:+.3f}, {high:+.3f}], p {row.paired.p_adjusted:.2g})"


def _row_json(row: RegionComparison) -> dict[str, Any]:
    paired = row.paired
    return {
        "first": row.first,
        "second": row.second,
        "region": row.region,
        "first_mean": row.means[0],
        "second_mean": row.means[1],
        "n": paired.n,
        "difference": paired.difference,
        "interval": paired.interval,
        "p": paired.p,
        "p_adjusted": paired.p_adjusted,
        "told": paired.is_told,
        "patients_needed": paired.patients_needed,
        "spread_between_seeds": list(paired.spread_between_seeds),
        "differences": list(paired.differences),
    }
