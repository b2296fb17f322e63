"""Intensity normalisation: values that can be compared between patients.

An MR image has no unit: the same tissue is 300 on one scanner and 3,000 on the next. The public kernel this course grew
from divides by the largest value of the whole batch, so that a patient's input depends on its neighbours; here each
volume is normalised by its own brain voxels.
"""

import numpy as np


def zscore(images: np.ndarray) -> np.ndarray:
    """Z-score each modality: subtract the mean and divide by the standard deviation of the brain voxels.

    Args:
        images: (rows, columns, slices, modalities), any real type; 0 outside the brain, as BraTS ships it.

    Returns:
        float32 of the same shape, clipped to [-5, 5] (a vessel may be 30 deviations bright, and float16 and the first
        layer need not carry that); the background is exactly 0.

    Examples:
        >>> images = np.zeros((2, 2, 1, 1))
        >>> images[0, :, 0, 0] = 100, 300
        >>> zscore(images)[:, :, 0, 0].tolist()
        [[-1.0, 1.0], [0.0, 0.0]]
    """
    out = np.zeros(images.shape, np.float32)
    for m in range(images.shape[-1]):
        volume = images[..., m].astype(np.float32)
        brain = volume != 0
        inside = volume[brain]
        spread = inside.std(dtype=np.float64) or 1.0
        out[..., m][brain] = np.clip((inside - inside.mean(dtype=np.float64)) / spread, -5, 5)
    return out
