"""A planted motion is found, what cannot be registered is refused, and resampling moves nothing."""

import numpy as np
import pytest
import scipy

from helpers.prepare import registration
from helpers.prepare.registration import (
    Image,
    Registration,
    read_transform,
    register,
    resample,
    write_transform,
)
from helpers.runtime.errors import DataError


def rigid(turn_degrees, shift, axis=2):
    angle = np.radians(turn_degrees)
    first, second = (other for other in range(3) if other != axis)
    matrix = np.eye(4)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    matrix[:3, 3] = shift
    return matrix


def affine(spacing):
    made = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    made[:3, 3] = 70, 80, -60
    return made


@pytest.fixture(scope="module", autouse=True)
def few_samples():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registration, "_SAMPLES", 8000)
        yield


@pytest.fixture(scope="module")
def head():
    """A smooth lopsided head of 3 mm voxels, 0 outside."""
    rng = np.random.default_rng(3)
    grid = np.indices((48, 54, 42)).astype(float)
    centre, radii = np.array([24, 26, 20])[:, None, None, None], np.array([19, 22, 16])[:, None, None, None]
    inside = (((grid - centre) / radii) ** 2).sum(axis=0) < 1
    inside &= ~((grid[0] > 34) & (grid[1] < 16))
    texture = scipy.ndimage.gaussian_filter(rng.normal(size=inside.shape), 2.5)
    return Image(np.where(inside, 500 + 2500 * texture, 0).astype(np.float32), affine((3.0, 3.0, 3.0)))


def moved(head, motion, shape=None, spacing=None):
    """The same head after it moved, with other grey levels; on another grid where one is given."""
    grid = head.affine if spacing is None else affine(spacing)
    other = resample(head, shape or head.voxels.shape, grid, np.linalg.inv(motion))
    return Image(np.where(other > 0, 2000 - 0.8 * other, 0).astype(np.float32), grid)


@pytest.mark.parametrize("motion", [rigid(0, [0, 0, 0]), rigid(4, [3, -5, 2]), rigid(-3, [-2, 1, 6], axis=0)])
def test_planted_motion_is_found_and_undone(head, motion):
    found = register(head, moved(head, motion))
    points = np.argwhere(head.voxels > 0)[::50] @ head.affine[:3, :3].T + head.affine[:3, 3]
    wanted, got = (points @ one[:3, :3].T + one[:3, 3] for one in (motion, found.matrix))
    assert np.linalg.norm(wanted - got, axis=1).mean() < 0.6
    assert found.motion_mm == pytest.approx(np.linalg.norm(wanted - points, axis=1).mean(), abs=0.6)
    assert found.residual_mm < 1.0
    assert found.overlap > 0.93
    found.check("one")


def test_thick_slices_are_registered(head):
    motion = rigid(3, [2, -3, 4])
    found = register(head, moved(head, motion, (72, 81, 21), (2.0, 2.0, 6.0)))
    assert np.abs(found.matrix[:3, 3] - motion[:3, 3]).max() < 1.5
    assert found.residual_mm < 1.5


def test_the_same_input_gives_the_same_transform(head):
    other = moved(head, rigid(2, [1, 2, 3]))
    np.testing.assert_allclose(register(head, other).matrix, register(head, other).matrix, atol=1e-9)


def test_another_head_is_refused(head):
    rng = np.random.default_rng(0)
    grid = np.indices((48, 54, 42)).astype(float)
    inside = (((grid - 22) / 9) ** 2).sum(axis=0) < 1
    small = Image(np.where(inside, rng.normal(500, 100, inside.shape), 0).astype(np.float32), head.affine)
    with pytest.raises(DataError, match=r"one: the registration cannot be trusted \(moved by .* overlap 0\."):
        register(head, small).check("one")


@pytest.mark.parametrize(("residual", "overlap", "good"), [(0.2, 0.95, True), (2.5, 0.95, False), (0.2, 0.5, False)])
def test_residual_motion_and_overlap_decide(residual, overlap, good):
    found = Registration(np.eye(4), 1.0, residual, overlap)
    if good:
        found.check("flair against t1ce")
    else:
        with pytest.raises(DataError, match="flair against t1ce: the registration cannot be trusted"):
            found.check("flair against t1ce")


def test_empty_series_are_refused(head):
    with pytest.raises(DataError, match="every voxel is 0; expected a head"):
        register(head, Image(np.zeros((4, 4, 4)), head.affine))


def test_resampling_to_the_same_grid_changes_nothing(head):
    np.testing.assert_allclose(resample(head, head.voxels.shape, head.affine), head.voxels, rtol=1e-5)


def test_larger_voxels_are_means_of_their_area(rng):
    image = Image(rng.random((6, 4, 8)).astype(np.float32), np.diag([1.0, 1.0, 1.0, 1.0]))
    thick = np.diag([1.0, 1.0, 4.0, 1.0])
    thick[2, 3] = 1.5
    got = resample(image, (6, 4, 2), thick)
    np.testing.assert_allclose(got, image.voxels.reshape(6, 4, 2, 4).mean(axis=-1), atol=1e-6)


def test_the_outermost_voxel_counts_up_to_its_edge_and_nothing_beyond():
    image = Image(np.arange(1, 4, dtype=np.float32).reshape(3, 1, 1), np.eye(4))
    half = np.diag([0.5, 1.0, 1.0, 1.0])
    half[0, 3] = -1.25
    for nearest, expected in (
        (False, [0, 0, 1, 1.25, 1.75, 2.25, 2.75, 3, 0, 0]),
        (True, [0, 0, 1, 1, 2, 2, 3, 3, 0, 0]),
    ):
        got = resample(image, (10, 1, 1), half, nearest=nearest)
        np.testing.assert_allclose(got.ravel(), expected)


def test_a_turned_grid_gets_the_mean_along_its_own_axes(rng):
    image = Image(rng.random((6, 4, 8)).astype(np.float32), np.diag([1.0, 1.0, 1.0, 1.0]))
    turned = np.array([[0, 0, 1.0, 0], [0, 1.0, 0, 0], [4.0, 0, 0, 1.5], [0, 0, 0, 1]])  # first axis along the third
    got = resample(image, (2, 4, 6), turned)
    np.testing.assert_allclose(got, image.voxels.reshape(6, 4, 2, 4).mean(axis=-1).T, atol=1e-6)


def test_masks_keep_their_values(head):
    mask = Image((head.voxels > 0).astype(np.uint8), head.affine)
    assert set(np.unique(resample(mask, (30, 30, 30), affine((5.0, 5.0, 5.0)), rigid(5, [1, 2, 3]), nearest=True))) <= {
        0,
        1,
    }


def test_transforms_are_kept_in_files(tmp_path):
    matrix = rigid(7, [1.5, -2, 3])
    write_transform(tmp_path / "flair.tfm", matrix)
    np.testing.assert_allclose(read_transform(tmp_path / "flair.tfm"), matrix, atol=1e-9)
