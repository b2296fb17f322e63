"""The data loading of a public Kaggle kernel, reimplemented step by step: the baseline of the slice store.

*3d-mri-brain-tumor-segmentation-u-net* on Kaggle feeds its network from a `DataGenerator` that many notebooks have
copied. It opens three files of one patient as float64, resizes two of them slice by slice, one-hot encodes the third
and resizes that as well, and divides by the largest value: one patient is one batch, and is read again in every epoch.
"""

import keras
import nibabel as nib
import numpy as np

from helpers.data.brats import Patient
from helpers.prepare.public_kernel import KEPT, bilinear

MODALITIES = ("flair", "t1ce")
FIRST, SLICES = KEPT[0], KEPT[1] - KEPT[0]
"""The slices of its batch: 22 to 121 of a patient."""


def kernel_batch(patient: Patient, size: int = 128) -> tuple[np.ndarray, keras.KerasTensor]:
    """One batch as the kernel makes it, including its errors (lesson 08 discusses them).

    Args:
        patient: has the `MODALITIES` and a segmentation.
        size: pixels along each side of a slice.

    Returns:
        Images (slices, size, size, 2) float64, divided by the largest value in the batch; masks
        (slices, size, size, 4) float32, one-hot labels, interpolated. There are `SLICES`, or as many as the patient has
        from `FIRST` on.
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
