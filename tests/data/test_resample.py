"""Laws of the window: nothing shifts, nothing is invented, the way back is the way in reversed."""

import numpy as np
import pytest

from helpers.data.brats import read_catalogue
from helpers.data.resample import Grid, axis_weights, soft_labels_on
from helpers.data.volumes import read_scan
from helpers.measure.overlap import dice
from helpers.measure.regions import mask
from helpers.runtime.errors import DataError


def _ball(shape=(120, 110, 8), centre=(57.3, 61.8), radius=20):
    x, y = np.ogrid[: shape[0], : shape[1]]
    disc = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 < radius**2
    return np.repeat(disc[..., None], shape[2], axis=2)


@pytest.mark.parametrize("size", [32, 48, 64, 96, 128])
@pytest.mark.parametrize("spacing", [(1, 1, 1), (2, 2.5, 3), (0.7, 0.9, 5)])
def test_constant_stays_constant_inside(size, spacing):
    shape = tuple(int(np.ceil(260 / mm)) for mm in spacing[:2])
    volume = np.full((*shape, 2, 1), 3.5, np.float32)
    seen = Grid(size).down(volume, spacing, (130, 130))
    np.testing.assert_allclose(seen, 3.5, rtol=1e-5)
    assert seen.shape == (2, size, size, 1)


@pytest.mark.parametrize("size", [40, 64, 96, 128, 200])
def test_centre_of_mass_does_not_move(size):
    grid, centre = Grid(size, 100.0), (57.0, 60.0)
    ball = _ball().astype(np.float32)[..., None]
    seen = grid.down(ball, (1, 1, 1), centre)[0, :, :, 0]
    for axis in (0, 1):
        pixels = (seen.sum(axis=1 - axis) * (np.arange(size) + 0.5)).sum() / seen.sum() * grid.pixel_mm
        there = ball[:, :, 0, 0]
        voxels = (there.sum(axis=1 - axis) * (np.arange(len(there.sum(axis=1 - axis))) + 0.5)).sum() / there.sum()
        assert pixels + centre[axis] - grid.extent_mm / 2 == pytest.approx(voxels, abs=0.05)


@pytest.mark.parametrize("size", [50, 64, 96, 100])
def test_area_is_kept_on_the_way_in(size):
    grid = Grid(size, 100.0)
    ball = _ball().astype(np.float32)[..., None]
    seen = grid.down(ball, (1, 1, 1), (57.0, 60.0))
    assert seen.sum() * grid.pixel_mm**2 == pytest.approx(ball.sum(), rel=1e-4)


@pytest.mark.parametrize(("size", "least"), [(48, 0.97), (64, 0.98), (100, 0.999)])
def test_mask_survives_the_round_trip(size, least):
    grid, ball = Grid(size, 100.0), _ball()
    soft_labels = soft_labels_on(ball.astype(np.uint8), grid, (1, 1, 1), (57.0, 60.0))
    back = grid.up(soft_labels / np.float32(255), ball.shape, (1, 1, 1), (57.0, 60.0))
    assert dice(ball, back[..., 1] > 0.5) > least


def test_shares_sum_to_255_and_hold_no_foreign_class(rng):
    labels = rng.integers(0, 4, (40, 40, 3)).astype(np.uint8)
    labels[labels == 2] = 0  # no oedema in, so none may come out, whatever lies between core and enhancing
    soft_labels = soft_labels_on(labels, Grid(16, 40.0), (1, 1, 1), (20, 20))
    assert (soft_labels.astype(int).sum(axis=-1) == 255).all()
    assert (soft_labels[..., 2] == 0).all()
    assert (soft_labels[..., 1] > 0).any()


def test_spacing_is_honoured():
    """The same disc on a 1 mm and a 2 mm grid reaches the network at the same scale."""
    grid = Grid(50, 100.0)
    fine = grid.down(_ball().astype(np.float32)[..., None], (1, 1, 1), (57.0, 60.0))
    coarse_disc = _ball((60, 55, 8), (57.3 / 2, 61.8 / 2), 10).astype(np.float32)[..., None]
    coarse = grid.down(coarse_disc, (2, 2, 1), (57.0, 60.0))
    assert fine.sum() == pytest.approx(coarse.sum(), rel=0.02)


def test_outside_the_window_is_zero_on_the_way_back():
    back = Grid(16, 32.0).up(np.ones((1, 16, 16, 1), np.float32), (100, 100, 1), (1, 1, 1), (50, 50))
    assert back[34:66, 34:66].min() == 1
    assert back[:34].max() == 0
    assert back[66:].max() == 0


def test_weights_of_equal_axes_are_the_identity():
    np.testing.assert_allclose(axis_weights((7, 2.0, 3.0), (7, 2.0, 3.0)), np.eye(7), atol=1e-6)


def test_brain_centre_is_the_middle_of_its_box_in_millimetres():
    images = np.zeros((40, 50, 3, 2), np.float32)
    images[10:20, 30:40, 1, 1] = 1
    assert Grid().brain_centre(images, (4, 6, 1)) == (60, 210)


def test_head_of_centimetres_for_millimetres_is_refused():
    images = np.zeros((240, 240, 2, 1), np.float32)
    images[40:200, 40:200] = 1
    with pytest.raises(DataError, match=r"span 16 mm along axis 0; expected at least 40 mm.*it says 0\.1 mm"):
        Grid().brain_centre(images, (0.1, 0.1, 0.1))


def test_head_larger_than_the_window_is_refused():
    images = np.ones((240, 100, 2, 1), np.float32)
    with pytest.raises(DataError, match=r"this scan.*span 240 mm along axis 0.*window is 192 mm.*skull-stripped"):
        Grid().brain_centre(images, (1, 1, 1))


@pytest.mark.parametrize(("size", "least"), [(96, (0.98, 0.97, 0.93)), (128, (0.99, 0.98, 0.95))])
def test_real_masks_survive_the_round_trip(real_data, size, least):
    patient = read_catalogue(real_data / "brats18").require(("flair",))[1]
    scan, grid = read_scan(patient, ("flair",)), Grid(size)
    centre = grid.brain_centre(scan.images, scan.spacing)
    soft_labels = soft_labels_on(scan.seg, grid, scan.spacing, centre)
    back = grid.up(soft_labels[..., 1:] / np.float32(255), scan.seg.shape, scan.spacing, centre)
    labels = np.concatenate([1 - back.sum(axis=-1, keepdims=True), back], axis=-1).argmax(axis=-1)
    for region, bound in zip(("WT", "TC", "ET"), least, strict=True):
        assert dice(mask(scan.seg, region), mask(labels, region)) > bound
