"""Inference on X-rays, with a report: a mask for each (PNG), numbers (JSON) and one HTML page.

The page says beside each outline what speaks against it, and below all of them how the model scored on X-rays that it
never saw: an area without that is a number that nobody can weigh.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.apply.page import PURPOSE, new_folder, origin, picture, render, without_roots, written_whole
from helpers.data.pictures import read_image
from helpers.data.plausibility import explain
from helpers.learn.run_folder import check_network, read_metrics, read_run
from helpers.measure.statistics import MIN_PATIENTS
from helpers.runtime.disk import write_json, write_text
from helpers.runtime.errors import DataError
from helpers.runtime.machine import device, versions
from helpers.tasks.lungs.prediction import (
    SeenRadiograph,
    named_pictures,
    outline,
    read_radiographs,
    refuse_among_data,
    shape_faults,
    write_mask,
)
from helpers.tasks.lungs.shape import ShapeCheck, two_largest

if TYPE_CHECKING:
    from helpers.tasks.lungs.inference import LungSegmenter

SIDES = ("right lung", "left lung")
"""The patient's, in the order in which a radiograph shows them from left to right."""


def report_lungs(
    folders: Sequence[str | os.PathLike],
    model_dir: str | os.PathLike,
    out: str | os.PathLike,
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Segment every X-ray in the folders, and write `<name>_mask.png`, `report.json` and `report.html`.

    The report is atomic: it is written beside `out` and moved there at the end. An X-ray that cannot be used is named
    in the report with the reason, and gets no mask.

    Args:
        folders: each holds X-rays, as `helpers.tasks.lungs.prediction.predict_lungs` takes them.
        model_dir: folder of a `train lungs`, or of an adaptation, with its scores.
        out: a folder that does not exist yet, or is empty; none of the data.
        log: called with one line an X-ray.

    Returns:
        The contents of `report.json`.

    Raises:
        DataError: there is no X-ray that can be used, two have the same name, the model's folder is damaged, or `out`
            may not be written to.
        FileExistsError: `out` is not empty; nothing is overwritten.
        KeyboardInterrupt: Ctrl-C; nothing is written.
    """
    out = new_folder(out)
    read_run(model_dir, "lungs")
    check_network(model_dir)
    scores = _scores(read_metrics(model_dir))
    paths, notes = named_pictures(folders)
    refuse_among_data(out, paths.values())
    from helpers.tasks.lungs.inference import LungSegmenter

    segmenter, shape = LungSegmenter.load(model_dir), ShapeCheck.load(model_dir)
    seen, refused = read_radiographs(segmenter, model_dir, paths)
    if not seen:
        error = DataError.listing("None of these X-rays can be used; nothing was written:", list(refused.values()))
        raise error
    for note in notes:
        log(f"Note: {note}.")
    with written_whole(out) as folder:
        entries, pictures = _outlined(segmenter, shape, seen, folder)
        entries += [{"id": name, "status": "refused", "warnings": [message]} for name, message in refused.items()]
        result = {
            "purpose": PURPOSE,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            "device": device(),
            "model": origin(model_dir),
            "scores": scores,
            "shape_checked": shape is not None,
            "patients": [without_roots(entry, folders) for entry in entries],
        }
        write_json(result, folder / "report.json")
        write_text(render("lung_report.html.j2", result=result, pictures=pictures), folder / "report.html")
    for entry in result["patients"]:
        log(f"{entry['id']}: {entry['status']}" + "".join(f"\n  {warning}" for warning in entry["warnings"]))
    log(f"Report: {out / 'report.html'}")
    return result


def _outlined(
    segmenter: "LungSegmenter", shape: ShapeCheck | None, seen: Sequence[SeenRadiograph], folder: Path
) -> tuple[list[dict[str, Any]], dict[str, dict[str, str]]]:
    """The entry of each radiograph, and its picture; its mask is written into the folder."""
    from helpers.show.radiographs import outlined

    entries, pictures = [], {}
    for one, mask in outline(segmenter, seen):
        lungs = dict(zip(SIDES, two_largest(mask), strict=False))
        write_mask(folder / f"{one.id}_mask.png", mask, one.made_by)
        pictures[one.id] = picture(
            outlined(read_image(one.path), lungs), "The X-ray as it was given, and its two largest outlined parts."
        )
        faults = shape_faults(shape, mask, segmenter.size)
        entries.append(
            {
                "id": one.id,
                "status": "outlined" if mask.any() else "no lungs found",
                "warnings": [
                    *map(explain, one.notes),
                    *one.how,
                    *(f"The outline may be no lungs: {f}." for f in faults),
                ],
                "mask": f"{one.id}_mask.png",
                "rows": one.shape[0],
                "columns": one.shape[1],
                "lungs": {name: _area(part) for name, part in lungs.items()},
                "all": _area(mask),
            }
        )
    return entries, pictures


def _area(mask: np.ndarray) -> dict[str, float]:
    """The area of a mask, in pixels and as a share of the picture."""
    return {"pixels": int(mask.sum()), "share": round(float(mask.mean()), 4)}


def _scores(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The test scores of a model, a row for each hospital: Dice with its interval, and that of the mean mask."""
    rows = []
    for site, scores in metrics["sites"].items():
        score, n = scores["dice"], scores["n"]
        ends = score["ci95"] if n >= MIN_PATIENTS else score.get("range") or (None, None)
        rows.append(
            {
                "hospital": site,
                "n": n,
                "dice": round(score["mean"], 3),
                "spread": "95 % interval" if n >= MIN_PATIENTS else "lowest to highest",
                "low": None if ends[0] is None else round(ends[0], 3),
                "high": None if ends[1] is None else round(ends[1], 3),
                "mean_mask": round(metrics["trivial"][site]["dice"]["mean"], 3),
            }
        )
    return rows
