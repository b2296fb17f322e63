"""How a public Kaggle kernel prepares its slices, with its faults, and what each of them does to a pixel.

*3d-mri-brain-tumor-segmentation-u-net* on Kaggle resizes the whole frame of 240 x 240 pixels, keeps slices 22 to 121 of
155, and divides each batch by its largest value. Its copies resize masks with OpenCV's nearest neighbour. Lesson 08
trains it so, and mends one fault at a time; `helpers.bench.kernel` times its loading.
"""

import math
from collections.abc import Sequence

import numpy as np

KEPT, OF = (22, 122), 155
"""It keeps these slices, the last one excluded, of so many."""

PATIENCE = 2
"""Epochs without a lower training loss after which it stops."""


def kept_slices(slices: int) -> slice:
    """The slices that the kernel keeps, as the same part of a volume with another number of slices.

    >>> kept_slices(155), kept_slices(62)
    (slice(22, 122, None), slice(9, 49, None))

    Args:
        slices: of the volume.
    """
    return slice(round(KEPT[0] / OF * slices), round(KEPT[1] / OF * slices))


def bilinear(images: np.ndarray, size: int) -> np.ndarray:
    """The same as `cv2.resize(image, (size, size))`, which the kernel calls: bilinear between pixel centres.

    OpenCV is not a dependency of the course.

    Args:
        images: (rows, columns, ...), any real type.
        size: rows and columns of the result.

    Returns:
        (size, size, ...).
    """
    (top, bottom, down), (left, right, across) = (_neighbours(n, size) for n in images.shape[:2])
    further = (1,) * (images.ndim - 2)
    down, across = down.reshape(-1, 1, *further), across.reshape(-1, *further)
    rows = images[top] * (1 - down) + images[bottom] * down
    return rows[:, left] * (1 - across) + rows[:, right] * across


def corner_nearest(labels: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The same as `cv2.resize(labels, ..., interpolation=cv2.INTER_NEAREST)`: pixel floor(i * old / new) for pixel i.

    That is the old pixel under the new one's *corner*, where an image is resized about its middle; so the mask moves
    against the image, by `corner_shift`.

    Args:
        labels: (rows, columns, ...), any type.
        shape: rows and columns of the result; further entries are ignored.

    Returns:
        (new rows, new columns, ...), the same type.
    """
    rows, columns = (np.arange(new) * old // new for old, new in zip(labels.shape[:2], shape[:2], strict=True))
    return labels[rows][:, columns]


def corner_shift(old: int, new: int) -> float:
    """By how many old pixels `corner_nearest` moves a mask along one axis, on average: (old - gcd) / (2 new).

    New pixel i has its middle at (i + 1/2) old / new, and shows the old pixel with its middle at floor(i old / new)
    + 1/2. The fraction that is cut off takes the values 0, g, ... old - g over new in turn, g the greatest common
    divisor, with a mean of (1 - g / new) / 2.

    >>> round(corner_shift(240, 128) * math.sqrt(2), 2)  # the paper's sizes, along both axes together
    1.24

    Args:
        old: pixels along the axis.
        new: pixels afterwards.
    """
    return (old - math.gcd(old, new)) / (2 * new)


def by_maximum(images: np.ndarray, batch: np.ndarray) -> np.ndarray:
    """Divide images by the largest value of their batch, whosever it is: all modalities and slices share one number.

    Args:
        images: (slices, size, size, modalities), not negative.
        batch: those that they are in a batch with, (batch, size, size, modalities).

    Returns:
        float32 of the shape of `images`.
    """
    return np.asarray(images / max(float(batch.max()), 1e-6), np.float32)


def stops_after(losses: Sequence[float], patience: int = PATIENCE) -> int:
    """The number of epochs after which early stopping on the training loss ends a training, as Keras does it.

    >>> stops_after([0.9, 0.5, 0.4, 0.3]), stops_after([0.9, 0.5, 0.6, 0.5, 0.1])
    (4, 4)

    Args:
        losses: the training loss after each epoch.
        patience: epochs without a new lowest loss.
    """
    lowest, waited = math.inf, 0
    for epoch, loss in enumerate(losses, start=1):
        lowest, waited = (loss, 0) if loss < lowest else (lowest, waited + 1)
        if waited >= patience:
            return epoch
    return len(losses)


def _neighbours(n: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each new pixel: indices of the two old ones that it lies between, and the weight of the second."""
    position = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
    first = position.astype(int)
    return first, np.minimum(first + 1, n - 1), position - first
