"""What a training leaves in its folder, whatever its task: the network, how it was made, and who it learned from.

model.keras     the network
run.json        task, parameters, precision, versions, device, hashes and usual looks of the patients it learned from
split.json      who trained, who chose, who judges
history.csv     one row an epoch
metrics.json    the scores of the patients kept out; written last, so a folder that has it is finished
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import keras

from helpers.data.brats import Patient, read_catalogue
from helpers.data.errors import DataError
from helpers.data.familiar import ranges
from helpers.data.splits import Split, load_split, make_split, save_split
from helpers.data.store import Store, voxel_hashes
from helpers.data.volumes import read_scan
from helpers.learn.machine import device, versions


def is_finished(out: Path, parameters: dict) -> bool:
    """Whether `out` holds this training, finished.

    Raises:
        DataError: it holds another one.
    """
    if not (out / "metrics.json").exists():
        return False
    held = json.loads((out / "run.json").read_text())["parameters"]
    if held != parameters:
        differ = ", ".join(f"{k} {held.get(k)!r} there, {v!r} now" for k, v in parameters.items() if held.get(k) != v)
        raise DataError(f"{out} holds a finished training with other parameters ({differ}). Choose another folder.")
    return True


def write_run(out: Path, task: str, parameters: dict, store: Store, split: Split, **further: object) -> dict:
    """Write `run.json` and `split.json`; `further` entries are kept beside the parameters."""
    run = {
        "task": task,
        "parameters": parameters,
        **further,
        "precision": keras.mixed_precision.global_policy().name,
        "versions": versions(),
        "device": device(),
        "learned_from": {
            identity: store.patients[identity]["voxels"] for identity in (*split.train, *split.validation)
        },
        # What is usual among the training patients, so that a report can say when a new one is not.
        "statistics": {
            "fitted_on": list(split.train),
            "familiar": ranges([store.patients[identity]["looks"] for identity in split.train]),
        },
    }
    save_split(split, out / "split.json")
    write_whole(json.dumps(run, indent=1), out / "run.json")
    return run


def read_run(folder: str | os.PathLike, task: str | None = None) -> dict:
    """Read `run.json`.

    Raises:
        DataError: the folder holds no finished training, or one of another task.
    """
    folder = Path(folder)
    try:
        run = json.loads((folder / "run.json").read_text())
        held = run["task"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{folder} holds no finished training ({error}); expected model.keras and run.json, as "
            f"`python -m helpers train {task or '…'}` leaves them."
        ) from error
    if task not in (None, held):
        raise DataError(f"{folder} holds a training of {held!r}; expected one of {task!r}. Give another folder.")
    return run


def load_network(folder: str | os.PathLike) -> keras.Model:
    """Load `model.keras`.

    Raises:
        DataError: it is missing or damaged.
    """
    path = Path(folder) / "model.keras"
    try:
        return keras.models.load_model(path, compile=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be loaded ({error}); train again.") from error


def train_folds(
    train: Callable[..., Path],
    patients: Sequence[Patient],
    out: str | os.PathLike,
    folds: int,
    seed: int,
    say: Callable[[str], None],
    **settings: object,
) -> list[dict]:
    """Call `train` once a fold, so that every patient is tested once, by a model that never saw it.

    Folds that are finished in `out` are kept, so the command goes on where it was stopped.

    Args:
        train: takes `out`, `split`, `seed`, `slices`, `say` and the `settings`, and leaves a finished folder.

    Returns:
        What each fold has in its `metrics.json`.
    """
    out, results = Path(out), []
    for fold in range(folds):
        folder = out / f"fold_{fold + 1}_of_{folds}"
        say(f"fold {fold + 1} of {folds}: {folder}")
        split = make_split(patients, seed, folds, fold)
        train(out=folder, split=split, seed=seed, slices=out / "slices", say=say, **settings)
        results.append(json.loads((folder / "metrics.json").read_text()))
    shutil.rmtree(out / "slices", ignore_errors=True)
    return results


def patients_to_score(
    folder: str | os.PathLike,
    data: str | os.PathLike,
    split: str,
    modalities: tuple[str, ...],
    optional: tuple[str, ...] = (),
) -> list[Patient]:
    """The patients under `data` on whom a score says something.

    Args:
        split: "test", the patients that training kept out; or "all", every patient of a folder the model never saw.
        modalities: what the model looks at; `optional` ones may be missing.

    Raises:
        DataError: test patients are missing; or, for "all", patients are there that the model was trained or tuned on,
            recognised by id or by their voxels. Each is named.
    """
    patients = read_catalogue(data).require(tuple(kind for kind in modalities if kind not in optional))
    if split == "test":
        test = load_split(Path(folder) / "split.json").test
        chosen = [patient for patient in patients if patient.id in test]
        if missing := sorted(set(test) - {patient.id for patient in chosen}):
            raise DataError(
                f"{len(missing)} test patients of {folder} are not under {data}: {', '.join(missing)}. "
                "Give the folder the model was trained from, or --split all for a folder it never saw."
            )
        return chosen
    if split != "all":
        raise ValueError(f"split {split!r}; expected 'test' or 'all'.")
    _refuse_known(patients, read_run(folder)["learned_from"], modalities, optional, folder)
    return list(patients)


def scored_with(folder: str | os.PathLike, split: str, chosen: Sequence[Patient]) -> dict:
    """What a result says of its origin: how the model was made, where it was scored, and on whom."""
    run = read_run(folder)
    return {
        **{key: run[key] for key in ("parameters", "precision")},
        "versions": versions(),
        "device": device(),
        "split": {
            "name": split,
            "digest": load_split(Path(folder) / "split.json").digest,
            "ids": [patient.id for patient in chosen],
        },
    }


def save_model(model: keras.Model, path: Path) -> None:
    """Save beside the final name and move into place: a killed run leaves the last whole model, never half of one."""
    scratch = path.with_name(f".{path.name}.part.keras")
    model.save(scratch)
    os.replace(scratch, path)


def write_whole(text: str, path: Path) -> None:
    """Write beside the final name and move into place; the folder is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.part")
    scratch.write_text(text)
    os.replace(scratch, path)


def _refuse_known(
    patients: Sequence[Patient],
    learned_from: dict,
    modalities: tuple[str, ...],
    optional: tuple[str, ...],
    folder: str | os.PathLike,
) -> None:
    owners = {value: identity for identity, hashes in learned_from.items() for value in hashes.values()}
    known = []
    for patient in patients:
        if patient.id in learned_from:
            known.append(f"{patient.id}: by its id")
        else:
            scan = read_scan(patient, modalities, seg=False, optional=optional)
            if same := set(voxel_hashes(scan).values()) & set(owners):
                known.append(f"{patient.id}: its voxels are those of {owners[same.pop()]}")
    if known:
        raise DataError.listing(
            f"{folder} was trained or tuned on {len(known)} of these {len(patients)} patients; a score on them says "
            "nothing about new ones. Leave them out, or use --split test:",
            known,
        )
