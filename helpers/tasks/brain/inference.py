"""Inference: from a patient's volumes to a segmentation on the patient's own grid."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np

from helpers.data.normalise import zscore
from helpers.data.resample import Grid
from helpers.data.volumes import Scan
from helpers.learn.predict_batches import predict_batches
from helpers.learn.run_folder import load_network, read_run
from helpers.models.unet import unet
from helpers.runtime.errors import DataError


def build_network(parameters: Mapping[str, Any]) -> keras.Model:
    """The untrained U-Net that the parameters of a `train brain` describe.

    Args:
        parameters: of its `run.json`: size, modalities, filters.
    """
    return unet(parameters["size"], len(parameters["modalities"]), filters=parameters["filters"])


class MCDropoutModel(keras.Model):
    """A network with dropout on in inference too (MC dropout).

    Args:
        network: has `Dropout` layers.
    """

    def __init__(self, network: keras.Model) -> None:
        super().__init__()
        self.network = network

    def call(self, images: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """The network with dropout on: (batch, size, size, modalities) to (batch, size, size, classes)."""
        return self.network(images, training=True)


@dataclass(frozen=True)
class Segmenter:
    """A trained network with everything needed for inference.

    Attributes:
        network: (batch, size, size, modalities) to class probabilities (batch, size, size, 4).
        modalities: the volumes that are its input, in this order.
        grid: the window that is its input.
        flip: average the prediction with that of the mirrored head, left to right (test-time augmentation).

    Examples:
        An untrained network on noise; `Segmenter.load` takes a trained one from its folder:

        >>> from helpers.models.unet import unet
        >>> images = np.random.default_rng(0).normal(100, 10, (24, 24, 2, 1)).astype(np.float32)
        >>> scan = Scan("p1", images, ("flair",), seg=None, affine=np.diag([8.0, 8.0, 8.0, 1.0]))
        >>> segmenter = Segmenter(unet(16, channels=1, filters=2), ("flair",), Grid(size=16))
        >>> mask = segmenter.predict(scan)
        >>> mask.shape, mask.dtype
        ((24, 24, 2), dtype('uint8'))
    """

    network: keras.Model
    modalities: tuple[str, ...]
    grid: Grid
    flip: bool = True

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "Segmenter":
        """Load the model of a `train brain`.

        Args:
            folder: of the training.

        Raises:
            DataError: the folder holds no finished training.
        """
        parameters = read_run(folder, "brain")["parameters"]
        grid = Grid(parameters["size"], parameters["extent_mm"])
        return cls(load_network(folder, build_network), tuple(parameters["modalities"]), grid)

    def network_probabilities(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities on the network's grid. Slices without brain are background, without inference.

        Args:
            images: (slices, size, size, modalities), z-scored.

        Returns:
            (slices, size, size, 4) float32.
        """
        probabilities = np.zeros((*images.shape[:3], 4), np.float32)
        probabilities[..., 0] = 1
        with_brain = np.flatnonzero(images.any(axis=(1, 2, 3)))
        result = predict_batches(self.network, images[with_brain])
        if self.flip:  # rows run from the patient's one side to the other
            result = (result + predict_batches(self.network, images[with_brain][:, ::-1])[:, ::-1]) / 2
        probabilities[with_brain] = result
        return probabilities

    def sample(self, images: np.ndarray, seed: int, mirrored: bool = False) -> np.ndarray:
        """One sample of MC dropout: a pass with dropout on, as in training (Gal and Ghahramani 2016, arXiv 1506.02142).

        Args:
            images: (slices, size, size, modalities), z-scored.
            seed: the same seed drops the same features.
            mirrored: predict on the mirrored head, and mirror the prediction back.

        Returns:
            (slices, size, size, 4) float32, class probabilities. Unlike `network_probabilities` it runs the network on
            every slice.
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
        """The input of the network from a scan.

        Args:
            scan: a patient with the modalities of the model.

        Returns:
            (slices, size, size, modalities) float32, z-scored, and the centre of the window in mm.

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
        """Class probabilities on the patient's own grid; outside the window all is background.

        Args:
            scan: a patient with the modalities of the model.

        Returns:
            (rows, columns, slices, 4) float32.

        Raises:
            DataError: as `preprocess`.
        """
        images, centre = self.preprocess(scan)
        tumour = self.network_probabilities(images)[..., 1:]
        tumour = self.grid.up(tumour, scan.images.shape[:3], scan.spacing, centre)
        return np.concatenate([1 - tumour.sum(axis=-1, keepdims=True), tumour], axis=-1)

    def predict(self, scan: Scan) -> np.ndarray:
        """The segmentation on the patient's own grid: probabilities are resampled first, then the largest is taken.

        Args:
            scan: a patient with the modalities of the model.

        Returns:
            (rows, columns, slices) uint8, the network's labels 0, 1, 2, 3.

        Raises:
            DataError: as `preprocess`.
        """
        return self.probabilities(scan).argmax(axis=-1).astype(np.uint8)
