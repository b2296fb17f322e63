"""Laws of reading and writing volumes."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from helpers.data.brats import read_catalogue
from helpers.data.volumes import read_scan, to_disk, to_network, write_segmentation
from helpers.runtime.errors import DataError


def _patient(root):
    return read_catalogue(root).require(("flair", "t1ce"))[0]


def _change(path, change, dtype=None):
    image = nib.load(path)
    data = np.asarray(image.dataobj).copy()
    data = change(data if dtype is None else data.astype(dtype))
    path.unlink()
    nib.save(nib.Nifti1Image(data, image.affine), path)


def test_scan_holds_what_was_asked_in_that_order(phantoms):
    scan = read_scan(_patient(phantoms), ("t1ce", "flair"))
    assert scan.modalities == ("t1ce", "flair")
    assert scan.images.shape == (60, 60, 39, 2)
    assert scan.images.dtype == np.float32
    stored = np.asarray(nib.load(_patient(phantoms).images["flair"]).dataobj)
    np.testing.assert_array_equal(scan.image("flair"), stored)
    np.testing.assert_allclose(scan.spacing, (4, 4, 155 / 39), rtol=1e-5)


def test_labels_there_and_back_are_the_same():
    network = np.arange(4, dtype=np.uint8).reshape(1, 2, 2)
    np.testing.assert_array_equal(to_disk(network).ravel(), [0, 1, 2, 4])
    np.testing.assert_array_equal(to_network(to_disk(network)), network)


@pytest.mark.parametrize("label", [3, 5, 255])
def test_foreign_label_is_named_and_counted(spoiled, label):
    patient = _patient(spoiled)
    _change(patient.seg, lambda seg: np.where(seg == 2, label, seg).astype(np.uint8))
    with pytest.raises(DataError, match=rf"{patient.seg.name}: labels \{{{label}\.0: \d+"):
        read_scan(patient, ("flair",))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_counted(spoiled, value):
    patient = _patient(spoiled)

    def plant(data):
        data[0, 0, :3] = value
        return data

    _change(patient.images["flair"], plant, np.float32)
    with pytest.raises(DataError, match=r"flair\.nii: 3 voxels are NaN or infinite"):
        read_scan(patient, ("flair",))


def test_empty_volume_is_refused(spoiled):
    patient = _patient(spoiled)
    _change(patient.images["t1ce"], np.zeros_like)
    with pytest.raises(DataError, match=r"t1ce\.nii: every voxel is 0"):
        read_scan(patient, ("flair", "t1ce"))


def test_compressed_file_cut_short_is_refused(spoiled):
    path = _patient(spoiled).images["flair"]
    squeezed = gzip.compress(path.read_bytes())
    path.with_name(path.name + ".gz").write_bytes(squeezed[: len(squeezed) // 2])
    path.unlink()
    with pytest.raises(DataError, match=r"flair\.nii\.gz: not a NIfTI file that can be read to its end"):
        read_scan(_patient(spoiled), ("flair",))


def test_other_shape_or_affine_is_refused_even_without_a_catalogue(phantoms, spoiled):
    patient = _patient(spoiled)
    _change(patient.images["t1ce"], lambda data: data[:-2])
    with pytest.raises(DataError, match=r"t1ce\.nii: shape \(58, 60, 39\)"):
        read_scan(patient, ("flair", "t1ce"))


def test_missing_modality_says_what_is_there(phantoms, spoiled):
    patient = _patient(spoiled)
    patient.images["t2"].unlink()
    without = _patient(spoiled)
    with pytest.raises(DataError, match=r"has no t2 file .* it has flair, t1, t1ce"):
        read_scan(without, ("t2",))


def test_segmentation_is_written_on_the_grid_and_read_back(phantoms, tmp_path):
    patient = _patient(phantoms)
    scan = read_scan(patient, ("flair",))
    path = write_segmentation(tmp_path / "out" / "p_seg.nii.gz", scan.seg, scan.affine)
    image = nib.load(path)
    np.testing.assert_array_equal(np.asarray(image.dataobj), np.asarray(nib.load(patient.seg).dataobj))
    for affine in (image.affine, image.get_sform(), image.get_qform()):
        np.testing.assert_allclose(affine, scan.affine, atol=1e-4)
    assert image.get_data_dtype() == np.uint8
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_nothing_is_overwritten(tmp_path):
    path = tmp_path / "p_seg.nii.gz"
    path.write_text("a doctor's own mask")
    with pytest.raises(FileExistsError, match=r"p_seg\.nii\.gz is there already"):
        write_segmentation(path, np.zeros((2, 2, 2), np.uint8), np.eye(4))
    assert path.read_text() == "a doctor's own mask"


def test_other_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"written as \.nii\.gz"):
        write_segmentation(tmp_path / "p.nrrd", np.zeros((2, 2, 2), np.uint8), np.eye(4))
