"""Laws of moving pixels."""

import numpy as np
import pytest
from keras import ops
from scipy.ndimage import map_coordinates

from helpers.prepare.deform import ELASTIC_POINTS, affine, corners, elastic, look_up, smooth


def _affine(size, degrees=0.0, scale=(1.0, 1.0), shift=(0.0, 0.0), mirrored=False):
    return affine(size, np.array([degrees]), np.array([scale]), np.array([shift]), np.array([mirrored]))


def _moved(slices, affine=None, elastic=None):
    n, size = slices.shape[:2]
    affine = None if affine is None else np.repeat(affine, n, axis=0)
    return _numpy(look_up(slices, corners(n, size, affine, elastic)))


def _numpy(x):
    return ops.convert_to_numpy(x)


@pytest.fixture
def slices(rng):
    return rng.standard_normal((3, 20, 20, 2), np.float32)


def test_look_up_is_bilinear_interpolation_with_nothing_outside(slices):
    """Against SciPy, for an oblique map that leaves the slice."""
    oblique = _affine(20, degrees=33, scale=(0.7, 0.9), shift=(2.3, -1.6))
    found = _moved(slices, oblique)
    rows, columns = np.mgrid[:20, :20]
    (a, b, c), (d, e, f) = oblique[0]
    places = [d * columns + e * rows + f, a * columns + b * rows + c]
    assert min(place.min() for place in places) < -1
    for n in range(3):
        for channel in range(2):
            expected = map_coordinates(slices[n, ..., channel], places, order=1, mode="grid-constant")
            np.testing.assert_allclose(found[n, ..., channel], expected, atol=1e-4)


def test_a_quarter_turn_is_exact(slices):
    turned = _moved(slices, _affine(20, degrees=90))
    np.testing.assert_allclose(turned, np.rot90(slices, axes=(1, 2)), atol=1e-4)


def test_mirror_exchanges_the_rows(slices):
    mirrored = _moved(slices, _affine(20, mirrored=True))
    np.testing.assert_allclose(mirrored, slices[:, ::-1], atol=1e-5)


def test_shift_is_along_columns_then_rows(slices):
    shifted = _moved(slices, _affine(20, shift=(3, -2)))
    np.testing.assert_allclose(shifted[:, :-2, 3:], slices[:, 2:, :-3], atol=1e-5)
    assert (shifted[:, :, :3] == 0).all()
    assert (shifted[:, -2:] == 0).all()


def test_scale_enlarges_areas():
    square = np.zeros((1, 60, 60, 1), np.float32)
    square[:, 20:40, 20:40] = 1
    larger = _moved(square, _affine(60, scale=(1.2, 0.9)))
    assert larger.sum() == pytest.approx(400 * 1.2 * 0.9, rel=0.01)
    assert (larger.max(axis=1) > 0.5).sum() > (larger.max(axis=2) > 0.5).sum()  # wider along columns


def test_smooth_keeps_constants_and_slopes(rng):
    """Cubic B-splines reproduce straight lines: control point p lies at p - 1 intervals from the border."""
    slope = np.arange(7, dtype=np.float32)[None, :, None, None] + np.zeros((1, 7, 7, 1), np.float32)
    field = _numpy(smooth(slope, 41))
    np.testing.assert_allclose(field[0, :, 7, 0], np.linspace(1, 5, 41), atol=1e-5)
    np.testing.assert_allclose(_numpy(smooth(np.ones((2, 5, 5, 3), np.float32), 16)), 1, atol=1e-6)


def test_elastic_field_never_folds(rng):
    """However strong: where the determinant of the map's derivative is positive, no two pixels change places."""
    wild = elastic(rng.standard_normal((20, ELASTIC_POINTS, ELASTIC_POINTS, 2)), np.full(20, 10.0), 96)
    field = _numpy(smooth(wild, 96)).astype(float)
    by_row, by_column = np.diff(field, axis=1)[:, :, :-1], np.diff(field, axis=2)[:, :-1]
    determinant = (1 + by_column[..., 0]) * (1 + by_row[..., 1]) - by_column[..., 1] * by_row[..., 0]
    assert determinant.min() > 0
    assert np.abs(field).max() > 5  # and yet it moves far


def test_elastic_comes_before_affine(slices):
    """A field that moves everything one row on, then a quarter turn: both, in this order."""
    one = np.zeros((3, ELASTIC_POINTS, ELASTIC_POINTS, 2), np.float32)
    one[..., 1] = 1
    both = _moved(slices, _affine(20, degrees=90), one)
    turned = np.rot90(slices, axes=(1, 2))
    np.testing.assert_allclose(both[:, :-1], turned[:, 1:], atol=1e-4)
