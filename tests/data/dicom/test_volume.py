"""A series becomes a box of voxels where the patient lay, or is refused by name."""

import random
import shutil

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from helpers.data.dicom.catalogue import read_one_study
from helpers.data.dicom.volume import read_volume
from helpers.runtime.errors import DataError


def only(folder):
    (series,) = read_one_study(folder).series
    return series


def refused(folder):
    series = only(folder)
    with pytest.raises(DataError) as caught:
        read_volume(series)
    message = str(caught.value)
    assert series.uid in message
    assert "Phantom" not in message
    return message


def change_tags(**tags):
    def change(data, place):
        for keyword, value in tags.items():
            setattr(data, keyword, value(place) if callable(value) else value)
        return data

    return change


def test_voxels_and_affine_come_back(archive, voxels, affine):
    volume = read_volume(only(archive()))
    np.testing.assert_array_equal(volume.voxels, voxels)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-6)


def test_order_is_that_of_positions_whatever_names_and_numbers_say(archive, voxels, tmp_path):
    folder = archive(change=change_tags(InstanceNumber=lambda place: (place * 3) % 7))
    paths = sorted(folder.iterdir())
    random.Random(0).shuffle(paths)
    for number, path in enumerate(paths):
        (folder / f"sub{number % 2}").mkdir(exist_ok=True)
        path.rename(folder / f"sub{number % 2}" / f"x{number}.IMA")
    np.testing.assert_array_equal(read_volume(only(folder)).voxels, voxels)


def test_slices_are_sorted_along_the_normal_of_any_plane(archive, voxels, affine):
    sagittal = affine[:, [2, 1, 0, 3]]  # slices along the axis from left to right
    volume = read_volume(only(archive(affine=sagittal)))
    if np.linalg.det(sagittal[:3, :3]) < 0:  # written in the other direction than the normal
        np.testing.assert_allclose(volume.affine @ [0, 0, 6, 1], sagittal @ [0, 0, 0, 1], atol=1e-6)
        np.testing.assert_array_equal(volume.voxels, voxels[..., ::-1])
    else:
        np.testing.assert_array_equal(volume.voxels, voxels)


def test_geometry_is_that_of_simpleitk(archive):
    import SimpleITK as sitk  # noqa: N813

    folder = archive()
    volume = read_volume(only(folder))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    other = reader.Execute()
    index = [2, 3, 4]
    lps = other.TransformIndexToPhysicalPoint(index)
    np.testing.assert_allclose((volume.affine @ [*index, 1])[:3], np.array(lps) * [-1, -1, 1], atol=1e-6)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(other).T, volume.voxels)


def test_geometry_is_that_of_dcm2niix(archive, tmp_path):
    dcm2niix = pytest.importorskip("dcm2niix")
    folder = archive()
    (tmp_path / "nifti").mkdir()
    dcm2niix.main(["-o", str(tmp_path / "nifti"), "-f", "it", "-z", "n", str(folder)])
    image = nib.load(tmp_path / "nifti" / "it.nii")
    volume = read_volume(only(folder))
    ours = nib.as_closest_canonical(nib.Nifti1Image(volume.voxels, volume.affine))
    theirs = nib.as_closest_canonical(image)
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-3)
    np.testing.assert_array_equal(ours.get_fdata(), theirs.get_fdata())


def test_missing_slice_is_counted_and_placed(archive):
    message = refused(archive(change=lambda data, place: None if place == 3 else data))
    assert "1 slice is missing, the first between" in message
    assert "Export the whole series again" in message


def test_missing_last_slice_is_told_by_the_count_of_the_header(archive):
    tags = change_tags(ImagesInAcquisition=7, AcquisitionNumber=1)
    message = refused(archive(change=lambda data, place: None if place == 6 else tags(data, place)))
    assert "6 slices are here, and its header counts 7" in message


def test_uneven_distances_are_refused(archive):
    def move(data, place):
        if place == 6:
            step = np.subtract(data.ImagePositionPatient, [0, 0, 0])
            data.ImagePositionPatient = [step[0], step[1] - 0.2, step[2] + 1.0]
        return data

    assert "its slices lie unevenly" in refused(archive(change=move))


def test_two_slices_at_one_position_are_refused_with_what_they_differ_in(archive, voxels, affine):
    archive(change=change_tags(EchoTime=20))
    tags = change_tags(EchoTime=90, SOPInstanceUID=lambda place: f"1.2.3.{place + 1}")
    message = refused(archive(change=tags))
    assert "7 positions have two slices" in message
    assert "EchoTime 20 and 90" in message


def test_copies_of_files_are_read_once(archive, voxels):
    folder = archive()
    shutil.copytree(folder, folder / "again")
    volume = read_volume(only(folder))
    np.testing.assert_array_equal(volume.voxels, voxels)
    assert "7 files are there twice, byte for byte, and are read once" in volume.notes


def test_one_uid_with_two_contents_is_refused(archive):
    folder = archive()
    data = pydicom.dcmread(folder / "00000002")
    data.PixelData = bytes(len(data.PixelData))
    data.save_as(folder / "00000099")
    assert "claim to be one image" in refused(folder)


def test_tilted_gantry_is_refused_with_its_angle(archive, affine):
    affine[:3, 2] += affine[:3, 1] * 0.25  # shear: 0.3 mm of 3 mm
    assert "shifted against each other, by 5.7 degrees" in refused(archive(affine=affine))


def test_spacing_that_contradicts_positions_is_refused(archive):
    message = refused(archive(change=change_tags(SpacingBetweenSlices=5.0)))
    assert "positions lie 3 mm apart and its SpacingBetweenSlices says 5 mm" in message


def test_spacing_that_is_the_gap_alone_is_known(archive, affine):
    volume = read_volume(only(archive(change=change_tags(SliceThickness=2.5, SpacingBetweenSlices=0.5))))
    np.testing.assert_allclose(volume.affine, affine, atol=1e-6)
    assert "SpacingBetweenSlices is the gap alone" in volume.notes[0]


@pytest.mark.parametrize(
    ("tag", "word"),
    [
        ("ImagePositionPatient", "no ImagePositionPatient"),
        ("ImageOrientationPatient", "no ImageOrientationPatient"),
        ("PixelSpacing", "no PixelSpacing"),
    ],
)
def test_missing_geometry_is_named(archive, tag, word):
    def drop(data, place):
        if place == 2:
            delattr(data, tag)
        return data

    message = refused(archive(change=drop))
    assert word in message
    assert "00000002" in message


def test_mixed_planes_and_sizes_are_refused(archive, voxels):
    def turn(data, place):
        if place == 5:
            data.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
        return data

    folder = archive(change=turn)
    assert "several planes" in refused(folder)
    shutil.rmtree(folder)

    def crop(data, place):
        if place == 5:
            data.Rows, data.PixelData = data.Rows - 1, data.PixelData[: -2 * data.Columns]
        return data

    assert "several sizes (6 x 5 and 6 x 4 pixels" in refused(archive(change=crop))


def test_slices_of_two_patients_are_refused(archive):
    message = refused(archive(change=change_tags(PatientID=lambda place: "A" if place else "B")))
    assert "several values of PatientID" in message


def test_directions_that_are_none_are_refused(archive):
    message = refused(archive(change=change_tags(ImageOrientationPatient=[1, 0, 0, 1, 0, 0])))
    assert "no pair of directions" in message


def test_letters_that_contradict_directions_are_refused(archive):
    assert "PatientOrientation says that rows run to R" in refused(
        archive(change=change_tags(PatientOrientation=["R", "P"]))
    )


def test_letters_that_agree_are_read(archive, voxels):
    volume = read_volume(only(archive(change=change_tags(PatientOrientation=["L", "P"]))))
    np.testing.assert_array_equal(volume.voxels, voxels)


@pytest.mark.parametrize("left", [100, 1])
def test_truncated_file_is_refused(archive, left):
    folder = archive()
    path = folder / "00000004"
    path.write_bytes(path.read_bytes()[: -(60 - left) if left < 60 else -10])
    assert "00000004" in refused(folder)


def test_rescaling_is_by_slice(archive, voxels):
    tags = change_tags(RescaleSlope=lambda place: place + 1, RescaleIntercept=-5, RescaleType="US")
    volume = read_volume(only(archive(change=tags)))
    np.testing.assert_allclose(volume.voxels, voxels * np.arange(1, 8) - 5.0)
    assert any("rescalings" in note for note in volume.notes)


def test_monochrome1_is_inverted_and_monochrome2_is_not(archive, voxels):
    def inverted(data, place):
        stored = np.frombuffer(data.PixelData, np.int16)
        data.PixelData, data.PhotometricInterpretation = (-1 - stored).astype(np.int16).tobytes(), "MONOCHROME1"
        return data

    volume = read_volume(only(archive(change=inverted)))
    np.testing.assert_array_equal(volume.voxels, voxels)
    assert any("MONOCHROME1" in note for note in volume.notes)


def test_padding_becomes_zero(archive, voxels):
    volume = read_volume(only(archive(change=change_tags(PixelPaddingValue=17))))
    np.testing.assert_array_equal(volume.voxels, np.where(voxels == 17, 0, voxels))


def test_colour_is_refused(archive):
    def colour(data, place):
        data.SamplesPerPixel, data.PlanarConfiguration, data.PhotometricInterpretation = 3, 0, "RGB"
        return data

    assert "a picture in colour" in refused(archive(change=colour))


def test_a_syntax_without_decoder_is_named_with_its_package(archive):
    folder = archive()
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.201"
        data.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f" * 20])
        data["PixelData"].is_undefined_length = True
        data.save_as(path)
    message = refused(folder)
    assert "High-Throughput JPEG 2000" in message
    assert "pip install pylibjpeg pylibjpeg-openjpeg" in message


def test_compressed_slices_that_can_be_decoded_are_read(archive, voxels):
    folder = archive()
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        data.compress("1.2.840.10008.1.2.5")
        data.save_as(path)
    np.testing.assert_array_equal(read_volume(only(folder)).voxels, voxels)


ORDER = [4, 2, 0, 1, 6, 5, 3]  # of the frames


def enhanced(folder, out):
    """A folder with the slices of a series as one multi-frame file."""
    slices = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    whole = slices[0]
    shared, groups = Dataset(), []
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [Dataset()], [Dataset()]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = whole.ImageOrientationPatient
    shared.PixelMeasuresSequence[0].PixelSpacing = whole.PixelSpacing
    shared.PixelMeasuresSequence[0].SliceThickness = whole.SliceThickness
    for place in ORDER:
        group = Dataset()
        group.PlanePositionSequence, group.PixelValueTransformationSequence = [Dataset()], [Dataset()]
        group.PlanePositionSequence[0].ImagePositionPatient = slices[place].ImagePositionPatient
        group.PixelValueTransformationSequence[0].RescaleSlope = 2
        group.PixelValueTransformationSequence[0].RescaleIntercept = 1
        groups.append(group)
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    whole.SharedFunctionalGroupsSequence, whole.PerFrameFunctionalGroupsSequence = [shared], groups
    whole.NumberOfFrames, whole.PixelData = len(ORDER), b"".join(slices[place].PixelData for place in ORDER)
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(whole, tag)
    out.mkdir()
    whole.save_as(out / "IM1")
    return out


def test_enhanced_multi_frame_is_read(archive, voxels, affine, tmp_path):
    volume = read_volume(only(enhanced(archive(), tmp_path / "one")))
    np.testing.assert_array_equal(volume.voxels, voxels * 2 + 1)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-6)
    assert [frame.index for frame in volume.frames] == [ORDER.index(place) for place in range(7)]


def test_a_real_series_lies_where_simpleitk_has_it(real_data):
    import SimpleITK as sitk  # noqa: N813

    folder = real_data / "dicom" / "brain_t1w"
    volume = read_volume(only(folder))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    other = reader.Execute()
    point = other.TransformIndexToPhysicalPoint([3, 5, 7])
    np.testing.assert_allclose((volume.affine @ [3, 5, 7, 1])[:3], np.array(point) * [-1, -1, 1], atol=1e-4)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(other).T, volume.voxels)


def test_empty_slices_between_others_are_refused_and_empty_ends_are_not(archive, voxels, tmp_path):
    hollow, ends = voxels.copy(), voxels.copy()
    hollow[..., 3] = 0
    ends[..., [0, 6]] = 0
    message = refused(archive(voxels=hollow))
    assert "1 slice between others is empty" in message
    shutil.rmtree(tmp_path / "export")
    np.testing.assert_array_equal(read_volume(only(archive(voxels=ends))).voxels, ends)
