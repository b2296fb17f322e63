"""Laws of the learning rates by layer."""

import keras
import numpy as np
import pytest

from helpers.learn.layer_rates import FROZEN, GRADED, WHOLE, adam, encoder_layers
from helpers.models.convnet import convnet
from helpers.models.transformer import Shape, transformer
from helpers.models.unet import unet

NETWORKS = {
    "unet": lambda: unet(16, 1, 2, filters=2),
    "normalised": lambda: unet(16, 1, 2, filters=2, normalisation="batch"),
    "transformer": lambda: transformer(16, 1, shape=Shape(patch=8, width=8, depth=1, heads=2)),
    "convnet": lambda: convnet(16, 1, filters=2),
}


def _stepped(build, encoder, rng, weight_decay=None):
    """Moves of the encoder's and of the other variables in one step of Adam, whose size is the learning rate."""
    keras.utils.set_random_seed(0)
    network = build()
    slow = {id(variable) for layer in encoder_layers(network) for variable in layer.trainable_variables}
    known = list(network.trainable_variables)
    before = [variable.numpy() for variable in known]
    # eagerly: one step is not worth a trace
    network.compile(adam(network, 0.01, encoder, weight_decay), "mse", run_eagerly=True)
    target = np.zeros((4, *network.output_shape[1:]), np.float32)
    network.fit(rng.normal(size=(4, *network.input_shape[1:])).astype(np.float32), target, batch_size=4, verbose=0)
    moves = {True: [], False: []}
    for variable, old in zip(known, before, strict=True):
        moves[id(variable) in slow].append(np.abs(variable.numpy() - old).max())
    return moves


@pytest.mark.parametrize("name", NETWORKS)
def test_the_encoder_moves_by_its_share_of_the_step(name, rng):
    """The first step of Adam is as long as the learning rate: to scale the gradient would change nothing."""
    for encoder in (WHOLE, GRADED, FROZEN):
        moves = _stepped(NETWORKS[name], encoder, np.random.default_rng(0))
        assert max(moves[False]) == pytest.approx(0.01, rel=1e-2)
        assert max(moves[True]) == pytest.approx(0.01 * encoder, rel=1e-2)


def test_a_frozen_encoder_keeps_its_batch_statistics():
    network = NETWORKS["normalised"]()
    inside = {layer.name for layer in encoder_layers(network)}
    before = {layer.name: layer.get_weights() for layer in network.layers}
    network.compile(adam(network, 0.01, FROZEN), "mse", run_eagerly=True)
    network.fit(np.ones((4, 16, 16, 1), np.float32), np.zeros((4, 16, 16, 2), np.float32), verbose=0)
    for layer in network.layers:
        if layer.name in inside:
            for mine, old in zip(layer.get_weights(), before[layer.name], strict=True):
                np.testing.assert_array_equal(mine, old)


def test_weight_decay_is_scaled_with_the_step(rng):
    """Without gradients what is left of a step is its decay."""
    decayed = {}
    for encoder in (WHOLE, GRADED):
        network = NETWORKS["unet"]()
        optimizer = adam(network, 0.5, encoder, weight_decay=0.1)
        variables = network.trainable_variables
        optimizer.build(variables)
        before = variables[0].numpy()
        optimizer.apply([keras.ops.zeros(one.shape) for one in variables], variables)
        decayed[encoder] = 1 - variables[0].numpy().sum() / before.sum()
    assert decayed[WHOLE] == pytest.approx(0.05, rel=1e-3)
    assert decayed[GRADED] == pytest.approx(0.005, rel=1e-2)


def test_the_encoder_of_a_unet_ends_at_its_bottleneck():
    network = NETWORKS["unet"]()
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    inside = [layer for layer in encoder_layers(network) if isinstance(layer, keras.layers.Conv2D)]
    assert len(inside) == 10  # two at each of five levels
    assert len(convolutions) == 10 + 4 * 3 + 1
