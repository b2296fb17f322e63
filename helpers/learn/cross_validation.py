"""Cross-validation: a model for each fold, so that every patient is tested once, by a model that never saw it."""

import math
import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from helpers.data.brats import Patient
from helpers.data.splits import make_split
from helpers.learn.parallel import device_environments, run_parallel
from helpers.learn.run_folder import read_metrics, write_ensemble
from helpers.runtime.disk import write_json
from helpers.runtime.lock import lock_folder


def cross_validate(
    train: Callable[..., Path],
    pool: Callable[[list[dict]], dict],
    patients: Sequence[Patient],
    out: str | os.PathLike,
    folds: int,
    seed: int = 0,
    devices: str = "auto",
    minutes: float | None = None,
    started: float | None = None,
    log: Callable[[str], None] = print,
    **settings: Any,
) -> dict:
    """Train and score once a fold, pool the scores over all patients, and leave the folds as one ensemble.

    Folds that are finished in `out` are not trained again, so the same command resumes. Of several GPUs each trains a
    fold of its own (`helpers.learn.parallel`), since folds are independent.

    Args:
        train: takes `out`, `split`, `seed`, `slices`, `devices`, `minutes`, `started`, `log` and the `settings`, and
            leaves a finished folder.
        pool: from what each fold has in its `metrics.json` to one table over all patients.
        patients: all of them.
        out: receives `fold_k_of_n/`, `metrics.json`, the pooled scores and each fold's `run`, and the `run.json` of the
            ensemble.
        folds: how many.
        seed: of the split, and of each training.
        devices: see `helpers.learn.devices.configure`.
        minutes: wall time of all folds together; each gets its share.
        started: the moment from which minutes count, as `time.monotonic` gives it; now without.
        log: called with a line of progress.
        settings: further arguments of `train`.

    Returns:
        What `out/metrics.json` holds.

    Raises:
        DataError: another process cross-validates in `out`.
    """
    out, environments = Path(out), device_environments(devices)
    parallel = folds > 1 and len(environments) > 1
    rounds = math.ceil(folds / len(environments)) if parallel else folds
    common = {"seed": seed, "slices": out / "slices", "devices": "auto" if parallel else devices, **settings}
    common["minutes"] = None if minutes is None else minutes / rounds
    folders = [out / f"fold_{fold + 1}_of_{folds}" for fold in range(folds)]
    jobs = {
        f"fold {fold + 1} of {folds}": partial(
            train, out=folder, split=make_split(patients, seed, folds, fold), **common
        )
        for fold, folder in enumerate(folders)
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
        shutil.rmtree(out / "slices", ignore_errors=True)
        results = [read_metrics(folder) for folder in folders]
        write_ensemble(out, folders)
        pooled = {**pool(results), "run": {"folds": [result["run"] for result in results]}}
        write_json(pooled, out / "metrics.json")
    return pooled
