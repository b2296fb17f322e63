"""DICOM phantoms are what a scanner writes: another reader finds the same numbers in them."""

import numpy as np
import pydicom

from helpers.data.phantoms.dicom import SCANNED, Visit, write_radiograph, write_series


def test_a_series_has_a_file_a_slice_with_what_the_scanner_says(tmp_path, rng):
    voxels = rng.integers(-100, 1000, (4, 5, 3)).astype(np.int16)
    paths = write_series(tmp_path, voxels, np.diag([-1.0, -2.0, 3.0, 1.0]), "t1ce")
    assert [path.suffix for path in paths] == ["", "", ""]
    for place, path in enumerate(paths):
        data = pydicom.dcmread(path)
        np.testing.assert_array_equal(data.pixel_array, voxels[:, :, place].T)
        assert [float(mm) for mm in data.PixelSpacing] == [2, 1]
        assert [float(mm) for mm in data.ImagePositionPatient] == [0, 0, 3 * place]
        assert data.ContrastBolusAgent == SCANNED["t1ce"]["ContrastBolusAgent"]


def test_uids_are_those_of_the_seed(tmp_path, rng):
    voxels = np.zeros((2, 2, 2), np.int16)
    one, other, again = (
        {pydicom.dcmread(path).SOPInstanceUID for path in write_series(tmp_path / name, voxels, np.eye(4), visit=visit)}
        for name, visit in (("a", Visit(seed=1)), ("b", Visit(seed=2)), ("c", Visit(seed=1)))
    )
    assert one == again
    assert not one & other


def test_a_radiograph_fills_the_depth_of_its_detector(tmp_path):
    levels = np.array([[0, 128, 255]], np.uint8)
    data = pydicom.dcmread(write_radiograph(tmp_path / "IM1", levels, inverted=True))
    assert data.PhotometricInterpretation == "MONOCHROME1"
    assert data.pixel_array.tolist() == [[4095, 4095 - 2056, 0]]
