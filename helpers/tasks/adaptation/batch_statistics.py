"""The statistics that batch normalisation carries from one hospital to another, and those of the new one."""

import keras
import numpy as np

from helpers.runtime.errors import DataError

_BATCH = 32


def adapt_statistics(network: keras.Model, images: np.ndarray) -> None:
    """Give every batch normalisation the mean and variance of its input over these radiographs (AdaBN: Li et al. 2016,
    arXiv 1603.04779). No weight learns.

    From the input on: what a layer sees depends on the statistics of those before it.

    Args:
        images: (n, size, size, 1), of the new hospital.

    Raises:
        DataError: the network has no batch normalisation.
    """
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms:
        raise DataError(
            f"{network.name} has no batch normalisation, so it carries no statistics that could be adapted. Train a "
            "model that has it (train lungs --normalise), or choose another method."
        )
    for norm in norms:
        seen = keras.Model(network.inputs, norm.input)
        total = squares = pixels = 0.0
        for start in range(0, len(images), _BATCH):
            part = seen(np.asarray(images[start : start + _BATCH], np.float32), training=False)
            part = keras.ops.convert_to_numpy(part).astype(np.float64)
            total, squares = total + part.sum(axis=(0, 1, 2)), squares + np.square(part).sum(axis=(0, 1, 2))
            pixels += part[..., 0].size
        norm.moving_mean.assign(total / pixels)
        norm.moving_variance.assign(np.maximum(squares / pixels - np.square(total / pixels), 0))
