"""The whole system: a gate classifies each slice, and a network segments those that pass (section 1.1 of the paper).

The result includes the uncertainty of the segmentation, and a warning if the patient is out-of-distribution.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from helpers.apply.uncertainty import PASSES, agreement, entropy
from helpers.data import out_of_distribution
from helpers.data.brats import Patient
from helpers.data.volumes import Scan, read_scan
from helpers.learn.run_folder import read_run
from helpers.measure.regions import REGIONS, mask
from helpers.tasks.gate.recipe import OPTIONAL

if TYPE_CHECKING:
    from helpers.tasks.brain.inference import Segmenter
    from helpers.tasks.gate.inference import Gate

NOT_COMPARED = (
    "The model's run.json holds no statistics of its training patients, so it was not checked whether this patient is "
    "out-of-distribution. Train the model again with this version."
)


@dataclass(frozen=True)
class SegmentationResult:
    """The system's result for one patient.

    Attributes:
        labels: (rows, columns, slices) uint8, predicted network labels, on the patient's own grid.
        passed: (slices,) bool, the slices that passed the gate and were segmented.
        gate: (slices,) float32, the gate's probability of tumour; None without a gate.
        entropy: (rows, columns, slices) float32 in bits, of the mean of all predictions; 0 in slices that did not pass.
        volumes_ml: per region the volume `ml`, that of each pass as `passes`, and `low` and `high`, the lowest and the
            highest of them all.
        agreement: per region the mean Dice between the prediction and each pass.
        warnings: sentences on what is out-of-distribution about the patient.
        seconds: wall time per step.
    """

    labels: np.ndarray
    passed: np.ndarray
    gate: np.ndarray | None
    entropy: np.ndarray
    volumes_ml: dict[str, dict[str, float | list[float]]]
    agreement: dict[str, float]
    warnings: list[str]
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class System:
    """Gate and network, ready for use.

    Attributes:
        segmenter: segments the slices that pass.
        gate: decides which slices pass; without one, all slices with brain do.
        usual: ranges of the training patients' fingerprints, from `helpers.data.out_of_distribution.fit_ranges`; None
            if the model has none.
        passes: number of further predictions with Monte Carlo dropout.

    Raises:
        ValueError: `passes` is below 1.
    """

    segmenter: "Segmenter"
    gate: "Gate | None" = None
    usual: out_of_distribution.Ranges | None = None
    passes: int = PASSES

    def __post_init__(self) -> None:
        if self.passes < 1:
            raise ValueError(f"passes is {self.passes}; the uncertainty of a segmentation needs at least 1.")

    @classmethod
    def load(cls, model_dir: str | os.PathLike, gate_dir: str | os.PathLike | None = None) -> "System":
        """Load the models that `train brain` and `train gate` wrote.

        Args:
            model_dir: folder of the segmentation network.
            gate_dir: folder of the gate; None for a system without one.

        Raises:
            DataError: a folder holds no finished training, or one of another task.
        """
        from helpers.tasks.brain.inference import Segmenter
        from helpers.tasks.gate.inference import Gate

        usual = read_run(model_dir, "brain").get("statistics", {}).get("ranges")
        return cls(Segmenter.load(model_dir), None if gate_dir is None else Gate.load(gate_dir), usual)

    @property
    def samples(self) -> int:
        """Number of further predictions: `passes`, or the members of an ensemble, which take their place."""
        from helpers.models.ensemble import members

        count = len(members(self.segmenter.network))
        return count if count > 1 else self.passes

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that network and gate use, the network's first."""
        return tuple(dict.fromkeys((*self.segmenter.modalities, *(self.gate.modalities if self.gate else ()))))

    @property
    def needed(self) -> tuple[str, ...]:
        """Those of `modalities` without which a patient cannot be segmented."""
        network = () if self.segmenter.any_modalities else self.segmenter.modalities
        return needed(network, self.gate.modalities if self.gate else ())

    def read(self, patient: Patient, seg: bool = False) -> Scan:
        """Read a patient's `modalities`.

        Args:
            patient: from `helpers.data.brats.read_catalogue`.
            seg: read the ground truth as well.

        Raises:
            DataError: as `helpers.data.volumes.read_scan`.
        """
        optional = tuple(set(self.modalities) - set(self.needed))
        return read_scan(patient, self.modalities, seg, optional)

    def predict(self, scan: Scan) -> SegmentationResult:
        """Inference: gate every slice, segment those that pass, and repeat that with Monte Carlo dropout.

        Args:
            scan: the patient, from `read`.

        Raises:
            DataError: the scan cannot be segmented: it is no head, or too large, or lacks a modality.
        """
        clock = _Clock()
        fingerprint = out_of_distribution.fingerprint(scan)  # raises if the scan is no head
        warnings = [NOT_COMPARED] if self.usual is None else out_of_distribution.warnings(fingerprint, self.usual)
        clock.note("compare")
        images, centre = self.segmenter.preprocess(scan)
        clock.note("prepare")
        gate, passed = None, self.segmenter.shows_brain(images)
        if self.gate is not None:
            gate = self.gate.probabilities(scan)
            passed = passed & (gate >= self.gate.threshold)
        clock.note("gate")
        images = images[passed]
        mean, samples = self.segmenter.mean_and_samples(images, self.passes)
        clock.note("outline")
        labels = self.segmenter.native_labels(mean, scan, centre)
        clock.note("place")
        sampled = [self.segmenter.native_labels(sample, scan, centre) for sample in samples]
        spread = entropy(np.mean([mean, *samples], axis=0))[..., None]
        bits = self.segmenter.grid.up(spread, (*scan.images.shape[:2], len(spread)), scan.spacing, centre)[..., 0]
        result = SegmentationResult(
            labels=_into(scan, passed, labels),
            passed=passed,
            gate=gate,
            entropy=_into(scan, passed, bits),
            volumes_ml=_volumes([labels, *sampled], scan.spacing),
            agreement=agreement(labels, sampled),
            warnings=warnings,
            seconds=clock.seconds,
        )
        clock.note("measure")
        return result


def needed(network: Sequence[str], gate: Sequence[str] = ()) -> tuple[str, ...]:
    """The modalities without which a patient cannot be segmented, the network's first.

    Args:
        network: the modalities of the segmentation network.
        gate: those of the gate; `OPTIONAL` ones may be missing.
    """
    return tuple(dict.fromkeys((*network, *(modality for modality in gate if modality not in OPTIONAL))))


class _Clock:
    """Wall time of each step, by its name, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def note(self, step: str) -> None:
        now = time.perf_counter()
        self.seconds[step], self._last = now - self._last, now


def _into(scan: Scan, passed: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values of the slices that passed, in a volume that is 0 elsewhere."""
    whole = np.zeros(scan.images.shape[:3], values.dtype)
    whole[..., passed] = values
    return whole


def _volumes(segmentations: list[np.ndarray], spacing: tuple[float, ...]) -> dict[str, dict[str, float | list[float]]]:
    """Volume per region in millilitres of the first segmentation, of each of the others, and the range of all."""
    voxel = float(np.prod(spacing)) / 1000
    result = {}
    for region in REGIONS:
        ml = [voxel * int(mask(labels, region).sum()) for labels in segmentations]
        result[region] = {"ml": ml[0], "low": min(ml), "high": max(ml), "passes": ml[1:]}
    return result
