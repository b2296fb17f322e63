import numpy as np
import pytest

from helpers.data.volumes import Scan

# As BraTS stores its volumes: rows run to the left, columns to the back, slices to the top.
LPS = np.array([[-1.0, 0, 0, 0], [0, -1.0, 0, 0], [0, 0, 2.5, 0], [0, 0, 0, 1.0]])


@pytest.fixture
def scan():
    """An egg of a head with a nested tumour, 1 x 1 x 2.5 mm, brighter towards its left side."""
    shape = (40, 48, 16)
    i, j, k = np.indices(shape)
    head = ((i - 20) / 16) ** 2 + ((j - 24) / 20) ** 2 + ((k - 8) / 7) ** 2 < 1
    away = np.hypot(np.hypot(i - 14, j - 20), 2.5 * (k - 9))
    seg = np.select([away < 2, away < 4, away < 7], [1, 3, 2], 0).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 5, (*shape, 4))
    images = (100 + i[..., None] + 30 * (seg[..., None] > 0) + noise) * head[..., None]
    return Scan("patient_1", images.astype(np.float32), ("flair", "t1", "t1ce", "t2"), seg * head, LPS)
