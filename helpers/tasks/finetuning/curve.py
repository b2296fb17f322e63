"""The learning curve of a new site: what 1, 2, 4, 8 of its patients are worth, beside training from nothing.

out/base/                                 the model of the other hospitals, where none was given
out/<from>/<order>/draw_<d>/k_<k>/        trained on k patients, from the "model", from "nothing", or from the model
                                          with its old patients shown again ("rehearsal")
out/curve.json                            the table so far, written anew after every training

All are scored on the same test patients, which no draw contains; a finished folder is not trained again, so the same
command resumes. Draws differ in the patients and in the seed of the training.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers.data.brats import Patient
from helpers.data.splits import Split, keep_out
from helpers.learn.budget import Budget
from helpers.learn.finetuning import EPOCHS, Start
from helpers.learn.run_folder import read_metrics
from helpers.runtime import options
from helpers.runtime.disk import write_json
from helpers.runtime.errors import DataError
from helpers.runtime.machine import parse_devices
from helpers.runtime.outputs import writable_folder
from helpers.runtime.settings import check_names, check_seed, check_whole, expanded
from helpers.tasks.brain.commands import train_brain
from helpers.tasks.finetuning.commands import Hospital, forgotten, test_split, train_members, written
from helpers.tasks.finetuning.outline_first import in_order
from helpers.tasks.finetuning.tools import TOOLS

COUNTS = (1, 2, 4, 8)
NOTHING, MODEL, REHEARSAL = "nothing", "model", "rehearsal"

Log = Callable[[str], None]


def learning_curve(
    data: str | os.PathLike,
    out: str | os.PathLike,
    model_dir: str | os.PathLike | None = None,
    site: str | None = None,
    counts: Sequence[int] = COUNTS,
    draws: int = 3,
    orders: Sequence[str] = tuple(options.ORDERS),
    layers: str = "graded",
    test: int | None = None,
    old: str | os.PathLike | None = None,
    rehearse: bool = False,
    minutes: float | None = None,
    epochs: int | None = None,
    seed: int = 0,
    log: Log = print,
    devices: str = "auto",
    base: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train on 1, 2, 4 ... patients of a new site, from a model and from nothing, and score all on the same others.

    Args:
        data: the folder of the patients.
        out: receives the trainings and `curve.json`, see the module.
        model_dir: the model to go on with; without one a brain model is trained on the other sites under `data`, two of
            whose patients are kept out, so that what is forgotten can be measured.
        site: the new site, where the folder holds several; needed without a model.
        counts: of patients to learn from; those beyond what there is are left out.
        draws: of patients by chance for each count, one where all are taken; the other orders have one.
        orders: names in `helpers.runtime.options.ORDERS`, for the model; from nothing it is by chance.
        layers: a name in `helpers.runtime.options.LAYERS`. It is fixed beforehand: chosen anew for each count, the
            curve would be one of choices too.
        test: patients kept for the test; a fifth without.
        old: a folder with patients of the old hospital; `data` where the model is trained here.
        rehearse: add a curve of the model with its old patients shown again.
        minutes: wall time of each training.
        epochs: of 20 steps, of each training; 25 where no minutes are given.
        seed: of the test patients, of the first draw and of the base.
        log: called with a line of progress.
        devices: where to train, see `helpers.learn.devices.configure`.
        base: arguments of `helpers.tasks.brain.commands.train_brain` for the model that is trained here.

    Returns:
        What `out/curve.json` holds: `task`, `score`, `test` (ids), `pool` (how many could be learned from), `layers`;
        `base`, `trivial` and, where old test patients are at hand, `old_base`: the scores of the patients by id; and
        `rows`, of each training `start`, `order`, `draw`, `k`, `train` (ids), `new` and `old` (scores by id, or null).

    Raises:
        DataError: a setting is out of range (found before anything is read), or as `finetune`.
    """
    for count in counts:
        check_whole("counts", count, 1, example=8)
    check_whole("draws", draws, 1, example=3)
    check_names(list(orders), list(options.ORDERS), "order")
    options.check(options.LAYERS, layers, "layers")
    check_seed(seed)
    Budget.of(minutes, EPOCHS if epochs is None else epochs)
    parse_devices(devices)
    if rehearse and model_dir and not old:
        raise DataError("To rehearse the old hospital's patients takes their folder; give it by --old.")
    if not model_dir and not site:
        raise DataError("Without a model one is trained on the other sites: name the new site, such as --site CBICA.")
    out = writable_folder(out)
    if not model_dir:
        model_dir, old = _base(data, out, site, {"seed": seed, "devices": devices, "log": log, **(base or {})}), data
    hospital = Hospital.read(model_dir, data, site, old, epochs=epochs or EPOCHS)
    hospital.refuse_known([one.id for one in hospital.cases])
    whole = test_split(hospital.cases, test, seed)
    counts = [count for count in sorted({*counts}) if count <= len(whole.train)]
    before = hospital.score(dict.fromkeys(whole.test, hospital.model), log)
    table: dict[str, Any] = {
        "task": hospital.task,
        "score": hospital.tools.score,
        "test": list(whole.test),
        "pool": len(whole.train),
        "layers": layers,
        "minutes": minutes,
        "epochs": None if minutes is not None else epochs or EPOCHS,
        "base": written(hospital.tools.values(before), whole.test),
        "trivial": written(hospital.tools.trivials(before), whole.test),
        "rows": [],
    }
    if hospital.kept_out:
        table["old_base"] = written(hospital.tools.values(hospital.score(hospital.kept_out, log)), hospital.kept_out)
    for start, order, draw, ids in _trainings(hospital, whole, counts, draws, orders, rehearse, seed, log):
        folder = out / start / order / f"draw_{draw}" / f"k_{len(ids)}"
        log(f"{start}, {order}, draw {draw}, {len(ids)} {hospital.tools.word}: {folder}")
        common = {"minutes": minutes, "seed": seed + draw, "devices": devices}
        slices = out / f"slices_{start}"  # rehearsal has the old patients too
        row = _train(hospital, folder, start, Split(ids, (), whole.test, seed), layers, slices, log, common)
        table["rows"].append({"start": start, "order": order, "draw": draw, "k": len(ids), "train": list(ids), **row})
        write_json(table, out / "curve.json")
    for slices in out.glob("slices_*"):
        shutil.rmtree(slices)
    return table


def _base(data: str | os.PathLike, out: Path, site: str, settings: Mapping[str, Any]) -> Path:
    """A brain model of all known sites but one, with two of their patients kept out."""
    modalities = {"modalities": tuple(settings.get("modalities", ("flair", "t1ce")))}
    patients = TOOLS["brain"].cases(data, modalities, None)
    new = {one.id for one in TOOLS["brain"].cases(data, modalities, site)}
    others: list[Patient] = [one for one in patients if one.site and one.id not in new]
    split = keep_out(others, 2, settings["seed"])
    return train_brain(expanded(data), out / "base", split=split, stored=others, **settings)


def _trainings(
    hospital: Hospital,
    whole: Split,
    counts: Sequence[int],
    draws: int,
    orders: Sequence[str],
    rehearse: bool,
    seed: int,
    log: Log,
) -> list[tuple[str, str, int, tuple[str, ...]]]:
    """Start, order, draw and training patients of each training, the fewest patients first."""
    pool = [one for one in hospital.cases if one.id in whole.train]
    by_chance = [in_order("random", hospital.model, pool, seed + draw, log) for draw in range(draws)]
    listed = []
    for count in counts:
        some = by_chance[: 1 if count == len(pool) else draws]
        for start in (MODEL, NOTHING, *([REHEARSAL] if rehearse else [])):
            if start == NOTHING or "random" in orders:
                listed += [(start, "random", draw, tuple(sorted(ids[:count]))) for draw, ids in enumerate(some)]
    for order in (name for name in orders if name != "random"):
        ids = in_order(order, hospital.model, pool, seed, log)
        # where all are taken the order does not matter
        listed += [(MODEL, order, 0, tuple(sorted(ids[:count]))) for count in counts if count < len(pool)]
    return sorted(listed, key=lambda one: len(one[3]))


def _train(
    hospital: Hospital,
    folder: Path,
    start: str,
    split: Split,
    layers: str,
    slices: Path,
    log: Log,
    common: Mapping[str, Any],
) -> dict[str, Any]:
    """The scores of one training, at the new site and at the old ones."""
    tools, old = hospital.tools, None
    if start == NOTHING:
        hospital.train(folder, split, None, log, slices, **common)
    else:
        starts = {
            member: Start(member, layers, hospital.rehearsed(member) if start == REHEARSAL else ())
            for member in hospital.members
        }
        train_members(hospital, folder, split, starts, log, slices, **common)
        old = forgotten(hospital, folder, log)
    return {
        "new": written(tools.values(read_metrics(folder)), split.test),
        "old": written(tools.values(old), hospital.kept_out) if old else None,
    }
