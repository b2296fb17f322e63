"""Dice, Jaccard, HD95 and average distance against MedPy, computed another way: on random bodies and on real masks.

MedPy's own `hd95` pools the two directions, so we compare its pooled value with the pooled percentile of our
distances, and our definition with the percentiles of MedPy's directed distances.
"""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from helpers.measure import regions
from helpers.measure.overlap import dice, jaccard
from helpers.measure.surface import assd, hd95, surface_distances

binary = pytest.importorskip("medpy.metric.binary", reason="MedPy is not installed: pip install '.[test]'")
medpy_directed = vars(binary)["__surface_distances"]


def cut_out(truth, prediction, margin=5):
    """MedPy maps distances over the whole volume, which takes seconds; a margin round the masks is enough."""
    where = np.argwhere(truth | prediction)
    starts, stops = np.maximum(where.min(axis=0) - margin, 0), where.max(axis=0) + margin + 1
    box = tuple(slice(*bounds) for bounds in zip(starts, stops, strict=True))
    return truth[box], prediction[box]


def agree(truth, prediction, spacing):
    ours = surface_distances(truth, prediction, spacing)
    score, average = hd95(truth, prediction, spacing), assd(truth, prediction, spacing)
    truth, prediction = cut_out(truth, prediction)
    assert dice(truth, prediction) == pytest.approx(binary.dc(prediction, truth), abs=1e-6)
    assert jaccard(truth, prediction) == pytest.approx(binary.jc(prediction, truth), abs=1e-6)
    directed = medpy_directed(truth, prediction, spacing), medpy_directed(prediction, truth, spacing)
    assert score == pytest.approx(max(np.percentile(d, 95) for d in directed), abs=1e-6)
    pooled = np.percentile(np.hstack(ours), 95)
    assert pooled == pytest.approx(binary.hd95(prediction, truth, spacing), abs=1e-6)
    assert average == pytest.approx(binary.assd(prediction, truth, spacing), abs=1e-6)
    assert max(d.max() for d in ours) == pytest.approx(binary.hd(prediction, truth, spacing), abs=1e-6)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 1.1, 5.0), (3.0, 0.5, 0.5)])
@pytest.mark.parametrize("seed", range(4))
def test_random_bodies_score_as_in_medpy(seed, spacing):
    rng = np.random.default_rng(seed)
    noise = [ndimage.gaussian_filter(rng.normal(size=(40, 36, 24)), (3, 2, 1.5)) for _ in range(2)]
    truth, prediction = (field > 0.8 * field.std() for field in noise)
    agree(truth, prediction, spacing)


REAL = os.environ.get("COURSE_REAL_DATA")


@pytest.mark.skipif(not REAL, reason="COURSE_REAL_DATA is not set: no real masks here")
def test_real_masks_score_as_in_medpy():
    files = sorted(Path(REAL, "brats18").rglob("*_seg.nii*"))[:20:10]
    assert files, f"no segmentations under {REAL}/brats18"
    rng = np.random.default_rng(0)
    for file in files:
        image = nib.load(file)
        labels = np.asarray(image.dataobj).astype(np.uint8)
        labels[labels == 4] = 3
        spacing = tuple(float(step) for step in image.header.get_zooms())
        for name in regions.REGIONS:
            truth = regions.mask(labels, name)
            shifted = np.roll(truth, rng.integers(-5, 6, size=3), axis=(0, 1, 2))
            agree(truth, shifted, spacing)
            agree(truth, ndimage.binary_dilation(shifted, iterations=2), spacing)
