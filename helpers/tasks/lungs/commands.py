"""The lungs as two commands: train on the X-rays of one hospital or of both, score a model in either."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.data.chest import PREFIXES, SITES, ChestCatalogue, XRay, read_chest
from helpers.data.pictures import read_image
from helpers.data.radiographs import open_radiographs, radiograph_hash, split_radiographs
from helpers.data.splits import Split, load_split, shuffled
from helpers.learn.budget import LEARNING_RATE, Budget
from helpers.learn.checkpoint import Checkpoint
from helpers.learn.devices import scope
from helpers.learn.run_folder import load_network, patient_hashes, read_run, run_training, save_model, write_run
from helpers.learn.test_cases import score_provenance, seconds_to_score, select_test_cases
from helpers.measure.radiographs import by_site
from helpers.models.unet import unet
from helpers.runtime import options
from helpers.runtime.disk import atomic_path, write_json
from helpers.runtime.errors import DataError
from helpers.tasks.lungs.inference import CHUNK, LungSegmenter, score_radiographs
from helpers.tasks.lungs.training import fit_lungs

BOTH = "both"
"""Name of the two hospitals together."""

EPOCHS = 25
"""How long to train where no minutes are given; 500 steps."""

Log = Callable[[str], None]


def train_lungs(
    data: str | os.PathLike,
    out: str | os.PathLike,
    site: str = BOTH,
    size: int = 128,
    filters: int = 16,
    normalise: bool = False,
    augmentation: str = "xray",
    loss: str = "dice+cross-entropy",
    minutes: float | None = None,
    init: str | os.PathLike | None = None,
    labelled: int | None = None,
    seed: int = 0,
    started: float | None = None,
    log: Log = print,
    split: Split | None = None,
    epochs: int | None = None,
    devices: str = "auto",
) -> Path:
    """Train the U-Net on the X-rays of a hospital, and score it on X-rays kept out, in every hospital there is.

    Args:
        out: receives what `helpers.learn.run_folder` lists, and `mean_mask.png`, the mean of the training masks, which
            cut at one half is the trivial outline. A training with the same parameters that is finished is left as it
            is; one that was stopped goes on.
        site: "montgomery", "shenzhen" or "both".
        size: pixels along each side of the square that the network sees.
        filters: features of the U-Net's first level. normalise: with batch normalisation.
        augmentation, loss: names in `helpers.prepare.augment.AUGMENTATIONS` and `helpers.learn.losses.LOSSES`.
        minutes: wall time from `started` (else from now) until the folder is finished; or epochs: of 20 steps. Without
            either, 500 steps.
        init: a folder with the model to begin with, which brings its own size, filters and normalisation; the learning
            rate is then a third of the usual one.
        labelled: learn from so many training X-rays alone, the first in the seed's order. No validation X-ray is then
            looked at: nobody who has K outlined radiographs has others to watch the training by.
        split: who trains, validates and tests in both hospitals; that of `init`, else one made from ids and seed.
        log: told what happens, a line at a time.

    Raises:
        DataError: the data cannot be used as it is (each finding is named), a hospital is not among them, or `out`
            holds another training.
        ValueError: there is no such site, or `labelled` is below 1.
    """
    budget = Budget.of(minutes, EPOCHS if epochs is None else epochs, started)
    options.check(options.LOSSES, loss, "loss")
    options.check(options.AUGMENTATIONS, augmentation, "augmentation")
    augmentation = options.current_name(augmentation)
    out, catalogue = Path(out), read_chest(data)
    xrays = [xray for name in sites(site) for xray in catalogue.require(name)]
    before = _initial_run(init)
    if init:
        size, filters, normalise = (before["parameters"][key] for key in ("size", "filters", "normalise"))
    split = split or _split(catalogue, xrays, seed, init)
    if told := sorted(set(split.test) & set(before["learned_from"])):
        raise DataError.listing(f"{init} learned from {len(told)} X-rays that this split tests; give its split:", told)
    learns = _training_split(xrays, split, labelled, seed)
    parameters = {
        "site": site,
        "size": size,
        "filters": filters,
        "normalise": normalise,
        "augmentation": augmentation,
        "loss": loss,
        "minutes": minutes,
        "epochs": budget.epochs,
        "init": str(init) if init else None,
        "labelled": labelled,
        "seed": seed,
        "split": split.digest,
    }

    def learn(checkpoint: Checkpoint) -> None:
        chosen = {*learns.train, *learns.validation}
        store = open_radiographs(
            [xray for xray in xrays if xray.id in chosen],
            out / "slices",
            size,
            lambda done, total: log(f"prepared {done} of {total} X-rays") if done % 50 == 0 or done == total else None,
        )
        with scope():
            network = load_network(init) if init else unet(size, 1, 1, filters, normalise=normalise)
        rate = LEARNING_RATE / 3 if init else LEARNING_RATE
        mean = np.rint(store.soft_labels[store.rows(learns.train), ..., 1].mean(axis=0)).astype(np.uint8)
        tested = [xray for xray in catalogue.xrays if xray.id in set(split.test) and xray.mask]
        if not tested:
            raise DataError(f"No X-ray on the test side of this split has a mask under {catalogue.folder}.")
        segmenter = LungSegmenter(network, size)
        budget.reserve = seconds_to_score(
            lambda some: score_radiographs(segmenter, mean / 255, some, lambda done: None), tested, CHUNK
        )
        fit_lungs(network, store, learns, budget, augmentation, loss, rate, seed, log, checkpoint)
        save_model(network, out / "model.keras")
        with atomic_path(out / "mean_mask.png") as scratch:
            Image.fromarray(mean).save(scratch)
        learned_from = {**before["learned_from"], **patient_hashes(store, sorted(chosen))}
        write_run(out, "lungs", parameters, split, learned_from)

    def score() -> None:
        evaluate_lungs(out, data, "test", json_path=out / "metrics.json", log=log)

    return run_training(out, parameters, budget, seed, learn, score, log, devices)


def evaluate_lungs(
    model_dir: str | os.PathLike,
    data: str | os.PathLike,
    split: str = "test",
    site: str = BOTH,
    json_path: str | os.PathLike | None = None,
    log: Log = print,
) -> dict:
    """Score a trained folder on the X-rays under `data`, each on its own grid.

    Args:
        split: "test", the X-rays that training kept out; or "all", every X-ray of a folder the model never saw. Those
            without a mask are not scored.
        site: a hospital, or "both" for whichever are there.
        json_path: where to write the result as well.

    Returns:
        What `helpers.measure.radiographs.by_site` gives, and `run`.

    Raises:
        DataError: as `helpers.learn.test_cases.select_test_patients`; or there is no mask to score with.
    """
    segmenter = LungSegmenter.load(model_dir)
    names = sites(site)
    where, prefix = (None, "") if len(names) > 1 else (site, PREFIXES[site])
    catalogue = read_chest(data, where)
    radiographs = catalogue.require(where, mask=False)
    chosen = select_test_cases(
        model_dir, data, split, radiographs, lambda xray: radiograph_hash(read_image(xray.image)), prefix
    )
    outlined = set(catalogue.require(where))
    scored = [xray for xray in chosen if xray in outlined]
    if not scored:
        raise DataError(f"None of the {len(chosen)} X-rays to score under {data} has a mask; give a folder with masks.")
    mean = np.asarray(Image.open(Path(model_dir) / "mean_mask.png"), np.float32) / 255
    rows = score_radiographs(segmenter, mean, scored, lambda done: log(f"scored {done} of {len(scored)} X-rays"))
    result = {**by_site(rows), "run": score_provenance(model_dir, split, scored)}
    if json_path:
        write_json(result, Path(json_path))
    return result


def sites(site: str) -> tuple[str, ...]:
    """The hospitals that a name stands for.

    Raises:
        ValueError: for none.
    """
    if site not in (BOTH, *SITES.values()):
        raise ValueError(f"site {site!r}; expected {', '.join(SITES.values())} or {BOTH}.")
    return tuple(SITES.values()) if site == BOTH else (site,)


def _initial_run(init: str | os.PathLike | None) -> dict:
    """The run of the model to begin with."""
    run = read_run(init, "lungs") if init else {"learned_from": {}}
    if run.get("prepare"):
        raise DataError(
            f"{init} sees radiographs in other greys ({', '.join(run['prepare'])}); begin with a model that does not."
        )
    return run


def _split(catalogue: ChestCatalogue, xrays: Sequence[XRay], seed: int, init: str | os.PathLike | None) -> Split:
    """That of the model to begin with if it knows these X-rays, else one of all there are, with a mask or without."""
    if init:
        held = load_split(Path(init) / "split.json")
        if {xray.id for xray in xrays} <= {*held.train, *held.validation, *held.test}:
            return held
    return split_radiographs(catalogue.xrays, seed)


def _training_split(xrays: Sequence[XRay], split: Split, labelled: int | None, seed: int) -> Split:
    """Whom to learn from and whom to watch, of these X-rays."""
    there = {xray.id for xray in xrays}
    train, validation = ([i for i in side if i in there] for side in (split.train, split.validation))
    if labelled is not None:
        if labelled < 1:
            raise ValueError(f"labelled is {labelled}; expected at least 1 X-ray to learn from.")
        if labelled > len(train):
            raise DataError(f"{labelled} X-rays to learn from were asked for; the training side has {len(train)}.")
        train, validation = sorted(train, key=lambda identity: shuffled(identity, seed))[:labelled], []
    if not train:
        raise DataError(f"None of the {len(there)} X-rays with a mask is on the training side of this split.")
    return Split(tuple(sorted(train)), tuple(validation), (), seed)
