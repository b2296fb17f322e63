"""The gate: is there tumour in this slice? Only what passes it goes on to the U-Net.

It looks at FLAIR, T1ce and, where there is one, T2; a patient without T2 is shown zeros there, and in training T2 is
taken from half of the slices, so that its absence says nothing. Slices without brain are held back unseen.
"""

import os
from dataclasses import dataclass

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
from helpers.runtime.errors import DataError

MODALITIES = ("flair", "t1ce", "t2")
OPTIONAL = ("t2",)


@dataclass(frozen=True)
class Gate:
    """A trained gate with everything needed to use it.

    Attributes:
        network: (batch, size, size, modalities) to (batch, 2), the probabilities of no and yes.
        modalities: the volumes it looks at, in this order; it is shown zeros for an `OPTIONAL` one that is missing.
        grid: the window it sees.
        threshold: the probability from which a slice passes.
        flip: average the answer with that to the mirrored head (left to right).
    """

    network: keras.Model
    modalities: tuple[str, ...]
    grid: Grid
    threshold: float = 0.5
    flip: bool = True

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "Gate":
        """Load what `train gate` left in a folder.

        Raises:
            DataError: the folder holds no finished training of a gate.
        """
        run = read_run(folder, "gate")
        parameters = run["parameters"]
        grid = Grid(parameters["size"], parameters["extent_mm"])
        return cls(load_network(folder), tuple(parameters["modalities"]), grid, run["threshold"])

    def slice_probabilities(self, images: np.ndarray) -> np.ndarray:
        """(slices, size, size, modalities), z-scored, to (slices,) float32; 0 for slices without brain."""
        probabilities = np.zeros(len(images), np.float32)
        shown = np.flatnonzero(images.any(axis=(1, 2, 3)))
        result = predict_batches(self.network, images[shown])
        if self.flip:  # rows run from the patient's one side to the other
            result = (result + predict_batches(self.network, images[shown][:, ::-1])) / 2
        probabilities[shown] = result[:, 1]
        return probabilities

    def probabilities(self, scan: Scan) -> np.ndarray:
        """(slices,) float32 in file order: how likely each slice holds tumour; 0 where it shows no brain.

        Raises:
            DataError: the scan lacks a modality that is not optional, or its brain does not fit the window.
        """
        held = [modality for modality in self.modalities if modality in scan.modalities]
        if missing := [modality for modality in self.modalities if modality not in (*held, *OPTIONAL)]:
            raise DataError(
                f"{scan.id}: this gate wants {', '.join(self.modalities)}; {', '.join(missing)} is missing."
            )
        images = np.stack([scan.image(modality) for modality in held], axis=-1)
        centre = self.grid.brain_centre(images, scan.spacing, scan.id)
        whole = np.zeros((*images.shape[:3], len(self.modalities)), np.float32)
        whole[..., [self.modalities.index(modality) for modality in held]] = zscore(images)
        return self.slice_probabilities(self.grid.down(whole, scan.spacing, centre))

    def predict(self, scan: Scan) -> np.ndarray:
        """(slices,) bool: the slices to outline."""
        probabilities = self.probabilities(scan)
        return (probabilities >= self.threshold) & (probabilities > 0)


def predict_case(gate: Gate, patient: Patient) -> SlicePredictions:
    """What a gate says of a patient's slices that show brain, or hold tumour all the same, beside the truth."""
    scan = read_scan(patient, gate.modalities, optional=OPTIONAL)
    truth = scan.seg.any(axis=(0, 1))
    asked = scan.images.any(axis=(0, 1, 3)) | truth
    said = gate.probabilities(scan)
    return SlicePredictions(patient.id, truth[asked], said[asked], gate.threshold, int((~asked).sum()))
