"""What a segmentation network was measured to do on its test patients: the scores that stand beside a new volume."""

import os
from collections.abc import Mapping
from typing import Any

from helpers.learn.passport import PASSPORT, recorded_passport
from helpers.learn.run_folder import read_metrics
from helpers.measure.regions import REGIONS, never_finds
from helpers.measure.statistics import MIN_PATIENTS
from helpers.runtime.settings import expanded

_SHOWN = ("dice", "volume_error_ml")


def recorded_scores(model_dir: str | os.PathLike) -> dict[str, Any] | None:
    """The test scores in the folder of a `train brain`, or in the passport of weights that were packed.

    Args:
        model_dir: the folder; a leading `~` is expanded.

    Returns:
        `n`, the test patients; `spread`, what the bounds are; and `regions`, by region `dice` and `volume_error_ml`
        (millilitres, outlined minus true), each with its `mean` and, as `bounds`, the 95 % interval over patients, or
        below eight patients the lowest and the highest; `finds_none`, whether the region's scores are those of a model
        that outlines nothing, in every patient, None where the patients' own scores were left out. None as a whole
        where nothing was measured.

    Raises:
        DataError: the scores are there and damaged.
    """
    folder = expanded(model_dir)
    if (folder / "metrics.json").is_file():
        metrics: Mapping[str, Any] = read_metrics(folder)
    elif (folder / PASSPORT).is_file():
        metrics = recorded_passport(folder)["scores"]["."]
    else:
        return None
    n = metrics["n"]
    regions = {
        region: {name: _short(metrics["regions"][region][name], n) for name in _SHOWN}
        | {"finds_none": _finds_none(metrics.get("patients"), region)}
        for region in REGIONS
    }
    return {"n": n, "spread": "95 % interval" if n >= MIN_PATIENTS else "lowest to highest", "regions": regions}


def _short(score: Mapping[str, Any], n: int) -> dict[str, Any]:
    """Its mean and bounds; files of older versions have no range."""
    bounds = score["ci95"] if n >= MIN_PATIENTS else score.get("range")
    return {"mean": round(score["mean"], 3), "bounds": bounds and [round(bound, 3) for bound in bounds]}


def _finds_none(patients: list[Mapping[str, Any]] | None, region: str) -> bool | None:
    if not patients:
        return None
    return never_finds([one["regions"][region] for one in patients], [one["trivial"][region] for one in patients])
