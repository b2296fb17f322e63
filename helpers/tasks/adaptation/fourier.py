"""Fourier domain adaptation: the source's radiographs in the target's style, which the network goes on learning from.

The amplitudes of the lowest frequencies hold how bright and how even a radiograph is; where things lie is in the
phases. So a radiograph of the source gets the low amplitudes of one of the target, keeps its own phases, and keeps its
mask (Yang and Soatto 2020, arXiv 2004.05498). No discriminator, and no mask of the target.
"""

from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from helpers.learn.augmented_model import augment, with_background
from helpers.learn.losses import DiceCrossEntropy
from helpers.tasks.adaptation.base import AdaptationModel, augment_unlabelled, source_part, target_part

REACH = 0.02
"""Frequencies whose amplitude is exchanged, in cycles a pixel: up to 2 cycles on 128 pixels. Yang and Soatto take
0.01 to 0.09; with more, the target's ribs appear in the source's radiographs."""


class FourierStyle(AdaptationModel):
    """Learns from the source's radiographs, half of them in the style of a radiograph of the target.

    Args:
        network: trained at the source.
        reach: highest frequency whose amplitude is exchanged, in cycles a pixel.
    """

    def __init__(self, network: keras.Model, reach: float = REACH) -> None:
        super().__init__(network, {"segmentation": 1.0})
        self.network, self.reach, self.segmentation_loss = network, reach, DiceCrossEntropy()

    def terms(self, batch: Mapping[str, keras.KerasTensor], training: bool) -> dict[str, keras.KerasTensor]:
        """The segmentation loss at the source, every second radiograph in the target's style, (batch,)."""
        images, soft_labels = augment(source_part(batch))
        styled = exchange_amplitude(images, augment_unlabelled(target_part(batch)), self.reach)
        every_second = np.arange(images.shape[0])[:, None, None, None] % 2 == 1  # the source shall not be forgotten
        images = ops.where(every_second, styled, images)
        predicted = with_background(self.network(images, training=training))
        return {"segmentation": self.segmentation_loss.call(soft_labels, predicted)}


def exchange_amplitude(images: keras.KerasTensor, styles: keras.KerasTensor, reach: float) -> keras.KerasTensor:
    """Images with the low-frequency amplitudes of others, and their own phases.

    Args:
        images: (batch, size, size, 1) float32.
        styles: the same shape.
        reach: highest frequency that is exchanged, along rows and columns, in cycles a pixel; 0 exchanges the mean
            alone.

    Returns:
        (batch, size, size, 1) float32.
    """
    real, imaginary = _spectrum(images)
    amplitude, wanted = (
        ops.sqrt(ops.square(a) + ops.square(b) + 1e-12) for a, b in ((real, imaginary), _spectrum(styles))
    )
    low = np.abs(np.fft.fftfreq(images.shape[1])) <= reach + 1e-9  # (size,); both signs, so the result is real
    factor = ops.where(np.outer(low, low), wanted / amplitude, 1.0)  # (batch, size, size)
    mixed, _ = ops.ifft2((real * factor, imaginary * factor))
    return mixed[..., None]


def _spectrum(images: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Real and imaginary part, (batch, size, size) each, of images, (batch, size, size, 1)."""
    plane = ops.cast(images[..., 0], "float32")
    return ops.fft2((plane, ops.zeros_like(plane)))
