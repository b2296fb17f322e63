"""Laws of another hospital's statistics."""

import keras
import numpy as np
import pytest

from helpers.models.unet import unet
from helpers.runtime.errors import DataError
from helpers.tasks.adaptation.batch_statistics import adapt_statistics


def test_every_layer_has_the_statistics_of_what_it_now_sees(rng):
    """Of the radiographs together, though they come in batches; and of what the layers before it make of them now."""
    network = unet(16, 1, 1, filters=2, normalisation="batch")
    radiographs = rng.normal(3, 2, (40, 16, 16, 1)).astype(np.float32)
    adapt_statistics(network, radiographs)
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for norm in (norms[0], norms[5], norms[-1]):
        seen = np.asarray(keras.Model(network.input, norm.input)(radiographs, training=False))
        np.testing.assert_allclose(norm.moving_mean, seen.mean(axis=(0, 1, 2)), atol=1e-4)
        np.testing.assert_allclose(norm.moving_variance, seen.var(axis=(0, 1, 2)), rtol=1e-3, atol=1e-5)


def test_without_normalisation_there_is_nothing_to_adapt():
    with pytest.raises(DataError, match="train lungs --normalisation batch"):
        adapt_statistics(unet(16, 1, 1, filters=2), np.zeros((1, 16, 16, 1)))
