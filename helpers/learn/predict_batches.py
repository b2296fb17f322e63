"""Inference on many slices: batches of one shape, on as many devices as the network was built for."""

import keras
import numpy as np

from helpers.learn.devices import predict_distributed

BATCH_SIZE = 32
"""Slices in a batch."""


def predict_batches(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """The predictions of a network for slices.

    All batches have one shape, so that the graph is built once; the last is padded with empty slices.

    Args:
        model: from (batch, size, size, modalities) to (batch, ...).
        images: (slices, size, size, modalities), any dtype.

    Returns:
        (slices, ...), in the dtype of the network's output, float32.
    """
    predictions = []
    for start in range(0, max(len(images), 1), BATCH_SIZE):
        part = images[start : start + BATCH_SIZE]
        batch = np.zeros((BATCH_SIZE, *images.shape[1:]), np.float32)
        batch[: len(part)] = part
        predictions.append(predict_distributed(model, batch)[: len(part)])
    return np.concatenate(predictions)
