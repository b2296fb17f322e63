"""Inference on many slices: batches of one shape, on as many devices as the network was built for."""

from collections.abc import Iterator

import keras
import numpy as np

from helpers.learn.devices import predict_distributed

BATCH_SIZE = 16
"""Slices in a batch: larger ones are no faster on a CPU, and waste more where the last is padded."""


def predict_batches(model: keras.Model, images: np.ndarray, batch_size: int = BATCH_SIZE) -> np.ndarray:
    """The predictions of a network for slices.

    All batches have one shape, so that the graph is built once; the last is padded with empty slices.

    Args:
        model: from (batch, size, size, modalities) to (batch, ...).
        images: (slices, size, size, modalities), any dtype.
        batch_size: slices in a batch.

    Returns:
        (slices, ...), in the dtype of the network's output, float32.
    """
    batches = padded_batches(images, batch_size)
    return np.concatenate([predict_distributed(model, batch)[: rows.stop - rows.start] for batch, rows in batches])


def padded_batches(images: np.ndarray, batch_size: int = BATCH_SIZE) -> Iterator[tuple[np.ndarray, slice]]:
    """Batches of one shape, the last padded with empty slices; one empty batch where there are no slices.

    Args:
        images: (slices, size, size, modalities), any dtype.
        batch_size: slices in a batch.

    Yields:
        (batch_size, size, size, modalities) float32, and which slices these are.
    """
    for start in range(0, max(len(images), 1), batch_size):
        part = images[start : start + batch_size]
        batch = np.zeros((batch_size, *images.shape[1:]), np.float32)
        batch[: len(part)] = part
        yield batch, slice(start, start + len(part))
