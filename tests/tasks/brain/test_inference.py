"""Laws of prediction: the mask lies on the patient's own grid, and where the network drew it."""

import keras
import numpy as np
import pytest

from helpers.data.resample import Grid
from helpers.data.volumes import read_scan
from helpers.measure.overlap import dice
from helpers.runtime.errors import DataError
from helpers.tasks.brain.inference import Segmenter


class Threshold(keras.Model):
    """Calls every pixel oedema whose first modality lies above one deviation."""

    def call(self, x):
        bright = keras.ops.cast(x[..., :1] > 1, "float32")
        zero = keras.ops.zeros_like(bright)
        return keras.ops.concatenate([1 - bright, zero, bright, zero], axis=-1)


@pytest.fixture(scope="module")
def scan(patients):
    return read_scan(patients[0], ("flair", "t1ce"))


@pytest.mark.parametrize("size", [48, 60, 96])
def test_mask_lies_where_the_bright_voxels_are(scan, size):
    """The path in and back, coarser and finer than the patient's 4 mm, against the same rule on the patient's grid."""
    from helpers.data.normalise import zscore

    bright = zscore(scan.images)[..., 0] > 1
    labels = Segmenter(Threshold(), ("flair", "t1ce"), Grid(size)).predict(scan)
    assert labels.shape == scan.images.shape[:3]
    assert labels.dtype == np.uint8
    shifted = max(dice(np.roll(bright, 1, axis=axis), labels == 2) for axis in (0, 1))
    assert dice(bright, labels == 2) > max(0.8, shifted)


def test_probabilities_sum_to_one_everywhere(scan):
    probabilities = Segmenter(Threshold(), ("flair", "t1ce"), Grid(48)).probabilities(scan)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-5)


def test_modalities_are_taken_by_name_not_by_order(patients, scan):
    turned = read_scan(patients[0], ("t1ce", "flair"))
    segmenter = Segmenter(Threshold(), ("flair", "t1ce"), Grid(48))
    np.testing.assert_array_equal(segmenter.predict(scan), segmenter.predict(turned))


def test_missing_modality_is_refused(patients):
    alone = read_scan(patients[0], ("flair",))
    with pytest.raises(DataError, match="wants flair, t1ce; t1ce is missing"):
        Segmenter(Threshold(), ("flair", "t1ce"), Grid(48)).predict(alone)


def test_flip_of_a_symmetric_rule_changes_nothing(scan):
    plain, flipped = (Segmenter(Threshold(), ("flair", "t1ce"), Grid(48), flip).predict(scan) for flip in (False, True))
    np.testing.assert_array_equal(plain, flipped)


def test_folder_without_a_training_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no finished training"):
        Segmenter.load(tmp_path)
