"""From a patient's volumes to a mask on the patient's own grid."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from helpers.data.errors import DataError
from helpers.data.normalise import zscore
from helpers.data.resample import Grid
from helpers.data.volumes import Scan

_BATCH = 32


@dataclass(frozen=True)
class Segmenter:
    """A trained network with everything needed to use it.

    Attributes:
        model: (batch, size, size, modalities) to class probabilities (batch, size, size, 4).
        modalities: the volumes it wants, in this order.
        grid: the window it sees.
        flip: average the prediction with that of the mirrored head (left to right).
    """

    model: keras.Model
    modalities: tuple[str, ...]
    grid: Grid
    flip: bool = True

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "Segmenter":
        """Load what `train` left in a folder.

        Raises:
            DataError: the folder holds no finished training.
        """
        folder = Path(folder)
        try:
            run = json.loads((folder / "run.json").read_text())
            parameters = run["parameters"]
            grid = Grid(parameters["size"], parameters["extent_mm"])
            modalities = tuple(parameters["modalities"])
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"{folder} holds no finished training ({error}); expected model.keras and run.json, as "
                "`python -m helpers train brain` leaves them."
            ) from error
        try:
            model = keras.models.load_model(folder / "model.keras", compile=False)
        except (OSError, ValueError) as error:
            raise DataError(f"{folder / 'model.keras'} cannot be loaded ({error}); train again.") from error
        return cls(model, modalities, grid)

    def network_probabilities(self, images: np.ndarray) -> np.ndarray:
        """(slices, size, size, modalities), z-scored, to (slices, size, size, 4) float32, on the network's grid.

        Slices without brain are not shown to the network: they are background.
        """
        probabilities = np.zeros((*images.shape[:3], 4), np.float32)
        probabilities[..., 0] = 1
        shown = np.flatnonzero(images.any(axis=(1, 2, 3)))
        for start in range(0, len(shown), _BATCH):
            rows = shown[start : start + _BATCH]
            batch = np.zeros((_BATCH, *images.shape[1:]), np.float32)  # one shape, so that the graph is built once
            batch[: len(rows)] = images[rows]
            result = self.model.predict_on_batch(batch)
            if self.flip:  # rows run from the patient's one side to the other
                result = (result + self.model.predict_on_batch(batch[:, ::-1])[:, ::-1]) / 2
            probabilities[rows] = result[: len(rows)]
        return probabilities

    def probabilities(self, scan: Scan) -> np.ndarray:
        """(rows, columns, slices, 4) float32 on the patient's own grid; outside the window all is background.

        Raises:
            DataError: the scan lacks a modality, or its brain does not fit the window.
        """
        missing = [modality for modality in self.modalities if modality not in scan.modalities]
        if missing:
            raise DataError(
                f"{scan.id}: this model wants {', '.join(self.modalities)}; {', '.join(missing)} is missing."
            )
        images = np.stack([scan.image(modality) for modality in self.modalities], axis=-1)
        centre = self.grid.brain_centre(images, scan.spacing)
        seen = self.grid.down(zscore(images), scan.spacing, centre)
        tumour = self.network_probabilities(seen)[..., 1:]
        tumour = self.grid.up(tumour, images.shape[:3], scan.spacing, centre)
        return np.concatenate([1 - tumour.sum(axis=-1, keepdims=True), tumour], axis=-1)

    def labels(self, scan: Scan) -> np.ndarray:
        """(rows, columns, slices) uint8, network labels: probabilities are resampled first, then the largest wins."""
        return self.probabilities(scan).argmax(axis=-1).astype(np.uint8)
