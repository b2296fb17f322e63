"""The gate as commands: train on a folder of patients, evaluate a gate.

The threshold is set on validation patients for a sensitivity of 98 %, and stored with the model. Scores are over the
slices with brain, which are the hard ones, of test patients.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.data.brats import Patient, read_catalogue, reading_notes
from helpers.data.resample import Grid
from helpers.data.splits import Split, make_split
from helpers.data.store import Store, open_store
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
    save_model,
    scoring_folders,
    training_folder,
    training_provenance,
    write_run,
)
from helpers.learn.test_cases import check_split, score_provenance, seconds_to_score, select_test_patients
from helpers.measure.classification import SlicePredictions, auc, summarise
from helpers.runtime import options
from helpers.runtime.disk import write_json
from helpers.runtime.errors import DataError
from helpers.runtime.machine import parse_devices
from helpers.runtime.outputs import writable_file, writable_folder
from helpers.runtime.settings import check_seed, check_size, expanded
from helpers.tasks.gate.recipe import MODALITIES, OPTIONAL, SENSITIVITY, GateNetwork

if TYPE_CHECKING:
    from helpers.tasks.gate.inference import Gate

EPOCHS = 30
"""How long to train where no minutes are given."""

Log = Callable[[str], None]


def train_gate(
    data: str | os.PathLike,
    out: str | os.PathLike,
    network: str = "compact",
    size: int | None = None,
    weights: str | os.PathLike | None = None,
    minutes: float | None = None,
    augmentation: str = "usual",
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
    """Train a gate on the patients under `data`, set its threshold, and score it on test patients.

    Args:
        data: the folder of the patients.
        out: receives the files that `helpers.learn.run_folder` lists. A finished training with the same parameters is
            left as it is; one that was stopped is resumed.
        network: a name in `helpers.runtime.options.NETWORKS`.
        size: pixels along each side of the 192 mm window; the network's own if none is given.
        weights: file of ImageNet weights, for "base" alone; without, those that Kaggle has attached, else training from
            scratch. Z-scored slices need no further normalisation: mean 0 and deviation 1, as ImageNet's pictures have.
        minutes: wall time from `started` until the folder is finished; `epochs` without it.
        augmentation: a name in `helpers.runtime.options.AUGMENTATIONS`.
        seed: of the split, the initial weights, the order of slices and their augmentation.
        started: the moment from which minutes count, as `time.monotonic` gives it; now without.
        log: called with a line of progress.
        split: training, validation and test patients; made from ids and seed if none is given.
        slices: folder of the slice store, made if it is missing; in `out`, for the time of the training, if none is
            given.
        devices: where to train, see `helpers.learn.devices.configure`.
        cross_validated: folder of finished folds. The training is then their final one: on all patients, for as many
            steps as the folds' median. None is left to validate or test on, so threshold and scores are those of the
            folds.
        epochs: how long where no minutes are given.
        steps: batches in an epoch; without, as many as show as many slices as the training patients have.
        start: the gate to go on with, of the same network and size; a new one without.
        stored: the patients of the slice store, `split`'s and more, so that several trainings share it; all under
            `data` without.

    Returns:
        `out`.

    Raises:
        DataError: a setting is out of range, there is no such network or it takes no weights, or `out` cannot be
            written (found before anything is read); the data cannot be used as it is (each finding is named), or `out`
            holds another training.
    """
    size = _check_settings(network, size, weights, minutes, augmentation, seed, devices)
    recipe: GateNetwork = options.load(options.NETWORKS, network, "network")
    budget = Budget.of(minutes, epochs, started)
    out, grid = training_folder(out), Grid(size)
    patients = tuple(stored or _patients(data))
    patients += tuple(one for one in (start.rehearsed if start else ()) if one not in patients)
    if cross_validated:
        split = everybody(patients, seed)
        budget = Budget(epochs=final_epochs(cross_validated, len(patients)))
    split = split or make_split(patients, seed)
    parameters = {
        "network": network,
        "weights": str(weights) if weights else None,
        "modalities": list(MODALITIES),
        "size": size,
        "extent_mm": grid.extent_mm,
        "minutes": minutes,
        "augmentation": augmentation,
        "sensitivity": SENSITIVITY,
        "seed": seed,
        "split": split.digest,
        **({"epochs": budget.epochs} if cross_validated or epochs != EPOCHS else {}),
        **({"steps": steps} if steps else {}),
        **(start.as_parameters() if start else {}),
    }

    def learn(checkpoint: Checkpoint) -> None:
        from helpers.learn.devices import scope
        from helpers.models import imagenet
        from helpers.tasks.gate.inference import Gate, build_network, predict_case
        from helpers.tasks.gate.training import choose_threshold, fit_gate

        store = open_store(
            patients,
            slices or out / "slices",
            MODALITIES,
            grid,
            lambda done, total: log(f"prepared {done} of {total} patients"),
            OPTIONAL,
        )
        for note in reading_notes(patients):
            log(note)
        with scope():
            built = load_network(start.folder, build_network) if start else build_network(parameters)
            gate = Gate(built, MODALITIES, grid)
        if network == "base" and not start:
            imagenet.load(gate.network, expanded(weights) if weights else None, log)
        validation, tested = ([p for p in patients if p.id in side] for side in (split.validation, split.test))
        if budget.seconds is not None:
            budget.reserve = seconds_to_score(
                lambda some: [predict_case(gate, patient) for patient in some], [*tested, *validation]
            )
        fit_gate(
            gate.network,
            store,
            split,
            budget,
            lambda _: _validation(gate, store, split) if split.validation else {},
            augmentation,
            tuple(MODALITIES.index(modality) for modality in OPTIONAL),
            recipe.learning_rate * (SHARE if start else 1),
            seed,
            log,
            checkpoint,
            steps,
            encoder_rate(start),
            start.ids if start else (),
        )
        save_model(gate.network, out / "model.keras")
        threshold = 0.5  # where nobody validates, and no gate was there before
        if validation:
            threshold = choose_threshold([predict_case(gate, patient) for patient in validation])
        elif cross_validated or start:
            threshold = read_run(cross_validated or start.folder, "gate")["threshold"]
        if start and start.threshold is not None:
            threshold = start.threshold
        further = training_provenance(store, split)
        if start:
            further = start.with_provenance(further)
        write_run(out, "gate", parameters, split, **further, threshold=threshold)

    def score() -> None:
        if cross_validated:
            write_json(read_metrics(cross_validated), out / "metrics.json")
        else:
            evaluate_gate(out, data, "test", out / "metrics.json", log)

    return run_training(out, parameters, budget, seed, learn, score, log, devices)


def train_gate_folds(
    data: str | os.PathLike,
    out: str | os.PathLike,
    folds: int | str,
    seed: int = 0,
    final: bool = False,
    log: Log = print,
    **settings: Any,
) -> dict:
    """Cross-validation: train `folds` gates, so that every patient is tested once, by a gate that never saw it.

    Together they are an ensemble, as those of `train_brain_folds` are; its threshold is the median of theirs. Folds
    that are finished in `out` are not trained again, so the same command resumes.

    Args:
        data: the folder of the patients.
        out: receives a folder for each fold, `metrics.json`, and the `run.json` of the ensemble.
        folds: how many; or "site", one for each site, which tests its patients alone.
        seed: of the split, and of each training.
        final: train one more on all patients, in `out/final`; its expected scores are those of the folds.
        log: called with a line of progress.
        settings: further arguments of `train_gate`; `minutes` counts for all trainings together.

    Returns:
        What `evaluate_gate` returns, over the test patients of all folds, each at its own fold's threshold; also
        written to `out/metrics.json`.

    Raises:
        DataError: as `train_gate`; or there are fewer patients than folds.
    """
    named = ("network", "size", "weights", "minutes", "augmentation", "devices")
    _check_settings(seed=seed, **{name: settings[name] for name in named if name in settings})
    check_folds(folds)
    out = writable_folder(out)

    def pool(results: list[dict]) -> dict:
        predictions = [SlicePredictions.from_json(patient) for result in results for patient in result["patients"]]
        return {**pooled(predictions), "threshold": [result["threshold"] for result in results]}

    splits = fold_splits(_patients(data), folds, seed)
    return cross_validate(train_gate, pool, splits, out, seed, final=final, log=log, data=data, **settings)


def evaluate_gate(
    gate_dir: str | os.PathLike,
    data: str | os.PathLike,
    split: str = "test",
    json_path: str | os.PathLike | None = None,
    log: Log = print,
) -> dict:
    """Score a trained gate on the patients under `data`.

    Args:
        gate_dir: folder of a `train gate`.
        data: the folder of the patients.
        split: "test", the test patients of the training, of an ensemble each by the member that never saw them; or
            "all", every patient of a folder that the gate never saw.
        json_path: where to write the result as well.
        log: called with a line of progress.

    Returns:
        `n` patients; `slices`, the numbers of all, of those with brain and of those with tumour; `auc` and the other
        scores of `helpers.measure.classification.summarise`; `trivial`, the gate that predicts tumour in every slice
        with brain; `threshold`; `patients`, the ground truth and the probabilities of each patient's slices with brain;
        `run`, the provenance.

    Raises:
        DataError: as `helpers.learn.test_cases.select_test_patients`; or the folder of the gate is damaged, or
            `json_path` cannot be written.
    """
    json_path = writable_file(json_path) if json_path else None
    run = read_run(gate_dir, "gate")
    check_network(gate_dir)
    check_split(gate_dir, split)
    patients = select_test_patients(gate_dir, expanded(data), split, tuple(run["parameters"]["modalities"]), OPTIONAL)
    by = (
        scoring_folders(gate_dir)
        if split == "test"
        else dict.fromkeys((one.id for one in patients), expanded(gate_dir))
    )
    result = score_gate(by, patients, log)
    result |= {"threshold": run["threshold"], "run": score_provenance(gate_dir, split, patients)}
    if json_path:
        write_json(result, json_path)
    return result


def score_gate(by: Mapping[str, Path], patients: Sequence[Patient], log: Log = print) -> dict:
    """Score gates on given patients, each patient by the gate of a folder.

    Args:
        by: the folder of the gate, by id of the patient.
        patients: with segmentations.
        log: called with a line of progress.

    Returns:
        As `evaluate_gate`, without `threshold` and `run`.
    """
    from helpers.tasks.gate.inference import Gate, predict_case

    gates = {folder: Gate.load(folder) for folder in dict.fromkeys(by[patient.id] for patient in patients)}
    rows = []
    for done, patient in enumerate(patients, start=1):
        rows.append(predict_case(gates[by[patient.id]], patient))
        log(f"scored {done} of {len(patients)} patients")
    return pooled(rows)


def pooled(patients: Sequence[SlicePredictions]) -> dict:
    """The scores over the slices of all patients, who may come from several folds.

    Args:
        patients: the predictions for each patient.

    Returns:
        As `evaluate_gate`, without `threshold` and `run`.
    """
    scored, without = sum(p.truth.size for p in patients), sum(p.without_brain for p in patients)
    return {
        "n": len(patients),
        "slices": {"all": scored + without, "brain": scored, "tumour": sum(int(p.truth.sum()) for p in patients)},
        **summarise(patients),
        "trivial": {"auc": 0.5, "sensitivity": 1.0, "specificity": 0.0, "skipped": without / (scored + without)},
        "patients": [patient.to_json() for patient in patients],
    }


def _check_settings(
    network: str = "compact",
    size: int | None = None,
    weights: str | os.PathLike | None = None,
    minutes: float | None = None,
    augmentation: str = "usual",
    seed: int = 0,
    devices: str = "auto",
) -> int:
    """Refuse what cannot be trained, before anything is read.

    Returns:
        The size, the network's own where none was given.

    Raises:
        DataError: a setting is out of range, or the network takes no weights.
    """
    recipe: GateNetwork = options.load(options.NETWORKS, network, "network")
    options.check(options.AUGMENTATIONS, augmentation, "augmentation")
    if weights and network != "base":
        raise DataError(f"{weights}: weights are for the network 'base'; {network!r} learns from scratch.")
    if weights and not expanded(weights).exists():
        raise DataError(f"There is no file {weights}; give one of ImageNet weights, or leave out --weights.")
    size = recipe.size if size is None else size
    check_size(size, recipe.multiple)
    check_seed(seed)
    Budget.of(minutes, EPOCHS)
    parse_devices(devices)
    return size


def _patients(data: str | os.PathLike) -> tuple[Patient, ...]:
    """The patients that `train brain` would take, so that the same seed gives both the same split."""
    return read_catalogue(expanded(data)).require(
        tuple(modality for modality in MODALITIES if modality not in OPTIONAL)
    )


def _validation(gate: "Gate", store: Store, split: Split) -> dict[str, float]:
    from sklearn import metrics

    rows = np.array([row for row in store.rows(split.validation) if store.has_brain[row]])
    plain = replace(gate, flip=False)  # half the time, and it only monitors the training
    truth, predicted = store.voxels_per_class[rows, 1:].any(axis=1), plain.slice_probabilities(store.images[rows])
    return {"val_loss": float(metrics.log_loss(truth, predicted)), "val_auc": auc(truth, predicted)}
