"""AdaBN: the statistics of batch normalisation, taken anew over the target hospital's radiographs."""

import keras
import numpy as np

from helpers.runtime.errors import DataError

_BATCH = 32


def adapt_statistics(network: keras.Model, images: np.ndarray) -> None:
    """Set mean and variance of every batch normalisation to those of its input over these radiographs.

    AdaBN (Li et al. 2016, arXiv 1603.04779). No weight is trained. Layers are set in order, the first one first, since
    the input of a layer depends on the statistics of those before it.

    Args:
        network: (batch, size, size, 1) to probabilities; changed in place.
        images: (n, size, size, 1), of the new hospital.

    Raises:
        DataError: the network has no batch normalisation.
    """
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms:
        raise DataError(
            f"{network.name} has no batch normalisation, so it has no statistics that could be adapted. Train a "
            "model that has it (train lungs --normalisation batch), or choose another method."
        )
    for norm in norms:
        before_norm = keras.Model(network.input, norm.input)
        total = squares = pixels = 0.0
        for start in range(0, len(images), _BATCH):
            part = before_norm(np.asarray(images[start : start + _BATCH], np.float32), training=False)
            part = keras.ops.convert_to_numpy(part).astype(np.float64)
            total, squares = total + part.sum(axis=(0, 1, 2)), squares + np.square(part).sum(axis=(0, 1, 2))
            pixels += part[..., 0].size
        norm.moving_mean.assign(total / pixels)
        norm.moving_variance.assign(np.maximum(squares / pixels - np.square(total / pixels), 0))
