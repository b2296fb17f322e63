"""Inference of the gate, a classifier of slices: only slices that it predicts as tumour are segmented by the U-Net.

Its input is FLAIR, T1ce and, where there is one, T2; a missing T2 is replaced by zeros, and in training T2 is removed
from half of the slices, so that its absence carries no information. Slices without brain are negative without
inference.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

import helpers.models.transformer  # noqa: F401 - registers the layers that a saved gate is made of
from helpers.data.brats import Patient
from helpers.data.normalise import zscore
from helpers.data.resample import Grid
from helpers.data.volumes import Scan, read_scan
from helpers.learn.predict_batches import predict_batches
from helpers.learn.run_folder import load_network, read_run
from helpers.measure.classification import SlicePredictions
from helpers.runtime import options
from helpers.runtime.errors import DataError
from helpers.tasks.gate.recipe import OPTIONAL


def build_network(parameters: Mapping[str, Any]) -> keras.Model:
    """The untrained network that the parameters of a `train gate` describe.

    Args:
        parameters: of its `run.json`: network, size, modalities.
    """
    recipe = options.load(options.NETWORKS, parameters["network"], "network")
    return recipe.build(parameters["size"], len(parameters["modalities"]))


@dataclass(frozen=True)
class Gate:
    """A trained gate with everything needed for inference.

    Attributes:
        network: (batch, size, size, modalities) to (batch, 2), the probabilities of no tumour and tumour.
        modalities: the volumes that are its input, in this order; an `OPTIONAL` one that is missing is zeros.
        grid: the window that is its input.
        threshold: the probability from which a slice is positive, and segmented.
        flip: average the prediction with that of the mirrored head, left to right (test-time augmentation).
    """

    network: keras.Model
    modalities: tuple[str, ...]
    grid: Grid
    threshold: float = 0.5
    flip: bool = True

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "Gate":
        """Load the model of a `train gate`.

        Args:
            folder: of the training.

        Raises:
            DataError: the folder holds no finished training of a gate.
        """
        run = read_run(folder, "gate")
        parameters = run["parameters"]
        grid = Grid(parameters["size"], parameters["extent_mm"])
        return cls(load_network(folder, build_network), tuple(parameters["modalities"]), grid, run["threshold"])

    def slice_probabilities(self, images: np.ndarray) -> np.ndarray:
        """The probability of tumour in each slice; 0 for slices without brain.

        Args:
            images: (slices, size, size, modalities), z-scored.

        Returns:
            (slices,) float32.
        """
        probabilities = np.zeros(len(images), np.float32)
        with_brain = np.flatnonzero(images.any(axis=(1, 2, 3)))
        shown = images[with_brain]
        if self.flip:  # rows run from the patient's one side to the other; both ways share their batches
            both = predict_batches(self.network, np.concatenate([shown, shown[:, ::-1]]))
            result = (both[: len(shown)] + both[len(shown) :]) / 2
        else:
            result = predict_batches(self.network, shown)
        probabilities[with_brain] = result[:, 1]
        return probabilities

    def preprocess(self, scan: Scan) -> np.ndarray:
        """The input of the network from a scan.

        Args:
            scan: a patient with the modalities of the gate; `OPTIONAL` ones may be missing.

        Returns:
            (slices, size, size, modalities) float32, z-scored, in file order.

        Raises:
            DataError: the scan lacks a modality that is not optional, or its brain does not fit the window.
        """
        present = [modality for modality in self.modalities if modality in scan.modalities]
        if missing := [modality for modality in self.modalities if modality not in (*present, *OPTIONAL)]:
            raise DataError(
                f"{scan.id}: this gate wants {', '.join(self.modalities)}; {', '.join(missing)} is missing."
            )
        images = np.stack([scan.image(modality) for modality in present], axis=-1)
        centre = self.grid.brain_centre(images, scan.spacing, scan.id)
        complete = np.zeros((*images.shape[:3], len(self.modalities)), np.float32)
        complete[..., [self.modalities.index(modality) for modality in present]] = zscore(images)
        return self.grid.down(complete, scan.spacing, centre)

    def probabilities(self, scan: Scan) -> np.ndarray:
        """The probability of tumour in each slice of a scan; 0 where it shows no brain.

        Args:
            scan: as in `preprocess`.

        Returns:
            (slices,) float32, in file order.

        Raises:
            DataError: as `preprocess`.
        """
        return self.slice_probabilities(self.preprocess(scan))

    def predict(self, scan: Scan) -> np.ndarray:
        """The slices to segment: those with brain whose probability reaches the threshold.

        Args:
            scan: as in `probabilities`.

        Returns:
            (slices,) bool, in file order.

        Raises:
            DataError: as `probabilities`.
        """
        probabilities = self.probabilities(scan)
        return (probabilities >= self.threshold) & (probabilities > 0)


def predict_case(gate: Gate, patient: Patient) -> SlicePredictions:
    """The predictions of a gate for a patient's slices that show brain, or hold tumour all the same, and ground truth.

    Args:
        gate: the model.
        patient: has a segmentation.
    """
    scan = read_scan(patient, gate.modalities, optional=OPTIONAL)
    truth = scan.seg.any(axis=(0, 1))
    scored = scan.images.any(axis=(0, 1, 3)) | truth
    predicted = gate.probabilities(scan)
    return SlicePredictions(patient.id, truth[scored], predicted[scored], gate.threshold, int((~scored).sum()))
