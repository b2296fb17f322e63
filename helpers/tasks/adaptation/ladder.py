"""The ladder of domain adaptation experiments between two hospitals: each one idea, one training, one row of a table.

out/<hospital>/seed_<k>/<recipe>/        trained on the masks of one hospital, or of both; both directions use it
out/<from>-<to>/seed_<k>/<experiment>/   adapted from one to the other
out/ladder.json                          the table so far, written anew after every experiment

A finished folder is not trained again, so the same command resumes, and the table has whatever is finished.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.data.chest import PREFIXES, SITES, list_radiographs, read_chest
from helpers.data.radiographs import split_radiographs
from helpers.data.splits import Split, shuffled
from helpers.learn.budget import Budget
from helpers.learn.run_folder import write_ensemble
from helpers.learn.run_schema import IMAGES, SCORES
from helpers.runtime import options
from helpers.runtime.disk import write_text
from helpers.runtime.errors import DataError
from helpers.runtime.json_files import check_json, read_json
from helpers.runtime.outputs import writable_folder
from helpers.runtime.settings import check_filters, check_names, check_size, check_whole, expanded
from helpers.tasks.adaptation.commands import adapt
from helpers.tasks.adaptation.results import summarise
from helpers.tasks.finetuning.commands import finetune
from helpers.tasks.lungs.commands import BOTH, evaluate_lungs, train_lungs
from helpers.tasks.lungs.shape import MIN_MASKS, ShapeCheck

if TYPE_CHECKING:
    import pandas as pd

Log = Callable[[str], None]
DIRECTIONS = tuple(f"{one}-{other}" for one in SITES.values() for other in SITES.values() if one != other)


@dataclass(frozen=True)
class Experiment:
    """One experiment of the ladder.

    Attributes:
        name: of its row and its folder.
        idea: what is new about it, in a few words.
        start: the experiment whose model it begins with; None: it is trained from scratch.
        method: of `helpers.tasks.adaptation.commands.adapt`; None: it learns from masks, by
            `helpers.tasks.lungs.commands.train_lungs`, with a start by `helpers.tasks.finetuning.commands.finetune`.
        at: "source" or "target", the hospital whose radiographs it learns from, or is adapted to; or "both".
        settings: further arguments of either; `labelled`, from how many of the hospital's radiographs it learns.
        members: how many trainings make one model, the mean of theirs: the start, and others like it of other seeds.
        among: the experiments of which one is chosen without masks of the target, see
            `helpers.tasks.adaptation.choice`.
    """

    name: str
    idea: str
    start: str | None = None
    method: str | None = None
    at: str = "target"
    settings: Mapping[str, Any] = field(default_factory=dict)
    members: int = 1
    among: tuple[str, ...] = ()


EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Experiment("source", "the source's radiographs as they are", at="source", settings={"augmentation": "none"}),
        Experiment("histogram", "the target's grey levels brought to the source's", "source", "histogram"),
        Experiment("intensity", "gamma, contrast and brightness augmented", at="source",
                   settings={"augmentation": "intensity"}),
        Experiment("xray", "and rotation, scaling, shift, noise and black bands", at="source",
                   settings={"augmentation": "xray"}),
        Experiment("normalised", "the source's radiographs, batch normalisation", at="source",
                   settings={"augmentation": "none", "normalisation": "batch"}),
        Experiment("statistics", "the target's own batch statistics", "normalised", "statistics"),
        Experiment("tent", "its normalisations learn to be sure at the target", "normalised", "tent"),
        Experiment("instance", "the source's radiographs, instance normalisation", at="source",
                   settings={"augmentation": "none", "normalisation": "instance"}),
        Experiment("group", "the source's radiographs, group normalisation", at="source",
                   settings={"augmentation": "none", "normalisation": "group"}),
        Experiment("ensemble", "three augmented models of other seeds, their mean", "xray", at="source", members=3,
                   settings={"augmentation": "xray"}),
        Experiment("fourier", "the source's radiographs in the target's style, augmented", "source", "fourier"),
        Experiment("reversal", "a discriminator, its gradient reversed", "source", "reversal"),
        Experiment("adda-bottleneck", "ADDA on the bottleneck alone", "source", "adda",
                   settings={"settings": {"levels": [4]}}),
        Experiment("adda", "ADDA: an encoder for the target, inverted labels", "source", "adda"),
        Experiment("adda+anchor", "the same, anchored by the source's masks", "source", "adda+anchor"),
        Experiment("output", "a discriminator of the predicted masks", "source", "output"),
        Experiment("mean-teacher", "a mean teacher's pseudo-labels at the target", "source", "mean-teacher"),
        Experiment("xray-mean-teacher", "the same, from the augmented model", "xray", "mean-teacher"),
        Experiment("xray-sure-teacher", "and from sure pixels and plausible outlines alone", "xray", "sure-teacher"),
        Experiment("chosen", "of some of these the one with most plausible outlines at the target", among=(
            "source", "histogram", "xray", "ensemble", "fourier", "adda", "adda+anchor", "xray-sure-teacher")),
        *(
            Experiment(f"labelled-{k}", f"fine-tuned on {k} target radiograph{'s' * (k > 1)} with masks", "source",
                       settings={"augmentation": "xray", "labelled": k})
            for k in (1, 5, 10, 20)
        ),
        Experiment("target", "trained on the target's masks: the ceiling", settings={"augmentation": "xray"}),
        Experiment("both", "trained on the masks of both hospitals", at=BOTH, settings={"augmentation": "xray"}),
        Experiment("longer", "check: the source's radiographs for as long again", "source", at="source",
                   settings={"augmentation": "none"}),
        Experiment("itself", "check: ADDA from the source to itself", "source", "adda", at="source"),
        Experiment("shuffled", "check: ADDA with shuffled hospitals", "source", "adda", settings={"shuffled": True}),
    )
}  # fmt: skip
"""Every experiment by its name, from the source model to the ceiling; three checks at the end."""


def run_ladder(
    data: str | os.PathLike,
    out: str | os.PathLike,
    directions: Sequence[str] = DIRECTIONS,
    experiments: Sequence[str] = tuple(EXPERIMENTS),
    seeds: int = 1,
    minutes: float | None = None,
    epochs: int | None = None,
    split: Split | None = None,
    log: Log = print,
    **network: int,
) -> dict[str, list[dict]]:
    """Train, adapt and score the experiments, and those that they start from.

    An experiment for which a hospital has too few masks is left out, and a line of the log says so. All models are
    scored on the same radiographs, the test radiographs of the split in both hospitals.

    Args:
        data: holds the X-rays of both hospitals.
        out: folder of all runs, see the module.
        directions: of `DIRECTIONS`.
        experiments: names in `EXPERIMENTS`.
        seeds: how many trainings of each, from seed 0 on.
        minutes: wall time of each training.
        epochs: of 20 steps, of each training, where no minutes are given.
        split: of the radiographs; by default that of seed 0.
        log: called with a line of progress.
        network: `size` and `filters`, see `train_lungs`.

    Returns:
        For each direction the rows of what is finished in `out`, as `helpers.tasks.adaptation.results` gives them.

    Raises:
        DataError: no such experiment or direction, a setting out of range or an `out` that cannot be written (found
            before anything is read); data that cannot be used, or `out` holds runs with other parameters, or damaged.
    """
    experiments, directions = [options.current_name(name) for name in experiments], list(directions)
    check_names(experiments, list(EXPERIMENTS), "experiment")
    check_names(directions, DIRECTIONS, "direction")
    check_whole("seeds", seeds, 1, example=3)
    Budget.of(minutes, 1 if epochs is None else epochs)
    check_size(network.get("size", 128))
    check_filters(network.get("filters", 16))
    if unknown := sorted(network.keys() - {"size", "filters"}):
        raise DataError(f"{', '.join(unknown)} is no setting of the ladder's network; there are size, filters.")
    data, out = expanded(data), writable_folder(out)
    split = split or split_radiographs(list_radiographs(data), seed=0)
    made = {"minutes": minutes, "epochs": epochs, "split": split.digest, **network}
    wanted = _with_needed(experiments)
    for seed in range(seeds):
        for experiment in (experiment for name, experiment in EXPERIMENTS.items() if name in wanted):
            for direction in directions:
                folder = run_folder(out, direction, experiment.name, seed)
                if _is_scored(folder, made):
                    continue
                if lacking := _lacking(experiment, data, out, direction, seed, split):
                    log(f"{direction}, {experiment.name}, seed {seed}: left out, for {lacking}.")
                else:
                    log(f"{direction}, {experiment.name}, seed {seed}: {folder}")
                    common = {"minutes": minutes, "epochs": epochs, "seed": seed, "log": log, **experiment.settings}
                    _run(experiment, data, out, direction, seed, common, {"split": split, **network})
                    _score(folder, data, direction.split("-")[1], made, log)
                    write_text(json.dumps(load_results(out), indent=1), Path(out) / "ladder.json")
    return load_results(out)


def run_folder(out: str | os.PathLike, direction: str, name: str, seed: int = 0) -> Path:
    """The folder of an experiment's run.

    Args:
        out: folder of all runs.
        direction: of `DIRECTIONS`.
        name: of the experiment.
        seed: of the training.
    """
    experiment = EXPERIMENTS[name]
    if experiment.start or experiment.among:
        return Path(out) / direction / f"seed_{seed}" / name
    normalisation = experiment.settings.get("normalisation", "none")
    called = {"none": "", "batch": "-normalised"}.get(normalisation, f"-{normalisation}")  # batch: its oldest name
    recipe = experiment.settings["augmentation"] + called
    return Path(out) / _site(direction, experiment.at) / f"seed_{seed}" / recipe


def load_results(out: str | os.PathLike) -> dict[str, list[dict]]:
    """The results of the finished runs in a folder, for each direction of which there are any.

    Args:
        out: folder of all runs.

    Returns:
        The rows of `helpers.tasks.adaptation.results.summarise`, by direction.
    """
    scores = {direction: radiograph_scores(out, direction) for direction in DIRECTIONS}
    return {direction: summarise(table, *direction.split("-")) for direction, table in scores.items() if len(table)}


def radiograph_scores(out: str | os.PathLike, direction: str) -> "pd.DataFrame":
    """The Dice of every radiograph in every finished run of a direction.

    Args:
        out: folder of all runs.
        direction: of `DIRECTIONS`.

    Returns:
        One row for each radiograph and run: `experiment`, `seed`, `radiograph`, `site`, `dice`, and at the target,
        where the run saved checkpoints, `oracle`.
    """
    import pandas as pd

    rows = []
    for name in EXPERIMENTS:
        folder = run_folder(out, direction, name)
        for path in sorted(folder.parent.parent.glob(f"seed_*/{folder.name}/scores.json")):
            seed = int(path.parent.parent.name.removeprefix("seed_"))
            rows += [{"experiment": name, "seed": seed, **radiograph} for radiograph in _read_scores(path)]
    return pd.DataFrame(rows)


def _read_scores(path: Path) -> list[dict]:
    """The radiographs of a `scores.json`."""
    return _read_scored(path)["radiographs"]


def _read_scored(path: Path) -> dict[str, Any]:
    """A `scores.json`; older versions of this package called radiographs films."""
    cure = "Delete it; the same command then scores the experiment again."
    content = read_json(path, {"type": "object", "description": "an object"}, cure)
    if isinstance(films := content.pop("films", None), list):
        content["radiographs"] = [
            {"radiograph": one.pop("film", None), **one} if isinstance(one, dict) else one for one in films
        ]
    check_json(content, path, SCORES, cure)
    return content


def _run(
    experiment: Experiment,
    data: str | os.PathLike,
    out: str | os.PathLike,
    direction: str,
    seed: int,
    common: Mapping[str, Any],
    training: Mapping[str, Any],
) -> None:
    folder, site = run_folder(out, direction, experiment.name, seed), _site(direction, experiment.at)
    start = run_folder(out, direction, experiment.start, seed) if experiment.start else None
    if experiment.among:
        from helpers.tasks.adaptation.choice import choose_model

        candidates = {name: run_folder(out, direction, name, seed) for name in experiment.among}
        choose_model(candidates, data, *direction.split("-"), training["split"], folder, common["log"])
    elif experiment.members > 1:
        _train_ensemble(start, experiment.members, data, folder, site, {**training, **common})
    elif start and not experiment.method:
        _fine_tune(start, data, folder, site, training["split"], **common)
    elif experiment.method:
        adapt(start, data, _site(direction, "source"), site, experiment.method, folder, **common)
    else:
        train_lungs(data, folder, site, **training, **common)


def _train_ensemble(
    start: Path, members: int, data: str | os.PathLike, folder: Path, site: str, settings: Mapping[str, Any]
) -> None:
    """Train `members` models as one: the start, and others that differ from it by their seeds."""
    folders = [folder / f"member_{number}" for number in range(1, members + 1)]
    shutil.copytree(start, folders[0], ignore=shutil.ignore_patterns("scores.json", "slices"), dirs_exist_ok=True)
    for number, member in enumerate(folders[1:], start=1):
        train_lungs(data, member, site, **{**settings, "seed": settings["seed"] + 1000 * number})
    write_ensemble(folder, folders)
    evaluate_lungs(folder, data, "test", json_path=folder / "metrics.json", log=settings["log"])


def _fine_tune(
    start: Path,
    data: str | os.PathLike,
    folder: Path,
    site: str,
    split: Split,
    seed: int,
    labelled: int | None = None,
    **common: Any,
) -> None:
    """Go on with a model on the first `labelled` training radiographs of a hospital in the seed's order, or on all."""
    train = _masked(data, site, split, seed)
    sides = Split(tuple(sorted(train[:labelled])), (), split.test, split.seed)
    finetune(start, data, folder, layers="whole", site=site, split=sides, seed=seed, **common)


def _masked(data: str | os.PathLike, site: str, split: Split, seed: int) -> list[str]:
    """The training radiographs of a hospital that have masks, in the seed's order."""
    masks = {xray.id for xray in read_chest(data, site).require(site)}
    train = [identity for identity in split.train if identity.startswith(PREFIXES[site]) and identity in masks]
    return sorted(train, key=lambda identity: shuffled(identity, seed))


def _lacking(
    experiment: Experiment, data: str | os.PathLike, out: str | os.PathLike, direction: str, seed: int, split: Split
) -> str | None:
    """What an experiment needs and does not have here, in words; None where it can be run."""
    wanted, site = experiment.settings.get("labelled"), _site(direction, experiment.at)
    if wanted is not None and (found := len(_masked(data, site, split, seed))) < wanted:
        return f"it learns from {wanted} X-rays of {site} with masks, and {found} are on the training side"
    if experiment.among and ShapeCheck.load(run_folder(out, direction, experiment.among[0], seed)) is None:
        return (
            f"the model {experiment.among[0]!r} was saved without the shape of its masks, which is what is chosen by "
            f"(fewer than {MIN_MASKS} masks, or trained by an older version: then delete its folder)"
        )
    return None


def _score(folder: Path, data: str | os.PathLike, target: str, made: Mapping[str, Any], log: Log) -> None:
    """Write `scores.json`: Dice on the test radiographs of both hospitals. A folder that has it is finished."""
    radiographs = read_json(folder / "metrics.json", IMAGES)["images"]  # an adaptation's, of the source alone
    for site in sorted(set(SITES.values()) - {radiograph["site"] for radiograph in radiographs}):
        radiographs += evaluate_lungs(folder, data, "test", site, log=log)["images"]
    content: dict[str, Any] = {"made": made, "radiographs": []}
    oracle_dice: dict[str, float] = {}
    if (folder / "checkpoints").is_dir():
        from helpers.tasks.adaptation.oracle import oracle

        content["checkpoint"], oracle_dice = oracle(folder, data, target)
    for radiograph in sorted(radiographs, key=lambda radiograph: radiograph["id"]):
        also = {"oracle": oracle_dice[radiograph["id"]]} if radiograph["id"] in oracle_dice else {}
        content["radiographs"].append(
            {"radiograph": radiograph["id"], "site": radiograph["site"], "dice": radiograph["dice"], **also}
        )
    write_text(json.dumps(content, indent=1), folder / "scores.json")


def _is_scored(folder: Path, made: Mapping[str, Any]) -> bool:
    if not (folder / "scores.json").exists():
        return False
    before = _read_scored(folder / "scores.json")["made"]
    if differ := [key for key in {**before, **made} if before.get(key) != made.get(key)]:
        listed = ", ".join(f"{key} {before.get(key)!r} there, {made.get(key)!r} now" for key in differ)
        raise DataError(
            f"{folder} has other parameters ({listed}); only experiments with the same ones can be compared."
        )
    return True


def _with_needed(experiments: Sequence[str]) -> set[str]:
    """The experiments, and all that they start from or choose among."""
    needed: set[str] = set()
    waiting = list(experiments)
    while waiting:
        experiment = EXPERIMENTS[waiting.pop()]
        needed.add(experiment.name)
        waiting += [name for name in (experiment.start, *experiment.among) if name and name not in needed]
    return needed


def _site(direction: str, at: str) -> str:
    return BOTH if at == BOTH else direction.split("-")[("source", "target").index(at)]
