"""The exponential moving average (EMA) of a network's weights, which every method of adaptation keeps.

Two players circle round the point where both would rest; the average of where they have been is nearer to it (Yazici et
al. 2019, arXiv 1806.04498). The mean teacher's predictions are those of its average too.
"""

from collections.abc import Callable

import keras
from keras import ops

EMA_DECAY = 0.99
"""Decay of an exponential moving average (EMA), a step: it averages over about a hundred steps."""


def ema_copy(network: keras.Model, momentum: float) -> tuple[keras.Model, Callable[[], None]]:
    """A copy of a network that becomes the exponential moving average (EMA) of its weights.

    Args:
        network: the one that learns.
        momentum: decay of the average, a step.

    Returns:
        The copy, and the function that updates it by a step. It is a function, since Keras tracks whatever a model has
        as an attribute.
    """
    mean = keras.models.clone_model(network)
    mean.set_weights(network.get_weights())
    mean.trainable = False
    pairs = [*zip(mean.weights, network.weights, strict=True)]

    def update_ema() -> None:
        for average, new in pairs:
            moved = momentum * ops.convert_to_tensor(average) + (1 - momentum) * ops.convert_to_tensor(new)
            average.assign(ops.stop_gradient(moved))

    return mean, update_ema
