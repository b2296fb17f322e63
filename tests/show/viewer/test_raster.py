import io

import numpy as np
import pytest
from PIL import Image

from helpers.show.viewer import raster


def decode(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def test_what_is_encoded_is_decoded_again():
    rng = np.random.default_rng(0)
    for shape in ((40, 50), (40, 50, 3)):
        picture = rng.integers(0, 256, shape, np.uint8)
        np.testing.assert_array_equal(decode(raster.encode(picture)), picture)


def test_a_window_runs_from_black_to_white_in_a_straight_line():
    levels = raster.grey(np.array([[-5.0, 100.0, 150.0, 200.0, 900.0]]), (100, 200))
    np.testing.assert_array_equal(levels, [[0, 0, 128, 255, 255]])
    assert levels.dtype == np.uint8


@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32"])
def test_the_type_on_disk_does_not_change_the_picture(dtype):
    image = np.arange(1, 301).reshape(15, 20)
    np.testing.assert_array_equal(raster.grey(image.astype(dtype), (50, 250)), raster.grey(image * 1.0, (50, 250)))


def test_the_background_of_a_normalised_scan_stays_black():
    np.testing.assert_array_equal(raster.grey(np.array([[0.0, 0.01, -2.0]]), (-2, 2)), [[0, 128, 0]])


def test_a_window_of_no_width_is_a_threshold():
    np.testing.assert_array_equal(raster.grey(np.array([[1.0, 5.0, 9.0]]), (5, 5)), [[0, 0, 255]])


def test_labels_are_never_interpolated():
    labels = np.array([[0, 1], [3, 3]], np.uint8)
    larger = raster.to_scale(labels, (7, 5), labels=True)
    assert larger.shape == (7, 5)
    assert set(np.unique(larger)) == {0, 1, 3}


def test_a_picture_and_its_labels_are_enlarged_the_same_way():
    """The brightest pixel and the only label stay in one place, to half a pixel."""
    picture, labels = np.zeros((20, 30), np.uint8), np.zeros((20, 30), np.uint8)
    picture[7, 21], labels[7, 21] = 255, 1
    size = (50, 60)  # 2.5 times as high, twice as wide
    centre = [np.average(np.indices(size), axis=(1, 2), weights=w) for w in (
        raster.to_scale(picture, size), raster.to_scale(labels, size, labels=True)
    )]  # fmt: skip
    np.testing.assert_allclose(centre[0], [7.5 * 2.5 - 0.5, 21.5 * 2 - 0.5], atol=0.1)
    np.testing.assert_allclose(centre[0], centre[1], atol=0.5)


def test_labels_change_the_picture_only_where_they_lie():
    picture = np.full((6, 8), 100, np.uint8)
    labels = np.zeros((6, 8), np.uint8)
    labels[1:3, 2:5], labels[4, 4] = 1, 2
    painted = raster.lay_over(picture, labels, {1: "#FF0000"}, 0.25)
    assert painted[1, 2].tolist() == [139, 75, 75]  # a quarter of the red, three quarters of the grey
    np.testing.assert_array_equal((painted != 100).any(axis=-1), labels == 1)


def test_a_picture_without_labels_stays_grey():
    picture, labels = np.full((3, 3), 9, np.uint8), np.eye(3, dtype=np.uint8)
    assert raster.lay_over(picture, labels, {}, 0.5) is picture
    assert raster.lay_over(picture, labels, {1: "red"}, 0) is picture
    assert raster.lay_over(picture, labels, {2: "red"}, 0.5) is picture
