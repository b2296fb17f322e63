"""Learning rates by layer: the encoder of a network may learn more slowly than its decoder, or not at all.

What an encoder has learned of edges and textures serves the next hospital as well, and a handful of patients is too
little to learn it anew. Adam divides by the size of the gradients, so that to scale these would change nothing: the
step itself is scaled (discriminative fine-tuning, Howard and Ruder 2018, arXiv 1801.06146).
"""

import keras

from helpers.models.parts import cut_at_dropout

WHOLE, GRADED, FROZEN = 1.0, 0.1, 0.0
"""The encoder's learning rate as a share of the decoder's, by the names in `helpers.runtime.options.LAYERS`."""


def adam(
    network: keras.Model, learning_rate: float, encoder: float = WHOLE, weight_decay: float | None = None
) -> keras.optimizers.Optimizer:
    """Adam, by which a network's encoder learns at another rate than the rest.

    Args:
        network: of this package; where `encoder` is 0 its encoder is frozen, and its batch statistics with it.
        learning_rate: the highest, of the decoder.
        encoder: the encoder's rate, as a share of it.
        weight_decay: as in AdamW; none without.
    """
    if encoder == WHOLE:
        return keras.optimizers.Adam(learning_rate, weight_decay=weight_decay)
    slow = encoder_layers(network)
    if encoder == FROZEN:
        for layer in slow:
            layer.trainable = False
        return keras.optimizers.Adam(learning_rate, weight_decay=weight_decay)
    return GradedAdam(learning_rate, slow, encoder, weight_decay)


def encoder_layers(network: keras.Model) -> list[keras.layers.Layer]:
    """The layers that make features of an image: of a U-Net those above its dropout, of a classifier all but the head.

    Args:
        network: of this package.
    """
    cut = cut_at_dropout(network)
    if cut is not None and len(cut.before.outputs) > 1:  # with skip connections, a U-Net
        inside = {id(layer) for layer in cut.before.layers}
        return [layer for layer in network.layers if id(layer) in inside]
    with_weights = [layer for layer in network.layers if layer.weights]
    return [layer for layer in network.layers if layer is not with_weights[-1]]


class GradedAdam(keras.optimizers.Adam):
    """Adam with a share of the step for the variables of some layers.

    Args:
        learning_rate: of all other layers.
        layers: those that learn at another rate.
        share: of the learning rate.
        weight_decay: as in AdamW; of these layers it is scaled with the step.
    """

    def __init__(
        self, learning_rate: float, layers: list[keras.layers.Layer], share: float, weight_decay: float | None = None
    ) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay)
        self._slow = {id(variable) for layer in layers for variable in layer.trainable_variables}
        self._share = share

    def update_step(
        self, gradient: keras.KerasTensor, variable: keras.Variable, learning_rate: keras.KerasTensor
    ) -> None:
        """One step of one variable.

        Args:
            gradient: of the variable's shape.
            variable: of any layer.
            learning_rate: a scalar.
        """
        super().update_step(gradient, variable, learning_rate * self._share_of(variable))

    def _apply_weight_decay(self, variables: list[keras.Variable]) -> None:
        if self.weight_decay is None:
            return
        for variable in variables:
            if self._use_weight_decay(variable):
                rate = keras.ops.cast(self.learning_rate, variable.dtype) * self._share_of(variable)
                variable.assign(variable - variable * self.weight_decay * rate)

    def _share_of(self, variable: keras.Variable) -> float:
        """TensorFlow hands in its own variable; its index leads to that of Keras, which the layer has."""
        known = self._trainable_variables[self._get_variable_index(variable)]
        return self._share if id(known) in self._slow else 1.0
