"""Parts of a network, made of its own layers and weights: what lies before its dropout, and what lies behind."""

from dataclasses import dataclass

import keras
from keras import layers, tree


@dataclass(frozen=True)
class DropoutCut:
    """A network cut at its dropout. `after(dropout(features), *skips)` with `features, *skips = before(images)` is it.

    Attributes:
        before: from the images to the features that are dropped and those that pass the dropout by (skip connections).
        dropout: the layer between the two.
        after: from both to the network's output; it draws no random numbers.
        number: of the dropout among the network's layers.
    """

    before: keras.Model
    dropout: layers.Dropout
    after: keras.Model
    number: int


def resized(network: keras.Model, side: int) -> keras.Model:
    """A copy of a convolutional network for slices of another size, with the same weights.

    Args:
        network: from (batch, size, size, channels); no layer depends on the size.
        side: pixels along each side.

    Returns:
        From (batch, side, side, channels) to outputs of that size.
    """
    copy = keras.models.clone_model(network, input_tensors=keras.Input((side, side, network.input_shape[-1])))
    copy.set_weights(network.get_weights())
    return copy


def cut_at_dropout(network: keras.Model) -> DropoutCut | None:
    """Cut a network at its dropout, so that many samples of it need what lies before only once.

    Args:
        network: is left as it is; the parts share its layers.

    Returns:
        The parts; None where the network is no graph of layers from one input to one output, or has no dropout, or has
        several.
    """
    if len(getattr(network, "inputs", None) or ()) != 1 or len(getattr(network, "outputs", None) or ()) != 1:
        return None
    random = [one for one in network.layers if isinstance(one, layers.Dropout) and one.rate > 0]
    if len(random) != 1:
        return None
    dropout = random[0]
    behind, passing = {id(dropout.output)}, {}
    for operation in network.operations:  # each comes after those whose outputs it takes
        if operation is dropout or isinstance(operation, layers.InputLayer):
            continue
        taken = tree.flatten(operation.input)
        if any(id(tensor) in behind for tensor in taken):
            passing |= {id(tensor): tensor for tensor in taken if id(tensor) not in behind}
            behind |= {id(tensor) for tensor in tree.flatten(operation.output)}
    skips = list(passing.values())
    before = keras.Model(network.inputs, [dropout.input, *skips])
    after = keras.Model([dropout.output, *skips], network.outputs[0])
    return DropoutCut(before, dropout, after, network.layers.index(dropout))
