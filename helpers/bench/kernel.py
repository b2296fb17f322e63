"""The public kernel's way of loading, step for step: what the slice store is measured against.

*3d-mri-brain-tumor-segmentation-u-net* on Kaggle feeds its network from a `DataGenerator` that has been copied into a
great many notebooks. It opens three files of one patient as float64, resizes two of them slice by slice, makes the
third one-hot and resizes that as well, and divides by the largest value: one patient, one batch, again in every epoch.
"""

import keras
import nibabel as nib
import numpy as np

from helpers.data.brats import Patient

MODALITIES = ("flair", "t1ce")
FIRST, SLICES = 22, 100
"""Its batch: slices 22 to 121 of a patient."""


def kernel_batch(patient: Patient, size: int = 128) -> tuple[np.ndarray, keras.KerasTensor]:
    """One batch as the kernel makes it, its faults included (they are lesson 07's).

    Returns:
        Images (slices, size, size, 2) float64, over the largest value in the batch; masks (slices, size, size, 4)
        float32, one-hot labels, interpolated. There are `SLICES`, or as many as the patient has from `FIRST` on.
    """
    flair, t1ce, seg = (nib.load(patient.file(kind)).get_fdata() for kind in (*MODALITIES, "seg"))
    count = min(SLICES, flair.shape[2] - FIRST)
    x = np.zeros((count, size, size, 2))
    y = np.zeros((count, *seg.shape[:2]))
    for j in range(count):
        x[j, ..., 0] = bilinear(flair[:, :, j + FIRST], size)
        x[j, ..., 1] = bilinear(t1ce[:, :, j + FIRST], size)
        y[j] = seg[:, :, j + FIRST]
    y[y == 4] = 3
    masks = keras.ops.image.resize(keras.ops.one_hot(y, 4), (size, size), data_format="channels_last")
    return x / np.max(x), masks


def bilinear(image: np.ndarray, size: int) -> np.ndarray:
    """What `cv2.resize(image, (size, size))` gives, which the kernel calls: bilinear between the middles of pixels.

    OpenCV is no dependency of the course; most of a batch's time goes into reading its patient.
    """
    (top, bottom, down), (left, right, across) = (_neighbours(n, size) for n in image.shape)
    rows = image[top] * (1 - down)[:, None] + image[bottom] * down[:, None]
    return rows[:, left] * (1 - across) + rows[:, right] * across


def _neighbours(n: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per new pixel: the two old ones it lies between, and the share of the second."""
    position = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
    first = position.astype(int)
    return first, np.minimum(first + 1, n - 1), position - first
