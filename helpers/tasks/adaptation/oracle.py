"""Oracle model selection: the checkpoint that target labels would select, reported beside the method, never instead."""

import os
from pathlib import Path

import numpy as np

from helpers.data.chest import read_chest, read_xray
from helpers.data.radiographs import lung_soft_labels
from helpers.data.splits import load_split
from helpers.measure.overlap import dice
from helpers.runtime.errors import DataError
from helpers.tasks.lungs.inference import THRESHOLD, LungSegmenter, score_radiographs


def oracle(folder: str | os.PathLike, data: str | os.PathLike, site: str) -> tuple[str, dict[str, float]]:
    """The checkpoint with the highest Dice on a hospital's validation radiographs.

    An upper bound: adaptation without labels cannot select so. Its distance to the method's own score is the cost of
    selecting without labels.

    Args:
        folder: of the adaptation.
        data: the folder of the X-rays, with the hospital's masks.
        site: the target hospital.

    Returns:
        The checkpoint's name, and its Dice on each of the hospital's test radiographs.

    Raises:
        DataError: the run saved no checkpoints, or the hospital has no validation or test radiographs with masks.
    """
    folder = Path(folder)
    checkpoints = sorted((folder / "checkpoints").glob("*.weights.h5"))
    if not checkpoints:
        raise DataError(f"{folder} holds no checkpoints/*.weights.h5 to select from; adapt again.")
    segmenter, xrays, split = (
        LungSegmenter.load(folder),
        read_chest(data).require(site),
        load_split(folder / "split.json"),
    )
    validation, test = ([xray for xray in xrays if xray.id in ids] for ids in (split.validation, split.test))
    if not (validation and test):
        raise DataError(f"{data} holds no validation or test radiographs of {site} with masks; the oracle needs both.")
    radiographs, masks = zip(*map(read_xray, validation), strict=True)
    images = np.stack([segmenter.preprocess(radiograph) for radiograph in radiographs])  # (radiographs, size, size, 1)
    truth = np.stack(
        [lung_soft_labels(mask, segmenter.size)[..., 1] > 127 for mask in masks]
    )  # (radiographs, size, size)

    def mean_dice(path: Path) -> float:
        segmenter.network.load_weights(path)
        predicted = segmenter.network_probabilities(images) > THRESHOLD
        return float(np.mean([dice(one, other) for one, other in zip(truth, predicted, strict=True)]))

    best = max(checkpoints, key=mean_dice)
    segmenter.network.load_weights(best)
    rows = score_radiographs(segmenter, np.zeros(truth.shape[1:], np.float32), test, lambda done: None)
    return best.name.removesuffix(".weights.h5"), {row["id"]: row["dice"] for row in rows}
