"""Laws of reading and writing volumes."""

import gzip
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from helpers.data.brats import BRATS_2017, BRATS_2023, read_catalogue
from helpers.data.volumes import read_scan, to_disk, to_network, unusual_voxels, write_segmentation
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


def _renamed(patients, root, prefix="BraTS-GLI-0000"):
    """The patients under the names of 2023."""
    kinds = {"flair": "t2f", "t1": "t1n", "t1ce": "t1c", "t2": "t2w", "seg": "seg"}
    for number, patient in enumerate(patients):
        identity = f"{prefix}{number}-000"
        (root / identity).mkdir(parents=True)
        for kind, new in kinds.items():
            content = gzip.compress(patient.file(kind).read_bytes(), 1)
            (root / identity / f"{identity}-{new}.nii.gz").write_bytes(content)
    return root


def _three_for_four(seg):
    return np.where(seg == 4, 3, seg).astype(np.uint8)


def test_names_and_labels_of_2023_are_read_and_written(patients, tmp_path):
    catalogue = read_catalogue(_renamed(patients[:2], tmp_path / "new"))
    new = catalogue.require(("flair", "t1ce"))
    assert "BraTS-GLI-00000-000, BraTS-GLI-00001-000: names of BraTS 2023 on" in catalogue.notes[0]
    with pytest.raises(DataError, match=r"-seg\.nii\.gz: labels \{4\.0: \d+\}.*resection cavity"):
        read_scan(new[0], ("flair",))
    for patient in new:
        _change(patient.seg, _three_for_four)
    for old, one in zip(patients[:2], new, strict=True):
        scan = read_scan(one, ("flair", "t1ce"))
        np.testing.assert_array_equal(scan.seg, read_scan(old, ("flair",)).seg)
        np.testing.assert_array_equal(scan.image("t1ce"), read_scan(old, ("t1ce",)).image("t1ce"))
        assert scan.convention is BRATS_2023
        path = write_segmentation(tmp_path / scan.convention.seg_name(scan.id), scan.seg, scan)
        assert path.name == f"{one.id}-seg.nii.gz"
        np.testing.assert_array_equal(np.asarray(nib.load(path).dataobj), np.asarray(nib.load(one.seg).dataobj))


def test_label_3_is_enhancing_where_no_mask_of_the_folder_has_4(spoiled):
    people = read_catalogue(spoiled).require(("flair",))
    before = [read_scan(patient, ("flair",)).seg for patient in people]
    for patient in people:
        _change(patient.seg, _three_for_four)
    catalogue = read_catalogue(spoiled)
    for patient, expected in zip(catalogue.require(("flair",)), before, strict=True):
        scan = read_scan(patient, ("flair",))
        np.testing.assert_array_equal(scan.seg, expected)
        assert scan.convention is BRATS_2017
        assert any("label 3 is read as the enhancing tumour" in note for note in scan.notes) == (expected == 3).any()
    assert "no mask of this folder has the label 4" in catalogue.notes[0]


def test_label_3_beside_a_4_of_another_patient_is_refused(spoiled):
    people = read_catalogue(spoiled).require(("flair",))
    _change(people[0].seg, _three_for_four)
    first, _, third = read_catalogue(spoiled).require(("flair",))[:3]
    with pytest.raises(DataError, match=r"labels \{3\.0: \d+\}.*and 4 in .* of the same folder: before BraTS 2017"):
        read_scan(first, ("flair",))
    assert read_scan(third, ("flair",)).seg.max() == 3


def test_no_other_mask_is_read_where_none_has_a_3(spoiled):
    people = read_catalogue(spoiled).require(("flair",))
    read_scan(people[0], ("flair",))
    assert not people[0].masks.asked


@pytest.mark.parametrize("slope", [0.9999999998, 1.0001, 1.1])
def test_labels_near_whole_numbers_are_rounded(spoiled, slope):
    patient = _patient(spoiled)
    expected = read_scan(patient, ("flair",)).seg
    image = nib.load(patient.seg)
    scaled = np.asarray(image.dataobj) * slope
    patient.seg.unlink()
    nib.save(nib.Nifti1Image(scaled, image.affine), patient.seg)
    if slope == 1.1:
        with pytest.raises(DataError, match=r"labels \{1\.1.*expected only \(0, 1, 2, 4\)"):
            read_scan(patient, ("flair",))
    else:
        np.testing.assert_array_equal(read_scan(patient, ("flair",)).seg, expected)


def test_mask_that_was_interpolated_names_a_few_labels_and_counts_the_rest(spoiled):
    patient = _patient(spoiled)
    _change(patient.seg, lambda seg: np.linspace(0, 4, seg.size).reshape(seg.shape), np.float32)
    with pytest.raises(DataError, match=r"and [\d,]+ more labels; expected only") as caught:
        read_scan(patient, ("flair",))
    assert len(str(caught.value)) < 1000


def test_value_that_float32_cannot_hold_is_refused(spoiled):
    patient = _patient(spoiled)

    def plant(data):
        data[30, 30, 20] = 1.7e308
        return data

    _change(patient.images["flair"], plant, np.float64)
    with pytest.raises(DataError, match=r"flair\.nii: 1 voxel is beyond the range of float32 .*1\.7e\+308"):
        read_scan(patient, ("flair",))


def test_values_that_vanish_in_float32_are_an_empty_volume(spoiled):
    patient = _patient(spoiled)
    _change(patient.images["flair"], lambda data: data * 1e-300, np.float64)
    with pytest.raises(DataError, match=r"flair\.nii: every voxel is 0"):
        read_scan(patient, ("flair",))


@pytest.mark.parametrize("value", [1e6, 1e30, -1e9])
def test_one_voxel_beyond_all_others_is_a_warning(patients, value):
    scan = read_scan(patients[0], ("flair", "t1ce"))
    assert unusual_voxels(scan) == []
    images = scan.images.copy()
    images[30, 30, 20, 1] = value
    (warning,) = unusual_voxels(replace(scan, images=images))
    assert warning.startswith("t1ce: 1 voxel of up to")
    assert "do not use this mask" in warning


def test_mask_given_as_an_image_and_one_volume_under_two_names_are_warnings(patients):
    scan = read_scan(patients[0], ("flair", "t1ce"))
    images = np.repeat(scan.images[..., :1], 2, axis=-1)
    (warning,) = unusual_voxels(replace(scan, images=images))
    assert warning.startswith("t1ce and flair are the same volume")
    images[..., 1] = scan.seg
    (warning,) = unusual_voxels(replace(scan, images=images))
    assert warning.startswith("t1ce: only 4 different values")


def test_real_volumes_have_no_such_voxel(real_data):
    for patient in read_catalogue(real_data / "brats18").require(("flair", "t1ce"))[::7]:
        scan = read_scan(patient, ("flair", "t1", "t1ce", "t2"), seg=False)
        assert unusual_voxels(scan) == []
        assert scan.notes == ()


def test_labels_of_another_scan_are_not_written(patients, tmp_path):
    scan = read_scan(patients[0], ("flair",))
    with pytest.raises(ValueError, match=r"labels of shape \(2, 2, 2\) for a scan of"):
        write_segmentation(tmp_path / "p.nii.gz", np.zeros((2, 2, 2), np.uint8), scan)


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


@pytest.mark.parametrize("grid", [lambda scan: scan, lambda scan: scan.affine], ids=["scan", "affine"])
def test_segmentation_is_written_on_the_grid_and_read_back(phantoms, tmp_path, grid):
    patient = _patient(phantoms)
    scan = read_scan(patient, ("flair",))
    path = write_segmentation(tmp_path / "out" / "p_seg.nii.gz", scan.seg, grid(scan))
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
