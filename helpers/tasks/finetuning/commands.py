"""Fine-tuning as a command: a finished model goes on learning from a new hospital's patients, and is scored there.

out/                 the folder of a training, or of an ensemble where the first model is one
out/choice/<layers>/ trainings on folds of the patients, by which it was chosen how the layers learn
out/before.json      the scores of the first model on the new test patients, as `evaluate --json` writes them
out/old_*.json       the same of the old hospital's test patients, before and after: what was forgotten
out/finetuning.json  one score of each patient, of all of these
"""

import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from helpers.data.splits import Split, keep_out
from helpers.learn.budget import Budget
from helpers.learn.cross_validation import cross_validate
from helpers.learn.finetuning import EPOCHS, STEPS, Start, check_start
from helpers.learn.run_folder import (
    check_network,
    member_folders,
    patients_learned_from,
    read_metrics,
    read_run,
    read_split,
    scoring_folders,
    training_folder,
    write_ensemble,
)
from helpers.learn.test_cases import refuse_known, score_provenance
from helpers.measure.classification import SlicePredictions, threshold_for
from helpers.runtime import options
from helpers.runtime.disk import write_json
from helpers.runtime.errors import DataError
from helpers.runtime.machine import parse_devices
from helpers.runtime.settings import check_seed, check_whole, expanded
from helpers.tasks.finetuning.outline_first import in_order
from helpers.tasks.finetuning.tools import TOOLS, Case, Tools, refuse_learned
from helpers.tasks.gate.recipe import SENSITIVITY

CHOOSE = "auto"
"""In place of a name in `helpers.runtime.options.LAYERS`: they are tried on folds of the patients."""

FOLDS = 4
"""Of the patients, at most, by which the layers' rates are chosen."""

UNTRIED = "graded"
"""How the layers learn where there is one patient, so that nothing can be tried."""

Log = Callable[[str], None]


@dataclass(frozen=True)
class Hospital:
    """A model, and the patients of a new hospital that it goes on to learn from.

    Attributes:
        model: the folder of the model, or of an ensemble.
        data: the folder of the new patients.
        site: of these, where the folder holds several hospitals.
        cases: the new patients with masks.
        old: the old hospital's patients that are at hand.
        settings: of the training, beside those that the model was trained with.
    """

    model: Path
    data: Path
    site: str | None
    cases: tuple[Case, ...]
    old: tuple[Case, ...]
    settings: Mapping[str, Any]

    @classmethod
    def read(
        cls,
        model_dir: str | os.PathLike,
        data: str | os.PathLike,
        site: str | None = None,
        old: str | os.PathLike | None = None,
        **settings: Any,
    ) -> "Hospital":
        """The model in a folder, and the patients under two others.

        Args:
            model_dir: a folder that `train`, `adapt` or this module left.
            data: the folder of the new patients.
            site: read this hospital alone.
            old: a folder with patients of the old hospital; none without.
            settings: of the training.

        Raises:
            DataError: the model's folder or the data cannot be used.
        """
        model = expanded(model_dir)
        tools = TOOLS[read_run(model)["task"]]
        check_network(model)
        parameters = check_start(member_folders(model)[0], tools.needed)
        cases = tools.cases(data, parameters, site)
        new = {one.id for one in cases}
        there = tools.cases(old, parameters, None) if old else ()
        return cls(model, expanded(data), site, cases, tuple(one for one in there if one.id not in new), settings)

    @cached_property
    def task(self) -> str:
        """The task of the model."""
        return read_run(self.model)["task"]

    @property
    def tools(self) -> Tools:
        """What fine-tuning needs of the task."""
        return TOOLS[self.task]

    @cached_property
    def members(self) -> list[Path]:
        """The trainings that the model is made of."""
        return member_folders(self.model)

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """Of the model."""
        return read_run(self.members[0])["parameters"]

    @cached_property
    def kept_out(self) -> dict[str, Path]:
        """By old patient that is at hand and was never learned from, the folder that scores it."""
        there, by = {one.id for one in self.old}, scoring_folders(self.model)
        return {identity: folder for identity, folder in by.items() if identity in there}

    def refuse_known(self, ids: Sequence[str]) -> None:
        """Refuse new patients that the model has learned from.

        Args:
            ids: the patients.

        Raises:
            DataError: some of them are known to the model, by id or by their voxels.
        """
        refuse_learned(self.model, ids)
        known = patients_learned_from(self.model)
        some = [one for one in self.cases if one.id in {*ids}]
        refuse_known(some, known, lambda one: self.tools.hashes(one, self.parameters), self.model)

    def rehearsed(self, member: Path) -> tuple[Case, ...]:
        """The old patients at hand that a member has learned from.

        Args:
            member: the folder of the training.

        Raises:
            DataError: there is none.
        """
        train = {*read_split(member).train} & {*patients_learned_from(member)}
        found = tuple(one for one in self.old if one.id in train)
        if not found:
            raise DataError(
                f"None of the {len(train)} {self.tools.word} that {member} learned from is among the {len(self.old)} "
                "of the old hospital that were given; to rehearse them, give the folder that it was trained from."
            )
        return found

    def train(self, out: Path, split: Split, start: Start | None, log: Log, slices: Path, **further: Any) -> Path:
        """Train on the training patients of a split, from the model or from nothing.

        Args:
            out: the folder of the training.
            split: of the new patients.
            start: what to go on with; None for a new network.
            log: called with a line of progress.
            slices: the slice store, which trainings share.
            further: arguments of the task's training.
        """
        stored = (*self.cases, *(self.old if start and start.rehearsed else ()))
        settings = {**self.tools.settings(self.parameters), **self.settings, "stored": stored, "steps": STEPS}
        if self.task == "lungs" and self.site:
            settings["site"] = self.site
        return self.tools.train(
            self.data, out, split=split, start=start, log=log, slices=slices, **{**settings, **further}
        )

    def score(self, by: Mapping[str, Path], log: Log, split: str = "all") -> dict[str, Any]:
        """The scores of patients, new or old, in the form of `evaluate --json`.

        Args:
            by: the folder that scores each, by id.
            log: called with a line of progress.
            split: what the provenance calls them.
        """
        cases = [one for one in (*self.cases, *self.old) if one.id in by]
        result = self.tools.evaluate(by, cases, log)
        folder = next(iter(by.values()))
        further = {"threshold": read_run(folder)["threshold"]} if self.task == "gate" else {}
        return {**result, **further, "run": score_provenance(folder, split, cases)}


def finetune(
    model_dir: str | os.PathLike,
    data: str | os.PathLike,
    out: str | os.PathLike,
    patients: int | None = None,
    first: str = "random",
    layers: str = CHOOSE,
    site: str | None = None,
    test: int | None = None,
    old: str | os.PathLike | None = None,
    rehearse: bool = False,
    minutes: float | None = None,
    epochs: int | None = None,
    seed: int = 0,
    started: float | None = None,
    log: Log = print,
    devices: str = "auto",
    split: Split | None = None,
    **settings: Any,
) -> Path:
    """Go on with a finished model at a new hospital, and score it there beside what it was.

    Args:
        model_dir: a folder that `train brain`, `train gate`, `train lungs`, `adapt` or this left; of an ensemble each
            member goes on.
        data: the folder of the new patients, with masks.
        out: the folder to write to, see the module. A finished fine-tuning is left as it is; one that was stopped is
            resumed.
        patients: learn from so many; from all but the test patients without. More patients contain the fewer.
        first: a name in `helpers.runtime.options.ORDERS`: which of them.
        layers: a name in `helpers.runtime.options.LAYERS`; or "auto": each is tried on folds of these patients.
        site: the new hospital, where the folder holds several.
        test: new patients that are kept for the test, the same whatever `patients` is; a fifth without.
        old: a folder with patients of the old hospital: what the model forgets is measured on those that it never saw.
        rehearse: draw half of each batch from old patients that the model has learned from.
        minutes: wall time from `started` until the folder is finished; a half of it for the choice of the layers.
        epochs: of 20 steps; 25 where no minutes are given.
        seed: of the order of patients, of slices and of their augmentation.
        started: the moment from which minutes count, as `time.monotonic` gives it; now without.
        log: called with a line of progress.
        devices: where to train, see `helpers.learn.devices.configure`.
        split: training, validation and test patients; `patients`, `first` and `test` do not count then.
        settings: of the training, in place of those that the model was trained with.

    Returns:
        `out`.

    Raises:
        DataError: a setting is out of range, the model's folder or the data cannot be used, there are too few patients,
            new patients that the model has learned from (each is named), or `out` holds another training.
    """
    _check_settings(patients, first, layers, test, minutes, epochs, seed, devices)
    if rehearse and not old:
        raise DataError("To rehearse the old hospital's patients takes their folder; give it by --old.")
    out = training_folder(out)
    hospital = Hospital.read(model_dir, data, site, old, epochs=epochs or EPOCHS, **settings)
    if split:
        hospital.refuse_known(split.test)
    else:
        split = _split(hospital, patients, first, test, seed, log)
    slices, common = out / "slices", {"seed": seed, "devices": devices}
    rehearsed = {member: hospital.rehearsed(member) if rehearse else () for member in hospital.members}
    threshold, share = None, minutes
    if layers == CHOOSE and len(split.train) > 1:
        half = None if minutes is None else minutes / 2
        layers, threshold = _choose_layers(
            hospital, split.train, out, rehearsed[hospital.members[0]], half, started, log, slices=slices, **common
        )
        started, share = None, half
    elif layers == CHOOSE:
        log(
            f"One of {hospital.tools.word} leaves none to try the layers on: {UNTRIED}, {options.LAYERS[UNTRIED].help}."
        )
        layers = UNTRIED
    starts = {member: Start(member, layers, rehearsed[member], threshold) for member in hospital.members}
    train_members(hospital, out, split, starts, log, slices, share, started, **common)
    shutil.rmtree(slices, ignore_errors=True)
    _write_scores(hospital, out, split, layers, log)
    return out


def train_members(
    hospital: Hospital,
    out: Path,
    split: Split,
    starts: Mapping[Path, Start],
    log: Log,
    slices: Path,
    minutes: float | None = None,
    started: float | None = None,
    **common: Any,
) -> None:
    """Fine-tune each member of a model, and make an ensemble of them where there are several.

    Args:
        hospital: the model and the new patients.
        out: the folder of the result.
        split: of the new patients.
        starts: what each member goes on with, by its folder.
        log: called with a line of progress.
        slices: the slice store, which all trainings share.
        minutes: wall time of all together.
        started: the moment from which minutes count.
        common: further arguments of the trainings.
    """
    share = None if minutes is None else minutes / len(starts)
    if len(starts) == 1:
        (start,) = starts.values()
        hospital.train(out, split, start, log, slices, minutes=share, started=started, **common)
        return
    folders = [out / member.name for member in starts]
    for folder, start in zip(folders, starts.values(), strict=True):
        log(f"{start.folder.name}: {folder}")
        hospital.train(folder, split, start, log, slices, minutes=share, started=started, **common)
        started = None
    write_ensemble(out, folders)
    if not (out / "metrics.json").exists():
        write_json(hospital.score(dict.fromkeys(split.test, out), log, "test"), out / "metrics.json")


def forgotten(hospital: Hospital, out: Path, log: Log) -> dict[str, Any] | None:
    """The scores of a fine-tuned model on the old test patients, each by the member that never saw it.

    Args:
        hospital: the first model, and the old patients at hand.
        out: the folder of the fine-tuned one.
        log: called with a line of progress.

    Returns:
        As `Hospital.score`; None where no old test patient is at hand.
    """
    if not hospital.kept_out:
        return None
    single = len(hospital.members) == 1
    by = {
        identity: out if single or folder == hospital.model else out / folder.name
        for identity, folder in hospital.kept_out.items()
    }
    return hospital.score(by, log)


def _check_settings(
    patients: int | None,
    first: str,
    layers: str,
    test: int | None,
    minutes: float | None,
    epochs: int | None,
    seed: int,
    devices: str,
) -> None:
    """Refuse what cannot be trained, before anything is read."""
    for name, value in (("patients", patients), ("test", test)):
        if value is not None:
            check_whole(name, value, 1, example=8)
    options.check(options.ORDERS, first, "order")
    if layers != CHOOSE:
        options.check(options.LAYERS, layers, "layers")
    check_seed(seed)
    Budget.of(minutes, EPOCHS if epochs is None else epochs)
    parse_devices(devices)


def test_split(cases: Sequence[Case], test: int | None, seed: int) -> Split:
    """The new patients' split: who is tested, the same however many are learned from; all others are for training.

    Args:
        cases: the new patients.
        test: how many are tested; a fifth without.
        seed: another seed is another split.

    Raises:
        DataError: there are too few patients.
    """
    return keep_out(cases, test or max(1, len(cases) // 5), seed, validate=False)


def _split(hospital: Hospital, patients: int | None, first: str, test: int | None, seed: int, log: Log) -> Split:
    """The test patients, and the first so many of the others in the order that was asked for.

    Raises:
        DataError: there are fewer than that.
    """
    whole = test_split(hospital.cases, test, seed)
    if patients and patients > len(whole.train):
        raise DataError(
            f"{patients} {hospital.tools.word} to learn from were asked for; of the {len(hospital.cases)} under "
            f"{hospital.data} {len(whole.test)} are kept for the test, which leaves {len(whole.train)}."
        )
    hospital.refuse_known([one.id for one in hospital.cases])
    pool = [one for one in hospital.cases if one.id in whole.train]
    chosen = whole.train
    if patients and patients < len(pool):
        chosen = tuple(in_order(first, hospital.model, pool, seed, log)[:patients])
    return Split(tuple(sorted(chosen)), (), whole.test, seed)


def _choose_layers(
    hospital: Hospital,
    ids: Sequence[str],
    out: Path,
    rehearsed: tuple[Case, ...],
    minutes: float | None,
    started: float | None,
    log: Log,
    **common: Any,
) -> tuple[str, float | None]:
    """How the layers shall learn: each way is tried on folds of the patients, and scored on those left out.

    Returns:
        The best, and of a gate the threshold by the slices of the patients left out.
    """
    tools, folds = hospital.tools, min(FOLDS, len(ids))
    splits = {
        f"fold_{fold + 1}_of_{folds}": Split(
            tuple(identity for place, identity in enumerate(ids) if place % folds != fold),
            (),
            tuple(ids[fold::folds]),
            0,
        )
        for fold in range(folds)
    }
    share = None if minutes is None else minutes / len(options.LAYERS)
    results, scores = {}, {}
    for layers in options.LAYERS:
        log(f"{layers}: {options.LAYERS[layers].help}")
        start = Start(hospital.members[0], layers, rehearsed)
        results[layers] = cross_validate(
            partial(_train_fold, hospital, start),
            lambda found: {tools.rows: [row for one in found for row in one[tools.rows]]},
            splits,
            out / "choice" / layers,
            minutes=share,
            started=started,
            log=log,
            **common,
        )
        started, scores[layers] = None, float(np.nanmean(list(tools.values(results[layers]).values())))
    before = tools.values(hospital.score(dict.fromkeys(ids, hospital.members[0]), log))
    chosen = max(scores, key=lambda name: scores[name])
    as_it_was = float(np.nanmean(list(before.values())))
    write_json(
        {"folds": folds, "patients": list(ids), "as it was": as_it_was, "layers": scores, "chosen": chosen},
        out / "choice" / "choice.json",
    )
    listed = ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
    log(
        f"On {folds} folds of {len(ids)} {tools.word}: {listed}; the model as it was {as_it_was:.3f}. Chosen: {chosen}."
    )
    threshold = None
    if hospital.task == "gate":
        rows = [SlicePredictions.from_json(row) for row in results[chosen]["patients"]]
        truth = np.concatenate([row.truth for row in rows])
        if truth.any() and not truth.all():
            probabilities = np.concatenate([row.probabilities for row in rows])
            threshold = threshold_for(truth, probabilities, SENSITIVITY)
    return chosen, threshold


def _train_fold(
    hospital: Hospital,
    start: Start,
    out: Path,
    split: Split,
    log: Log = print,
    slices: Path | None = None,
    **further: Any,
) -> Path:
    return hospital.train(out, split, start, log, slices or out / "slices", **further)


def _write_scores(hospital: Hospital, out: Path, split: Split, layers: str, log: Log) -> None:
    """Write the scores of the first model, and those of the old hospital, beside `metrics.json`."""
    tools, after, here = hospital.tools, read_metrics(out), {one.id for one in hospital.cases}

    def before(name: str, by: Mapping[str, Path]) -> dict[str, Any]:
        result = hospital.score(by, log)
        write_json(result, out / name)
        return written(tools.values(result), by)

    table = {
        "task": hospital.task,
        "score": tools.score,
        "patients": list(split.train),
        "layers": layers,
        "new": {
            "before": before("before.json", dict.fromkeys(split.test, hospital.model)),
            "after": written(tools.values(after), here),
            "trivial": written(tools.trivials(after), here),
        },
    }
    if old := forgotten(hospital, out, log):
        write_json(old, out / "old_after.json")
        table["old"] = {
            "before": before("old_before.json", hospital.kept_out),
            "after": written(tools.values(old), hospital.kept_out),
            "trivial": written(tools.trivials(old), hospital.kept_out),
        }
    elif hospital.old:
        log(f"None of the old {tools.word} was kept out of the first training: what is forgotten cannot be measured.")
    write_json(table, out / "finetuning.json")


def written(values: Mapping[str, float], ids: Collection[str]) -> dict[str, float | None]:
    """The scores of some patients, as JSON can write them: null where a patient has none.

    Args:
        values: by id.
        ids: the patients.
    """
    return {identity: None if np.isnan(value) else value for identity, value in values.items() if identity in ids}
