"""A network cut at its dropout is the network, and what lies behind draws no random numbers."""

import keras
import numpy as np
import pytest

from helpers.models.parts import cut_at_dropout
from helpers.models.unet import sharp_unet, unet


@pytest.mark.parametrize("make", [unet, sharp_unet])
def test_parts_one_after_the_other_are_the_network(make, rng):
    network = make(32, 2, filters=2)
    cut = cut_at_dropout(network)
    images = rng.normal(size=(3, 32, 32, 2)).astype(np.float32)
    features, *skips = cut.before.predict_on_batch(images)
    assert features.shape == (3, 2, 2, 32)
    assert len(skips) == 4  # one a level
    np.testing.assert_array_equal(cut.after.predict_on_batch([features, *skips]), network.predict_on_batch(images))


def test_parts_share_the_networks_weights(rng):
    network = unet(32, 2, filters=2)
    cut = cut_at_dropout(network)
    assert {id(weight) for part in (cut.before, cut.after) for weight in part.weights} == {
        id(weight) for weight in network.weights
    }


def test_what_has_no_dropout_or_several_or_is_no_graph_is_not_cut():
    inputs = keras.Input((8, 8, 1))
    twice = keras.layers.Dropout(0.5)(keras.layers.Dropout(0.5)(inputs))
    for network in (unet(32, filters=2, dropout=0.0), keras.Model(inputs, twice), keras.Model()):
        assert cut_at_dropout(network) is None
