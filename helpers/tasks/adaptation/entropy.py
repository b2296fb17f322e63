"""Tent: normalisation layers learn at the new hospital to be sure, on its radiographs alone.

No mask is used, not even the source's: only the scales and offsets of the normalisations move, and where they keep
statistics, those become the target's (Wang et al. 2021, arXiv 2006.10726). A network that is sure of everything has the
same entropy whether it is right or wrong, so a checkpoint is selected by more than entropy.
"""

from collections.abc import Mapping

import keras
from keras import layers, ops

from helpers.tasks.adaptation.base import AdaptationModel, augment_unlabelled, target_part

NORMALISATIONS = (layers.BatchNormalization, layers.GroupNormalization)


class Tent(AdaptationModel):
    """Minimises the entropy of predictions at the target, by the normalisation layers alone.

    Args:
        network: trained at the source, with batch, instance or group normalisation.

    Raises:
        ValueError: the network has no normalisation.
    """

    def __init__(self, network: keras.Model) -> None:
        norms = [layer for layer in network.layers if isinstance(layer, NORMALISATIONS)]
        if not norms:
            raise ValueError(
                f"{network.name} has no normalisation, which is all that Tent moves. Train a model that has one (train "
                "lungs --normalisation batch), or choose another method."
            )
        for layer in network.layers:
            layer.trainable = layer in norms
        super().__init__(network, {"entropy": 1.0})
        self.network = network

    def terms(self, batch: Mapping[str, keras.KerasTensor], training: bool) -> dict[str, keras.KerasTensor]:
        """The entropy of the predictions at the target, (batch,)."""
        return {"entropy": pixel_entropy(self.network(augment_unlabelled(target_part(batch)), training=training))}


def pixel_entropy(probabilities: keras.KerasTensor) -> keras.KerasTensor:
    """The entropy of predictions in nats, the mean over an image's pixels.

    Args:
        probabilities: (batch, size, size, 1), of lung.

    Returns:
        (batch,).
    """
    p = ops.clip(probabilities, 1e-6, 1 - 1e-6)
    return ops.mean(-(p * ops.log(p) + (1 - p) * ops.log(1 - p)), axis=(1, 2, 3))
