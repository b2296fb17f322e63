"""Trainings of the public kernel with some faults mended, and the masks of the test patients: the arms of lesson 08."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from helpers.data.array_cache import file_signatures
from helpers.data.brats import Patient
from helpers.data.resample import Grid, soft_labels_on
from helpers.data.splits import Split
from helpers.data.volumes import Scan
from helpers.lessons.shared_training import train_once
from helpers.measure.kernel_scores import honest_dice
from helpers.tasks.brain.public_kernel import (
    STOPPED,
    Case,
    compiled_network,
    fit_kernel,
    flat_scores,
    native_labels,
    native_probabilities,
    probabilities,
    read_case,
    restart,
    to_labels,
)


@dataclass(frozen=True)
class Mending:
    """What all trainings have in common.

    Attributes:
        patients: the catalogue.
        split: of them.
        modalities: the network's channels.
        size: pixels along each side.
        filters: features of the network's first level.
        epochs: of each training, at most.
        batch_size: slices in a batch.
        folder: for the trainings.
    """

    patients: Sequence[Patient]
    split: Split
    modalities: tuple[str, ...]
    size: int
    filters: int
    epochs: int
    batch_size: int
    folder: Path
    _networks: dict[str, keras.Model] = field(default_factory=dict, compare=False)

    def cases(self, ids: Sequence[str], faults: Collection[str]) -> list[Case]:
        """The slices of some patients.

        Args:
            ids: the patients.
            faults: that are still there.

        Raises:
            DataError: a file cannot be used.
        """
        known = {patient.id: patient for patient in self.patients}
        return [read_case(known[one], self.modalities, self.size, faults) for one in ids]

    def network(self, faults: Collection[str]) -> keras.Model:
        """The network that trains with these faults; those that share a loss share it, one after the other.

        Args:
            faults: names in `helpers.tasks.brain.public_kernel.FAULTS`.
        """
        key = str("loss" in faults)
        if key not in self._networks:
            self._networks[key] = compiled_network(self.size, len(self.modalities), self.filters, faults)
        return self._networks[key]

    def round_trip(self, scan: Scan) -> np.ndarray:
        """A ground truth, sent to the network's grid as shares of each class, and back: the best that it allows.

        Args:
            scan: with a mask.

        Returns:
            (rows, columns, slices) uint8, network labels.
        """
        grid = Grid(self.size)
        centre = grid.brain_centre(scan.images, scan.spacing, scan.id)
        shares = soft_labels_on(scan.seg, grid, scan.spacing, centre) / np.float32(255)
        return to_labels(shares, grid, scan.seg.shape, scan.spacing, centre)

    def train(self, faults: Collection[str], seeds: Sequence[int]) -> list["Arm"]:
        """Train with these faults, once for each seed, unless this run of the course has done so before.

        Args:
            faults: names in `helpers.tasks.brain.public_kernel.FAULTS` that are still there.
            seeds: of the weights, and of the order of slices.

        Raises:
            DataError: a file cannot be used.
        """
        return [self._train(faults, seed) for seed in seeds]

    def _train(self, faults: Collection[str], seed: int) -> "Arm":
        def fit(place: Path) -> None:
            network = self.network(faults)
            restart(network, seed)
            cases, chosen_by = (self.cases(ids, faults) for ids in (self.split.train, self.split.validation))
            fit_kernel(network, cases, chosen_by, faults, self.epochs, self.batch_size, seed, place)

        kinds = (*self.modalities, "seg")
        made = {
            "data": file_signatures({one.id: [one.file(kind) for kind in kinds] for one in self.patients}),
            "split": self.split.digest,
            "faults": sorted(faults),
            "seed": seed,
            **{name: getattr(self, name) for name in ("size", "filters", "epochs", "batch_size")},
        }
        name = "-".join(["kernel", *sorted(faults), str(seed)])
        return Arm(self, tuple(faults), seed, train_once(fit, self.folder / name, name, **made))


@dataclass(frozen=True)
class Arm:
    """One training, and what it makes of the test patients.

    Attributes:
        mending: what it has in common with the others.
        faults: that are still in it.
        seed: of the training.
        folder: of the networks.
    """

    mending: Mending
    faults: tuple[str, ...]
    seed: int
    folder: Path
    _predicted: dict[str, list[np.ndarray]] = field(default_factory=dict)
    _honest: dict[tuple[str, bool, bool], np.ndarray] = field(default_factory=dict)

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row an epoch, see `helpers.tasks.brain.public_kernel.fit_kernel`."""
        return pd.read_csv(self.folder / "history.csv")

    def flat_scores(self) -> dict[str, float]:
        """What all background gets in the columns of `history` that score validation patients, but for the loss."""
        cases = self.mending.cases(self.mending.split.validation, self.faults)
        return flat_scores(cases, self.mending.batch_size)

    @cached_property
    def tested(self) -> list[Case]:
        """The slices of the test patients, prepared as in the training."""
        return self.mending.cases(self.mending.split.test, self.faults)

    def network(self, choice: str = STOPPED) -> keras.Model:
        """The trained network, until another one is asked for: all arms share one.

        Args:
            choice: `STOPPED`, where the kernel's rule ends, or `BEST`, by validation Dice.
        """
        network = self.mending.network(self.faults)
        network.load_weights(self.folder / choice)
        return network

    def probabilities(self, choice: str = STOPPED) -> list[np.ndarray]:
        """Class probabilities of the test patients on the network's grid, (slices, size, size, 4) float32 each.

        Args:
            choice: of the network.
        """
        if choice not in self._predicted:
            network = self.network(choice)
            self._predicted[choice] = [probabilities(network, case) for case in self.tested]
        return self._predicted[choice]

    def kept_slices(self, choice: str = STOPPED) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Truth and probabilities of the test patients as the kernel scores them: on its grid, the slices it keeps.

        Args:
            choice: of the network.

        Returns:
            Shares of each class and probabilities, (slices, size, size, 4) float32 for each patient.
        """
        shares = [case.soft_labels[case.kept] / np.float32(255) for case in self.tested]
        return shares, [found[case.kept] for found, case in zip(self.probabilities(choice), self.tested, strict=True)]

    def native_probabilities(self, number: int, choice: str = STOPPED) -> np.ndarray:
        """Class probabilities of a test patient on its own grid, (rows, columns, slices, 4) float32.

        Args:
            number: of the patient among those tested.
            choice: of the network.
        """
        return native_probabilities(self.probabilities(choice)[number], self.tested[number])

    def masks(self, choice: str = STOPPED, nearest: bool = False, cut: bool = False) -> list[np.ndarray]:
        """Labels of the test patients on their own grids, (rows, columns, slices) uint8 each.

        Args:
            choice: of the network.
            nearest: brought back by OpenCV's nearest neighbour, see `native_labels`.
            cut: the slices that the kernel keeps alone.
        """
        pairs = zip(self.probabilities(choice), self.tested, strict=True)
        return [native_labels(found, case, nearest, cut) for found, case in pairs]

    def known_masks(self, cases: Sequence[Case], choice: str = STOPPED) -> list[np.ndarray]:
        """Labels of other patients on their own grids, (rows, columns, slices) uint8 each.

        Args:
            cases: prepared with the faults of this training.
            choice: of the network.
        """
        network = self.network(choice)
        return [native_labels(probabilities(network, case), case) for case in cases]

    def honest(self, choice: str = STOPPED, nearest: bool = False, cut: bool = False) -> np.ndarray:
        """Honest Dice of the test patients, (patients,).

        Args:
            choice: of the network.
            nearest: as in `masks`.
            cut: as in `masks`.
        """
        if (key := (choice, nearest, cut)) not in self._honest:
            pairs = zip(self.tested, self.masks(choice, nearest, cut), strict=True)
            self._honest[key] = np.array([honest_dice(case.seg, labels) for case, labels in pairs])
        return self._honest[key]
