"""The folder of a training, the same for every task: the network, its parameters, and the patients it learned from.

model.keras     the network
run.json        task, parameters, precision, versions, device, the hash of model.keras, hashes of the patients it
                learned from, and the range of their fingerprints
split.json      training, validation and test patients
history.csv     one row an epoch
metrics.json    the scores of the test patients; written last, so a folder that has it is finished

The folder of an ensemble (`train … --folds K`) holds a folder of each member, and a `run.json` that names them and
their digests.
"""

import hashlib
import json
import os
import shutil
import statistics
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.data.out_of_distribution import fit_ranges, merge_ranges
from helpers.data.splits import Split, load_split, save_split
from helpers.data.store import Store
from helpers.learn.budget import Budget
from helpers.learn.checkpoint import Checkpoint, differences
from helpers.learn.older_versions import current_parameters
from helpers.learn.run_schema import METRICS, RUN, TASKS
from helpers.runtime.disk import atomic_path, write_json
from helpers.runtime.errors import DataError
from helpers.runtime.json_files import check_json, read_json
from helpers.runtime.lock import lock_folder
from helpers.runtime.machine import versions
from helpers.runtime.outputs import writable_folder
from helpers.runtime.settings import expanded

if TYPE_CHECKING:
    import keras

_RESTORE = "Copy the folder again, or train again."


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
        DataError: `out` holds another training, another process trains into it, or several machines are given minutes.
    """
    with lock_folder(out, "trains into"), Checkpoint(out, parameters, log) as checkpoint:
        if _is_finished(out, parameters):
            log(f"{out} holds this training, finished; nothing to do.")
        else:
            import keras

            from helpers.learn.devices import configure, describe, processes
            from helpers.learn.precision import policy_scope

            keras.utils.set_random_seed(seed)
            configure(devices)
            if budget.seconds is not None and processes() > 1:
                raise DataError("Several machines train for epochs, not for minutes: each would stop by its own clock.")
            with policy_scope(checkpoint.precision()) as precision:
                log(f"Training on {describe()}, in {precision}.")
                if keras.backend.backend() == "jax":
                    log("JAX compiles the training step first, and says nothing for minutes on a CPU.")
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
        out: the folder of the training; of a network that is there already the hash is recorded.
        task: "brain", "gate" or "lungs".
        parameters: what identifies the training.
        split: training, validation and test patients.
        learned_from: the hashes of the voxels, by id, of all patients whose data had a part in the training.
        further: entries beside the parameters.

    Returns:
        What `run.json` holds.
    """
    import keras

    from helpers.learn.devices import describe

    run = {
        "task": task,
        "parameters": parameters,
        **further,
        "precision": keras.mixed_precision.global_policy().name,
        "versions": versions(),
        "device": describe(),
        "learned_from": dict(learned_from),
    }
    if (out / "model.keras").is_file():
        run["model_sha256"] = _sha256(out / "model.keras")
    run["digest"] = _digest(run)
    save_split(split, out / "split.json")
    write_json(run, out / "run.json")
    return run


def write_ensemble(out: Path, members: Sequence[Path]) -> dict:
    """Write the `run.json` that makes one model of the finished trainings in a folder.

    Args:
        out: the folder of the ensemble.
        members: folders of finished trainings in it, of one task, alike but for their patients.

    Returns:
        What `run.json` holds: the members' names and digests, their common parameters, and all patients that any of
        them learned from.
    """
    runs = [read_run(member) for member in members]
    run = {
        **{name: runs[0][name] for name in ("task", "precision", "versions", "device")},
        "parameters": {name: value for name, value in runs[0]["parameters"].items() if name != "split"},
        "members": [member.name for member in members],
        "member_digests": [run_digest(member) for member in members],
        "learned_from": {identity: hashes for run in runs for identity, hashes in run["learned_from"].items()},
    }
    if all("statistics" in one for one in runs):
        fitted = sorted({identity for one in runs for identity in one["statistics"]["fitted_on"]})
        ranges = merge_ranges([one["statistics"]["ranges"] for one in runs])
        run["statistics"] = {"fitted_on": fitted, "ranges": ranges}
    if run["task"] == "gate":
        run["threshold"] = statistics.median(one["threshold"] for one in runs)
    run["digest"] = _digest(run)
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
    """Read `run.json`, also one that an older version of this package wrote; nothing else reads it.

    Args:
        folder: of a finished training; a leading `~` is expanded.
        task: "brain", "gate" or "lungs", the one it must be of; any without.

    Returns:
        Its content. What inference needs is there and as `helpers.learn.run_schema.RUN` has it. `learned_from`,
        `precision`, `versions` and `device` may be empty: see `patients_learned_from`.

    Raises:
        DataError: the folder holds no finished training, one of another task, or a `run.json` that was damaged.
    """
    folder = expanded(folder)
    path = folder / "run.json"
    if not os.path.isfile(path):  # unlike Path.is_file it never raises
        reason = f"{path} is missing" if os.path.isdir(folder) else "there is no such folder"
        raise DataError(
            f"{folder} holds no finished training ({reason}); expected model.keras and run.json, as "
            f"`python -m helpers train {task or '…'}` leaves them."
        )
    run = read_json(path, {"type": "object", "required": ["task"], "description": "an object"}, _RESTORE)
    if run["task"] not in TASKS:
        raise DataError(f"{path}: task is {run['task']!r}; expected one of {', '.join(TASKS)}. {_RESTORE}")
    if task not in (None, run["task"]):
        raise DataError(f"{folder} holds a training of {run['task']!r}; expected one of {task!r}. Give another folder.")
    recorded = run.get("digest")
    made = _digest(run)
    check_json(_renamed(run), path, RUN[run["task"]], _RESTORE)
    if recorded not in (None, made):  # older versions recorded none
        raise DataError(f"{path} was edited: digest {recorded} is recorded, but its content gives {made}. {_RESTORE}")
    return {"precision": None, "versions": {}, "device": None, "learned_from": {}, **run}


def member_folders(folder: str | os.PathLike) -> list[Path]:
    """The trainings of an ensemble; of any other training its own folder alone.

    Args:
        folder: of a finished training; a leading `~` is expanded.

    Raises:
        DataError: as `read_run`; or a member is missing, is no training of the same task, or is another than the
            ensemble was made of.
    """
    folder = expanded(folder)
    run = read_run(folder)
    if "members" not in run:
        return [folder]
    members = [folder / name for name in run["members"]]
    for member in members:
        if "members" in read_run(member, run["task"]):
            raise DataError(f"{member} is an ensemble in an ensemble; {_RESTORE[0].lower()}{_RESTORE[1:]}")
    digests = [run_digest(member) for member in members]
    if run.get("member_digests", digests) != digests:  # older versions recorded none
        changed = next(
            (one.name for one, was, now in zip(members, run["member_digests"], digests, strict=False) if was != now),
            "their number",
        )
        raise DataError(
            f"The members of {folder} are not those that the ensemble was made of: {changed} has changed since. "
            f"{_RESTORE}"
        )
    return members


def _digest(run: Mapping[str, object]) -> str:
    """Eight characters of a hash of a `run.json`: an edited one would describe another training than that of its model.

    Args:
        run: its content; a `digest` in it does not count.
    """
    content = json.dumps({name: run[name] for name in sorted(run) if name != "digest"}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:8]


def run_digest(folder: str | os.PathLike) -> str:
    """What tells a finished training from any other: the digest of its `run.json`.

    Args:
        folder: of the training; a leading `~` is expanded.

    Raises:
        DataError: as `read_run`.
    """
    run = read_run(folder)
    return run.get("digest") or _digest(run)  # older versions recorded none


def write_signed(run: Mapping[str, object], path: Path) -> str:
    """Write a `run.json` with the digest of its content.

    Args:
        run: what it holds; a `digest` in it is replaced.
        path: of the file.

    Returns:
        The digest.
    """
    digest = _digest(run)
    write_json({**run, "digest": digest}, path)
    return digest


def _renamed(run: dict) -> dict:
    """A `run.json` with the names of today, whichever version of this package wrote it."""
    parts = [_entry(run, "statistics"), _entry(run, "prepare")]
    for entries, old, new in zip(parts, ("familiar", "greys"), ("ranges", "histogram"), strict=True):
        if old in entries:
            entries[new] = entries.pop(old)
    if isinstance(run.get("parameters"), dict):
        run["parameters"] = current_parameters(run["parameters"])
    return run


def _entry(content: dict, name: str) -> dict:
    """An entry that is an object; an empty one where it is none, which the schema refuses if need be."""
    entry = content.get(name)
    return entry if isinstance(entry, dict) else {}


def patients_learned_from(folder: str | os.PathLike) -> dict[str, dict[str, str]]:
    """The hashes of the voxels, by id, of all patients that a model was trained or tuned on.

    Args:
        folder: of a finished training.

    Raises:
        DataError: `run.json` does not name them all, so that nobody knows whom the model may be scored on.
    """
    folder = expanded(folder)
    if len(members := member_folders(folder)) > 1:
        return {identity: known for member in members for identity, known in patients_learned_from(member).items()}
    run, split = read_run(folder), read_split(folder)
    known, learned = run["learned_from"], {*split.train, *split.validation}
    if run["task"] == "lungs":  # it learns from one hospital of a split of both, or from a few of its radiographs
        complete = bool(known) and not set(known).isdisjoint(learned)
    else:
        complete = bool(known) and learned <= set(known)
    if not complete:
        missing = len(learned - set(known))
        raise DataError(
            f"{folder / 'run.json'}: learned_from names {len(known)} patients, and {missing} of the {len(learned)} "
            "that split.json has for training and validation are not among them; nobody knows then whom the model may "
            f"be scored on. {_RESTORE}"
        )
    return known


def read_split(folder: str | os.PathLike) -> Split:
    """Read the split of a finished training.

    Args:
        folder: of the training; a leading `~` is expanded.

    Returns:
        The split; that of an ensemble holds the test patients of its members alone, whom a member never saw.

    Raises:
        DataError: `split.json` is missing or damaged, or is not the one that the model was trained with.
    """
    folder = expanded(folder)
    if len(members := member_folders(folder)) > 1:
        splits = [read_split(member) for member in members]
        tested = sorted({identity for split in splits for identity in split.test})
        return Split((), (), tuple(tested), splits[0].seed)
    run, split = read_run(folder), load_split(folder / "split.json")
    if (digest := run["parameters"].get("split", split.digest)) != split.digest:
        raise DataError(
            f"{folder / 'split.json'} is another split ({split.digest}) than the one of run.json ({digest}); restore "
            "the original file."
        )
    if leaked := sorted(set(split.test) & set(run["learned_from"])):
        message = f"{folder}: by run.json the model learned from {len(leaked)} of the patients that split.json tests:"
        error = DataError.listing(message, leaked)
        raise error
    return split


def scoring_folders(folder: str | os.PathLike) -> dict[str, Path]:
    """By test patient of a model, the folder of what scores that patient and never saw it.

    Of an ensemble that cross-validation left this is the member that tests the patient; where all members test the same
    patients, as after a fine-tuning, it is the ensemble.

    Args:
        folder: of a finished training, or of an ensemble.

    Raises:
        DataError: as `read_split`.
    """
    folder = expanded(folder)
    members = member_folders(folder)
    splits = [set(read_split(member).test) for member in members]
    if all(test == splits[0] for test in splits):
        return dict.fromkeys(sorted(splits[0]), folder)
    return {identity: member for member, test in zip(members, splits, strict=True) for identity in sorted(test)}


def read_metrics(folder: str | os.PathLike) -> dict:
    """Read the scores of a finished training.

    Args:
        folder: of the training; a leading `~` is expanded.

    Raises:
        DataError: `metrics.json` is missing or damaged.
    """
    folder = expanded(folder)
    task = read_run(folder)["task"]
    cure = (
        f"Score the model again: python -m helpers evaluate {folder} --data DIR --json {folder / 'metrics.json'}"
        f"{' --site HOSPITAL' * (task == 'lungs')}."
    )
    return read_json(folder / "metrics.json", METRICS[task], cure, finite=False)


def training_folder(out: str | os.PathLike) -> Path:
    """Try whether a training can be written to its folder, before anything is read; a finished one is left alone.

    Args:
        out: the folder; a leading `~` is expanded.

    Returns:
        The path, expanded.

    Raises:
        DataError: the folder cannot be made or written to.
    """
    return expanded(out) if os.path.isfile(expanded(out) / "metrics.json") else writable_folder(out)


def check_network(folder: str | os.PathLike) -> None:
    """See that the network of a training is there, whole, and the one of its `run.json`, without loading it.

    Args:
        folder: of a finished training, or of an ensemble; a leading `~` is expanded.

    Raises:
        DataError: `model.keras` is missing or damaged, or belongs to another training.
    """
    for member in member_folders(folder):
        path = member / "model.keras"
        try:
            with zipfile.ZipFile(path):
                pass
            made = _sha256(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(_unusable(path, error)) from error
        recorded = read_run(member).get("model_sha256", made)  # older versions recorded none
        if made != recorded:
            raise DataError(_unusable(path, f"its SHA-256 is {made[:12]}…, and {recorded[:12]}… is recorded there"))


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unusable(path: Path, error: Exception | str) -> str:
    return (
        f"{path} cannot be loaded as the network that run.json describes ({error}). Copy the folder again, or train "
        "again."
    )


def load_network(folder: str | os.PathLike, build: "Callable[[dict], keras.Model]") -> "keras.Model":
    """The network of a training, in the precision of this chip; that of an ensemble is the mean of its members.

    This package builds it from the parameters in `run.json`, and takes the weights alone from `model.keras`: the
    configuration in that archive is bound to the Keras that wrote it (3.13 does not read that of 3.15). It is the
    fallback where the parameters do not suffice, as in folders of older versions.

    Args:
        folder: of a finished training, or of an ensemble.
        build: from the parameters to the untrained network.

    Raises:
        DataError: `model.keras` is missing, damaged, or holds another network than `run.json` describes.
    """
    from helpers.models.ensemble import ensemble

    check_network(folder)
    return ensemble([_load_member(member, build) for member in member_folders(folder)])


def _load_member(folder: Path, build: "Callable[[dict], keras.Model]") -> "keras.Model":
    path, parameters = folder / "model.keras", read_run(folder)["parameters"]
    import keras

    from helpers.learn.precision import cast_model, policy_scope

    try:
        with policy_scope():
            try:
                network = build(parameters)
            except KeyError:
                return cast_model(keras.models.load_model(path, compile=False))
        network.load_weights(path)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(_unusable(path, error)) from error
    return network


def save_model(model: "keras.Model", path: Path) -> None:
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
    if differ := differences(found, parameters):
        raise DataError(f"{out} holds a finished training with other parameters ({differ}). Choose another folder.")
    read_metrics(out)  # raises where it is damaged: a folder is finished if this file is
    return True
