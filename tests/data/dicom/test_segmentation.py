"""An outline as DICOM segmentation reads back voxel for voxel, names its series, and is whole or absent."""

import numpy as np
import pydicom
import pytest

from helpers.data.dicom import segmentation
from helpers.data.dicom.catalogue import read_one_study
from helpers.data.dicom.segmentation import SEGMENTS, read_dicom_segmentation, write_dicom_segmentation
from helpers.data.dicom.volume import read_volume
from helpers.runtime.errors import DataError
from tests.data.dicom.test_volume import enhanced


@pytest.fixture
def volume(archive):
    return read_volume(read_one_study(archive("flair")).series[0])


@pytest.fixture
def labels(voxels):
    return (voxels % 4).astype(np.uint8)


def test_labels_come_back_voxel_for_voxel(tmp_path, volume, labels):
    path = write_dicom_segmentation(tmp_path / "seg.dcm", labels, volume, "model")
    np.testing.assert_array_equal(read_dicom_segmentation(path, volume), labels)


def test_an_empty_outline_is_written_and_read(tmp_path, volume, labels):
    path = write_dicom_segmentation(tmp_path / "seg.dcm", 0 * labels, volume, "model")
    assert not read_dicom_segmentation(path, volume).any()


def test_frames_of_a_multi_frame_series_come_back(tmp_path, archive, labels):
    volume = read_volume(read_one_study(enhanced(archive(), tmp_path / "one")).series[0])
    path = write_dicom_segmentation(tmp_path / "seg.dcm", labels, volume, "model")
    np.testing.assert_array_equal(read_dicom_segmentation(path, volume), labels)


def test_segments_are_coded_and_the_series_is_named(tmp_path, volume, labels):
    data = pydicom.dcmread(write_dicom_segmentation(tmp_path / "seg.dcm", labels, volume, "model"))
    source = pydicom.dcmread(volume.frames[0].instance.path)
    assert [
        (one.SegmentLabel, code.CodingSchemeDesignator, code.CodeValue, code.CodeMeaning)
        for one in data.SegmentSequence
        for code in one.SegmentedPropertyTypeCodeSequence
    ] == list(SEGMENTS)
    assert {one.SegmentedPropertyCategoryCodeSequence[0].CodeValue for one in data.SegmentSequence} == {"49755003"}
    (series,) = data.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    named = {one.ReferencedSOPInstanceUID for one in series.ReferencedInstanceSequence}
    assert named == {frame.instance.text("SOPInstanceUID") for frame in volume.frames}
    for tag in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert data[tag].value == source[tag].value
    assert data.SeriesInstanceUID != source.SeriesInstanceUID


def test_what_reads_back_differently_is_never_there(tmp_path, volume, labels, monkeypatch):
    monkeypatch.setattr(segmentation, "read_dicom_segmentation", lambda *_: labels + 1)
    with pytest.raises(DataError, match="210 voxels read back differently"):
        write_dicom_segmentation(tmp_path / "seg.dcm", labels, volume, "model")
    assert not list(tmp_path.glob("*seg*"))


def test_other_labels_and_files_that_are_there_are_refused(tmp_path, volume, labels):
    with pytest.raises(DataError, match="give its own"):
        write_dicom_segmentation(tmp_path / "seg.dcm", labels[1:], volume, "model")
    (tmp_path / "seg.dcm").write_text("mine")
    with pytest.raises(FileExistsError, match="is not overwritten"):
        write_dicom_segmentation(tmp_path / "seg.dcm", labels, volume, "model")


def test_a_header_that_lacks_a_tag_is_told_without_a_name(tmp_path, archive, labels):
    def drop(data, place):
        del data.PatientID
        data.PatientName = "Muellerova"
        del data.FrameOfReferenceUID
        return data

    volume = read_volume(read_one_study(archive("t1", change=drop)).series[0])
    with pytest.raises(DataError, match="no DICOM segmentation can be made of it") as caught:
        write_dicom_segmentation(tmp_path / "seg.dcm", labels, volume, "model")
    assert "Mueller" not in str(caught.value)
    assert volume.series.uid in str(caught.value)
