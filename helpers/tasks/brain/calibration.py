"""What a model learns on its validation patients for its decision: how far to trust it, and which islands to keep.

The mask with the highest expected Dice needs probabilities that mean what they say, so their temperature is fitted. A
part of a mask that lies far from the tumour is mostly none; the rule that keeps or drops it is fitted too. Neither sees
a test patient.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.data.slabs import slabs
from helpers.data.store import Store
from helpers.learn.run_folder import member_folders, read_run
from helpers.measure.calibration import fit_temperature, with_temperature
from helpers.measure.decoding import dice_thresholds, labels_above
from helpers.measure.islands import KEEP_ALL, IslandCase, IslandRule, fit_islands

if TYPE_CHECKING:
    from helpers.tasks.brain.inference import Segmenter

_VOXELS = 200_000
"""Of all validation patients' brains, by which the temperature is fitted."""


@dataclass(frozen=True)
class Calibration:
    """What was learned on validation patients.

    Attributes:
        temperature: of the probabilities, see `helpers.measure.calibration.fit_temperature`.
        islands: which parts of a mask stay.
    """

    temperature: float = 1.0
    islands: IslandRule = KEEP_ALL

    @classmethod
    def of(cls, run: Mapping[str, Any]) -> "Calibration":
        """The calibration that a `run.json` holds; none where an older version wrote it, or it was not fitted.

        Args:
            run: what `read_run` returns.
        """
        if "calibration" not in run:
            return UNCALIBRATED
        return cls(run["calibration"]["temperature"], IslandRule(**run["calibration"]["islands"]))

    def as_json(self) -> dict[str, Any]:
        """For a `run.json`."""
        return asdict(self)

    def apply(self, probabilities: np.ndarray) -> tuple[np.ndarray, tuple[float, float, float]]:
        """Probabilities for the decision, with the islands gone that do not stay, and the thresholds of the regions.

        Args:
            probabilities: (slices, size, size, 4), of a volume on the network's grid.

        Returns:
            The same shape, float32; and the thresholds of `helpers.measure.decoding.dice_thresholds`.
        """
        probabilities = with_temperature(probabilities, self.temperature).astype(np.float32)
        thresholds = dice_thresholds(probabilities)
        if self.islands != KEEP_ALL:
            labels = labels_above(probabilities[..., 1:], thresholds)
            kept = self.islands.apply(labels, probabilities[..., 1:].sum(axis=-1))
            probabilities[(labels > 0) & (kept == 0)] = (1, 0, 0, 0)
        return probabilities, thresholds


UNCALIBRATED = Calibration()
"""Probabilities as they are, and every island stays."""


def fit_calibration(segmenter: "Segmenter", store: Store, ids: Sequence[str], seed: int = 0) -> Calibration:
    """Fit temperature and islands on validation patients, on the network's grid.

    Args:
        segmenter: the trained model.
        store: the slices of the patients.
        ids: the validation patients.
        seed: chooses the voxels for the temperature.
    """
    rng = np.random.default_rng(seed)
    truths, probabilities, brains = [], [], []
    for identity in ids:
        images, soft_labels = store.volume(identity)
        truths.append(soft_labels.argmax(axis=-1).astype(np.uint8))
        probabilities.append(segmenter.network_probabilities(slabs(images, segmenter.reach)))
        brain = np.flatnonzero(images.any(axis=-1))
        brains.append(rng.choice(brain, min(len(brain), _VOXELS // len(ids)), replace=False))
    sampled = [p.reshape(-1, 4)[brain] for p, brain in zip(probabilities, brains, strict=True)]
    labels = [truth.ravel()[brain] for truth, brain in zip(truths, brains, strict=True)]
    temperature = fit_temperature(np.concatenate(labels), np.concatenate(sampled))
    plain = Calibration(temperature)

    def case(place: int) -> IslandCase:
        calibrated, thresholds = plain.apply(probabilities[place])
        spacing = (store.patients[ids[place]]["spacing"][2], store.grid.pixel_mm, store.grid.pixel_mm)
        labels = labels_above(calibrated[..., 1:], thresholds)
        return IslandCase(labels, calibrated[..., 1:].sum(axis=-1), truths[place], spacing)

    return Calibration(temperature, fit_islands(case(place) for place in range(len(ids))))


def read_calibration(folder: str | os.PathLike) -> Calibration:
    """The calibration of a finished training; of an ensemble the median of its members'.

    Args:
        folder: of the training.

    Raises:
        DataError: as `helpers.learn.run_folder.read_run`.
    """
    return median_calibration([Calibration.of(read_run(member)) for member in member_folders(folder)])


def median_calibration(several: Sequence[Calibration]) -> Calibration:
    """One calibration for an ensemble: the median of each number over its members.

    Args:
        several: one of each member; of a single model its own.
    """
    keeps_none, keeps_all = 2.0, 0.0  # certainties that no part reaches, and that every part does
    rules = [one.islands for one in several]
    certainty = median(
        keeps_all if not rule.min_share else keeps_none if rule.min_certainty is None else rule.min_certainty
        for rule in rules
    )
    share = median(rule.min_share for rule in rules)
    rule = IslandRule(share, None if certainty > 1 else certainty) if share else KEEP_ALL
    return Calibration(median(one.temperature for one in several), rule)
