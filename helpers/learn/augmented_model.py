"""Augmentation on the device: the compiled training step varies its batch before the network sees it."""

from collections.abc import Mapping

import keras
from keras import ops

from helpers.learn.batches import xla_compiled
from helpers.learn.devices import synchronise
from helpers.learn.precision import with_loss_scaling
from helpers.prepare.augment import AugmentationParams, apply


@xla_compiled
def augment(batch: Mapping[str, keras.KerasTensor]) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """What `training_batches` yields, as a network wants it.

    Returns:
        Images (batch, size, size, modalities) and soft labels (batch, size, size, classes), float32, both varied by
        the numbers in the batch, or as stored where it holds none.
    """
    numbers = {name: array for name, array in batch.items() if name not in ("images", "soft_labels")}
    images, soft_labels = ops.cast(batch["images"], "float32"), ops.cast(batch["soft_labels"], "float32") / 255
    return apply(images, soft_labels, AugmentationParams(**numbers))


def with_background(probabilities: keras.KerasTensor) -> keras.KerasTensor:
    """Probabilities as losses and metrics want them, (batch, rows, columns, classes) with class 0 the background: a
    single channel p becomes (1 - p, p)."""
    if probabilities.shape[-1] > 1:
        return probabilities
    return ops.concatenate([1 - probabilities, probabilities], axis=-1)


class AugmentedModel(keras.Model):
    """Trains a network on batches that are varied first: compile and fit this, keep the network.

    Truth is varied with the images, by the same numbers; so both are input here, and loss and metrics take the truth
    from the output. Every array has the batch as its first axis, which is what `MirroredStrategy` splits.

    Args:
        network: from (batch, size, size, modalities) to class probabilities, or to the probability of the one class.
    """

    def __init__(self, network: keras.Model) -> None:
        super().__init__(name="varied", autocast=False)  # half precision begins in the network
        self.network = network
        synchronise(network)

    def compile(self, optimizer: keras.optimizers.Optimizer, *arguments: object, **further: object) -> None:
        super().compile(with_loss_scaling(optimizer, self.network), *arguments, **further)

    def call(self, batch: Mapping[str, keras.KerasTensor], training: bool = False) -> dict[str, keras.KerasTensor]:
        images, soft_labels = augment(batch)
        return {"probabilities": with_background(self.network(images, training=training)), "soft_labels": soft_labels}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True) -> keras.KerasTensor:
        return super().compute_loss(x, y_pred["soft_labels"], y_pred["probabilities"], sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None) -> dict:
        return super().compute_metrics(x, y_pred["soft_labels"], y_pred["probabilities"], sample_weight)
