"""Laws of cleaning radiographs: bands and letters go where they were planted, and nothing goes where they were not."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from helpers.data.phantoms.radiograph import hidden_rows, plan_radiograph
from helpers.data.phantoms.thorax import take_xray
from helpers.prepare.radiograph_artifacts import markers, without_bands, without_markers
from helpers.runtime.errors import DataError


def _chest(size=192):
    """A radiograph as soft as a chest: bright shoulders and belly, darker lungs; no band, no letter."""
    y, x = np.mgrid[: size - 20, :size] / size
    grey = 190 - 110 * np.exp(-(((x - 0.3) / 0.13) ** 2) - ((y - 0.45) / 0.25) ** 2)
    grey -= 110 * np.exp(-(((x - 0.7) / 0.13) ** 2) - ((y - 0.45) / 0.25) ** 2)
    grey -= 150 * np.exp(-(np.hypot(np.minimum(x, 1 - x) / 0.2, y / 0.16) ** 2))
    return np.clip(grey, 20, 255).astype(np.uint8)


def _lettered(radiograph, where=(12, 10), text="R"):
    """The radiograph with a letter, and where its ink is."""
    picture = Image.fromarray(radiograph)
    ImageDraw.Draw(picture).text(where, text, 235, ImageFont.load_default(14))
    lettered = np.array(picture)
    return lettered, lettered != radiograph


def test_planted_bands_are_cut_and_no_more():
    radiograph = _chest()
    banded = np.pad(radiograph, ((7, 30), (0, 11)))
    assert without_bands(banded) == (slice(7, 7 + radiograph.shape[0]), slice(0, radiograph.shape[1]))


def test_a_band_that_is_not_quite_black_is_a_band():
    radiograph = _chest()
    banded = np.pad(radiograph, ((0, 30), (0, 0)), constant_values=4)
    assert without_bands(banded)[0] == slice(0, len(radiograph))


def test_a_radiograph_without_bands_is_left_whole():
    radiograph = _chest()
    assert radiograph[without_bands(radiograph)].shape == radiograph.shape


def test_a_dark_row_amid_the_radiograph_is_no_band():
    radiograph = _chest()
    radiograph[80] = 0
    assert radiograph[without_bands(radiograph)].shape == radiograph.shape


def test_a_planted_letter_is_found_and_painted_over():
    radiograph = _chest()
    lettered, ink = _lettered(radiograph)
    assert markers(lettered)[ink].mean() > 0.98
    cleaned = without_markers(lettered).astype(int)
    assert np.abs(cleaned - radiograph)[ink].max() < 60  # of 215 that the letter stood out by
    assert np.abs(cleaned - radiograph)[ink].mean() < 20


def test_nothing_but_the_marker_is_touched():
    lettered, _ = _lettered(_chest())
    found = markers(lettered)
    np.testing.assert_array_equal(without_markers(lettered)[~found], lettered[~found])
    assert found.mean() < 0.03


def test_a_radiograph_without_markers_is_left_alone():
    radiograph = _chest()
    np.testing.assert_array_equal(without_markers(radiograph), radiograph)


def test_a_bright_spot_in_a_lung_is_no_marker():
    radiograph, _ = _lettered(_chest(), where=(50, 80), text="O")
    assert not markers(radiograph).any()


@pytest.mark.parametrize("number", range(4))
def test_phantom_radiographs_lose_band_and_sign_and_keep_their_lungs(number):
    rng = np.random.default_rng(number)
    radiograph = plan_radiograph(rng, "montgomery", 192)
    pixels, lungs = take_xray(rng, radiograph, False, False)
    rows, columns = without_bands(pixels)
    assert rows.stop == pixels.shape[0] - hidden_rows(radiograph)
    box = np.zeros(lungs.shape, bool)
    box[rows, columns] = True
    assert box[lungs].all()
    found = markers(pixels)
    # The letter on the left, the sign on the right; within a rib's end at most of the lungs.
    half = pixels.shape[1] // 2
    assert found[:, :half].any()
    assert found[:, half:].any()
    assert (found & lungs).sum() < 0.005 * lungs.sum()


@pytest.mark.parametrize("function", [without_bands, markers, without_markers])
@pytest.mark.parametrize("radiograph", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4))])
def test_what_is_no_radiograph_is_refused(function, radiograph):
    with pytest.raises(DataError, match="uint8"):
        function(radiograph)


def test_a_black_radiograph_is_refused():
    with pytest.raises(DataError, match="black throughout"):
        without_bands(np.zeros((9, 9), np.uint8))
