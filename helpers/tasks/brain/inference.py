"""Inference: from a patient's volumes to a segmentation on the patient's own grid."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import keras
import numpy as np

from helpers.data.normalise import zscore
from helpers.data.resample import Grid
from helpers.data.slabs import middle, slabs
from helpers.data.volumes import Scan
from helpers.learn.devices import processes, replicas
from helpers.learn.predict_batches import padded_batches, predict_batches
from helpers.learn.run_folder import load_network, read_run
from helpers.measure.decoding import labels_above
from helpers.models.ensemble import members
from helpers.models.parts import DropoutCut, cut_at_dropout
from helpers.models.unet import unet
from helpers.runtime.errors import DataError
from helpers.runtime.threads import map_threads
from helpers.tasks.brain.calibration import UNCALIBRATED, Calibration, read_calibration
from helpers.tasks.brain.recipe import Recipe

_MASKS_AT_ONCE = 32  # slices whose dropout masks are drawn together: another number would draw others for the same seed
_SLICES_AT_ONCE = 16  # that are resampled together: allocating more memory costs more than the arithmetic


def build_network(parameters: Mapping[str, Any]) -> keras.Model:
    """The untrained U-Net that the parameters of a `train brain` describe.

    Args:
        parameters: of its `run.json`: size, modalities, filters, recipe.
    """
    recipe = Recipe.of(parameters)
    return unet(
        parameters["size"],
        (2 * recipe.reach + 1) * len(parameters["modalities"]),
        filters=parameters["filters"],
        normalisation=recipe.normalisation,
        residual=recipe.residual,
    )


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
        network: (batch, size, size, channels) to class probabilities (batch, size, size, 4). The channels are the
            modalities of a slice, or those of a slab, see `reach`.
        modalities: the volumes that are its input, in this order.
        grid: the window that is its input.
        flip: average the prediction with that of the mirrored head, left to right (test-time augmentation). Of an
            ensemble every second member is shown the mirrored head, the others the head as it is: their mean averages
            over both, in half the passes.
        reach: neighbours of a slice to each side that are further channels, see `helpers.data.slabs`.
        any_modalities: whether a patient may lack some of the modalities; all is 0 where one is missing.
        decision: a name in `helpers.runtime.options.DECISIONS`.
        calibration: what was learned on validation patients, for the decision "dice".

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
    reach: int = 0
    any_modalities: bool = False
    decision: str = "argmax"
    calibration: Calibration = UNCALIBRATED

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "Segmenter":
        """Load the model of a `train brain`, or the ensemble of its folds.

        Args:
            folder: of the training.

        Raises:
            DataError: the folder holds no finished training.
        """
        segmenter = cls.of(read_run(folder, "brain")["parameters"], load_network(folder, build_network))
        return replace(segmenter, calibration=read_calibration(folder))

    @classmethod
    def of(cls, parameters: Mapping[str, Any], network: keras.Model) -> "Segmenter":
        """The segmenter that the parameters of a `train brain` describe, with a network.

        Args:
            parameters: of its `run.json`.
            network: as `build_network` builds it, or an ensemble of such.
        """
        recipe = Recipe.of(parameters)
        return cls(
            network,
            tuple(parameters["modalities"]),
            Grid(parameters["size"], parameters["extent_mm"]),
            reach=recipe.reach,
            any_modalities=recipe.modality_dropout > 0,
            decision=recipe.decision,
        )

    def shows_brain(self, images: np.ndarray) -> np.ndarray:
        """Which slices show brain: (slices,) bool.

        Args:
            images: (slices, size, size, channels), from `preprocess`.
        """
        return middle(images, self.reach).any(axis=(1, 2, 3))

    def network_probabilities(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities on the network's grid. Slices without brain are background, without inference.

        Args:
            images: (slices, size, size, channels), from `preprocess`.

        Returns:
            (slices, size, size, 4) float32.
        """
        probabilities = np.zeros((*images.shape[:3], 4), np.float32)
        probabilities[..., 0] = 1
        with_brain = np.flatnonzero(self.shows_brain(images))
        probabilities[with_brain] = self._mirror_averaged(images[with_brain])
        return self._inside_brain(probabilities, images)

    def _inside_brain(self, probabilities: np.ndarray, images: np.ndarray) -> np.ndarray:
        """The probabilities, (slices, size, size, 4), with background for sure where no modality shows brain.

        A network that is hardly trained, or is shown a strange scan, leaves a little probability everywhere; all of it
        together, outside of the brain, would count for more than the tumour.
        """
        probabilities[~middle(images, self.reach).any(axis=-1)] = (1, 0, 0, 0)
        return probabilities

    def _mirror_averaged(self, images: np.ndarray) -> np.ndarray:
        if not self.flip:
            return predict_batches(self.network, images)
        if len(members(self.network)) > 1:
            return np.mean(self._member_predictions(images), axis=0)
        # Rows run from the patient's one side to the other. Both ways share their batches, of which the last is padded.
        both = predict_batches(self.network, np.concatenate([images, images[:, ::-1]]))
        return (both[: len(images)] + both[len(images) :, ::-1]) / 2

    def _member_predictions(self, images: np.ndarray) -> list[np.ndarray]:
        """Class probabilities by each member of an ensemble, (slices, ...), with `flip` every second on the mirror."""
        steps = [-1 if self.flip and number % 2 else 1 for number in range(len(members(self.network)))]
        return [
            predict_batches(network, images[:, ::step])[:, ::step]
            for network, step in zip(members(self.network), steps, strict=True)
        ]

    def sample(self, images: np.ndarray, seed: int, mirrored: bool = False) -> np.ndarray:
        """One sample of MC dropout: a pass with dropout on, as in training (Gal and Ghahramani 2016, arXiv 1506.02142).

        Args:
            images: (slices, size, size, channels), from `preprocess`.
            seed: the same seed drops the same features.
            mirrored: predict on the mirrored head, and mirror the prediction back.

        Returns:
            (slices, size, size, 4) float32, class probabilities. Unlike `network_probabilities` it runs the network on
            every slice.
        """
        shown = images[:, ::-1] if mirrored else images
        if self._cut is not None:
            result = self._passes(shown, [self._dropout_masks(len(images), seed)])[0]
        else:
            for number, layer in enumerate(layer for network in members(self.network) for layer in network.layers):
                if isinstance(layer, keras.layers.Dropout) and layer.rate > 0:
                    layer.seed_generator.state.assign([seed, number])
            result = predict_batches(self._mc_dropout, shown, _MASKS_AT_ONCE)
        return self._inside_brain(result[:, ::-1] if mirrored else result, images)

    def mean_and_samples(self, images: np.ndarray, passes: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """The prediction and the samples of MC dropout; what lies before the dropout runs once for all of them.

        Args:
            images: (slices, size, size, channels), from `preprocess`; each slice shows brain.
            passes: number of samples.

        Returns:
            `network_probabilities(images)`, and for each seed from 0 on the `sample` of that seed, mirrored for odd
            ones. Each is (slices, size, size, 4) float32. Of an ensemble the samples are its members' predictions,
            however many were asked for: they say more of the network's doubt, and cost nothing (Lakshminarayanan et
            al. 2017, arXiv 1612.01474).
        """
        if len(members(self.network)) > 1:
            samples = [self._inside_brain(one, images) for one in self._member_predictions(images)]
            return np.mean(samples, axis=0), samples
        if self._cut is None:
            samples = [self.sample(images, seed, mirrored=seed % 2 == 1) for seed in range(passes)]
            return self.network_probabilities(images), samples
        by_seed: dict[int, np.ndarray] = {}
        plain = []
        for mirrored, step in ((False, 1), (True, -1)):
            seeds = [seed for seed in range(passes) if seed % 2 == mirrored]
            masks = [self._dropout_masks(len(images), seed) for seed in seeds]
            averaged = self.flip or not mirrored
            results = self._passes(images[:, ::step], [None] * averaged + masks)
            results = [result[:, ::step] for result in results]
            plain += results[:averaged]
            by_seed |= dict(zip(seeds, results[averaged:], strict=True))
        mean = (plain[0] + plain[1]) / 2 if self.flip else plain[0]
        return self._inside_brain(mean, images), [self._inside_brain(by_seed[seed], images) for seed in range(passes)]

    def _passes(self, images: np.ndarray, masks: list[np.ndarray | None]) -> list[np.ndarray]:
        """Class probabilities of slices with each of several dropout masks, (slices, ...); None drops nothing."""
        cut, results = self._cut, [np.zeros((*images.shape[:3], 4), np.float32) for _ in masks]
        for batch, rows in padded_batches(images) if masks else ():
            features, *skips = keras.tree.flatten(cut.before.predict_on_batch(batch))
            count = rows.stop - rows.start
            for mask, result in zip(masks, results, strict=True):
                passed = features
                if mask is not None:
                    passed = features.copy()
                    passed[:count] *= mask[rows]
                result[rows] = cut.after.predict_on_batch([passed, *skips])[:count]
        return results

    def _dropout_masks(self, count: int, seed: int) -> np.ndarray:
        """Factors of the features of `count` slices in a pass of MC dropout, (count, ...): 0, or 1 / (1 - rate).

        They are drawn for as many slices at once as they were when every pass ran the whole network.
        """
        layer = self._cut.dropout
        layer.seed_generator.state.assign([seed, self._cut.number])
        ones = np.ones((_MASKS_AT_ONCE, *layer.output.shape[1:]), np.float32)
        drawn = [keras.ops.convert_to_numpy(layer(ones, training=True)) for _ in range(0, count, _MASKS_AT_ONCE)]
        return np.concatenate(drawn or [ones])[:count]

    @cached_property
    def _cut(self) -> DropoutCut | None:
        """The network cut at its dropout; None where it cannot be cut, or runs on several devices."""
        return None if replicas(self.network) > 1 or processes() > 1 else cut_at_dropout(self.network)

    @cached_property
    def _mc_dropout(self) -> keras.Model:
        return MCDropoutModel(self.network)

    def preprocess(self, scan: Scan) -> tuple[np.ndarray, tuple[float, float]]:
        """The input of the network from a scan.

        Args:
            scan: a patient with the modalities of the model.

        Returns:
            (slices, size, size, channels) float32, z-scored, and the centre of the window in mm. The channels are the
            modalities, for each slice of a slab.

        Raises:
            DataError: the scan lacks a modality that the model cannot do without, or its brain does not fit the window.
        """
        present = [modality for modality in self.modalities if modality in scan.modalities]
        missing = [modality for modality in self.modalities if modality not in present]
        if missing and not (present and self.any_modalities):
            wanted = ("one of " if self.any_modalities else "") + ", ".join(self.modalities)
            raise DataError(f"{scan.id}: this model wants {wanted}; {', '.join(missing)} is missing.")
        images = np.stack([scan.image(modality) for modality in present], axis=-1)
        centre = self.grid.brain_centre(images, scan.spacing, scan.id)
        slices = np.zeros((images.shape[2], self.grid.size, self.grid.size, len(self.modalities)), np.float32)
        places = [self.modalities.index(modality) for modality in present]
        slices[..., places] = self.grid.down(zscore(images), scan.spacing, centre)
        return slabs(slices, self.reach), centre

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
        """The segmentation on the patient's own grid: probabilities are resampled first, then a mask is made of them.

        Args:
            scan: a patient with the modalities of the model.

        Returns:
            (rows, columns, slices) uint8, the network's labels 0, 1, 2, 3.

        Raises:
            DataError: as `preprocess`.
        """
        images, centre = self.preprocess(scan)
        return self.native_labels(self.network_probabilities(images), scan, centre)

    def labels_on(self, scan: Scan, grids: Mapping[str, Callable[[np.ndarray], np.ndarray]]) -> dict[str, np.ndarray]:
        """The segmentation on other grids than the scan's: probabilities are brought there, then decided on.

        Args:
            scan: a patient with the modalities of the model.
            grids: by name, what brings the probabilities of the three tumour classes, (rows, columns, slices, 3) on the
                grid of the scan, to another grid, (n, m, k, 3).

        Returns:
            By name, (n, m, k) uint8, the network's labels 0, 1, 2, 3.

        Raises:
            DataError: as `preprocess`.
        """
        images, centre = self.preprocess(scan)
        probabilities, decide = self._decision(self.network_probabilities(images))
        tumour = self.grid.up(probabilities[..., 1:], scan.images.shape[:3], scan.spacing, centre)
        return {name: decide(bring(tumour)) for name, bring in grids.items()}

    def _decision(self, probabilities: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        """The probabilities, calibrated where the model is, and what makes labels of those of the tumour."""
        if self.decision != "dice":
            return probabilities, _largest
        probabilities, thresholds = self.calibration.apply(probabilities)
        return probabilities, partial(labels_above, thresholds=thresholds)

    def native_labels(self, probabilities: np.ndarray, scan: Scan, centre: tuple[float, float]) -> np.ndarray:
        """The labels that class probabilities give on the patient's own grid: resampled first, then decided on.

        Slices that are background on the network's grid are so on the patient's, and are not resampled.

        Args:
            probabilities: (slices, size, size, 4), of all slices or of some.
            scan: whose grid it is.
            centre: of the window in mm, from `preprocess`.

        Returns:
            (rows, columns, slices) uint8, the network's labels 0, 1, 2, 3.
        """
        labels = np.zeros((*scan.images.shape[:2], len(probabilities)), np.uint8)
        probabilities, decide = self._decision(probabilities)
        tumour = np.flatnonzero(decide(probabilities[..., 1:]).any(axis=(1, 2)))

        def resample(chunk: np.ndarray) -> np.ndarray:
            shape = (*scan.images.shape[:2], len(chunk))
            return decide(self.grid.up(probabilities[chunk][..., 1:], shape, scan.spacing, centre))

        chunks = [tumour[start : start + _SLICES_AT_ONCE] for start in range(0, len(tumour), _SLICES_AT_ONCE)]
        for chunk, found in zip(chunks, map_threads(resample, chunks), strict=True):
            labels[..., chunk] = found
        return labels


def _largest(tumour: np.ndarray) -> np.ndarray:
    """Probabilities of the three tumour classes (..., 3) to network labels; the rest is that of the background."""
    first, second, third = (tumour[..., index] for index in range(3))
    highest, labels = np.maximum(first, second), np.where(second > first, np.uint8(2), np.uint8(1))
    labels[third > highest] = 3
    labels[np.maximum(highest, third) <= 1 - tumour.sum(axis=-1)] = 0
    return labels
