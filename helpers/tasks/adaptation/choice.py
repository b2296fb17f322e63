"""Choosing between finished models for a hospital without masks: by the shape of what they outline there.

Each candidate outlines the target's training radiographs. The one with fewest implausible outlines is taken; between
equals the one that does best on the source's validation radiographs. Test radiographs and the target's masks are not
read.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from helpers.data.chest import PREFIXES, list_radiographs, read_chest, read_xray
from helpers.data.pictures import read_image
from helpers.data.radiographs import lung_soft_labels
from helpers.data.splits import Split
from helpers.measure.overlap import dice
from helpers.runtime.disk import write_json
from helpers.runtime.errors import DataError
from helpers.tasks.adaptation.model_selection import MAX_RADIOGRAPHS
from helpers.tasks.lungs.inference import THRESHOLD, LungSegmenter
from helpers.tasks.lungs.shape import ShapeCheck

_NOT_COPIED = ("checkpoints", "slices", "scores.json", "chosen.json")


def choose_model(
    candidates: Mapping[str, Path],
    data: str | os.PathLike,
    source: str,
    target: str,
    split: Split,
    out: str | os.PathLike,
    log: Callable[[str], None] = print,
) -> str:
    """Choose a model for the target, and copy its folder; `chosen.json` has what it was chosen by.

    Args:
        candidates: folders of finished models by name; the first has learned the shape from the source's masks.
        data: the folder of the X-rays.
        source: the hospital whose masks may be read.
        target: the hospital to choose for.
        split: of the models: training radiographs of the target, validation radiographs of the source are used.
        out: receives the folder of the chosen one.
        log: called with a line for each candidate.

    Returns:
        The name of the chosen one.

    Raises:
        DataError: the first candidate has no shape to go by, or there are no radiographs to choose on.
    """
    shape = ShapeCheck.load(next(iter(candidates.values())))
    if shape is None:
        raise DataError(
            f"{next(iter(candidates.values()))} was saved without the shape of its masks (too few, or by an older "
            "version), so nothing can be chosen by it. Train it again in another folder."
        )
    of_target = [x for x in list_radiographs(data) if x.id in split.train and x.id.startswith(PREFIXES[target])]
    of_source = [x for x in read_chest(data, source).require(source) if x.id in split.validation]
    if not (of_target and of_source):
        raise DataError(f"{data} lacks training radiographs of {target}, or validation radiographs of {source}.")
    radiographs = [read_image(xray.image) for xray in of_target[:MAX_RADIOGRAPHS]]
    pairs = [read_xray(xray) for xray in of_source]
    table = {}
    for name, folder in candidates.items():
        segmenter = LungSegmenter.load(folder)
        table[name] = {
            "implausible_fraction": shape.implausible_fraction(_outlines(segmenter, radiographs)),
            "val_dice": float(np.mean(_dice(segmenter, pairs))),
        }
        log(f"{name}: {', '.join(f'{key} {value:.3f}' for key, value in table[name].items())}")
    chosen = min(table, key=lambda name: (table[name]["implausible_fraction"], -table[name]["val_dice"]))
    shutil.copytree(candidates[chosen], out, ignore=shutil.ignore_patterns(*_NOT_COPIED), dirs_exist_ok=True)
    write_json({"chosen": chosen, "radiographs": len(radiographs), "candidates": table}, Path(out) / "chosen.json")
    log(f"Chosen: {chosen}.")
    return chosen


def _outlines(segmenter: LungSegmenter, radiographs: Sequence[np.ndarray]) -> np.ndarray:
    """The outlines of radiographs on the network's grid, (radiographs, size, size) bool."""
    images = np.stack([segmenter.preprocess(radiograph) for radiograph in radiographs])
    return segmenter.network_probabilities(images) > THRESHOLD


def _dice(segmenter: LungSegmenter, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[float]:
    """Dice of a model on radiographs with masks, on the network's grid."""
    truths = [lung_soft_labels(mask, segmenter.size)[..., 1] > 127 for _, mask in pairs]
    drawn = _outlines(segmenter, [radiograph for radiograph, _ in pairs])
    return [dice(truth, one) for truth, one in zip(truths, drawn, strict=True)]
