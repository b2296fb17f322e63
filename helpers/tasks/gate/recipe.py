"""What a gate is made of, by names and numbers: its modalities, its networks and what is asked of it.

Networks are imported when they are built, so that settings are checked without Keras.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

MODALITIES = ("flair", "t1ce", "t2")
"""The volumes that are the gate's input."""

OPTIONAL = ("t2",)
"""Those of `MODALITIES` that a patient may lack."""

SENSITIVITY = 0.98
"""Sensitivity on the validation patients' slices for which the threshold is set."""


@dataclass(frozen=True)
class GateNetwork:
    """An architecture of the gate and its hyperparameters.

    Attributes:
        build: from size and channels to the network.
        learning_rate: the highest.
        size: pixels along each side of the window.
        multiple: sizes are multiples of it: of the pixels along each side of a patch, or of what poolings leave of one.
    """

    build: "Callable[..., keras.Model]"
    learning_rate: float
    size: int
    multiple: int = 16


def _transformer(size: int, channels: int, shape: str) -> "keras.Model":
    from helpers.models.transformer import transformer

    return transformer(size, channels, shape=shape, dropout=0.1)


def _convnet(size: int, channels: int) -> "keras.Model":
    from helpers.models.convnet import convnet

    return convnet(size, channels)


COMPACT = GateNetwork(partial(_transformer, shape="compact"), 5e-4, 96, multiple=8)
BASE = GateNetwork(partial(_transformer, shape="base"), 1e-4, 224)  # needs a GPU, and ImageNet's weights
CNN = GateNetwork(_convnet, 1e-3, 96)
