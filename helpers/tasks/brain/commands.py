"""Brain tumour segmentation as commands: train on a folder of patients, evaluate a model, segment a patient."""

import os
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.data.brats import MODALITIES, Patient, read_catalogue, reading_notes
from helpers.data.patients import Refusal, select_patients
from helpers.data.resample import Grid
from helpers.data.splits import Split, make_split
from helpers.data.store import open_store
from helpers.data.volumes import Scan, read_scan, unusual_voxels, write_segmentation
from helpers.learn.budget import Budget
from helpers.learn.checkpoint import Checkpoint
from helpers.learn.cross_validation import check_folds, cross_validate, everybody, final_epochs, fold_splits
from helpers.learn.finetuning import SHARE, Start, encoder_rate
from helpers.learn.run_folder import (
    check_network,
    load_network,
    read_metrics,
    read_run,
    run_training,
    scoring_folders,
    training_folder,
    training_provenance,
    write_run,
)
from helpers.learn.test_cases import check_split, score_provenance, seconds_to_score, select_test_patients
from helpers.measure.evaluate import evaluate, summarise_patients
from helpers.measure.overlap import dice
from helpers.measure.regions import REGIONS, mask
from helpers.runtime.disk import explain_full_disk, write_json
from helpers.runtime.errors import DataError
from helpers.runtime.machine import parse_devices
from helpers.runtime.outputs import scratch_folder, writable_file, writable_folder
from helpers.runtime.settings import check_filters, check_names, check_seed, check_size, expanded
from helpers.runtime.threads import map_threads
from helpers.tasks.brain.prediction_record import PredictionRecord
from helpers.tasks.brain.recipe import DEFAULT, Recipe, needed_modalities

if TYPE_CHECKING:
    from helpers.tasks.brain.inference import Segmenter

EPOCHS = 30
"""How long to train where no minutes are given."""

Log = Callable[[str], None]


def train_brain(
    data: str | os.PathLike,
    out: str | os.PathLike,
    modalities: tuple[str, ...] = ("flair", "t1ce"),
    size: int = 96,
    filters: int = 16,
    minutes: float | None = None,
    recipe: Recipe | None = None,
    seed: int = 0,
    started: float | None = None,
    log: Log = print,
    split: Split | None = None,
    slices: str | os.PathLike | None = None,
    devices: str = "auto",
    cross_validated: str | os.PathLike | None = None,
    epochs: int = EPOCHS,
    steps: int | None = None,
    start: Start | None = None,
    stored: Sequence[Patient] | None = None,
) -> Path:
    """Train the U-Net on the patients under `data`, and score it on test patients.

    Args:
        data: the folder of the patients.
        out: receives `model.keras`, `run.json` (parameters, versions, hashes of the training patients), `split.json`,
            `history.csv` and `metrics.json`. A training with the same parameters that is finished is left as it is; one
            that was stopped is resumed.
        modalities: the volumes that are the network's input; patients that lack one are left out.
        size: pixels along each side of the 192 mm window.
        filters: features of the U-Net's first level.
        minutes: wall time from `started` until the folder is finished; `epochs` without it.
        recipe: loss, augmentation, sampling of slices and batch size; the default one if none is given.
        seed: of the split, the initial weights, the order of slices and their augmentation.
        started: the moment from which minutes count, as `time.monotonic` gives it; now without.
        log: called with a line of progress.
        split: training, validation and test patients; made from ids and seed if none is given.
        slices: folder of the slice store, made if it is missing; in `out`, for the time of the training, if none is
            given.
        devices: where to train, see `helpers.learn.devices.configure`.
        cross_validated: folder of finished folds of this recipe. The training is then their final one: on all patients,
            for as many steps as the folds' median best. None is left to validate or test on, so calibration and scores
            are those of the folds.
        epochs: how long where no minutes are given.
        steps: batches in an epoch; without, as many as show as many slices as the training patients have.
        start: the model to go on with, of the same modalities, size and filters; a new network without.
        stored: the patients of the slice store, `split`'s and more, so that several trainings share it; all under
            `data` without.

    Returns:
        `out`.

    Raises:
        DataError: a setting is out of range or `out` cannot be written (found before anything is read), the data cannot
            be used as it is (each finding is named), or `out` holds another training.
    """
    _check_settings(modalities, size, filters, minutes, seed, devices)
    budget = Budget.of(minutes, epochs, started)
    out, grid = training_folder(out), Grid(size)
    patients = tuple(stored or read_catalogue(expanded(data)).require(modalities))
    patients += tuple(one for one in (start.rehearsed if start else ()) if one not in patients)
    if cross_validated:
        split = everybody(patients, seed)
        budget = Budget(epochs=final_epochs(cross_validated, len(patients), "val_dice"))
    split, recipe = split or make_split(patients, seed), recipe or DEFAULT
    parameters = {
        "modalities": list(modalities),
        "size": size,
        "extent_mm": grid.extent_mm,
        "filters": filters,
        "minutes": minutes,
        "recipe": recipe.as_parameters(),
        "seed": seed,
        "split": split.digest,
        **({"epochs": budget.epochs} if cross_validated or epochs != EPOCHS else {}),
        **({"steps": steps} if steps else {}),
        **(start.as_parameters() if start else {}),
    }

    def learn(checkpoint: Checkpoint) -> None:
        from helpers.learn.devices import scope
        from helpers.learn.learning_rate import LEARNING_RATE
        from helpers.tasks.brain.calibration import fit_calibration, read_calibration
        from helpers.tasks.brain.inference import Segmenter, build_network
        from helpers.tasks.brain.training import fit_brain

        store = open_store(
            patients,
            slices or out / "slices",
            modalities,
            grid,
            lambda done, total: log(f"prepared {done} of {total} patients"),
        )
        for note in reading_notes(patients):
            log(note)
        with scope():
            network = load_network(start.folder, build_network) if start else build_network(parameters)
        segmenter = Segmenter.of(parameters, network)
        if budget.seconds is not None:
            budget.reserve = seconds_to_score(
                lambda some: [segmenter.predict(read_scan(patient, modalities)) for patient in some],
                [patient for patient in patients if patient.id in {*split.test, *split.validation}],
            )
        how = {"steps": steps, "learning_rate": LEARNING_RATE * (SHARE if start else 1)}
        how |= {"encoder_rate": encoder_rate(start), "rehearsed": start.ids if start else ()}
        fit_brain(network, store, split, out, budget, recipe, seed, log, checkpoint, **how)
        further = training_provenance(store, split)
        if start:
            further = start.with_provenance(further)
        if recipe.decision == "dice" and split.validation:
            further["calibration"] = fit_calibration(segmenter, store, split.validation, seed).as_json()
        elif recipe.decision == "dice" and (before := cross_validated or (start and start.folder)):
            further["calibration"] = read_calibration(before).as_json()
        write_run(out, "brain", parameters, split, **further)

    def score() -> None:
        if cross_validated:
            write_json(read_metrics(cross_validated), out / "metrics.json")
        else:
            evaluate_brain(out, data, "test", out / "metrics.json", log)

    return run_training(out, parameters, budget, seed, learn, score, log, devices)


def train_brain_folds(
    data: str | os.PathLike,
    out: str | os.PathLike,
    folds: int | str,
    modalities: tuple[str, ...] = ("flair", "t1ce"),
    seed: int = 0,
    final: bool = False,
    log: Log = print,
    **settings: object,
) -> dict:
    """Cross-validation: train `folds` models, so that every patient is tested once, by a model that never saw it.

    Together they are an ensemble, which every patient has taught: `out` is its folder, and is evaluated and predicted
    with like that of one model. Folds that are finished in `out` are not trained again, so the same command resumes.

    Args:
        data: the folder of the patients.
        out: receives a folder for each fold, `metrics.json`, and the `run.json` of the ensemble.
        folds: how many; or "site", one for each site, which tests its patients alone
            (`helpers.data.splits.split_by_site`).
        modalities: the volumes that are the network's input; patients that lack one are left out.
        seed: of the split, and of each training.
        final: train one more on all patients, in `out/final`; its expected scores are those of the folds.
        log: called with a line of progress.
        settings: further arguments of `train_brain`; `minutes` counts for all trainings together.

    Returns:
        What `evaluate_brain` returns, over the test patients of all folds; also written to `out/metrics.json`.

    Raises:
        DataError: as `train_brain`; or there are fewer patients than folds.
    """
    given = {name: settings[name] for name in ("size", "filters", "minutes", "devices") if name in settings}
    _check_settings(modalities, seed=seed, **given)
    check_folds(folds)
    out = writable_folder(out)
    patients = read_catalogue(expanded(data)).require(modalities)

    def pool(results: list[dict]) -> dict:
        return summarise_patients(
            [
                {**patient, "fold": fold}
                for fold, result in enumerate(results, start=1)
                for patient in result["patients"]
            ]
        )

    splits, further = fold_splits(patients, folds, seed), {"data": data, "modalities": modalities, **settings}
    return cross_validate(train_brain, pool, splits, out, seed, final=final, log=log, **further)


def evaluate_brain(
    model_dir: str | os.PathLike,
    data: str | os.PathLike,
    split: str = "test",
    json_path: str | os.PathLike | None = None,
    log: Log = print,
    subsets: bool = False,
) -> dict:
    """Score a trained model, or an ensemble, on the patients under `data`.

    Args:
        model_dir: folder of a `train brain`.
        data: the folder of the patients.
        split: "test", the test patients of the training, of an ensemble each by the member that never saw them; or
            "all", every patient of a folder that the model never saw.
        json_path: where to write the result as well.
        log: called with a line of progress.
        subsets: score each set of the modalities too, as if a patient had no others.

    Returns:
        What `helpers.measure.evaluate.evaluate` gives, and `run`, the provenance. With `subsets` also these: by the
        names of the modalities, joined by "+", the mean Dice of each region over the patients that have them all.

    Raises:
        DataError: `subsets` of a model that needs all its modalities; test patients are missing; or, for "all",
            patients are there that the model was trained or tuned on, recognised by id or by their voxels. Each is
            named. Or the folder of the model is damaged, or `json_path` cannot be written.
    """
    json_path = writable_file(json_path) if json_path else None
    run = read_run(model_dir, "brain")
    check_network(model_dir)
    check_split(model_dir, split)
    modalities = tuple(run["parameters"]["modalities"])
    optional = tuple(set(modalities) - set(needed_modalities(run["parameters"])))
    if subsets and not optional:
        raise DataError(
            f"{model_dir} was trained with all of {', '.join(modalities)}, and needs them. --subsets is for a model "
            "that was trained with --modality-dropout."
        )
    patients = select_test_patients(model_dir, expanded(data), split, modalities, optional)
    by = (
        scoring_folders(model_dir)
        if split == "test"
        else dict.fromkeys((one.id for one in patients), expanded(model_dir))
    )
    result, segmenters = _score(by, patients, modalities, log)
    if subsets:
        result["subsets"] = _subsets(segmenters, patients, modalities, log)
    result["run"] = score_provenance(model_dir, split, patients)
    if json_path:
        write_json(result, json_path)
    return result


def score_brain(by: Mapping[str, Path], patients: Sequence[Patient], log: Log = print) -> dict:
    """Score models on given patients, each patient by the model of a folder.

    Args:
        by: the folder of the model, by id of the patient; of models with the same modalities.
        patients: with those modalities and segmentations.
        log: called with a line of progress.

    Returns:
        What `helpers.measure.evaluate.evaluate` gives.
    """
    run = read_run(next(iter(by.values())), "brain")
    return _score(by, patients, tuple(run["parameters"]["modalities"]), log)[0]


def _score(
    by: Mapping[str, Path], patients: Sequence[Patient], modalities: tuple[str, ...], log: Log
) -> "tuple[dict, dict[str, Segmenter]]":
    """The scores, and by patient the segmenter that was scored."""
    from helpers.tasks.brain.inference import Segmenter

    loaded = {folder: Segmenter.load(folder) for folder in dict.fromkeys(by[patient.id] for patient in patients)}
    segmenters = {patient.id: loaded[by[patient.id]] for patient in patients}
    result = evaluate(
        lambda scan: segmenters[scan.id].predict(scan),
        patients,
        modalities,
        lambda done, total: log(f"scored {done} of {total} patients"),
    )
    return result, segmenters


def _subsets(
    segmenters: "Mapping[str, Segmenter]", patients: Sequence[Patient], modalities: tuple[str, ...], log: Log
) -> dict[str, dict[str, float]]:
    """The mean Dice of each region for every set of modalities, the smallest first, over the patients that have it."""
    sets = [names for size in range(1, len(modalities) + 1) for names in combinations(modalities, size)]
    scores: dict[str, list[dict[str, float]]] = {"+".join(names): [] for names in sets}
    for done, patient in enumerate(patients, start=1):
        scan = read_scan(patient, modalities, optional=modalities)
        for names in sets:
            if set(names) <= set(scan.modalities):
                labels = segmenters[patient.id].predict(scan.only(names))
                dices = {region: dice(mask(scan.seg, region), mask(labels, region)) for region in REGIONS}
                scores["+".join(names)].append(dices)
        log(f"scored every set of modalities of {done} of {len(patients)} patients")
    return {
        names: {region: sum(row[region] for row in rows) / len(rows) for region in REGIONS}
        for names, rows in scores.items()
        if rows
    }


def predict_brain(
    model_dir: str | os.PathLike,
    folders: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    log: Log = print,
) -> list[Path]:
    """Inference: write a mask for every patient in the folders, on the patient's own grid, as the patient's set has it.

    The files of all patients are read first, and those that cannot be used are named before any mask is written. Then
    the others get their masks. What is finished is kept when the command is given again: `predictions.json` records
    the model and the files of each mask.

    Args:
        model_dir: folder of a `train brain`.
        folders: of patients; no ground truth is needed.
        out: folder of the segmentations, no patient's own; made if it is missing.
        log: called with a line for each patient.

    Returns:
        The masks, also those that were finished before.

    Raises:
        DataError: some patients, or all, cannot be used (each is named, and the masks of the others are written); one
            patient is in the folders twice; `out` is a patient's folder or may not be written to; the disk is full.
        FileExistsError: a mask is there that this command has not made. Nothing is overwritten, and nothing is begun.
        KeyboardInterrupt: Ctrl-C; the same command goes on.
    """
    parameters = read_run(model_dir, "brain")["parameters"]
    modalities, needed = tuple(parameters["modalities"]), needed_modalities(parameters)
    optional = tuple(set(modalities) - set(needed))
    check_network(model_dir)
    out = writable_folder(out)
    selection = select_patients(folders, needed, out)
    record = PredictionRecord(out, model_dir, modalities)
    targets = {patient.id: out / patient.convention.seg_name(patient.id) for patient in selection.patients}
    there = [patient for patient in selection.patients if os.path.lexists(targets[patient.id])]
    finished = {patient.id for patient in there if record.holds(patient, targets[patient.id])}
    if taken := [str(targets[patient.id]) for patient in there if patient.id not in finished]:
        raise FileExistsError(
            f"{', '.join(taken)}: {'this is' if len(taken) == 1 else 'these are'} there already, not as this model "
            "makes it of these files, and not overwritten; choose another --out."
        )
    scans: dict[str, Scan] = {}

    def refusal(patient: Patient) -> Refusal | None:
        try:
            scan = read_scan(patient, modalities, seg=False, optional=optional)
        except (DataError, MemoryError) as error:
            return Refusal(patient.id, _reason(patient, error))
        if len(selection.patients) == 1:  # of more, all volumes would not fit into memory
            scans[patient.id] = scan
        return None

    begun = [patient for patient in selection.patients if patient.id not in finished]
    refused = [*selection.refused, *filter(None, map_threads(refusal, begun))]
    bad = {one.id for one in refused}
    good = [patient for patient in selection.patients if patient.id not in bad]
    if not good:
        error = DataError.listing("None of these patients can be used; nothing was written:", _messages(refused))
        raise error
    if refused:
        log(str(DataError.listing(f"{len(bad)} of {len(bad) + len(good)} cannot be used:", _messages(refused))))
    for note in selection.notes:
        log(note)
    masks: list[Path] = []
    try:
        if any(patient.id not in finished for patient in good):
            from helpers.tasks.brain.inference import Segmenter

            segmenter = Segmenter.load(model_dir)
        for patient in good:
            target = targets[patient.id]
            if patient.id in finished:
                log(f"{patient.id}: {target}, finished before")
            else:
                try:
                    scan = scans.pop(patient.id, None) or read_scan(patient, modalities, False, optional)
                    labels = segmenter.predict(scan)
                except (DataError, MemoryError) as error:
                    refused.append(Refusal(patient.id, _reason(patient, error)))
                    log(refused[-1].message)
                    continue
                notes = [note for note in scan.notes if not any(note in line for line in selection.notes)]
                with explain_full_disk(target):
                    out.mkdir(parents=True, exist_ok=True)
                    with scratch_folder(target) as scratch:
                        record.publish(patient, write_segmentation(scratch / target.name, labels, scan), target)
                used = f" (of {', '.join(scan.modalities)})" if optional else ""
                log(
                    f"{patient.id}: {target}{used}" + "".join(f"\n  {note}" for note in (*notes, *unusual_voxels(scan)))
                )
            masks.append(target)
    except KeyboardInterrupt as stop:
        raise type(stop)(
            f"Stopped after {len(masks)} of {len(good)} patients; the same command keeps their masks and goes on."
        ) from None
    if refused:
        error = DataError.listing(
            f"Without a mask: {len({one.id for one in refused})} of {len(good) + len(bad)}; {len(masks)} are in {out}. "
            "Mend or remove these files, then give the same command again; it keeps the masks that are there:",
            _messages(refused),
        )
        raise error
    return masks


def _messages(refused: Sequence[Refusal]) -> list[str]:
    return [one.message for one in refused]


def _reason(patient: Patient, error: DataError | MemoryError) -> str:
    text = str(error) or "there is not enough memory for it"
    return text if patient.id in text else f"{patient.id}: {text}"


def _check_settings(
    modalities: Sequence[str],
    size: int = 96,
    filters: int = 16,
    minutes: float | None = None,
    seed: int = 0,
    devices: str = "auto",
) -> None:
    """Refuse what cannot be trained, before anything is read."""
    check_names(modalities, MODALITIES, "modality")
    check_size(size)
    check_filters(filters)
    check_seed(seed)
    Budget.of(minutes, EPOCHS)
    parse_devices(devices)
