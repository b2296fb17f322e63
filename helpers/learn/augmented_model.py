"""Augmentation on the device: the compiled training step augments its batch before the network gets it."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from helpers.learn.batches import xla_compiled
from helpers.learn.devices import synchronise
from helpers.learn.precision import with_loss_scaling
from helpers.prepare.augment import AugmentationParams, apply


@xla_compiled
def augment(
    batch: Mapping[str, keras.KerasTensor], side: int | None = None
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Images and soft labels of a batch as floats, augmented, and cropped where `side` is smaller than they are.

    Args:
        batch: what `helpers.learn.batches.training_batches` yields: `images` (batch, size, size, channels),
            `foreground` (batch, classes - 1, size, size) in 255ths, and the arrays of an `AugmentationParams` by name;
            for a crop also `corner` (batch, 2), its first row and column.
        side: pixels along each side of the crop; the whole slice without.

    Returns:
        Images (batch, side, side, channels) and soft labels (batch, side, side, classes), float32, both augmented by
        the parameters in the batch, or as stored where it holds none.
    """
    parameters = {name: array for name, array in batch.items() if name not in ("images", "foreground", "corner")}
    foreground = ops.transpose(ops.cast(batch["foreground"], "float32"), (0, 2, 3, 1))
    background = 255 - ops.sum(foreground, axis=-1, keepdims=True)  # exact: whole numbers up to 255
    soft_labels = ops.concatenate([background, foreground], axis=-1) / 255
    images, soft_labels = apply(ops.cast(batch["images"], "float32"), soft_labels, AugmentationParams(**parameters))
    if side in (None, images.shape[1]):
        return images, soft_labels
    return crop(images, batch["corner"], side), crop(soft_labels, batch["corner"], side)


def crop(images: keras.KerasTensor, corner: keras.KerasTensor, side: int) -> keras.KerasTensor:
    """A square of each slice of a batch.

    Args:
        images: (batch, size, size, channels).
        corner: (batch, 2) integers, first row and column of each square.
        side: pixels along each side of the squares.

    Returns:
        (batch, side, side, channels).
    """
    corner = ops.cast(corner, "int32")  # Keras, to build a model under a strategy, passes the mean of two batches
    for axis in (1, 2):
        pixels = ops.expand_dims(corner[:, axis - 1], -1) + np.arange(side, dtype=np.int32)  # (batch, side)
        index = ops.expand_dims(ops.expand_dims(pixels, 3 - axis), -1)
        images = ops.take_along_axis(images, index, axis=axis)
    return images


def with_background(probabilities: keras.KerasTensor) -> keras.KerasTensor:
    """Probabilities of all classes, the background first, as losses and metrics take them.

    Args:
        probabilities: (batch, rows, columns, classes), or (batch, rows, columns, 1), of the one foreground class.

    Returns:
        (batch, rows, columns, classes) with class 0 the background: a single channel p becomes (1 - p, p).
    """
    if probabilities.shape[-1] > 1:
        return probabilities
    return ops.concatenate([1 - probabilities, probabilities], axis=-1)


class AugmentedModel(keras.Model):
    """Trains a network on augmented batches: compile and fit this, then use the network.

    The ground truth is augmented with the images, by the same parameters; so both are input, and loss and metrics take
    the ground truth from the output. Every array has the batch as its first axis, which is what `MirroredStrategy`
    splits.

    Args:
        network: from (batch, side, side, channels) to class probabilities, or to the probability of the one class.
            Slices that are larger are cropped to its side.
    """

    def __init__(self, network: keras.Model) -> None:
        super().__init__(name="augmented", autocast=False)  # half precision begins in the network
        self.network = network
        synchronise(network)

    def compile(self, optimizer: keras.optimizers.Optimizer, *arguments: object, **further: object) -> None:
        """As Keras does, with loss scaling where the network computes in float16.

        The optimiser is built at once: TensorFlow traces a step that makes variables twice, which takes seconds.
        """
        super().compile(with_loss_scaling(optimizer, self.network), *arguments, **further)
        self.optimizer.build(self.trainable_variables)

    def call(self, batch: Mapping[str, keras.KerasTensor], training: bool = False) -> dict[str, keras.KerasTensor]:
        """Probabilities and soft labels of the augmented batch, both (batch, size, size, classes)."""
        images, soft_labels = augment(batch, self.network.input_shape[1])
        return {"probabilities": with_background(self.network(images, training=training)), "soft_labels": soft_labels}

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> keras.KerasTensor:
        """The compiled loss, of the probabilities against the augmented soft labels."""
        return super().compute_loss(x, y_pred["soft_labels"], y_pred["probabilities"], sample_weight, training)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict:
        """The compiled metrics, of the probabilities against the augmented soft labels."""
        return super().compute_metrics(x, y_pred["soft_labels"], y_pred["probabilities"], sample_weight)
