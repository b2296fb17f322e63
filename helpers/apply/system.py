"""The whole system: a gate that says whether a slice is abnormal, and only then a network that outlines it (section 1.1
of the paper), with how sure it is and whether the patient looks like those it learned from."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from threadpoolctl import threadpool_limits

from helpers.apply.uncertainty import agreement, entropy
from helpers.data import out_of_distribution
from helpers.data.brats import Patient
from helpers.data.volumes import Scan, read_scan
from helpers.learn.run_folder import read_run
from helpers.measure.regions import REGIONS, mask
from helpers.tasks.brain.inference import Segmenter
from helpers.tasks.gate.inference import OPTIONAL, Gate

NOT_COMPARED = (
    "The model keeps no statistics of its training patients, so nobody has checked whether this patient looks like "
    "them. Train it again with this version."
)


@dataclass(frozen=True)
class SegmentationResult:
    """What the system says of one patient.

    Attributes:
        labels: (rows, columns, slices) uint8, network labels, on the patient's own grid.
        passed: (slices,) bool, the slices that were outlined.
        gate: (slices,) float32, the gate's probability of tumour; None without a gate.
        entropy: (rows, columns, slices) float32 in bits, of the mean of all passes; 0 in slices that were not outlined.
        volumes_ml: per region `ml`, and `low` and `high` over the outline and all passes.
        agreement: per region the mean Dice between the outline and each pass.
        warnings: what is unusual about the patient, in sentences.
        seconds: wall time per step.
    """

    labels: np.ndarray
    passed: np.ndarray
    gate: np.ndarray | None
    entropy: np.ndarray
    volumes_ml: dict[str, dict[str, float]]
    agreement: dict[str, float]
    warnings: list[str]
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class System:
    """Gate and network, ready for use.

    Attributes:
        segmenter: outlines the slices that pass.
        gate: says which slices pass; without one, all that show brain do.
        usual: looks of the training patients, from `helpers.data.out_of_distribution.fit_ranges`; None where the model
            kept none.
        passes: how often the network is asked again with dropout on.
    """

    segmenter: Segmenter
    gate: Gate | None = None
    usual: out_of_distribution.Ranges | None = None
    passes: int = 4

    def __post_init__(self) -> None:
        if self.passes < 1:
            raise ValueError(f"{self.passes} passes; it takes at least one to say how sure an outline is.")

    @classmethod
    def load(cls, model_dir: str | os.PathLike, gate_dir: str | os.PathLike | None = None) -> "System":
        """Load what `train brain` and `train gate` left.

        Raises:
            DataError: a folder holds no finished training, or one of the other task.
        """
        usual = read_run(model_dir, "brain").get("statistics", {}).get("ranges")
        return cls(Segmenter.load(model_dir), None if gate_dir is None else Gate.load(gate_dir), usual)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The volumes that are looked at, the network's first."""
        return tuple(dict.fromkeys((*self.segmenter.modalities, *(self.gate.modalities if self.gate else ()))))

    @property
    def needed(self) -> tuple[str, ...]:
        """Those of `modalities` without which a patient cannot be outlined."""
        return tuple(m for m in self.modalities if m in self.segmenter.modalities or m not in OPTIONAL)

    def read(self, patient: Patient, seg: bool = False) -> Scan:
        """Read what is needed of a patient.

        Raises:
            DataError: as `helpers.data.volumes.read_scan`.
        """
        optional = tuple(set(self.modalities) - set(self.needed))
        return read_scan(patient, self.modalities, seg, optional)

    def predict(self, scan: Scan) -> SegmentationResult:
        """Gate every slice, outline those that pass, ask again with dropout on.

        Raises:
            DataError: what is there cannot be outlined: it is no head, or too large, or lacks a modality.
        """
        clock = _Clock()
        looks = out_of_distribution.fingerprint(scan)  # refuses what is no head
        warnings = [NOT_COMPARED] if self.usual is None else out_of_distribution.warnings(looks, self.usual)
        clock.note("compare")
        images, centre = self.segmenter.preprocess(scan)
        clock.note("prepare")
        gate, passed = None, images.any(axis=(1, 2, 3))
        if self.gate is not None:
            gate = self.gate.probabilities(scan)
            passed = passed & (gate >= self.gate.threshold)
        clock.note("gate")
        images = images[passed]
        mean = self.segmenter.network_probabilities(images)
        clock.note("outline")
        samples = [self.segmenter.sample(images, seed, mirrored=seed % 2 == 1) for seed in range(self.passes)]
        clock.note("passes")

        def back(values: np.ndarray) -> np.ndarray:
            shape = (*scan.images.shape[:2], len(values))
            return self.segmenter.grid.up(values, shape, scan.spacing, centre)

        def draw(probabilities: np.ndarray) -> np.ndarray:
            """Network labels on the patient's grid; where every pixel of a slice is background, so is every voxel."""
            drawn = np.zeros((*scan.images.shape[:2], len(probabilities)), np.uint8)
            some = np.flatnonzero((probabilities.argmax(axis=-1) > 0).any(axis=(1, 2)))
            for start in range(0, len(some), 16):  # a few at a time: fresh memory costs more than the arithmetic
                part = some[start : start + 16]
                drawn[..., part] = _labels(back(probabilities[part][..., 1:]))
            return drawn

        labels = draw(mean)
        clock.note("place")
        with threadpool_limits(1), ThreadPoolExecutor() as pool:  # a thread a pass; matrix products add no more
            drawn = list(pool.map(draw, samples))
        doubt = back(entropy(np.mean([mean, *samples], axis=0))[..., None])[..., 0]
        outline = SegmentationResult(
            labels=_into(scan, passed, labels),
            passed=passed,
            gate=gate,
            entropy=_into(scan, passed, doubt),
            volumes_ml=_volumes([labels, *drawn], scan.spacing),
            agreement=agreement(labels, drawn),
            warnings=warnings,
            seconds=clock.seconds,
        )
        clock.note("measure")
        return outline


class _Clock:
    """Seconds since the last note, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def note(self, step: str) -> None:
        now = time.perf_counter()
        self.seconds[step], self._last = now - self._last, now


def _labels(tumour: np.ndarray) -> np.ndarray:
    """Probabilities of the three tumour classes (..., 3) to network labels, the background being what remains."""
    largest = tumour.argmax(axis=-1)
    chosen = np.take_along_axis(tumour, largest[..., None], axis=-1)[..., 0]
    return np.where(chosen > 1 - tumour.sum(axis=-1), largest + 1, 0).astype(np.uint8)


def _into(scan: Scan, passed: np.ndarray, values: np.ndarray) -> np.ndarray:
    whole = np.zeros(scan.images.shape[:3], values.dtype)
    whole[..., passed] = values
    return whole


def _volumes(drawn: list[np.ndarray], spacing: tuple[float, ...]) -> dict[str, dict[str, float]]:
    """Millilitres per region of the first labels, and their range over all."""
    voxel = float(np.prod(spacing)) / 1000
    result = {}
    for region in REGIONS:
        ml = [voxel * int(mask(labels, region).sum()) for labels in drawn]
        result[region] = {"ml": ml[0], "low": min(ml), "high": max(ml)}
    return result
