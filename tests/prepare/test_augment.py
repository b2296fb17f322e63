"""Laws of augmenting image and mask together."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from helpers.prepare.augment import (
    ALL,
    SCANNERS,
    TRANSFORMS,
    USUAL,
    AugmentationParams,
    apply,
    draw,
    drop_modalities,
    single,
)
from helpers.runtime.options import AUGMENTATIONS

GEOMETRY = ("rotation", "scale", "shift", "flip", "elastic")
SIZE = 48


@pytest.fixture(scope="module")
def scene():
    """A bright square on a brain, and the same square as oedema, with a core in one corner; 8 slices."""
    images = np.zeros((8, SIZE, SIZE, 2), np.float32)
    images[:, 6:-6, 6:-6] = -0.5
    images[:, 30:34, 34:38] = -2
    images[:, 14:24, 18:30] = 2
    soft_labels = np.zeros((8, SIZE, SIZE, 4), np.float32)
    soft_labels[..., 0] = 1
    soft_labels[:, 14:24, 18:30] = (0, 0, 1, 0)
    soft_labels[:, 16:22, 19:25] = (0, 1, 0, 0)
    return images, soft_labels


def _applied(scene, params):
    return [keras.ops.convert_to_numpy(part) for part in apply(*scene, params)]


def _drawn(seed, transforms=ALL):
    return draw(np.random.default_rng(seed), 8, SIZE, 2, transforms)


def _one(name, strength, scene, seed=0):
    return _applied([part[:1] for part in scene], single(name, strength, SIZE, 2, seed))


def _middle(weights):
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return np.array([(weights * rows).sum(), (weights * columns).sum()]) / weights.sum()


def test_an_empty_variation_changes_nothing(scene):
    images, soft_labels = _applied(scene, AugmentationParams())
    np.testing.assert_array_equal(images, scene[0])
    np.testing.assert_allclose(soft_labels, scene[1], atol=1e-6)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_strength_zero_changes_nothing_and_the_sliders_end_something(name, scene):
    images, soft_labels = _one(name, 0, scene)
    np.testing.assert_allclose(images, scene[0][:1], atol=1e-5)
    np.testing.assert_allclose(soft_labels, scene[1][:1], atol=1e-5)
    images, soft_labels = _one(name, TRANSFORMS[name].high, scene)
    assert np.abs(images - scene[0][:1]).max() > 0.2
    assert (np.abs(soft_labels - scene[1][:1]).max() > 0.2) == (name in GEOMETRY)


def test_unknown_transform_is_named():
    with pytest.raises(ValueError, match="transform 'rotate' is not known; there are rotation, scale"):
        single("rotate", 5, SIZE, 2)


@pytest.mark.parametrize("transforms", [option.load() for option in AUGMENTATIONS.values()], ids=AUGMENTATIONS)
def test_same_seed_gives_the_same_numbers(transforms):
    one, again, other = _drawn(5, transforms).arrays(), _drawn(5, transforms).arrays(), _drawn(6, transforms).arrays()
    assert bool(one) == bool(transforms)
    for name, array in one.items():
        np.testing.assert_array_equal(array, again[name])
        assert not np.array_equal(array, other[name])


def test_usual_numbers_are_those_that_were_measured():
    """The distributions behind the measured scores: a change here changes what the default training sees."""
    params = draw(np.random.default_rng(0), 4000, 8, 2)
    linear = params.affine[:, :, :2]
    scale = 1 / np.linalg.norm(linear, axis=1)  # along columns, along rows
    degrees = np.rad2deg(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))
    assert (degrees.min(), degrees.max()) == pytest.approx((-20, 20), abs=0.1)
    assert np.log(scale).mean() == pytest.approx(0, abs=0.01)
    assert (scale.min(), scale.max()) == pytest.approx((0.8 * np.exp(-0.08), 1.25 * np.exp(0.08)), abs=0.02)
    assert (np.linalg.det(linear) < 0).mean() == pytest.approx(0.5, abs=0.03)
    assert np.log(params.gamma).std() == pytest.approx(0.15, abs=0.005)
    assert np.log(params.gain).std() == pytest.approx(0.12, abs=0.005)
    assert params.offset.std() == pytest.approx(0.12, abs=0.005)
    assert (params.noise.max(axis=1) > 0).mean() == pytest.approx(0.5, abs=0.03)
    assert params.noise[params.noise > 0].mean() == pytest.approx(0.075, abs=0.005)
    assert set(params.arrays()) == {"affine", "gamma", "gain", "offset", "noise", "grain"}
    assert set(USUAL) < set(ALL)


@pytest.mark.parametrize("transforms", [*[(name,) for name in GEOMETRY], GEOMETRY, ALL])
def test_image_and_mask_move_together(transforms, scene):
    """The square's middle in the image and in the mask ends in the same place, to half a pixel."""
    params = _drawn(1, transforms)
    if "elastic" in transforms:  # training bends one slice of three; here every one
        params = replace(params, elastic=single("elastic", 0.05, SIZE, 2).elastic.repeat(8, axis=0))
    geometry = AugmentationParams(affine=params.affine, elastic=params.elastic)
    images, soft_labels = _applied(scene, geometry)
    moved = 0
    for image, share in zip(images, soft_labels, strict=True):
        tumour = share[..., 1:].sum(axis=-1)
        bright = np.clip(image[..., 0] - 0.5, 0, None)
        np.testing.assert_allclose(_middle(bright), _middle(tumour), atol=0.5)
        moved = max(moved, np.abs(_middle(tumour) - _middle(scene[1][0, ..., 1:].sum(axis=-1))).max())
    assert moved > 1


def test_a_turn_moves_the_square_where_it_should(scene):
    _, soft_labels = _one("rotation", 20, scene)
    about, angle = (SIZE - 1) / 2, np.deg2rad(20)
    row, column = _middle(scene[1][0, ..., 1:].sum(axis=-1)) - about
    expected = [row * np.cos(angle) - column * np.sin(angle), column * np.cos(angle) + row * np.sin(angle)]
    np.testing.assert_allclose(_middle(soft_labels[0, ..., 1:].sum(axis=-1)) - about, expected, atol=0.1)


@pytest.mark.parametrize("degrees", [7, 20])
def test_mask_keeps_labels_and_area_there_and_back(degrees, scene):
    """Turned and turned back: no label comes or goes, and every area stays within 5 %."""
    _, there = _one("rotation", degrees, scene)
    _, back = _applied((scene[0][:1], there), single("rotation", -degrees, SIZE, 2))
    before, after = scene[1][0].argmax(axis=-1), back[0].argmax(axis=-1)
    assert set(np.unique(after)) == set(np.unique(before))
    for label in np.unique(before):
        assert (after == label).sum() == pytest.approx((before == label).sum(), rel=0.05)
    assert (before != after).mean() < 0.02


def test_soft_labels_still_sum_to_one(scene):
    _, soft_labels = _applied(scene, _drawn(2))
    np.testing.assert_allclose(soft_labels.sum(axis=-1), 1, atol=1e-5)
    assert soft_labels.min() > -1e-5
    assert soft_labels.max() < 1 + 1e-5


def test_background_stays_zero(scene):
    images = scene[0].copy()
    images[:4] = 0
    images, _ = _applied((images, scene[1]), _drawn(3))
    assert (images[:4] == 0).all()
    assert (images[4:] == 0).any()
    assert (images[4:] != 0).any()


def test_intensities_change_inside_the_brain_only(scene):
    params = _drawn(3)
    intensity = {name: array for name, array in params.arrays().items() if name not in ("affine", "elastic")}
    images, _ = _applied(scene, AugmentationParams(**intensity))
    np.testing.assert_array_equal(images != 0, scene[0] != 0)


def test_a_modality_that_ends_early_stays_empty_there(scene):
    images = scene[0].copy()
    images[..., 1] = 0
    images, _ = _applied((images, scene[1]), _drawn(4))
    assert (images[..., 1] == 0).all()


def test_scanners_are_further_apart_than_usual():
    usual, scanners = (draw(np.random.default_rng(0), 2000, 8, 2, names) for names in (ALL, SCANNERS))
    for name in ("gain", "offset", "noise", "blur"):
        assert getattr(scanners, name).std() > 1.5 * getattr(usual, name).std()
    assert scanners.gamma.min() >= 0.1  # a power below 0 would make black infinite
    assert (scanners.curve > 0).all()


def test_modality_dropout_leaves_each_slice_one_modality_at_least():
    shown = drop_modalities(np.random.default_rng(0), 4000, 2, 0.4)
    assert set(np.unique(shown)) == {0, 1}
    assert shown.any(axis=1).all()
    # Of 16 in 100 that would lose both, each modality is given back to half.
    assert shown.mean() == pytest.approx(0.6 + 0.16 / 2, abs=0.02)


def test_a_modality_that_is_dropped_is_one_that_is_missing(scene):
    shown = np.tile(np.float32([1, 0]), (8, 1))
    params = replace(_drawn(4, ("gamma", "noise", "brightness")), shown=shown)
    images, _ = _applied(scene, params)
    assert (images[..., 1] == 0).all()
    missing = scene[0].copy()
    missing[..., 1] = 0
    without, _ = _applied((missing, scene[1]), replace(params, shown=None))
    np.testing.assert_allclose(images, without, atol=1e-6)


def test_slices_of_a_slab_are_changed_by_the_same_numbers(scene):
    """Without noise, whose grain differs from slice to slice, three equal slices stay equal."""
    transforms = tuple(name for name in SCANNERS if name != "noise")
    params = replace(_drawn(5, transforms), shown=drop_modalities(np.random.default_rng(0), 8, 2, 0.3))
    images, soft_labels = _applied((np.concatenate([scene[0]] * 3, axis=-1), scene[1]), params.for_slabs(1))
    alone, labels_alone = _applied(scene, params)
    np.testing.assert_allclose(images, np.concatenate([alone] * 3, axis=-1), atol=1e-5)
    np.testing.assert_allclose(soft_labels, labels_alone, atol=1e-6)


@pytest.fixture
def radiograph(rng):
    """A radiograph with grey on it, letterboxed: four columns beside it are empty; one lung."""
    images = np.zeros((2, SIZE, SIZE, 1), np.float32)
    images[:, :, 4:-4] = rng.normal(0, 1, (2, SIZE, SIZE - 8, 1))
    soft_labels = np.zeros((2, SIZE, SIZE, 2), np.float32)
    soft_labels[:, 10:30, 12:36, 1] = 1
    soft_labels[..., 0] = 1 - soft_labels[..., 1]
    return images, soft_labels


def test_bands_are_the_darkest_of_the_radiograph_and_as_wide_as_asked(radiograph):
    widths = np.array([[0.1, 0.05, 0.125, 0.25], [0, 0, 0, 0.5]], np.float32)  # left, right, top, bottom
    images, soft_labels = _applied(radiograph, AugmentationParams(bands=widths))
    np.testing.assert_array_equal(soft_labels, radiograph[1])
    columns = SIZE - 8
    for image, before, (left, right, top, bottom) in zip(images[..., 0], radiograph[0][..., 0], widths, strict=True):
        shown = image[:, 4:-4]
        band = np.ones(shown.shape, bool)
        band[
            round(top * SIZE) : SIZE - min(18, round(bottom * SIZE)),
            round(left * columns) : columns - round(right * columns),
        ] = 0
        assert (shown[band] == shown.min()).all()
        assert (shown[~band] > shown.min()).sum() >= (~band).sum() - 1  # the darkest pixel may lie there
        inside = before[:, 4:-4][~band]
        assert np.corrcoef(inside, shown[~band])[0, 1] == pytest.approx(1, abs=1e-5)


def test_a_radiograph_with_bands_is_z_scored_as_it_was(radiograph):
    images, _ = _applied(radiograph, single("bands", 0.2, SIZE, 1))
    for image, before in zip(images, radiograph[0], strict=True):
        assert (image[:, :4] == 0).all()
        assert image[:, 4:-4].mean() == pytest.approx(before[:, 4:-4].mean(), abs=1e-5)
        assert image[:, 4:-4].std() == pytest.approx(before[:, 4:-4].std(), abs=1e-5)
        assert (
            image[15:25, 15:25] > before[15:25, 15:25]
        ).mean() > 0.8  # the chest is brighter, as where radiographs have them


def test_a_band_ends_where_the_mask_begins(radiograph):
    images, _ = _applied(radiograph, AugmentationParams(bands=np.full((2, 4), 0.4, np.float32)))
    lung = radiograph[1][..., 1] > 0
    assert (images[lung] > images.min()).mean() > 0.99
    without, _ = apply(radiograph[0], None, AugmentationParams(bands=np.full((2, 4), 0.4, np.float32)))
    hidden = keras.ops.convert_to_numpy(without)[lung]
    assert (hidden == hidden.min()).mean() > 0.3  # no soft labels tell where the lung is


_ON_JAX = """
import sys
import numpy as np, keras
from helpers.prepare.augment import AugmentationParams, apply
arrays = dict(np.load(sys.argv[1]))
images, soft_labels = apply(arrays.pop("images"), arrays.pop("soft_labels"), AugmentationParams(**arrays))
np.savez(sys.argv[2], images=keras.ops.convert_to_numpy(images), soft_labels=keras.ops.convert_to_numpy(soft_labels))
print(keras.backend.backend())
"""


def test_tensorflow_and_jax_agree(scene, tmp_path):
    pytest.importorskip("jax")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Keras runs on another backend here")
    params = _drawn(7, tuple(TRANSFORMS))
    np.savez(tmp_path / "in.npz", images=scene[0], soft_labels=scene[1], **params.arrays())
    done = subprocess.run(
        [sys.executable, "-c", _ON_JAX, tmp_path / "in.npz", tmp_path / "out.npz"],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["jax"]
    theirs = np.load(tmp_path / "out.npz")
    images, soft_labels = _applied(scene, params)
    np.testing.assert_allclose(theirs["images"], images, atol=2e-4)
    np.testing.assert_allclose(theirs["soft_labels"], soft_labels, atol=1e-5)
