"""Brain tumour segmentation as commands: train on a folder of patients, evaluate a model, segment a patient."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from helpers.data.brats import read_catalogue
from helpers.data.resample import Grid
from helpers.data.splits import Split, make_split
from helpers.data.store import open_store
from helpers.data.volumes import read_scan, write_segmentation
from helpers.learn.budget import Budget
from helpers.learn.checkpoint import Checkpoint
from helpers.learn.cross_validation import cross_validate
from helpers.learn.devices import scope
from helpers.learn.run_folder import run_training, training_provenance, write_run
from helpers.learn.test_cases import score_provenance, seconds_to_score, select_test_patients
from helpers.measure.evaluate import evaluate, pooled
from helpers.models.unet import unet
from helpers.runtime.disk import write_json
from helpers.runtime.errors import DataError
from helpers.tasks.brain.inference import Segmenter
from helpers.tasks.brain.training import Recipe, fit_brain

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
        minutes: wall time from `started` until the folder is finished; 30 epochs without it.
        recipe: loss, augmentation, sampling of slices and batch size; the default one if none is given.
        seed: of the split, the initial weights, the order of slices and their augmentation.
        started: the moment from which minutes count, as `time.monotonic` gives it; now without.
        log: called with a line of progress.
        split: training, validation and test patients; made from ids and seed if none is given.
        slices: folder of the slice store, made if it is missing; in `out`, for the time of the training, if none is
            given.
        devices: where to train, see `helpers.learn.devices.configure`.

    Returns:
        `out`.

    Raises:
        DataError: the data cannot be used as it is (each finding is named), or `out` holds another training.
    """
    budget = Budget.of(minutes, epochs=30, started=started)
    out, grid = Path(out), Grid(size)
    patients = read_catalogue(data).require(modalities)
    split, recipe = split or make_split(patients, seed), recipe or Recipe()
    parameters = {
        "modalities": list(modalities),
        "size": size,
        "extent_mm": grid.extent_mm,
        "filters": filters,
        "minutes": minutes,
        "recipe": asdict(recipe),
        "seed": seed,
        "split": split.digest,
    }

    def learn(checkpoint: Checkpoint) -> None:
        store = open_store(
            patients,
            slices or out / "slices",
            modalities,
            grid,
            lambda done, total: log(f"prepared {done} of {total} patients"),
        )
        tested = [patient for patient in patients if patient.id in split.test]
        with scope():
            network = unet(size, len(modalities), filters=filters)
        segmenter = Segmenter(network, modalities, grid)
        budget.reserve = seconds_to_score(
            lambda some: [segmenter.predict(read_scan(patient, modalities)) for patient in some], tested
        )
        fit_brain(network, store, split, out, budget, recipe, seed, log, checkpoint)
        write_run(out, "brain", parameters, split, **training_provenance(store, split))

    def score() -> None:
        evaluate_brain(out, data, "test", out / "metrics.json", log)

    return run_training(out, parameters, budget, seed, learn, score, log, devices)


def train_brain_folds(
    data: str | os.PathLike,
    out: str | os.PathLike,
    folds: int,
    modalities: tuple[str, ...] = ("flair", "t1ce"),
    seed: int = 0,
    log: Log = print,
    **settings: object,
) -> dict:
    """Cross-validation: train `folds` models, so that every patient is tested once, by a model that never saw it.

    Folds that are finished in `out` are not trained again, so the same command resumes.

    Args:
        data: the folder of the patients.
        out: receives a folder for each fold, and `metrics.json`.
        folds: how many.
        modalities: the volumes that are the network's input; patients that lack one are left out.
        seed: of the split, and of each training.
        log: called with a line of progress.
        settings: further arguments of `train_brain`; `minutes` counts for each fold.

    Returns:
        What `evaluate_brain` returns, over the test patients of all folds; also written to `out/metrics.json`.
    """
    patients = read_catalogue(data).require(modalities)

    def pool(results: list[dict]) -> dict:
        return pooled(
            [
                {**patient, "fold": fold}
                for fold, result in enumerate(results, start=1)
                for patient in result["patients"]
            ]
        )

    return cross_validate(
        train_brain, pool, patients, out, folds, seed, log=log, data=data, modalities=modalities, **settings
    )


def evaluate_brain(
    model_dir: str | os.PathLike,
    data: str | os.PathLike,
    split: str = "test",
    json_path: str | os.PathLike | None = None,
    log: Log = print,
) -> dict:
    """Score a trained model on the patients under `data`.

    Args:
        model_dir: folder of a `train brain`.
        data: the folder of the patients.
        split: "test", the test patients of the training; or "all", every patient of a folder that the model never saw.
        json_path: where to write the result as well.
        log: called with a line of progress.

    Returns:
        What `helpers.measure.evaluate.evaluate` gives, and `run`, the provenance.

    Raises:
        DataError: test patients are missing; or, for "all", patients are there that the model was trained or tuned on,
            recognised by id or by their voxels. Each is named.
    """
    segmenter = Segmenter.load(model_dir)
    patients = select_test_patients(model_dir, data, split, segmenter.modalities)
    result = evaluate(
        segmenter.predict,
        patients,
        segmenter.modalities,
        lambda done, total: log(f"scored {done} of {total} patients"),
    )
    result["run"] = score_provenance(model_dir, split, patients)
    if json_path:
        write_json(result, Path(json_path))
    return result


def predict_brain(
    model_dir: str | os.PathLike,
    folders: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    log: Log = print,
) -> list[Path]:
    """Inference: write `<patient>_seg.nii.gz` for every patient in the folders, on the patient's own grid and affine.

    Args:
        model_dir: folder of a `train brain`.
        folders: of patients; no ground truth is needed.
        out: folder of the segmentations; made if it is missing.
        log: called with a line for each patient.

    Returns:
        The files that were written.

    Raises:
        DataError: a folder holds no patient the model can use, or one patient is in them twice.
        FileExistsError: an output exists already. Nothing is overwritten, and nothing is begun.
    """
    segmenter = Segmenter.load(model_dir)
    patients = [p for folder in folders for p in read_catalogue(folder).require(segmenter.modalities, seg=False)]
    targets = {}
    for patient in patients:
        target = Path(out) / f"{patient.id}_seg.nii.gz"
        if target in targets:
            raise DataError(f"{patient.id} is there twice: {targets[target].folder} and {patient.folder}; give one.")
        if target.exists():
            raise FileExistsError(f"{target} is there already and is not overwritten; choose another --out.")
        targets[target] = patient
    for target, patient in targets.items():
        scan = read_scan(patient, segmenter.modalities, seg=False)
        write_segmentation(target, segmenter.predict(scan), scan.affine)
        log(f"{patient.id}: {target}")
    return list(targets)
