"""Lung segmentation as commands: train on the X-rays of one hospital or of both, evaluate a model in either."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

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
from helpers.learn.cross_validation import check_folds, cross_validate, everybody, final_epochs
from helpers.learn.finetuning import SHARE, Start, encoder_rate
from helpers.learn.run_folder import (
    check_network,
    load_network,
    member_folders,
    patient_hashes,
    read_metrics,
    read_run,
    run_training,
    save_model,
    scoring_folders,
    training_folder,
    write_run,
)
from helpers.learn.test_cases import check_split, score_provenance, seconds_to_score, select_test_cases
from helpers.measure.radiographs import by_site
from helpers.runtime import options
from helpers.runtime.disk import atomic_path, write_json
from helpers.runtime.errors import DataError
from helpers.runtime.machine import parse_devices
from helpers.runtime.outputs import writable_file, writable_folder
from helpers.runtime.settings import check_filters, check_seed, check_size, expanded
from helpers.runtime.threads import map_threads
from helpers.tasks.lungs.shape import ShapeCheck, united

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
    normalisation: str = "none",
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
    slices: str | os.PathLike | None = None,
    cross_validated: str | os.PathLike | None = None,
) -> Path:
    """Train the U-Net on the X-rays of a hospital, and score it on the test X-rays of every hospital there is.

    Args:
        data: the folder of the X-rays.
        out: receives the files that `helpers.learn.run_folder` lists, and `mean_mask.png`, the mean of the training
            masks, which thresholded at one half is the trivial prediction; `run.json` also has the ranges of
            `helpers.tasks.lungs.shape`. A training with the same parameters that is
            finished is left as it is; one that was stopped is resumed.
        site: "montgomery", "shenzhen" or "both".
        size: pixels along each side of the network's square input.
        filters: features of the U-Net's first level.
        normalisation: a name in `helpers.runtime.options.NORMALISATIONS`.
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
        slices: folder of the store of all X-rays of the site, made if it is missing; in `out`, of those that are
            needed, for the time of the training, if none is given.
        cross_validated: folder of finished folds. The training is then their final one: on all X-rays, for as many
            steps. None is left to validate or test on, so scores are those of the folds.

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
    options.check(options.NORMALISATIONS, normalisation, "normalisation")
    options.check(options.AUGMENTATIONS, augmentation, "augmentation")
    augmentation = options.current_name(augmentation)
    asked = None if site == BOTH else site
    out = training_folder(out)
    catalogue = read_chest(expanded(data)).skip_beyond(asked)
    catalogue.require(asked)  # refuses files of no hospital too, where both are asked for: they would stop the scoring
    xrays = [xray for name in names for xray in catalogue.require(name)]
    if cross_validated:
        split = everybody(xrays, seed)
        budget = Budget(epochs=final_epochs(cross_validated, None))
    split = split or split_radiographs(catalogue.xrays, seed)
    training_split = _training_split(xrays, split)
    parameters = {
        "site": site,
        "size": size,
        "filters": filters,
        "normalisation": normalisation,
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
        if not cross_validated:
            admitted[:] = _admit(catalogue, split, asked, log)
        used = {*training_split.train, *training_split.validation}
        store = open_radiographs(
            [*(xray for xray in xrays if slices or xray.id in used), *(start.rehearsed if start else ())],
            slices or out / "slices",
            size,
            lambda done, total: log(f"prepared {done} of {total} X-rays") if done % 50 == 0 or done == total else None,
        )
        for note in store_notes(store):
            log(note)
        with scope():
            network = load_network(start.folder, build_network) if start else build_network(parameters)
        rate = LEARNING_RATE * SHARE if start else LEARNING_RATE
        learned_masks = store.soft_labels[store.rows(training_split.train), ..., 1]  # (radiographs, size, size)
        mean = np.rint(learned_masks.mean(axis=0)).astype(np.uint8)
        segmenter = LungSegmenter(network, size)
        if budget.seconds is not None:
            budget.reserve = seconds_to_score(
                lambda some: score_radiographs(segmenter, mean / 255, some, lambda done: None), admitted, CHUNK
            )
        further = {"encoder_rate": encoder_rate(start), "rehearsed": start.ids if start else ()}
        fit_lungs(network, store, training_split, budget, augmentation, loss, rate, seed, log, checkpoint, **further)
        save_model(network, out / "model.keras")
        with atomic_path(out / "mean_mask.png") as scratch:
            Image.fromarray(mean).save(scratch)
        provenance = {"learned_from": patient_hashes(store, sorted(used))}
        checks = [ShapeCheck.fit(learned_masks > 127), ShapeCheck.load(start.folder) if start else None]
        if shape := united([check for check in checks if check]):
            provenance["shape"] = shape.as_json()
        write_run(out, "lungs", parameters, split, **(start.with_provenance(provenance) if start else provenance))

    def score() -> None:
        if cross_validated:
            write_json(read_metrics(cross_validated), out / "metrics.json")
        else:
            _score(out, "test", admitted, out / "metrics.json", log)

    return run_training(out, parameters, budget, seed, learn, score, log, devices)


def train_lungs_folds(
    data: str | os.PathLike,
    out: str | os.PathLike,
    folds: int,
    site: str = BOTH,
    seed: int = 0,
    final: bool = False,
    log: Log = print,
    **settings: Any,
) -> dict:
    """Cross-validation: train `folds` models, so that every X-ray is tested once, by a model that never saw it.

    Together they are an ensemble, as those of `helpers.tasks.brain.commands.train_brain_folds` are. Folds that are
    finished in `out` are not trained again, so the same command resumes.

    Args:
        data: the folder of the X-rays.
        out: receives a folder for each fold, `metrics.json`, and the `run.json` of the ensemble.
        folds: how many, of each hospital's X-rays.
        site: "montgomery", "shenzhen" or "both".
        seed: of the split, and of each training.
        final: train one more on all X-rays of the site, in `out/final`; its expected scores are those of the folds.
        log: called with a line of progress.
        settings: further arguments of `train_lungs`; `minutes` counts for all trainings together.

    Returns:
        What `evaluate_lungs` returns, over the test X-rays of all folds; also written to `out/metrics.json`.

    Raises:
        DataError: as `train_lungs`; or a hospital has fewer X-rays than folds.
    """
    check_folds(folds)
    check_seed(seed)
    asked = None if sites(site) == sites(BOTH) else site
    catalogue = read_chest(expanded(data)).skip_beyond(asked)
    catalogue.require(asked)
    splits = {
        f"fold_{fold + 1}_of_{folds}": split_radiographs(catalogue.xrays, seed, folds, fold) for fold in range(folds)
    }

    def pool(results: list[dict]) -> dict:
        return by_site([image for result in results for image in result["images"]])

    further = {"data": data, "site": site, **settings}
    return cross_validate(train_lungs, pool, splits, writable_folder(out), seed, final=final, log=log, **further)


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
        split: "test", the test X-rays of the training; or "all", every X-ray of a folder that the model never saw,
            those of other hospitals too, as "external". Those without a mask are not scored.
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
    external = split == "all" and where is None
    catalogue = read_chest(expanded(data), where, external).skip_beyond(where)
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
    return _score(model_dir, split, scored, json_path, log)


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
    """The mean of the training masks, thresholded at one half the trivial prediction; of an ensemble its members' mean.

    Args:
        model_dir: folder of a `train lungs`, of its folds, or of an adaptation.

    Returns:
        (size, size) float32, from 0 to 1.

    Raises:
        DataError: `mean_mask.png` is missing, damaged, or of another size than the model's input.
    """
    return np.mean([_mean_mask(member) for member in member_folders(model_dir)], axis=0, dtype=np.float32)


def _mean_mask(folder: Path) -> np.ndarray:
    path, size = folder / "mean_mask.png", read_run(folder, "lungs")["parameters"]["size"]
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

    rows: list[dict] = []
    notes: dict[str, tuple[str, ...]] = {}
    for folder in dict.fromkeys(by[xray.id] for xray in xrays):
        some = [xray for xray in xrays if by[xray.id] == folder]
        segmenter, mean, before = LungSegmenter.load(folder), read_mean_mask(folder), len(rows)
        rows += score_radiographs(
            segmenter,
            mean,
            some,
            lambda done, before=before: log(f"scored {before + done} of {len(xrays)} X-rays"),
            notes,
        )
    for note in sentences(notes.items()):
        log(note)
    return by_site(rows)


def _score(
    model_dir: str | os.PathLike,
    split: str,
    scored: Sequence[XRay],
    json_path: str | os.PathLike | None,
    log: Log,
) -> dict:
    """Score a model on X-rays with masks, and write the result; of an ensemble each by the fold that never saw it."""
    by = scoring_folders(model_dir) if split == "test" else dict.fromkeys((xray.id for xray in scored), model_dir)
    result = {**score_lungs(by, scored, log), "run": score_provenance(model_dir, split, scored)}
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
