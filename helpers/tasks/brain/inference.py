"""From a patient's volumes to a mask on the patient's own grid."""

import os
from dataclasses import dataclass
from functools import cached_property

import keras
import numpy as np

from helpers.data.normalise import zscore
from helpers.data.resample import Grid
from helpers.data.volumes import Scan
from helpers.learn.predict_batches import predict_batches
from helpers.learn.run_folder import load_network, read_run
from helpers.runtime.errors import DataError


class MCDropoutModel(keras.Model):
    """Keeps a network's dropout on, which `predict` turns off."""

    def __init__(self, network: keras.Model) -> None:
        super().__init__()
        self.network = network

    def call(self, images: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        return self.network(images, training=True)


@dataclass(frozen=True)
class Segmenter:
    """A trained network with everything needed to use it.

    Attributes:
        network: (batch, size, size, modalities) to class probabilities (batch, size, size, 4).
        modalities: the volumes it wants, in this order.
        grid: the window it sees.
        flip: average the prediction with that of the mirrored head (left to right).
    """

    network: keras.Model
    modalities: tuple[str, ...]
    grid: Grid
    flip: bool = True

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "Segmenter":
        """Load what `train` left in a folder.

        Raises:
            DataError: the folder holds no finished training.
        """
        parameters = read_run(folder, "brain")["parameters"]
        grid = Grid(parameters["size"], parameters["extent_mm"])
        return cls(load_network(folder), tuple(parameters["modalities"]), grid)

    def network_probabilities(self, images: np.ndarray) -> np.ndarray:
        """(slices, size, size, modalities), z-scored, to (slices, size, size, 4) float32, on the network's grid.

        Slices without brain are not shown to the network: they are background.
        """
        probabilities = np.zeros((*images.shape[:3], 4), np.float32)
        probabilities[..., 0] = 1
        shown = np.flatnonzero(images.any(axis=(1, 2, 3)))
        result = predict_batches(self.network, images[shown])
        if self.flip:  # rows run from the patient's one side to the other
            result = (result + predict_batches(self.network, images[shown][:, ::-1])[:, ::-1]) / 2
        probabilities[shown] = result
        return probabilities

    def sample(self, images: np.ndarray, seed: int, mirrored: bool = False) -> np.ndarray:
        """One pass with dropout on, as in training (Gal and Ghahramani 2016, arXiv 1506.02142).

        Args:
            images: (slices, size, size, modalities), z-scored.
            seed: the same seed drops the same features.
            mirrored: show the mirrored head, and mirror the answer back.

        Returns:
            (slices, size, size, 4) float32. Unlike `network_probabilities` it looks at every slice it is given.
        """
        for number, layer in enumerate(self.network.layers):
            if isinstance(layer, keras.layers.Dropout) and layer.rate > 0:
                layer.seed_generator.state.assign([seed, number])
        result = predict_batches(self._mc_dropout, images[:, ::-1] if mirrored else images)
        return result[:, ::-1] if mirrored else result

    @cached_property
    def _mc_dropout(self) -> keras.Model:
        return MCDropoutModel(self.network)

    def preprocess(self, scan: Scan) -> tuple[np.ndarray, tuple[float, float]]:
        """What the network is shown of a scan: (slices, size, size, modalities) z-scored, and its window's middle, mm.

        Raises:
            DataError: the scan lacks a modality, or its brain does not fit the window.
        """
        missing = [modality for modality in self.modalities if modality not in scan.modalities]
        if missing:
            raise DataError(
                f"{scan.id}: this model wants {', '.join(self.modalities)}; {', '.join(missing)} is missing."
            )
        images = np.stack([scan.image(modality) for modality in self.modalities], axis=-1)
        centre = self.grid.brain_centre(images, scan.spacing, scan.id)
        return self.grid.down(zscore(images), scan.spacing, centre), centre

    def probabilities(self, scan: Scan) -> np.ndarray:
        """(rows, columns, slices, 4) float32 on the patient's own grid; outside the window all is background.

        Raises:
            DataError: as `preprocess`.
        """
        seen, centre = self.preprocess(scan)
        tumour = self.network_probabilities(seen)[..., 1:]
        tumour = self.grid.up(tumour, scan.images.shape[:3], scan.spacing, centre)
        return np.concatenate([1 - tumour.sum(axis=-1, keepdims=True), tumour], axis=-1)

    def predict(self, scan: Scan) -> np.ndarray:
        """(rows, columns, slices) uint8, network labels: probabilities are resampled first, then the largest wins."""
        return self.probabilities(scan).argmax(axis=-1).astype(np.uint8)
