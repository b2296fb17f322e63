"""What a choice with labels would have made of an adaptation: shown beside the method, never instead of it."""

import os
from pathlib import Path

import numpy as np

from helpers.data.chest import read_chest, read_xray
from helpers.data.radiographs import lung_soft_labels
from helpers.data.splits import load_split
from helpers.measure.overlap import dice
from helpers.runtime.errors import DataError
from helpers.tasks.lungs.inference import LungSegmenter, score_radiographs


def oracle(folder: str | os.PathLike, data: str | os.PathLike, site: str) -> tuple[str, dict[str, float]]:
    """The checkpoint that labels would have chosen: the best on a hospital's validation radiographs.

    Nobody who adapts without labels can choose so; beside the row itself it says what the choice costs.

    Returns:
        Its name, and its Dice on each of the hospital's test radiographs.

    Raises:
        DataError: the run kept no checkpoints, or the hospital has no outlined radiographs to choose by.
    """
    folder = Path(folder)
    checkpoints = sorted((folder / "checkpoints").glob("*.weights.h5"))
    if not checkpoints:
        raise DataError(f"{folder} holds no checkpoints/*.weights.h5 to choose among; adapt again.")
    segmenter, xrays, split = (
        LungSegmenter.load(folder),
        read_chest(data).require(site),
        load_split(folder / "split.json"),
    )
    validation, test = ([xray for xray in xrays if xray.id in ids] for ids in (split.validation, split.test))
    if not (validation and test):
        raise DataError(
            f"{data} holds no outlined validation or test radiographs of {site}; an oracle has nothing to go by."
        )
    radiographs, masks = zip(*map(read_xray, validation), strict=True)
    seen = np.stack([segmenter.preprocess(radiograph) for radiograph in radiographs])  # (radiographs, size, size, 1)
    truth = np.stack(
        [lung_soft_labels(mask, segmenter.size)[..., 1] > 127 for mask in masks]
    )  # (radiographs, size, size)

    def mean_dice(path: Path) -> float:
        segmenter.network.load_weights(path)
        said = segmenter.network_probabilities(seen) > 0.5
        return float(np.mean([dice(one, other) for one, other in zip(truth, said, strict=True)]))

    best = max(checkpoints, key=mean_dice)
    segmenter.network.load_weights(best)
    rows = score_radiographs(segmenter, np.zeros(truth.shape[1:], np.float32), test, lambda done: None)
    return best.name.removesuffix(".weights.h5"), {row["id"]: row["dice"] for row in rows}
