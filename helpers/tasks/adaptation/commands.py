"""Unsupervised domain adaptation as a command: a lung model is adapted to a hospital of which no mask is read.

The target's radiographs come through a reader that has no access to masks, so a folder without any for that hospital
will do. The result is a folder like a training's, and is scored and used like one.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers.data.chest import PREFIXES, read_chest
from helpers.data.pictures import read_image
from helpers.data.radiographs import UnlabelledStore, open_radiographs, open_unlabelled, store_notes
from helpers.data.splits import Split
from helpers.data.store import Store
from helpers.learn.budget import Budget
from helpers.learn.checkpoint import Checkpoint
from helpers.learn.run_folder import (
    check_network,
    load_network,
    patient_hashes,
    patients_learned_from,
    read_run,
    read_split,
    run_training,
    save_model,
    training_folder,
    write_run,
)
from helpers.learn.test_cases import seconds_to_score
from helpers.runtime import options
from helpers.runtime.disk import write_text
from helpers.runtime.errors import DataError
from helpers.runtime.settings import check_seed, expanded
from helpers.tasks.lungs.commands import admit, evaluate_lungs, read_mean_mask
from helpers.tasks.lungs.shape import ShapeCheck

if TYPE_CHECKING:
    import keras

    from helpers.tasks.adaptation.model_selection import ModelSelector

BATCH = 16
"""Radiographs in a batch, of each hospital."""

EPOCHS = 20
"""How long to adapt where no time is given; each of `helpers.tasks.adaptation.methods.STEPS_PER_EPOCH` steps."""


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
    log: Callable[[str], None] = print,
) -> Path:
    """Adapt a lung model to another hospital, of which radiographs are read and no mask.

    It learns from the training radiographs of both hospitals in the model's own split; the validation radiographs of
    the source help to select a checkpoint (`helpers.tasks.adaptation.model_selection`), and no test radiograph is read
    before the end, but to measure how long scoring takes.

    Args:
        model_dir: folder of a `train lungs`, trained at the source alone.
        data: a folder with the chest X-rays.
        source_site: "montgomery" or "shenzhen", where the model was trained.
        target_site: "montgomery" or "shenzhen", where it is adapted to; the source itself as a check that adaptation
            does no harm.
        method: a name in `helpers.runtime.options.METHODS`.
        out: receives the files of a training, and `checkpoints/`, weights by epoch. A finished adaptation with the same
            parameters is left as it is; one that was stopped is resumed.
        minutes: wall time from `started` until the folder is finished.
        epochs: of 20 steps; 20 of them where neither is given.
        augmentation: a name in `helpers.runtime.options.AUGMENTATIONS`; the method's own without.
        shuffled: shuffle the discriminator's labels, see `helpers.learn.batches.adaptation_batches`.
        settings: the method's own arguments, e.g. {"levels": [4]}.
        seed: of the order of radiographs and of their augmentation.
        started: the moment from which minutes count, as `time.monotonic` gives it; now without.
        log: called with a line of progress.

    Returns:
        `out`.

    Raises:
        DataError: the model was not trained at the source alone; there is no such method, site or radiograph; the
            network lacks what the method adapts; or `out` holds something else.
    """
    budget = Budget.of(minutes, EPOCHS if epochs is None else epochs, started)
    check_seed(seed)
    augmentation = None if augmentation is None else options.current_name(augmentation)
    model_dir, data = expanded(model_dir), expanded(data)
    run, split = _check(model_dir, source_site, target_site, method, augmentation)
    out = training_folder(out)
    if shuffled and not getattr(options.METHODS[method].load(), "adversarial", False):
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
        import pandas as pd

        from helpers.learn.batches import adaptation_batches
        from helpers.learn.devices import scope
        from helpers.tasks.adaptation.methods import Method, fit_adaptation
        from helpers.tasks.lungs.inference import CHUNK, LungSegmenter, build_network, score_radiographs

        network, size = load_network(model_dir, build_network), run["parameters"]["size"]
        xrays = read_chest(data, source_site).require(source_site)
        trained_on, tested = ([xray for xray in xrays if xray.id in side] for side in (split.train, split.test))
        if not tested:
            raise DataError(f"No X-ray of {source_site} on the test side of this split has a mask under {data}.")
        admit(tested, source_site, log)
        learned_or_validated = {*split.train, *split.validation}
        source = open_radiographs([x for x in xrays if x.id in learned_or_validated], out / "slices" / "source", size)
        target = open_unlabelled(data, target_site, _at_site(target_site, split.train), out / "slices" / "target", size)
        log(f"{len(trained_on)} radiographs of {source_site} with masks, {len(target.ids)} of {target_site} without.")
        for note in (*store_notes(source), *store_notes(target)):
            log(note)
        mean = read_mean_mask(model_dir)
        shutil.copy(model_dir / "mean_mask.png", out / "mean_mask.png")
        budget.reserve = seconds_to_score(
            lambda some: score_radiographs(LungSegmenter(network, size), mean, some, lambda done: None), tested, CHUNK
        )
        selector = _selector(source, split, target, seed, log)
        prepare = run.get("prepare")
        implementation = options.METHODS[method].load()
        if isinstance(implementation, Method):
            try:
                with scope(network):
                    step = implementation.build(network, **(settings or {}))
            except TypeError as error:
                raise DataError(f"settings {dict(settings or {})} do not fit {method}: {error}") from error
            shape = selector.shape if implementation.plausible else None
            teaching = _plausible(target, network, shape, log) if shape else target
            ids = [xray.id for xray in trained_on]
            transforms = augmentation or implementation.augmentation
            batches = partial(adaptation_batches, source, ids, teaching, BATCH, seed, transforms, shuffled)
            fit_adaptation(step, batches, implementation, budget, selector, out, log, checkpoint)
            network.set_weights(step.ema_network.get_weights())
        else:
            rows = [selector(network)]
            if method == "histogram":
                shares = implementation(read_image(xray.image) for xray in trained_on)
                prepare = {"histogram": [float(share) for share in shares]}
            else:
                implementation(network, target.images)
                rows.append(selector(network))
            history = pd.DataFrame([{"epoch": number, **row} for number, row in enumerate(rows)])
            write_text(history.to_csv(index=False), out / "history.csv")
        save_model(network, out / "model.keras")
        learned_from = {**run["learned_from"], **patient_hashes(target, target.ids)}
        shape = {"shape": run["shape"]} if "shape" in run else {}
        write_run(out, "lungs", parameters, split, learned_from, prepare=prepare, **shape)

    def score() -> None:  # at the source alone: the target's masks are for `evaluate`, where somebody has them
        evaluate_lungs(out, data, "test", source_site, out / "metrics.json", log)

    return run_training(out, parameters, budget, seed, learn, score, log)


def _check(
    model_dir: Path, source_site: str, target_site: str, method: str, augmentation: str | None
) -> tuple[dict, Split]:
    options.check(options.METHODS, method, "method")
    if augmentation is not None:
        options.check(options.AUGMENTATIONS, augmentation, "augmentation")
    for site in (source_site, target_site):
        if site not in PREFIXES:
            raise DataError(f"Unknown site {site!r}; this set has {' and '.join(PREFIXES)}.")
    run = {**read_run(model_dir, "lungs"), "learned_from": patients_learned_from(model_dir)}
    check_network(model_dir)
    read_mean_mask(model_dir)  # raises where it is damaged, before X-rays are read
    if (site := run["parameters"].get("site")) != source_site:
        raise DataError(
            f"{model_dir} was trained at {site}; it can be adapted from there, not from {source_site}. Train one at "
            f"{source_site}, or name another folder."
        )
    if "adapted" in run["parameters"]:
        raise DataError(f"{model_dir} is an adaptation itself; start from the model that it came from.")
    if method == "tent" and run["parameters"].get("normalisation") == "none":
        raise DataError(
            f"{model_dir} has no normalisation, which is all that tent moves. Train a model that has it (train lungs "
            "--normalisation batch), or choose another method."
        )
    if method == "statistics" and run["parameters"].get("normalisation", "batch") != "batch":
        raise DataError(
            f"{model_dir} has no batch normalisation, so it has no statistics that could be adapted. Train a model "
            "that has it (train lungs --normalisation batch), or choose another method."
        )
    split = read_split(model_dir)
    if not _at_site(target_site, split.train):
        raise DataError(
            f"The split of {model_dir} holds no radiograph of {target_site}; train where both hospitals lie."
        )
    return run, split


def _at_site(site: str, ids: Sequence[str]) -> list[str]:
    """The ids of a hospital, recognised by their prefix; no file is opened."""
    return [identity for identity in ids if identity.startswith(PREFIXES[site])]


def _plausible(
    target: UnlabelledStore, network: "keras.Model", shape: ShapeCheck, log: Callable[[str], None]
) -> UnlabelledStore:
    """The radiographs of which a network's outlines are plausible, but no fewer than half of all.

    A teacher's outline that is no pair of lungs would be learned by heart. The model that one starts from decides, as
    later errors are those that it was taught.
    """
    from helpers.tasks.adaptation.model_selection import lung_probabilities
    from helpers.tasks.lungs.inference import THRESHOLD

    faults = np.array([len(shape.faults(one > THRESHOLD)) for one in lung_probabilities(network, target.images)])
    kept = np.argsort(faults, kind="stable")[: max((faults == 0).sum(), -(-len(faults) // 2))]
    log(f"The outlines of {(faults > 0).sum()} of {len(faults)} radiographs are implausible; {len(kept)} teach.")
    rows = np.sort(kept)
    return target.subset([identity for number, identity in enumerate(target.ids) if number in set(rows)])


def _selector(
    source: Store, split: Split, target: UnlabelledStore, seed: int, log: Callable[[str], None]
) -> "ModelSelector":
    from helpers.tasks.adaptation.model_selection import MAX_RADIOGRAPHS, ModelSelector

    validation, train = (
        [identity for identity in ids if identity in source.patients] for ids in (split.validation, split.train)
    )
    shape = ShapeCheck.fit(source.soft_labels[source.rows(train), ..., 1] > 127)
    if shape is None:
        log(f"{len(train)} masks of the source teach no shape of lungs: every outline counts as plausible.")
    radiographs = np.random.default_rng([seed, 4]).permutation(len(target.images))[:MAX_RADIOGRAPHS]
    rows = source.rows(validation)
    return ModelSelector(source.images[rows], source.soft_labels[rows], shape, target.images[np.sort(radiographs)])
