"""Cross-validation: a model for each fold, so that every patient is tested once, by a model that never saw it."""

import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from helpers.data.brats import Patient
from helpers.data.splits import make_split
from helpers.learn.parallel import device_environments, run_parallel
from helpers.learn.run_folder import read_metrics
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
    log: Callable[[str], None] = print,
    **settings: Any,
) -> dict:
    """Train and score once a fold, and pool the scores over all patients.

    Folds that are finished in `out` are not trained again, so the same command resumes. Of several GPUs each trains a
    fold of its own (`helpers.learn.parallel`), since folds are independent.

    Args:
        train: takes `out`, `split`, `seed`, `slices`, `devices`, `log`, the `settings`, and leaves a finished folder.
        pool: from what each fold has in its `metrics.json` to one table over all patients.
        patients: all of them.
        out: receives `fold_k_of_n/` and `metrics.json`, the pooled scores and each fold's `run`.
        folds: how many.
        seed: of the split, and of each training.
        devices: see `helpers.learn.devices.configure`.
        log: called with a line of progress.
        settings: further arguments of `train`; `minutes` counts for each fold.

    Returns:
        What `out/metrics.json` holds.

    Raises:
        DataError: another process cross-validates in `out`.
    """
    out, environments = Path(out), device_environments(devices)
    parallel = folds > 1 and len(environments) > 1
    common = {"seed": seed, "slices": out / "slices", "devices": "auto" if parallel else devices, **settings}
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
                job(log=log)
        shutil.rmtree(out / "slices", ignore_errors=True)
        results = [read_metrics(folder) for folder in folders]
        pooled = {**pool(results), "run": {"folds": [result["run"] for result in results]}}
        write_json(pooled, out / "metrics.json")
    return pooled
