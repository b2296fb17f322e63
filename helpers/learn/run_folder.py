"""The folder of a training, the same for every task: the network, its parameters, and the patients it learned from.

model.keras     the network
run.json        task, parameters, precision, versions, device, hashes of the patients it learned from, and the range
                of their fingerprints
split.json      training, validation and test patients
history.csv     one row an epoch
metrics.json    the scores of the test patients; written last, so a folder that has it is finished
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import keras

from helpers.data.out_of_distribution import fit_ranges
from helpers.data.splits import Split, save_split
from helpers.data.store import Store
from helpers.learn.budget import Budget
from helpers.learn.checkpoint import Checkpoint, differences
from helpers.learn.devices import configure, describe, processes
from helpers.learn.precision import cast_model, policy_scope
from helpers.runtime.disk import atomic_path, write_json
from helpers.runtime.errors import DataError
from helpers.runtime.machine import versions


def run_training(
    out: Path,
    parameters: dict,
    budget: Budget,
    seed: int,
    learn: Callable[[Checkpoint], None],
    score: Callable[[], object],
    log: Callable[[str], None] = print,
    devices: str = "auto",
) -> Path:
    """Train and score, unless `out` holds this training, finished; one that was stopped is resumed.

    Args:
        out: the folder of the training; made if it is missing.
        parameters: what identifies the training, as `run.json` has them.
        budget: of the training, for the log.
        seed: of Python, NumPy and Keras, set before `learn` is called.
        learn: trains with the checkpoint it is given, and writes all files but the scores; `out/slices` may hold the
            slice store until the end.
        score: writes `metrics.json`.
        log: called with a line of progress.
        devices: see `helpers.learn.devices.configure`. Networks that are built in its `scope` train there, in the
            precision of the chip, or the one that the training was stopped in.

    Returns:
        `out`.

    Raises:
        DataError: `out` holds another training, or several machines are given minutes.
    """
    with Checkpoint(out, parameters, log) as checkpoint:
        if _is_finished(out, parameters):
            log(f"{out} holds this training, finished; nothing to do.")
        else:
            keras.utils.set_random_seed(seed)
            out.mkdir(parents=True, exist_ok=True)
            configure(devices)
            if budget.seconds is not None and processes() > 1:
                raise DataError("Several machines train for epochs, not for minutes: each would stop by its own clock.")
            with policy_scope(checkpoint.precision()) as precision:
                log(f"Training on {describe()}, in {precision}.")
                learn(checkpoint)
            score()
            log(f"{out} is finished after {(time.monotonic() - budget.started) / 60:.1f} minutes.")
    shutil.rmtree(out / "slices", ignore_errors=True)
    return out


def write_run(
    out: Path, task: str, parameters: dict, split: Split, learned_from: Mapping[str, dict[str, str]], **further: object
) -> dict:
    """Write `run.json` and `split.json`.

    Args:
        out: the folder of the training.
        task: "brain", "gate" or "lungs".
        parameters: what identifies the training.
        split: training, validation and test patients.
        learned_from: the hashes of the voxels, by id, of all patients whose data had a part in the training.
        further: entries beside the parameters.

    Returns:
        What `run.json` holds.
    """
    run = {
        "task": task,
        "parameters": parameters,
        **further,
        "precision": keras.mixed_precision.global_policy().name,
        "versions": versions(),
        "device": describe(),
        "learned_from": dict(learned_from),
    }
    save_split(split, out / "split.json")
    write_json(run, out / "run.json")
    return run


def training_provenance(store: Store, split: Split) -> dict[str, dict]:
    """The entries of `run.json` about the patients of a training: `learned_from` and `statistics`.

    The statistics are the ranges of the training patients' fingerprints, by which a report recognises a new patient as
    out-of-distribution.

    Args:
        store: the slices of all patients in the split.
        split: who trains and who validates.
    """
    return {
        "learned_from": patient_hashes(store, (*split.train, *split.validation)),
        "statistics": {
            "fitted_on": list(split.train),
            "ranges": fit_ranges([store.patients[identity]["fingerprint"] for identity in split.train]),
        },
    }


def patient_hashes(store: Store, ids: Iterable[str]) -> dict[str, dict[str, str]]:
    """The hashes of these patients' voxels, by id.

    Args:
        store: holds the patients, of a slice store or of radiographs.
        ids: the patients.
    """
    return {identity: store.patients[identity]["voxels"] for identity in ids}


def read_run(folder: str | os.PathLike, task: str | None = None) -> dict:
    """Read `run.json`, also one that an older version of this package wrote.

    Args:
        folder: of a finished training.
        task: "brain", "gate" or "lungs", the one it must be of; any without.

    Raises:
        DataError: the folder holds no finished training, or one of another task.
    """
    folder = Path(folder)
    try:
        run = json.loads((folder / "run.json").read_text())
        found = run["task"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{folder} holds no finished training ({error}); expected model.keras and run.json, as "
            f"`python -m helpers train {task or '…'}` leaves them."
        ) from error
    if task not in (None, found):
        raise DataError(f"{folder} holds a training of {found!r}; expected one of {task!r}. Give another folder.")
    return _renamed(run)


def _renamed(run: dict) -> dict:
    """A `run.json` with the names of today, whichever version of this package wrote it."""
    statistics, parameters, prepare = run.get("statistics", {}), run["parameters"], run.get("prepare") or {}
    for entries, old, new in ((statistics, "familiar", "ranges"), (prepare, "greys", "histogram")):
        if old in entries:
            entries[new] = entries.pop(old)
    for entries in (parameters, parameters.get("adapted", {}), parameters.get("adapted", {}).get("model", {})):
        if entries.get("augmentation") == "films":
            entries["augmentation"] = "xray"
    return run


def load_network(folder: str | os.PathLike) -> keras.Model:
    """Load `model.keras`, in the precision of this chip.

    Args:
        folder: of a finished training.

    Raises:
        DataError: it is missing or damaged.
    """
    path = Path(folder) / "model.keras"
    try:
        network = keras.models.load_model(path, compile=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be loaded ({error}); train again.") from error
    return cast_model(network)


def save_model(model: keras.Model, path: Path) -> None:
    """Save a model in one step: a killed run, or a full disk, leaves the file there was before, never half of one.

    Args:
        model: to save.
        path: ends in `.keras`; is replaced.
    """
    with atomic_path(path) as scratch:
        model.save(scratch)


def _is_finished(out: Path, parameters: dict) -> bool:
    """Whether `out` holds this training, finished.

    Raises:
        DataError: it holds another one.
    """
    if not (out / "metrics.json").exists():
        return False
    found = read_run(out)["parameters"]
    if found != parameters:
        raise DataError(
            f"{out} holds a finished training with other parameters ({differences(found, parameters)}). Choose another "
            "folder."
        )
    return True
