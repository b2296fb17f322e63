"""A film is the same picture however it is stored."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from helpers.data.dicom.radiograph import radiograph_name, radiograph_size, read_radiograph
from helpers.data.phantoms.dicom import Visit, write_radiograph, write_series
from helpers.runtime.errors import DataError


@pytest.fixture
def film(chests):
    from helpers.data.pictures import read_image

    return read_image(next((chests / "Lung Segmentation" / "CXR_png").glob("CHN*")))


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("inverted", [False, True])
def test_depth_and_photometric_form_leave_the_picture_as_it_is(tmp_path, film, bits, inverted):
    path = write_radiograph(tmp_path / "IM1", film, inverted, bits=bits)
    levels, notes = read_radiograph(path)
    np.testing.assert_array_equal(levels, film)
    assert notes == ()
    assert radiograph_size(path) == film.shape


@pytest.mark.parametrize("inverted", [False, True])
def test_a_form_that_contradicts_the_chest_is_read_the_other_way_round_with_a_word(tmp_path, film, inverted):
    form = "MONOCHROME2" if inverted else "MONOCHROME1"
    path = write_radiograph(tmp_path / "IM1", film, inverted, bits=8)
    data = pydicom.dcmread(path)
    data.PhotometricInterpretation = form
    data.save_as(path)
    levels, (note,) = read_radiograph(path)
    np.testing.assert_array_equal(levels, film)
    assert f"its header says {form}, which would make the lungs brighter" in note


def test_the_window_of_the_radiographer_is_followed(tmp_path, film):
    path = write_radiograph(tmp_path / "IM1", film, tags={"WindowCenter": 2048, "WindowWidth": 2048})
    levels, _ = read_radiograph(path)
    expected = np.clip((film * (4095 / 255) - 1024) / 2048, 0, 1) * 255
    assert np.abs(levels - expected).max() < 2


def test_a_film_that_fills_a_corner_of_the_depth_is_stretched(tmp_path, film):
    path = write_radiograph(tmp_path / "IM1", (film // 8).astype(np.uint8))
    assert read_radiograph(path)[0].max() == 255


def test_both_real_forms_are_one_picture(real_data):
    one, other = sorted((real_data / "dicom" / "chest").glob("*.dcm"))
    np.testing.assert_array_equal(read_radiograph(one)[0], read_radiograph(other)[0])
    assert not read_radiograph(one)[1]
    assert "MONOCHROME1" in read_radiograph(other)[1][0]


def test_what_is_no_film_is_refused_by_name(tmp_path, film):
    (path,) = write_series(tmp_path, np.zeros((4, 4, 1), np.int16), np.eye(4))
    with pytest.raises(DataError, match=r"00000000: DICOM of MR; expected an X-ray \(CR, DX, RG\)"):
        read_radiograph(path)
    path = write_radiograph(tmp_path / "IM2", film, tags={"NumberOfFrames": 2})
    with pytest.raises(DataError, match="IM2: 2 frames"):
        read_radiograph(path)
    path = write_radiograph(tmp_path / "IM3", film)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"IM3: .*cut short"):
        read_radiograph(path)
    path = write_radiograph(tmp_path / "IM4", np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match="IM4: every pixel is the same"):
        read_radiograph(path)


def test_a_file_name_that_may_be_a_name_reaches_no_mask(tmp_path, film):
    path = write_radiograph(tmp_path / "Muellerova_Anna.dcm", film, visit=Visit(patient="Muellerova"))
    assert radiograph_name(path).startswith("xray_")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError) as caught:
        read_radiograph(path)
    assert "Mueller" not in str(caught.value)
    assert radiograph_name(Path("IM_0001.dcm")) == "IM_0001"
    assert radiograph_name(Path("1.2.840.113619.2.5")) == "1.2.840.113619.2.5"
