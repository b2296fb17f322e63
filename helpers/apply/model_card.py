"""The model card: what a model learned from, how well it does and where it fails, from the run's own records.

A card (Mitchell et al. 2019, arXiv 1810.03993) goes with the weights. No number in it is typed in, and no name of a
patient or site leaves that is not of a public set (`helpers.learn.public_names`).
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from helpers.data.brats import site_of
from helpers.data.chest import PREFIXES
from helpers.learn.public_names import pseudonyms
from helpers.learn.run_folder import member_folders, patients_learned_from, read_metrics, read_run, read_split
from helpers.measure.statistics import MIN_PATIENTS
from helpers.runtime.json_files import read_json
from helpers.runtime.settings import expanded

_WORST = 3
_TITLES = {
    "brain": "brain tumours in MR volumes: whole tumour, tumour core, enhancing tumour",
    "gate": "which slices of an MR volume show tumour",
    "lungs": "lungs in chest radiographs",
}
_WORDS = {"brain": "patients", "gate": "patients", "lungs": "X-rays"}
_SCORES = {
    "dice": ("Dice", 3),
    "hd95_mm": ("HD95, mm", 1),
    "nsd_1mm": ("NSD at 1 mm", 3),
    "assd_px": ("ASSD, pixels", 1),
}
_GATE = {"auc": "AUC", "sensitivity": "sensitivity", "specificity": "specificity", "skipped": "share skipped"}
_OF_ONE = {
    "brain": "mean Dice of the regions",
    "gate": "share of the slices with tumour that pass",
    "lungs": "Dice",
}


def model_card(model_dir: str | os.PathLike, licence: str | None = None) -> str:
    """The card of a finished training, in Markdown.

    Args:
        model_dir: the folder of the training, or of an ensemble.
        licence: under which the weights are passed on; "not stated" without.

    Raises:
        DataError: the folder holds no finished training, or one without scores.
    """
    folder = expanded(model_dir)
    run, metrics = read_run(folder), read_metrics(folder)
    task, learned = run["task"], patients_learned_from(folder)
    rows = metrics["images" if task == "lungs" else "patients"]
    tested = [row["id"] for row in rows]
    sites = {*(metrics.get("sites") or {}), *(row["site"] for row in rows if row.get("site"))}
    names = pseudonyms(learned, {*tested, *read_split(folder).test}, sites)
    parts = [
        f"# Model card: {_TITLES[task]}",
        "**This is not a medical device.** It is for teaching and research; nothing it draws is a diagnosis.",
        "## What it is",
        _listed(_about(folder, run)),
        "## What it learned from",
        _listed(_data(task, learned, names)),
        *_tuned(folder),
        "## How well it does",
        f"{len(rows)} {_WORDS[task]} that it never learned from. In brackets the 95 % interval over them, below "
        f"{MIN_PATIENTS} the lowest and the highest.",
        *_scores(task, metrics, names),
        "## Where it fails",
        _listed(_worst(task, rows, names)),
        "## Licence",
        (licence or "").strip() or "Not stated. Without one nobody may use the weights.",
    ]
    return "\n\n".join(parts) + "\n"


def _about(folder: Path, run: Mapping[str, Any]) -> Iterator[str]:
    parameters, members = run["parameters"], member_folders(folder)
    if len(members) > 1:
        yield f"An ensemble of {len(members)} networks, whose probabilities are averaged."
    size = parameters["size"]
    if "modalities" in parameters:
        yield f"Input: {', '.join(parameters['modalities'])}, skull-stripped, on one grid, 0 outside the brain."
        yield f"It sees slices of {size} x {size} pixels, {parameters['extent_mm']:g} mm wide, z-scored over the brain."
    else:
        yield f"Input: a frontal chest radiograph, seen as {size} x {size} pixels, z-scored."
    if recipe := parameters.get("recipe"):
        yield "Recipe: " + ", ".join(f"{name} {value}" for name, value in recipe.items()) + "."
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    yield f"Trained in {run['precision']} on {run['device']} ({versions}); run {run.get('digest', 'without a digest')}."


def _data(task: str, learned: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[str]:
    yield f"{len(learned)} {_WORDS[task]}, for training and validation."
    counts = Counter(_site(identity) for identity in learned)
    unknown = counts.pop(None, 0)
    listed = [f"{site} {count}" for site, count in sorted(counts.items())]
    yield "Sites, by the public ids: " + ", ".join([*listed, *([f"not known {unknown}"] if unknown else [])]) + "."
    withheld = sum(identity in names for identity in learned)
    yield f"{len(learned) - withheld} are of public sets; the names of {withheld} are withheld."
    yield "The hashes of their voxels stand in the training's run.json, so that nobody scores it on them unawares."


def _tuned(folder: Path) -> list[str]:
    """How it was fine-tuned, where it was."""
    if not (folder / "finetuning.json").is_file():
        return []
    table = read_json(folder / "finetuning.json", {"type": "object", "description": "an object"})
    lines = [f"Fine-tuned from another model on {len(table['patients'])} of these, layers: {table['layers']}."]
    for side, words in (("new", "At the new hospital"), ("old", "At the old one, to see what it forgot")):
        if scores := table.get(side):
            before, after = (_mean(scores[key].values()) for key in ("before", "after"))
            lines.append(
                f"{words} (n = {len(scores['after'])}): {table['score']} {before:.3f} before, {after:.3f} after."
            )
    return [_listed(lines)]


def _scores(task: str, metrics: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    """The tables of scores, the trivial prediction in the same table."""
    if task == "gate":
        head = ("", "the gate", "every slice with brain passes")
        trivial = metrics["trivial"]
        return [_table(head, [(w, _cell(metrics[s], 3, metrics["n"]), f"{trivial[s]:.3f}") for s, w in _GATE.items()])]
    tables = metrics["regions"] if task == "brain" else metrics["sites"]
    shown = [name for name in _SCORES if all(name in scores for scores in tables.values())]

    def rows(of: Mapping[str, Any], words: str) -> list[tuple[str, ...]]:
        return [
            (
                words.format(names.get(name, name)),
                *(_cell(scores[one], _SCORES[one][1], scores.get("n", metrics["n"])) for one in shown),
            )
            for name, scores in of.items()
        ]

    trivial = "all background, {}" if task == "brain" else "mean mask, {}"
    head = ("", *(_SCORES[name][0] for name in shown))
    result = [_table(head, [*rows(tables, "{}"), *rows(metrics["trivial"], trivial)])]
    if task == "brain" and metrics.get("sites"):
        by = [
            (
                names.get(site, site),
                str(one["n"]),
                *(_cell(one["regions"][region]["dice"], 3, one["n"]) for region in tables),
            )
            for site, one in metrics["sites"].items()
        ]
        result.append(_table(("site", "n", *(f"Dice {region}" for region in tables)), by))
    return result


def _worst(task: str, rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> Iterator[str]:
    values = {row["id"]: value for row in rows if (value := _value(task, row)) is not None}
    for identity in sorted(values, key=lambda one: values[one])[:_WORST]:
        yield f"{names.get(identity, identity)}: {_OF_ONE[task]} {values[identity]:.3f}."
    yield (
        f"These are the worst of {len(values)}. What they have in common, no record says: look at them before you "
        "trust the model with a patient like these."
    )
    yield "Scanners, ages and diseases that are not among the patients above were never tried."


def _value(task: str, row: Mapping[str, Any]) -> float | None:
    """The score of one case; None where it has none."""
    if task == "brain":
        return float(np.mean([scores["dice"] for scores in row["regions"].values()]))
    if task == "lungs":
        return float(row["dice"])
    truth = np.array(row["truth"], bool)
    return float((np.array(row["probabilities"])[truth] >= row["threshold"]).mean()) if truth.any() else None


def _site(identity: str) -> str | None:
    """The site that an id of a public set carries."""
    return next((site for site, prefix in PREFIXES.items() if identity.startswith(prefix)), None) or site_of(identity)


def _cell(score: Mapping[str, Any], digits: int, n: int) -> str:
    """A mean with its spread."""
    mean = score.get("mean", score.get("value"))
    if mean is None:
        return "-"
    spread = score["ci95"] if n >= MIN_PATIENTS else score.get("range")
    words = f" [{spread[0]:.{digits}f}, {spread[1]:.{digits}f}]" if spread else ""
    return f"{mean:.{digits}f}{words}"


def _mean(values: Iterable[float | None]) -> float:
    return float(np.mean([value for value in values if value is not None]))


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))
