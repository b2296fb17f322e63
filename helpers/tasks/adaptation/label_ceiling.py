"""What the target's labels cost, from the runs of a ladder: two schools of outliners on the same radiographs.

The model of the source draws as the source's outliners do, the ceiling as the target's do. Both outline the target's
test radiographs, and are scored against each other and against the masks. The margin by which the source's outlines
would fit best is chosen on the target's validation masks, and scored on its test radiographs.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from helpers.data.chest import PREFIXES, XRay, read_chest, read_xray
from helpers.data.radiographs import lung_soft_labels
from helpers.learn.run_folder import read_split
from helpers.measure.label_ceiling import best_margin, moved, schools
from helpers.measure.overlap import dice
from helpers.runtime.errors import DataError
from helpers.tasks.lungs.inference import LungSegmenter

GRID = 256
"""Pixels along each side of the square on which outlines are compared; a margin of 1 is a 256th of a radiograph."""


def label_ceiling(
    elsewhere: str | os.PathLike, at_home: str | os.PathLike, data: str | os.PathLike, target: str
) -> dict[str, Any]:
    """Two models against the target's masks, and against each other.

    Args:
        elsewhere: folder of a model that has read no mask of the target.
        at_home: folder of a model that learned from the target's masks, with the same split.
        data: the folder of the X-rays.
        target: the hospital.

    Returns:
        What `helpers.measure.label_ceiling.schools` gives on the target's test radiographs; `n` of them; `margin`,
        pixels of `GRID` by which the model's outlines fit the validation masks best; `with_margin`, its Dice on the
        test radiographs once they are moved by it.

    Raises:
        DataError: the models have different splits, or the target has no validation or test radiographs with masks.
    """
    split = read_split(at_home)
    if split.digest != read_split(elsewhere).digest:
        raise DataError(f"{elsewhere} and {at_home} were trained with different splits; compare models of one split.")
    xrays = [xray for xray in read_chest(data, target).require(target) if xray.id.startswith(PREFIXES[target])]
    validation, test = ([xray for xray in xrays if xray.id in side] for side in (split.validation, split.test))
    if not (validation and test):
        raise DataError(f"{data} holds no validation or test radiographs of {target} with masks; both are needed.")
    ours, theirs = LungSegmenter.load(elsewhere), LungSegmenter.load(at_home)
    margin = best_margin(*_outlines(validation, ours))
    one, truths = _outlines(test, ours)
    other, _ = _outlines(test, theirs)
    with_margin = [dice(truth, moved(mask, margin)) for truth, mask in zip(truths, one, strict=True)]
    return {
        "n": len(test),
        **schools(one, other, truths),
        "margin": margin,
        "with_margin": float(np.mean(with_margin)),
    }


def sentences(found: dict[str, Any], source: str, target: str) -> list[str]:
    """What was found, in words that are true whichever way it went.

    Args:
        found: as `label_ceiling` gives it.
        source: the hospital of the model's outliners.
        target: the hospital that was outlined.
    """
    gap = found["other"] - found["one"]
    habit = found["with_margin"] - found["one"]
    lines = [
        f"On {found['n']} radiographs of {target}, Dice: the model of {source} {found['one']:.3f} with the masks, that "
        f"of {target} {found['other']:.3f}, one with the other {found['each_other']:.3f}.",
        f"No adaptation that ends where {target}'s own model is can move the mean Jaccard index by more than "
        f"{found['most']:.3f}.",
    ]
    if found["each_other"] > max(found["one"], found["other"]):
        lines.append(
            "The models agree better with each other than with the masks: most of what they lack they lack together, "
            "through the masks or through what neither sees."
        )
    else:
        lines.append("The models do not agree better with each other than with the masks.")
    if gap > 0 and habit > 0:
        lines.append(
            f"Moving {source}'s outlines by {found['margin']:+g} pixels of {GRID}, chosen by masks, gains {habit:.3f} "
            f"of the gap of {gap:.3f}: at least that is a habit of where to draw the edge, which no radiograph shows."
        )
    else:
        lines.append("No shift of the edge explains any of the gap.")
    return lines


def _outlines(xrays: Sequence[XRay], segmenter: LungSegmenter) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The outlines of radiographs by a model, and their masks, each (GRID, GRID) bool."""
    outlines, masks = [], []
    for xray in xrays:
        radiograph, mask = read_xray(xray)
        outlines.append(lung_soft_labels(segmenter.predict(radiograph), GRID)[..., 1] > 127)
        masks.append(lung_soft_labels(mask, GRID)[..., 1] > 127)
    return outlines, masks


def ladder_label_ceiling(out: str | os.PathLike, data: str | os.PathLike, direction: str) -> dict[str, Any] | None:
    """The same of a ladder's runs: its augmented source model and its ceiling, seed 0.

    Args:
        out: folder of all runs, see `helpers.tasks.adaptation.ladder`.
        data: the folder of the X-rays.
        direction: of `helpers.tasks.adaptation.ladder.DIRECTIONS`.

    Returns:
        As `label_ceiling`; None where one of the two is not finished.
    """
    from helpers.tasks.adaptation.ladder import run_folder

    folders = [Path(run_folder(out, direction, name)) for name in ("xray", "target")]
    if not all((folder / "scores.json").exists() for folder in folders):
        return None
    return label_ceiling(*folders, data, direction.split("-")[1])
