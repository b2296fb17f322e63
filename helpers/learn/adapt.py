"""Moving a lung model to another hospital without a single mask from there.

The target's films come through a reader that has no way to a mask, so a folder that holds none for that hospital will
do. What comes out is a folder like a training's, and is scored and used like one.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from helpers.data.chest import PREFIXES, read_chest
from helpers.data.errors import DataError
from helpers.data.films import Unlabelled, open_films, open_unlabelled
from helpers.data.pictures import read_image
from helpers.data.splits import Split, load_split
from helpers.data.store import Store
from helpers.learn.batches import adaptation_batches
from helpers.learn.budget import Budget
from helpers.learn.checkpoint import Checkpoint
from helpers.learn.choose import FILMS, Judge
from helpers.learn.devices import scope
from helpers.learn.lungs import evaluate_lungs
from helpers.learn.methods import ADVERSARIAL, METHODS, TRAINED, fit_adapting
from helpers.learn.norms import adapt_statistics
from helpers.learn.outline import LungSegmenter, seconds_to_score
from helpers.learn.trained import hashes, load_network, read_run, save_model, train_once, write_run, write_whole
from helpers.prepare.augment import AUGMENTATIONS
from helpers.prepare.greys import grey_counts

BATCH = 16
"""Films in a batch, of each hospital."""

EPOCHS = 20
"""Of `helpers.learn.methods.ROUND` steps, where no time is given."""


def adapt(
    model_dir: str | os.PathLike,
    data: str | os.PathLike,
    source_site: str,
    target_site: str,
    method: str,
    out: str | os.PathLike,
    minutes: float | None = None,
    epochs: int | None = None,
    augmentation: str | None = None,
    shuffled: bool = False,
    settings: Mapping[str, object] | None = None,
    seed: int = 0,
    started: float | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Adapt a lung model to another hospital, of which films are read and no mask.

    It learns from the training films of both hospitals in the model's own split; the validation films of the source
    help to choose a checkpoint (`helpers.learn.choose`), and nobody's test films are touched before the end.

    Args:
        model_dir: what `train lungs` left, trained at the source alone.
        data: a folder with the chest X-rays.
        source_site, target_site: "montgomery" or "shenzhen"; the same twice to see that nothing is spoilt.
        method: one of `METHODS`.
        out: receives what a training leaves, and `checkpoints/`, weights by epoch. A finished adaptation with the same
            parameters is left as it is; one that was stopped goes on.
        minutes: wall time from `started` (else from now) until the folder is finished.
        epochs: of `ROUND` steps; 20 of them where neither is given.
        augmentation: how films are varied, a name in `AUGMENTATIONS`; the method's own without.
        shuffled: tell the discriminator at random which hospital a film is from, see `adaptation_batches`.
        settings: arguments of the method's own, e.g. {"levels": [4]}.
        seed: of the order of films and of their variation.
        say: told what happens, a line at a time.

    Raises:
        DataError: the model was not trained at the source alone; there is no such method, site or film; the network
            lacks what the method adapts; or `out` holds something else.
    """
    budget = Budget(seconds=60 * minutes) if minutes else Budget(epochs=epochs or EPOCHS)
    budget.started = started or budget.started
    model_dir, out = Path(model_dir), Path(out)
    run, split = _checked(model_dir, source_site, target_site, method, augmentation)
    if shuffled and method not in ADVERSARIAL:
        raise DataError(f"{method} has no discriminator, so there are no labels to shuffle.")
    how = {
        "model": run["parameters"],
        "from": source_site,
        "to": target_site,
        "method": method,
        "minutes": minutes,
        "epochs": budget.epochs,
        "augmentation": augmentation,
        "shuffled": shuffled,
        "settings": dict(settings or {}),
        "seed": seed,
    }
    parameters = json.loads(json.dumps({**run["parameters"], "adapted": how}))  # as it is read back: lists for tuples

    def learn(checkpoint: Checkpoint) -> None:
        network, size = load_network(model_dir), run["parameters"]["size"]
        xrays = read_chest(data, source_site).require(source_site)
        trained_on, tested = ([xray for xray in xrays if xray.id in side] for side in (split.train, split.test))
        looked_at = {*split.train, *split.validation}
        source = open_films([x for x in xrays if x.id in looked_at], out / "slices" / "source", size)
        target = open_unlabelled(data, target_site, _of(target_site, split.train), out / "slices" / "target", size)
        say(f"{len(trained_on)} films of {source_site} with masks, {len(target.ids)} of {target_site} without.")
        shutil.copy(model_dir / "mean_mask.png", out / "mean_mask.png")
        mean = np.asarray(Image.open(out / "mean_mask.png"), np.float32) / 255
        budget.reserve = seconds_to_score(LungSegmenter(network, size), mean, tested)
        judge = _judge(source, split, target, seed)
        prepare = run.get("prepare")
        if method == "histogram":
            prepare = {"greys": [float(share) for share in grey_counts(read_image(x.image) for x in trained_on)]}
            rows = [judge(network)]
        elif method == "statistics":
            rows = [judge(network)]
            adapt_statistics(network, target.images)
            rows.append(judge(network))
        else:
            recipe = TRAINED[method]
            try:
                with scope(network):
                    step = recipe.build(network, **(settings or {}))
            except TypeError as error:
                raise DataError(f"settings {dict(settings or {})} do not fit {method}: {error}") from error
            ids = [xray.id for xray in trained_on]
            varied = augmentation or recipe.augmentation
            batches = partial(adaptation_batches, source, ids, target, BATCH, seed, varied, shuffled)
            rows = fit_adapting(step, batches, recipe, budget, judge, out, say, checkpoint)
            network.set_weights(step.kept.get_weights())
        history = pd.DataFrame([{"epoch": number, **row} for number, row in enumerate(rows)])
        write_whole(history.to_csv(index=False), out / "history.csv")
        save_model(network, out / "model.keras")
        learned_from = {**run["learned_from"], **hashes(target, target.ids)}
        write_run(out, "lungs", parameters, split, learned_from, prepare=prepare)

    def score() -> None:  # at the source alone: the target's masks are for `evaluate`, where somebody has them
        evaluate_lungs(out, data, "test", source_site, out / "metrics.json", say)

    return train_once(out, parameters, budget, seed, learn, score, say)


def _checked(
    model_dir: Path, source_site: str, target_site: str, method: str, augmentation: str | None
) -> tuple[dict, Split]:
    if method not in METHODS:
        raise DataError(f"method {method!r} is not known; there are {', '.join(METHODS)}.")
    if augmentation not in (None, *AUGMENTATIONS):
        raise DataError(f"augmentation {augmentation!r} is not known; there are {', '.join(AUGMENTATIONS)}.")
    for site in (source_site, target_site):
        if site not in PREFIXES:
            raise DataError(f"Unknown site {site!r}; this set has {' and '.join(PREFIXES)}.")
    run = read_run(model_dir, "lungs")
    if (held := run["parameters"]["site"]) != source_site:
        raise DataError(
            f"{model_dir} was trained at {held}; it can be moved from there, not from {source_site}. Train one at "
            f"{source_site}, or name another folder."
        )
    if "adapted" in run["parameters"]:
        raise DataError(f"{model_dir} is an adaptation itself; start from the model that it came from.")
    split = load_split(model_dir / "split.json")
    if not _of(target_site, split.train):
        raise DataError(f"The split of {model_dir} holds no film of {target_site}; train where both hospitals lie.")
    return run, split


def _of(site: str, ids: Sequence[str]) -> list[str]:
    """Those of a hospital: a name tells, and nothing needs to be opened for it."""
    return [identity for identity in ids if identity.startswith(PREFIXES[site])]


def _judge(source: Store, split: Split, target: Unlabelled, seed: int) -> Judge:
    chosen, learned = (
        [identity for identity in ids if identity in source.patients] for ids in (split.validation, split.train)
    )
    areas = source.shares[source.rows(learned), ..., 1].mean(axis=(1, 2)) / 255
    films = np.random.default_rng([seed, 4]).permutation(len(target.images))[:FILMS]
    rows = source.rows(chosen)
    return Judge(source.images[rows], source.shares[rows], areas, target.images[np.sort(films)])
