"""One grid for the network, and every voxel back where it was."""

import numpy as np
import pytest

from helpers.prepare import network_space
from helpers.prepare.network_space import find_space
from helpers.prepare.registration import Image, Registration
from helpers.runtime.errors import DataError

STILL = Registration(np.eye(4), 0.3, 0.1, 0.99)


@pytest.fixture
def registered(monkeypatch):
    """Sets what registration finds."""

    def found(registration):
        monkeypatch.setattr(network_space, "register", lambda fixed, moving: registration)

    found(STILL)
    return found


def axes(columns, translation=(0, 0, 0)):
    made = np.eye(4)
    made[:3, :3] = np.transpose(columns)
    made[:3, 3] = translation
    return made


LPS = axes([[-1, 0, 0], [0, -1, 0], [0, 0, 1]], (10, 20, -30))
SAGITTAL = axes([[0, -1, 0], [0, 0, -1], [-1, 0, 0]])  # columns to the back, rows to the feet, slices to the left


@pytest.fixture
def voxels(rng):
    return rng.random((8, 9, 10)).astype(np.float32) + 1


@pytest.mark.parametrize("affine", [LPS, SAGITTAL], ids=["axial", "sagittal"])
def test_a_grid_of_1_mm_is_only_turned_there_and_back(registered, voxels, affine):
    space = find_space({"t1ce": Image(voxels, affine), "flair": Image(2 * voxels, affine)})
    assert all(space.shares_grid(kind) for kind in ("t1ce", "flair"))
    there = space.to_network("flair")
    assert sorted(there.ravel()) == sorted(2 * voxels.ravel())
    assert np.diag(space.affine)[:3].tolist() == [-1, -1, 1]
    np.testing.assert_array_equal(space.to_series("flair", there[..., None])[..., 0], 2 * voxels)


def test_a_voxel_keeps_its_place_in_the_body(registered, voxels):
    space = find_space({"t1ce": Image(voxels, SAGITTAL)})
    index = np.argwhere(space.to_network("t1ce") == voxels[2, 3, 4])[0]
    np.testing.assert_allclose(space.affine @ [*index, 1], SAGITTAL @ [2, 3, 4, 1])


def test_the_finest_series_stays_and_thick_slices_come_to_it(registered, voxels):
    thick = LPS @ np.diag([1, 1, 5, 1])
    thick[:3, 3] += [0, 0, 2]
    fine = np.repeat(np.repeat(voxels[..., :2], 5, axis=2), 1, axis=0)
    space = find_space({"flair": Image(voxels[..., :2], thick), "t1ce": Image(fine, LPS)})
    assert space.reference == "t1ce"
    assert space.shape == fine.shape
    assert not space.shares_grid("flair")
    np.testing.assert_allclose(space.to_network("flair")[..., [2, 7]], voxels[..., :2], rtol=1e-5)
    np.testing.assert_allclose(space.to_series("flair", fine[..., None])[..., 0], voxels[..., :2], rtol=1e-5)


def test_other_spacings_get_1_mm_over_the_same_box(registered, voxels):
    space = find_space({"t1": Image(voxels, LPS @ np.diag([2, 1.5, 3, 1]))})
    assert space.shape == (16, 14, 30)
    edges = [LPS @ [-0.5 * 2, -0.5 * 1.5, -0.5 * 3, 1], space.affine @ [-0.5, -0.5, -0.5, 1]]
    np.testing.assert_allclose(*edges)


def test_a_head_far_from_the_axes_gets_those_of_the_body(registered, voxels):
    angle = np.radians(30)
    turn = axes([[1, 0, 0], [0, np.cos(angle), np.sin(angle)], [0, -np.sin(angle), np.cos(angle)]])
    space = find_space({"t1": Image(voxels, turn @ LPS)})
    np.testing.assert_allclose(space.affine[:3, :3], np.diag([-1, -1, 1]), atol=1e-12)
    assert (space.to_network("t1") > 0).sum() == pytest.approx(voxels.size, rel=0.1)


def test_motion_is_undone_and_little_motion_left(registered, voxels):
    images = {"t1ce": Image(voxels, LPS), "flair": Image(voxels, LPS)}
    moved = np.eye(4)
    moved[0, 3] = 3
    registered(Registration(moved, 3.0, 0.1, 0.99))
    space = find_space(images)
    assert not space.shares_grid("flair")
    np.testing.assert_allclose(space.to_network("flair")[3:], voxels[:-3], rtol=1e-5)
    assert "moved by 3.00 mm, residual motion 0.10 mm" in space.notes[0]
    registered(STILL)
    assert "left where it is" in find_space(images).notes[0]


def test_positions_of_two_frames_of_reference_do_not_compare(registered, voxels):
    images = {"t1ce": Image(voxels, LPS), "flair": Image(voxels, LPS)}
    registered(Registration(np.diag([1, 1, 1, 1.0]) + 1e-9, 0.3, 0.1, 0.99))
    assert "left" in find_space(images, {"t1ce": "1", "flair": "1"}).notes[0]
    assert "left" not in find_space(images, {"t1ce": "1", "flair": "2"}).notes[0]


def test_a_registration_that_cannot_be_trusted_is_refused(registered, voxels):
    registered(Registration(np.eye(4), 30.0, 9.0, 0.3))
    with pytest.raises(DataError, match="flair against t1ce: the registration cannot be trusted"):
        find_space({"t1ce": Image(voxels, LPS), "flair": Image(voxels, LPS)})


def test_background_stays_zero(registered, voxels):
    voxels[:4] = 0
    space = find_space({"t1": Image(voxels, LPS @ np.diag([2, 2, 2, 1]))})
    there = space.to_network("t1")
    assert (there[:8] == 0).all()
    assert there[8:].min() > 0.4
