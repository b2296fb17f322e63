"""The road between two hospitals, a rung at a time: each rung one idea, one training, one row of a table.

out/<hospital>/seed_<k>/<recipe>/     trained on one hospital's masks; both directions use it
out/<from>-<to>/seed_<k>/<rung>/      moved from one to the other
out/ladder.json                       the table so far, written anew after every rung

A finished folder is kept, so the command goes on where it was stopped, and the table counts whatever is finished.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.apply.oracle import oracle
from helpers.apply.standing import standing
from helpers.data.chest import SITES, list_films
from helpers.data.errors import DataError
from helpers.data.films import split_films
from helpers.data.splits import Split
from helpers.learn.adapt import adapt
from helpers.learn.lungs import evaluate_lungs, train_lungs
from helpers.learn.trained import write_whole

Say = Callable[[str], None]
DIRECTIONS = tuple(f"{one}-{other}" for one in SITES.values() for other in SITES.values() if one != other)


@dataclass(frozen=True)
class Rung:
    """One way to be ready for the other hospital.

    Attributes:
        name: of its row and its folder. idea: what is new about it, in a few words.
        start: the rung whose model it begins with; None: it is trained from nothing.
        method: of `helpers.learn.adapt`; None: it learns from masks, by `helpers.learn.lungs`.
        at: "source" or "target", the hospital whose films it goes to.
        settings: further arguments of either.
    """

    name: str
    idea: str
    start: str | None = None
    method: str | None = None
    at: str = "target"
    settings: Mapping[str, Any] = field(default_factory=dict)


RUNGS: dict[str, Rung] = {
    rung.name: rung
    for rung in (
        Rung("source", "the source's films as they are", at="source", settings={"augmentation": "none"}),
        Rung("histogram", "the target's grey levels brought to the source's", "source", "histogram"),
        Rung("intensity", "gamma, contrast and brightness varied", at="source", settings={"augmentation": "intensity"}),
        Rung("films", "and turned, scaled, shifted, with noise and black bands", at="source",
             settings={"augmentation": "films"}),
        Rung("normalised", "the source's films, batch normalisation", at="source",
             settings={"augmentation": "none", "normalise": True}),
        Rung("statistics", "the target's own batch statistics", "normalised", "statistics"),
        Rung("reversal", "a discriminator, its gradient reversed", "source", "reversal"),
        Rung("adda-bottleneck", "ADDA that sees the bottleneck alone", "source", "adda",
             settings={"settings": {"levels": [4]}}),
        Rung("adda", "ADDA: an encoder for the target, inverted labels", "source", "adda"),
        Rung("adda+anchor", "the same, held by the source's masks", "source", "adda+anchor"),
        Rung("output", "a discriminator that sees outlines", "source", "output"),
        Rung("mean-teacher", "a mean teacher outlines the target's films", "source", "mean-teacher"),
        Rung("films-mean-teacher", "the same, from the varied model", "films", "mean-teacher"),
        *(
            Rung(f"labelled-{k}", f"tuned on {k} outlined target film{'s' * (k > 1)}", "source",
                 settings={"augmentation": "films", "labelled": k})
            for k in (1, 5, 10, 20)
        ),
        Rung("target", "trained on the target's masks: the ceiling", settings={"augmentation": "films"}),
        Rung("longer", "check: the source's films for as long again", "source", at="source",
             settings={"augmentation": "none"}),
        Rung("itself", "check: ADDA from the source to itself", "source", "adda", at="source"),
        Rung("shuffled", "check: ADDA with shuffled hospitals", "source", "adda", settings={"shuffled": True}),
    )
}  # fmt: skip
"""Every rung by its name, from the bottom to the ceiling; three checks at the end."""


def climb(
    data: str | os.PathLike,
    out: str | os.PathLike,
    directions: Sequence[str] = DIRECTIONS,
    rungs: Sequence[str] = tuple(RUNGS),
    seeds: int = 1,
    minutes: float | None = None,
    epochs: int | None = None,
    split: Split | None = None,
    say: Say = print,
    **network: int,
) -> dict[str, list[dict]]:
    """Train, move and score the rungs; whatever they start from is trained with them.

    All models are scored on the same films, those that the split keeps out in both hospitals.

    Args:
        data: holds the X-rays of both hospitals.
        out: see above.
        directions: of `DIRECTIONS`. rungs: names in `RUNGS`.
        seeds: how many trainings of each, from seed 0 on.
        minutes: wall time of each training; or epochs: of 20 steps.
        split: of the films; by default that of seed 0.
        network: `size` and `filters`, see `train_lungs`.

    Returns:
        For each direction the rows of what is finished in `out`, as `helpers.apply.standing` gives them.

    Raises:
        DataError: no such rung or direction, data that cannot be used, or `out` holds runs that were made otherwise.
    """
    _known(rungs, RUNGS, "rung")
    _known(directions, DIRECTIONS, "direction")
    split = split or split_films(list_films(data), seed=0)
    made = {"minutes": minutes, "epochs": epochs, "split": split.digest, **network}
    wanted = set(rungs) | {RUNGS[name].start for name in rungs}
    for seed in range(seeds):
        for rung in (rung for name, rung in RUNGS.items() if name in wanted):
            for direction in directions:
                folder = run_folder(out, direction, rung.name, seed)
                if not _is_scored(folder, made):
                    say(f"{direction}, {rung.name}, seed {seed}: {folder}")
                    common = {"minutes": minutes, "epochs": epochs, "seed": seed, "say": say, **rung.settings}
                    _run(rung, data, out, direction, seed, common, {"split": split, **network})
                    _score(folder, data, direction.split("-")[1], made, say)
                    write_whole(json.dumps(held(out), indent=1), Path(out) / "ladder.json")
    return held(out)


def run_folder(out: str | os.PathLike, direction: str, name: str, seed: int = 0) -> Path:
    """Where the run of a rung lies."""
    rung = RUNGS[name]
    if rung.start:
        return Path(out) / direction / f"seed_{seed}" / name
    recipe = rung.settings["augmentation"] + ("-normalised" if rung.settings.get("normalise") else "")
    return Path(out) / _site(direction, rung.at) / f"seed_{seed}" / recipe


def held(out: str | os.PathLike) -> dict[str, list[dict]]:
    """The rows of what is finished in a folder, for each direction of which anything is."""
    scores = {direction: film_scores(out, direction) for direction in DIRECTIONS}
    return {road: standing(table, *road.split("-")) for road, table in scores.items() if len(table)}


def film_scores(out: str | os.PathLike, direction: str) -> pd.DataFrame:
    """One row for each film and finished run: `rung`, `seed`, `film`, `site`, `dice`, and at the target, where the run
    kept checkpoints, `oracle`."""
    rows = []
    for name in RUNGS:
        folder = run_folder(out, direction, name)
        for path in sorted(folder.parent.parent.glob(f"seed_*/{folder.name}/scores.json")):
            seed = int(path.parent.parent.name.removeprefix("seed_"))
            rows += [{"rung": name, "seed": seed, **film} for film in json.loads(path.read_text())["films"]]
    return pd.DataFrame(rows)


def _run(
    rung: Rung,
    data: str | os.PathLike,
    out: str | os.PathLike,
    direction: str,
    seed: int,
    common: Mapping[str, Any],
    training: Mapping[str, Any],
) -> None:
    folder, site = run_folder(out, direction, rung.name, seed), _site(direction, rung.at)
    start = run_folder(out, direction, rung.start, seed) if rung.start else None
    if rung.method:
        adapt(start, data, _site(direction, "source"), site, rung.method, folder, **common)
    else:
        train_lungs(data, folder, site, init=start, **training, **common)


def _score(folder: Path, data: str | os.PathLike, target: str, made: Mapping[str, Any], say: Say) -> None:
    """Dice of a run on the test films of both hospitals; written last, so a folder that has its scores is finished."""
    films = json.loads((folder / "metrics.json").read_text())["images"]  # an adaptation's, of the source alone
    for site in sorted(set(SITES.values()) - {film["site"] for film in films}):
        films += evaluate_lungs(folder, data, "test", site, say=say)["images"]
    content: dict[str, Any] = {"made": made, "films": []}
    chosen: dict[str, float] = {}
    if (folder / "checkpoints").is_dir():
        content["checkpoint"], chosen = oracle(folder, data, target)
    for film in sorted(films, key=lambda film: film["id"]):
        also = {"oracle": chosen[film["id"]]} if film["id"] in chosen else {}
        content["films"].append({"film": film["id"], "site": film["site"], "dice": film["dice"], **also})
    write_whole(json.dumps(content, indent=1), folder / "scores.json")


def _is_scored(folder: Path, made: Mapping[str, Any]) -> bool:
    if not (folder / "scores.json").exists():
        return False
    before = json.loads((folder / "scores.json").read_text())["made"]
    if differ := [key for key in {**before, **made} if before.get(key) != made.get(key)]:
        listed = ", ".join(f"{key} {before.get(key)!r} there, {made.get(key)!r} now" for key in differ)
        raise DataError(f"{folder} was made otherwise ({listed}); only rungs that are made alike can be compared.")
    return True


def _site(direction: str, at: str) -> str:
    return direction.split("-")[("source", "target").index(at)]


def _known(names: Sequence[str], known: Sequence[str] | Mapping, what: str) -> None:
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        given = ", ".join(map(repr, unknown)) or "nothing"
        raise DataError(f"{given} is no {what}; there are {', '.join(known)}.")
