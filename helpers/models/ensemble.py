"""The ensemble: several networks as one, whose output is the mean of theirs.

Networks that were trained from other seeds, or on other patients, err in different places; their mean errs less, and
its probabilities come closer to what they say (Lakshminarayanan et al. 2017, arXiv 1612.01474).
"""

from collections.abc import Sequence

import keras


class Ensemble(keras.Model):
    """The mean of the outputs of several networks of one form.

    Args:
        members: from (batch, size, size, channels) to probabilities, two at least.

    Raises:
        ValueError: fewer than two networks.
    """

    def __init__(self, members: Sequence[keras.Model]) -> None:
        if len(members) < 2:
            raise ValueError(f"{len(members)} networks make no ensemble; give two at least, or use the one as it is.")
        super().__init__(name="ensemble", dtype="float32")  # each member computes in its own precision
        self.members = list(members)

    def call(self, images: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """The mean of the members' outputs, (batch, ...) float32."""
        outputs = [member(images, training=training) for member in self.members]
        return sum(outputs[1:], outputs[0]) / len(outputs)


def ensemble(networks: Sequence[keras.Model]) -> keras.Model:
    """Several networks as one; a single one is returned as it is.

    Args:
        networks: from (batch, size, size, channels) to probabilities.

    Returns:
        A model of the same form.

    Raises:
        ValueError: there are none.
    """
    return networks[0] if len(networks) == 1 else Ensemble(networks)


def members(network: keras.Model) -> list[keras.Model]:
    """The networks of an ensemble; of any other network itself alone.

    Args:
        network: any.
    """
    return list(network.members) if isinstance(network, Ensemble) else [network]
