"""What a network makes of many slices: batches of one shape, on however many devices it was built for."""

import keras
import numpy as np

from helpers.learn.devices import predict_distributed

BATCH_SIZE = 32


def predict_batches(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """What a network says of each slice: (slices, size, size, modalities) to (slices, ...) float32.

    All batches have one shape, so that the graph is built once; the last is filled up with empty slices.
    """
    answers = []
    for start in range(0, max(len(images), 1), BATCH_SIZE):
        part = images[start : start + BATCH_SIZE]
        batch = np.zeros((BATCH_SIZE, *images.shape[1:]), np.float32)
        batch[: len(part)] = part
        answers.append(predict_distributed(model, batch)[: len(part)])
    return np.concatenate(answers)
