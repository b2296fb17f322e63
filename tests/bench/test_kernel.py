"""Tests of the public kernel's data loading: the reimplementation gives the same values as the published code."""

import keras
import nibabel as nib
import numpy as np
import pytest

from helpers.bench.kernel import FIRST, SLICES, kernel_batch
from helpers.data.brats import Patient

SHAPE = (24, 24, 130)


@pytest.fixture
def patient(tmp_path):
    rng = np.random.default_rng(0)
    volumes = {kind: rng.integers(0, 900, SHAPE).astype(np.int16) for kind in ("flair", "t1ce")}
    volumes["seg"] = rng.choice([0, 1, 2, 4], SHAPE).astype(np.uint8)
    files = {kind: tmp_path / f"p_{kind}.nii.gz" for kind in volumes}
    for kind, volume in volumes.items():
        nib.save(nib.Nifti1Image(volume, np.eye(4)), files[kind])
    seg = files.pop("seg")
    return Patient("p", tmp_path, files, seg), volumes


def test_a_batch_is_slices_22_to_121_of_one_patient(patient):
    x, y = kernel_batch(patient[0], 16)
    assert (FIRST, SLICES) == (22, 100)
    assert (x.shape, x.dtype) == ((100, 16, 16, 2), np.float64)
    assert tuple(y.shape) == (100, 16, 16, 4)


def test_values_are_those_of_the_published_code(patient):
    x, y = kernel_batch(patient[0], 16)
    # Each step of the published generator, by other means: TensorFlow's bilinear resize without antialiasing is
    # OpenCV's, and rows of the unit matrix are one-hot vectors.
    pictures = np.stack([patient[1][kind][..., 22:122] for kind in ("flair", "t1ce")], axis=-1).transpose(2, 0, 1, 3)
    labels = patient[1]["seg"][..., 22:122].transpose(2, 0, 1)
    masks = np.eye(4, dtype=np.float32)[np.where(labels == 4, 3, labels)]
    pictures, masks = (
        keras.ops.convert_to_numpy(
            keras.ops.image.resize(array.astype(np.float32), (16, 16), data_format="channels_last")
        )
        for array in (pictures, masks)
    )
    np.testing.assert_allclose(x, pictures / pictures.max(), atol=1e-5)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(y), masks, atol=1e-6)


def test_the_scale_is_one_number_for_both_modalities(patient):
    x, _ = kernel_batch(patient[0], 16)
    assert x.max() == 1
    assert (x.max(axis=(0, 1, 2)) < 1).sum() == 1


def test_a_patient_with_fewer_slices_gives_those_it_has(patient, tmp_path):
    short = {kind: tmp_path / f"short_{kind}.nii.gz" for kind in ("flair", "t1ce", "seg")}
    for kind, path in short.items():
        nib.save(nib.Nifti1Image(patient[1][kind][..., :30], np.eye(4)), path)
    seg = short.pop("seg")
    x, y = kernel_batch(Patient("short", tmp_path, short, seg), 16)
    assert len(x) == len(y) == 8
