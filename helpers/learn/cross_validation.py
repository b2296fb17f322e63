"""Cross-validation: a model for each fold, so that every patient is tested once, by a model that never saw it."""

import csv
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from helpers.data.brats import Patient
from helpers.data.splits import Split, SplitItem, make_split, site_groups, split_by_site
from helpers.learn.parallel import device_environments, run_parallel
from helpers.learn.run_folder import member_folders, read_metrics, read_split, write_ensemble
from helpers.runtime.disk import write_json
from helpers.runtime.errors import DataError
from helpers.runtime.lock import lock_folder
from helpers.runtime.settings import check_whole

BY_SITE = "site"
"""In place of a number of folds: one for each site."""

FINAL = "final"
"""Folder of the training on everybody, beside those of the folds."""


def check_folds(folds: int | str) -> None:
    """Refuse what is neither a number of folds nor `BY_SITE`.

    Args:
        folds: as `fold_splits` takes it.

    Raises:
        DataError: it is neither.
    """
    if folds != BY_SITE:
        check_whole("folds", folds, 2, example=5)


def fold_splits(patients: Sequence[Patient], folds: int | str, seed: int = 0) -> dict[str, Split]:
    """The split of each fold, by the name of its folder.

    Args:
        patients: all of them.
        folds: how many; or `BY_SITE`, for a fold that tests each site by a model of the others.
        seed: of the splits.

    Raises:
        DataError: fewer patients than folds, or fewer than two sites.
    """
    if folds == BY_SITE:
        return {f"test_{site}": split_by_site(patients, site, seed) for site in site_groups(patients) or ("none",)}
    return {f"fold_{k + 1}_of_{folds}": make_split(patients, seed, folds, k) for k in range(folds)}


def everybody(patients: Sequence[SplitItem], seed: int = 0) -> Split:
    """The split of a final training: all patients are for training.

    Args:
        patients: all of them.
        seed: of the training.
    """
    return Split(tuple(sorted(patient.id for patient in patients)), (), (), seed)


def final_epochs(folds: str | os.PathLike, patients: int | None, best: str | None = None) -> int:
    """How long a final training lasts: as many steps as the folds' median, in epochs, which are longer now.

    Nobody is left to validate on, so nothing can be selected; the folds have shown how long is good.

    Args:
        folds: folder of the finished folds.
        patients: that the final training learns from; None where an epoch has as many steps for any number of them.
        best: the column of `history.csv` by which folds chose their epoch, the highest; their last epoch without.

    Raises:
        DataError: the history of a fold is missing or damaged.
    """
    lengths = []
    for member in member_folders(folds):
        path = member / "history.csv"
        try:
            with path.open(newline="") as file:
                history = list(csv.DictReader(file))
            chosen = max(history, key=lambda row: float(row[best])) if best else history[-1]
            epoch = int(chosen["epoch"])
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise DataError(
                f"{path} is missing or damaged ({error!r}); it says how long the fold was trained. Restore it from a "
                f"copy, or delete {member} and give the command again, which trains that fold anew."
            ) from error
        lengths.append(epoch * (len(read_split(member).train) / patients if patients else 1))
    return max(1, round(median(lengths)))


def cross_validate(
    train: Callable[..., Path],
    pool: Callable[[list[dict]], dict],
    splits: Mapping[str, Split],
    out: str | os.PathLike,
    seed: int = 0,
    devices: str = "auto",
    minutes: float | None = None,
    started: float | None = None,
    final: bool = False,
    log: Callable[[str], None] = print,
    **settings: Any,
) -> dict:
    """Train and score once a fold, pool the scores over all patients, and leave the folds as one ensemble.

    Folds that are finished in `out` are not trained again, so the same command resumes. Of several GPUs each trains a
    fold of its own (`helpers.learn.parallel`), since folds are independent.

    Args:
        train: takes `out`, `split`, `seed`, `slices`, `devices`, `minutes`, `started`, `log` and the `settings`, and
            leaves a finished folder; in place of a split and minutes, `cross_validated`, the folder of the folds.
        pool: from what each fold has in its `metrics.json` to one table over all patients.
        splits: of each fold, by the name of its folder.
        out: receives the folders of the folds, `metrics.json`, the pooled scores and each fold's `run`, and the
            `run.json` of the ensemble.
        seed: of each training.
        devices: see `helpers.learn.devices.configure`.
        minutes: wall time of all trainings together; each gets its share.
        started: the moment from which minutes count, as `time.monotonic` gives it; now without.
        final: train one more in `out/final`, on everybody.
        log: called with a line of progress.
        settings: further arguments of `train`.

    Returns:
        What `out/metrics.json` holds.

    Raises:
        DataError: another process cross-validates in `out`.
    """
    out, environments = Path(out), device_environments(devices)
    parallel = len(splits) > 1 and len(environments) > 1
    rounds = math.ceil(len(splits) / len(environments)) if parallel else len(splits)
    common = {"seed": seed, "slices": out / "slices", "devices": "auto" if parallel else devices, **settings}
    common["minutes"] = None if minutes is None else minutes / (rounds + final)
    folders = [out / name for name in splits]
    jobs = {
        name.replace("_", " "): partial(train, out=out / name, split=split, **common) for name, split in splits.items()
    }
    with lock_folder(out, "cross-validates in"):
        if parallel:
            log(f"{len(environments)} folds at once, each on a device of its own.")
            run_parallel(jobs, environments, log)
        else:
            for (name, job), folder in zip(jobs.items(), folders, strict=True):
                log(f"{name}: {folder}")
                job(started=started, log=log)
                started = None  # the first fold paid for the start of the command
        results = [read_metrics(folder) for folder in folders]
        write_ensemble(out, folders)
        pooled = {**pool(results), "run": {"folds": [result["run"] for result in results]}}
        write_json(pooled, out / "metrics.json")
        if final:
            log(f"{FINAL}, on everybody: {out / FINAL}")
            train(out=out / FINAL, cross_validated=out, log=log, **{**common, "minutes": None, "devices": devices})
        shutil.rmtree(out / "slices", ignore_errors=True)
    return pooled
