"""Lung segmentation as commands: train on the X-rays of one hospital or of both, evaluate a model in either."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from helpers.data.chest import (
    PREFIXES,
    SITES,
    ChestCatalogue,
    XRay,
    read_chest,
)
from helpers.data.pictures import read_image
from helpers.data.plausibility import sentences
from helpers.data.radiographs import open_radiographs, radiograph_hash, split_radiographs, store_notes
from helpers.data.splits import Split
from helpers.learn.budget import Budget
from helpers.learn.checkpoint import Checkpoint
from helpers.learn.finetuning import SHARE, Start, encoder_rate
from helpers.learn.run_folder import (
    check_network,
    load_network,
    patient_hashes,
    read_run,
    run_training,
    save_model,
    training_folder,
    write_run,
)
from helpers.learn.test_cases import check_split, score_provenance, seconds_to_score, select_test_cases
from helpers.measure.radiographs import by_site
from helpers.runtime import options
from helpers.runtime.disk import atomic_path, write_json
from helpers.runtime.errors import DataError
from helpers.runtime.machine import parse_devices
from helpers.runtime.outputs import writable_file
from helpers.runtime.settings import check_filters, check_seed, check_size, expanded
from helpers.runtime.threads import map_threads

if TYPE_CHECKING:
    from helpers.tasks.lungs.inference import LungSegmenter

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
    seed: int = 0,
    started: float | None = None,
    log: Log = print,
    split: Split | None = None,
    epochs: int | None = None,
    devices: str = "auto",
    start: Start | None = None,
) -> Path:
    """Train the U-Net on the X-rays of a hospital, and score it on the test X-rays of every hospital there is.

    Args:
        data: the folder of the X-rays.
        out: receives the files that `helpers.learn.run_folder` lists, and `mean_mask.png`, the mean of the training
            masks, which thresholded at one half is the trivial prediction. A training with the same parameters that is
            finished is left as it is; one that was stopped is resumed.
        site: "montgomery", "shenzhen" or "both".
        size: pixels along each side of the network's square input.
        filters: features of the U-Net's first level.
        normalise: with batch normalisation.
        augmentation: a name in `helpers.runtime.options.AUGMENTATIONS`.
        loss: a name in `helpers.runtime.options.LOSSES`.
        minutes: wall time from `started` until the folder is finished.
        seed: of the split, the initial weights, the order of X-rays and their augmentation.
        started: the moment from which minutes count, as `time.monotonic` gives it; now without.
        log: called with a line of progress.
        split: training, validation and test X-rays of both hospitals; made from ids and seed if none is given.
        epochs: of 20 steps; where no minutes are given. Without either, 500 steps.
        devices: where to train, see `helpers.learn.devices.configure`.
        start: the model to go on with, of the same size, filters and normalisation; a new network without.

    Returns:
        `out`.

    Raises:
        DataError: a setting is out of range, there is no such site, or `out` cannot be written (found before anything
            is read); the data cannot be used as it is (each finding is named), a hospital is not among them, or `out`
            holds another training.
    """
    names = sites(site)
    check_size(size)
    check_filters(filters)
    check_seed(seed)
    parse_devices(devices)
    budget = Budget.of(minutes, EPOCHS if epochs is None else epochs, started)
    options.check(options.LOSSES, loss, "loss")
    options.check(options.AUGMENTATIONS, augmentation, "augmentation")
    augmentation = options.current_name(augmentation)
    asked = None if site == BOTH else site
    out = training_folder(out)
    catalogue = read_chest(expanded(data)).skip_beyond(asked)
    catalogue.require(asked)  # refuses files of no hospital too, where both are asked for: they would stop the scoring
    xrays = [xray for name in names for xray in catalogue.require(name)]
    split = split or split_radiographs(catalogue.xrays, seed)
    training_split = _training_split(xrays, split)
    parameters = {
        "site": site,
        "size": size,
        "filters": filters,
        "normalise": normalise,
        "augmentation": augmentation,
        "loss": loss,
        "minutes": minutes,
        "epochs": budget.epochs,
        "seed": seed,
        "split": split.digest,
        **(start.as_parameters() if start else {}),
    }

    admitted: list[XRay] = []

    def learn(checkpoint: Checkpoint) -> None:
        from helpers.learn.devices import scope
        from helpers.learn.learning_rate import LEARNING_RATE
        from helpers.tasks.lungs.inference import CHUNK, LungSegmenter, build_network, score_radiographs
        from helpers.tasks.lungs.training import fit_lungs

        for note in catalogue.notes:
            log(f"Note: {note}.")
        admitted[:] = tested = _admit(catalogue, split, asked, log)
        used = {*training_split.train, *training_split.validation}
        store = open_radiographs(
            [*(xray for xray in xrays if xray.id in used), *(start.rehearsed if start else ())],
            out / "slices",
            size,
            lambda done, total: log(f"prepared {done} of {total} X-rays") if done % 50 == 0 or done == total else None,
        )
        for note in store_notes(store):
            log(note)
        with scope():
            network = load_network(start.folder, build_network) if start else build_network(parameters)
        rate = LEARNING_RATE * SHARE if start else LEARNING_RATE
        mean = np.rint(store.soft_labels[store.rows(training_split.train), ..., 1].mean(axis=0)).astype(np.uint8)
        segmenter = LungSegmenter(network, size)
        budget.reserve = seconds_to_score(
            lambda some: score_radiographs(segmenter, mean / 255, some, lambda done: None), tested, CHUNK
        )
        further = {"encoder_rate": encoder_rate(start), "rehearsed": start.ids if start else ()}
        fit_lungs(network, store, training_split, budget, augmentation, loss, rate, seed, log, checkpoint, **further)
        save_model(network, out / "model.keras")
        with atomic_path(out / "mean_mask.png") as scratch:
            Image.fromarray(mean).save(scratch)
        provenance = {"learned_from": patient_hashes(store, sorted(used))}
        write_run(out, "lungs", parameters, split, **(start.with_provenance(provenance) if start else provenance))

    def score() -> None:
        from helpers.tasks.lungs.inference import LungSegmenter

        _score(LungSegmenter.load(out), out, "test", admitted, out / "metrics.json", log)

    return run_training(out, parameters, budget, seed, learn, score, log, devices)


def evaluate_lungs(
    model_dir: str | os.PathLike,
    data: str | os.PathLike,
    split: str = "test",
    site: str = BOTH,
    json_path: str | os.PathLike | None = None,
    log: Log = print,
) -> dict:
    """Score a trained model on the X-rays under `data`, each on its own grid.

    Args:
        model_dir: folder of a `train lungs`, or of an adaptation.
        data: the folder of the X-rays.
        split: "test", the test X-rays of the training; or "all", every X-ray of a folder that the model never saw.
            Those without a mask are not scored.
        site: a hospital, or "both" for whichever are there.
        json_path: where to write the result as well.
        log: called with a line of progress.

    Returns:
        What `helpers.measure.radiographs.by_site` gives, and `run`, the provenance.

    Raises:
        DataError: as `helpers.learn.test_cases.select_test_cases`; or there is no mask to score with, the folder of the
            model is damaged, there is no such site, or `json_path` cannot be written.
    """
    names, json_path = sites(site), writable_file(json_path) if json_path else None
    read_run(model_dir, "lungs")
    check_network(model_dir)
    read_mean_mask(model_dir)  # raises where it is damaged, before X-rays are read
    where, prefix = (None, "") if len(names) > 1 else (site, PREFIXES[site])
    check_split(model_dir, split, prefix)
    catalogue = read_chest(expanded(data), where).skip_beyond(where)
    for note in catalogue.notes:
        log(f"Note: {note}.")
    radiographs = catalogue.require(where, mask=False)
    selected = select_test_cases(
        model_dir, data, split, radiographs, lambda xray: radiograph_hash(read_image(xray.image)), prefix
    )
    with_mask = set(catalogue.require(where))
    scored = [xray for xray in selected if xray in with_mask]
    if not scored:
        raise DataError(
            f"None of the {len(selected)} X-rays to score under {data} has a mask; give a folder with masks."
        )
    from helpers.tasks.lungs.inference import LungSegmenter

    return _score(LungSegmenter.load(model_dir), model_dir, split, scored, json_path, log)


def sites(site: str) -> tuple[str, ...]:
    """The hospitals that a name stands for.

    Args:
        site: "montgomery", "shenzhen" or "both".

    Raises:
        DataError: there is no such site.
    """
    if site not in (BOTH, *SITES.values()):
        raise DataError(f"site {site!r}; expected {', '.join(SITES.values())} or {BOTH}.")
    return tuple(SITES.values()) if site == BOTH else (site,)


def read_mean_mask(model_dir: str | os.PathLike) -> np.ndarray:
    """The mean of the training masks, thresholded at one half the trivial prediction.

    Args:
        model_dir: folder of a `train lungs`, or of an adaptation.

    Returns:
        (size, size) float32, from 0 to 1.

    Raises:
        DataError: `mean_mask.png` is missing, damaged, or of another size than the model's input.
    """
    path, size = expanded(model_dir) / "mean_mask.png", read_run(model_dir, "lungs")["parameters"]["size"]
    cure = "restore it from a copy, or train again."
    try:
        with Image.open(path) as image:
            if (found := (image.mode, *image.size)) == ("L", size, size):
                return np.asarray(image, np.float32) / 255
    except Exception as error:  # Pillow raises what it likes on a damaged file
        raise DataError(f"{path} cannot be read ({error}); {cure}") from error
    raise DataError(f"{path} is {found[0]} of {found[1]} x {found[2]} pixels; expected L of {size} x {size}; {cure}")


def admit(tested: Sequence[XRay], asked: str | None, log: Log) -> list[XRay]:
    """Read the X-rays that a training will score to their end: a bad one is found before the first step.

    Args:
        tested: the X-rays.
        asked: the hospital that was asked for; None for both. Bad X-rays of the other are left out, with a word.
        log: called with a line for each that is left out.

    Returns:
        Those that can be scored.

    Raises:
        DataError: one that is asked for cannot be used.
    """

    def fault(xray: XRay) -> str | None:
        try:
            read_image(xray.image)
        except DataError as error:
            return str(error)
        return None

    faults = {xray: found for xray, found in zip(tested, map_threads(fault, tested), strict=True) if found}
    if needed := [found for xray, found in faults.items() if asked in (None, xray.site)]:
        error = DataError.listing(f"{len(needed)} test X-rays cannot be used; mend or remove these files:", needed)
        raise error
    for xray, found in faults.items():
        log(f"Note: {xray.id} of {xray.site}, which was not asked for, is not scored: {found}")
    return [xray for xray in tested if xray not in faults]


def _admit(catalogue: ChestCatalogue, split: Split, asked: str | None, log: Log) -> list[XRay]:
    """The X-rays that will be scored, see `admit`.

    Raises:
        DataError: test X-rays are missing, one that is asked for cannot be used, or none has a mask.
    """
    test, there = set(split.test), {xray.id for xray in catalogue.xrays}
    if missing := sorted(test - there):
        heading = f"{len(missing)} test X-rays of the split are not under {catalogue.folder}; give the folder it is of:"
        error = DataError.listing(heading, missing)
        raise error
    tested = admit([xray for xray in catalogue.xrays if xray.id in test and xray.mask], asked, log)
    if not tested:
        raise DataError(f"No X-ray on the test side of this split has a mask under {catalogue.folder}.")
    return tested


def score_lungs(by: Mapping[str, Path], xrays: Sequence[XRay], log: Log = print) -> dict:
    """Score models on given X-rays, each X-ray by the model of a folder.

    Args:
        by: the folder of the model, by id of the X-ray.
        xrays: with masks.
        log: called with a line of progress.

    Returns:
        What `helpers.measure.radiographs.by_site` gives.
    """
    from helpers.tasks.lungs.inference import LungSegmenter, score_radiographs

    rows = []
    for folder in dict.fromkeys(by[xray.id] for xray in xrays):
        some = [xray for xray in xrays if by[xray.id] == folder]
        segmenter, mean, before = LungSegmenter.load(folder), read_mean_mask(folder), len(rows)
        rows += score_radiographs(
            segmenter, mean, some, lambda done, before=before: log(f"scored {before + done} of {len(xrays)} X-rays")
        )
    return by_site(rows)


def _score(
    segmenter: "LungSegmenter",
    model_dir: str | os.PathLike,
    split: str,
    scored: Sequence[XRay],
    json_path: str | os.PathLike | None,
    log: Log,
) -> dict:
    """Score a model on X-rays with masks, and write the result."""
    from helpers.tasks.lungs.inference import score_radiographs

    notes: dict[str, tuple[str, ...]] = {}
    rows = score_radiographs(
        segmenter, read_mean_mask(model_dir), scored, lambda done: log(f"scored {done} of {len(scored)} X-rays"), notes
    )
    for note in sentences(notes.items()):
        log(note)
    result = {**by_site(rows), "run": score_provenance(model_dir, split, scored)}
    if json_path:
        write_json(result, expanded(json_path))
    return result


def _training_split(xrays: Sequence[XRay], split: Split) -> Split:
    """The training and validation sides of a split, of these X-rays alone; no test side.

    Raises:
        DataError: no X-ray is on the training side.
    """
    present = {xray.id for xray in xrays}
    train, validation = ([i for i in side if i in present] for side in (split.train, split.validation))
    if not train:
        raise DataError(f"None of the {len(present)} X-rays with a mask is on the training side of this split.")
    return Split(tuple(sorted(train)), tuple(validation), (), split.seed)
