"""Laws of radiographs: proportions preserved, each normalised by itself, there and back; and no way from a radiograph
to its mask."""

import shutil

import numpy as np
import pytest
from PIL import Image

from helpers.data.chest import list_radiographs, read_chest, read_xray
from helpers.data.pictures import read_image
from helpers.data.radiographs import (
    lung_soft_labels,
    open_radiographs,
    open_unlabelled,
    preprocess,
    radiograph_hash,
    split_radiographs,
    to_native_grid,
)
from helpers.prepare.sampling import SliceSampler
from helpers.runtime.errors import DataError


@pytest.fixture
def radiograph(rng):
    return rng.integers(0, 256, (90, 60), np.uint8)


@pytest.fixture(scope="module")
def xrays(chests):
    return read_chest(chests).require()


def _without_masks(root, to):
    """The same radiographs in a folder that holds nothing else."""
    shutil.copytree(root / "Lung Segmentation" / "CXR_png", to / "Lung Segmentation" / "CXR_png")
    return to


def test_radiograph_is_padded_to_a_square_and_not_squeezed(radiograph):
    seen = preprocess(radiograph, 30)[..., 0]
    assert not seen[:, :5].any()
    assert not seen[:, 25:].any()
    assert (seen[:, 5:25] != 0).all()


def test_every_pixel_is_the_average_of_the_area_it_covers(radiograph):
    means = radiograph.reshape(30, 3, 20, 3).mean(axis=(1, 3))
    expected = (means - means.mean()) / means.std()
    np.testing.assert_allclose(preprocess(radiograph, 30)[:, 5:25, 0], expected, atol=1e-4)


def test_radiograph_that_does_not_end_at_a_pixel_is_measured_over_itself_alone():
    radiograph = np.full((100, 77), 200, np.uint8)
    radiograph[:, ::2] = 100
    seen = preprocess(radiograph, 32)[..., 0]
    inside = seen != 0
    assert abs(seen[inside].mean()) < 1e-5
    assert abs(seen[inside].std() - 1) < 1e-3
    assert np.abs(seen).max() < 5  # a rim mixed with padding would be as dark as nothing on the radiograph is


def test_black_on_the_radiograph_is_not_padding():
    radiograph = np.full((40, 40), 100, np.uint8)
    radiograph[:, :20] = 0
    np.testing.assert_allclose(preprocess(radiograph, 20)[:, :10], -1, atol=1e-5)


def test_brightness_and_contrast_of_a_radiograph_do_not_matter(radiograph):
    np.testing.assert_allclose(preprocess(radiograph // 2, 30), preprocess(2 * (radiograph // 2), 30), atol=1e-4)


def test_coloured_array_is_no_radiograph():
    with pytest.raises(DataError, match=r"\(8, 8, 3\)"):
        preprocess(np.zeros((8, 8, 3), np.uint8), 8)


@pytest.mark.parametrize("shape", [(90, 60), (61, 97), (24, 30)])
def test_mask_comes_back_to_where_it_was(shape):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    mask = np.hypot((rows - shape[0] * 0.4) / shape[0], (columns - shape[1] * 0.6) / shape[1]) < 0.25
    returned = to_native_grid(lung_soft_labels(mask, 64)[..., 1] / 255, shape) > 0.5
    assert returned.shape == shape
    assert (returned ^ mask).sum() < 0.03 * mask.sum()
    offset = np.argwhere(returned).mean(axis=0) - np.argwhere(mask).mean(axis=0)
    np.testing.assert_allclose(offset, 0, atol=0.1)


def test_certain_everywhere_is_certain_on_the_whole_radiograph():
    np.testing.assert_allclose(to_native_grid(np.ones((16, 16)), (33, 21)), 1, atol=1e-5)


def test_store_has_a_row_for_each_xray_and_feeds_training(xrays, tmp_path):
    store = open_radiographs(xrays, tmp_path / "radiographs", 32)
    assert store.images.shape == (13, 32, 32, 1)
    assert store.soft_labels.shape == (13, 32, 32, 2)
    radiograph, mask = read_xray(xrays[4])
    (row,) = store.rows([xrays[4].id])
    np.testing.assert_array_equal(store.images[row], preprocess(radiograph, 32).astype(np.float16))
    np.testing.assert_array_equal(store.soft_labels[row], lung_soft_labels(mask, 32))
    assert (store.soft_labels.sum(axis=-1) == 255).all()
    assert store.patients[xrays[4].id]["voxels"] == radiograph_hash(radiograph)
    assert set(SliceSampler(store, [xrays[4].id], 3, seed=0, focus=0.0)(0)) == {row}


def test_same_radiographs_are_not_read_again_and_changed_ones_are(spoiled_chests, tmp_path):
    xrays = read_chest(spoiled_chests).require()
    manifest = open_radiographs(xrays, tmp_path / "radiographs", 16).folder / "manifest.json"
    made = manifest.stat().st_mtime_ns
    open_radiographs(xrays, tmp_path / "radiographs", 16)
    assert manifest.stat().st_mtime_ns == made
    turned = read_image(xrays[0].image)[:, ::-1]
    Image.fromarray(turned).save(xrays[0].image)
    assert open_radiographs(xrays, tmp_path / "radiographs", 16).patients[xrays[0].id]["voxels"] == radiograph_hash(
        turned
    )


def test_xray_without_a_mask_is_refused_by_name(chests, tmp_path):
    with pytest.raises(DataError, match="CHNCXR_0004_0 has no mask"):
        open_radiographs(read_chest(chests).require(mask=False), tmp_path / "radiographs", 16)


def test_unlabelled_radiographs_are_those_of_the_store(chests, xrays, tmp_path):
    store, free = (
        open_radiographs(xrays, tmp_path / "a", 32),
        open_unlabelled(chests, "shenzhen", None, tmp_path / "b", 32),
    )
    assert len(free.ids) == 8
    assert {identity[:6] for identity in free.ids} == {"CHNCXR"}
    both = [xray.id for xray in xrays if xray.site == "shenzhen"][::-1]
    np.testing.assert_array_equal(free.images[free.rows(both)], store.images[store.rows(both)])
    assert free.patients[both[0]]["voxels"] == store.patients[both[0]]["voxels"]


def test_unlabelled_radiographs_need_no_mask_and_know_none(chests, tmp_path):
    root = _without_masks(chests, tmp_path / "bare")
    free = open_unlabelled(root, "montgomery", None, tmp_path / "store", 16)
    assert [path.name for path in (tmp_path / "store").glob("*.npy")] == ["images.npy"]
    assert "mask" not in (tmp_path / "store" / "manifest.json").read_text().lower()
    assert {radiograph.mask for radiograph in list_radiographs(chests)} == {None}
    np.testing.assert_array_equal(
        free.images, open_unlabelled(chests, "montgomery", None, tmp_path / "whole", 16).images
    )


def test_unlabelled_radiographs_can_be_some_of_a_site_and_no_others(chests, tmp_path):
    wanted = ["CHNCXR_0004_0", "CHNCXR_0002_0"]
    assert set(open_unlabelled(chests, "shenzhen", wanted, tmp_path / "some", 16).ids) == set(wanted)
    with pytest.raises(DataError, match="MCUCXR_0001_1"):
        open_unlabelled(chests, "shenzhen", ["MCUCXR_0001_1"], tmp_path / "other", 16)
    with pytest.raises(DataError, match="Unknown site 'boston'"):
        open_unlabelled(chests, "boston", None, tmp_path / "boston", 16)


def test_site_that_is_not_in_the_folder_is_named(spoiled_chests, tmp_path):
    for path in spoiled_chests.rglob("CHNCXR*"):
        path.unlink()
    with pytest.raises(DataError, match="No X-ray of shenzhen"):
        open_unlabelled(spoiled_chests, "shenzhen", None, tmp_path / "store", 16)


def test_split_of_a_hospital_does_not_depend_on_the_other_nor_on_masks(chests, tmp_path):
    both = read_chest(chests).xrays
    split = split_radiographs(both, seed=3)
    alone = split_radiographs([xray for xray in both if xray.site == "shenzhen"], seed=3)
    for side in ("train", "validation", "test"):
        assert set(getattr(alone, side)) == {i for i in getattr(split, side) if i.startswith("CHNCXR")}
    assert split_radiographs(list_radiographs(_without_masks(chests, tmp_path / "bare")), seed=3) == split
    assert sorted((*split.train, *split.validation, *split.test)) == [xray.id for xray in both]


def test_every_hospital_and_label_is_on_every_side():
    radiographs = [_Radiograph(f"{prefix}_{n:04d}_{n % 2}") for prefix in ("MCUCXR", "CHNCXR") for n in range(64)]
    split = split_radiographs(radiographs)
    for side, share in (("train", 42), ("validation", 6), ("test", 16)):
        for prefix in ("MCUCXR", "CHNCXR"):
            here = [identity for identity in getattr(split, side) if identity.startswith(prefix)]
            assert len(here) == share
            assert abs(sum(identity.endswith("_1") for identity in here) - share / 2) <= 1


class _Radiograph:
    def __init__(self, identity):
        self.id, self.site = identity, identity[:6]
        self.strata = (identity[-1], self.site)


def test_hash_knows_a_radiograph_in_another_file(xrays, tmp_path):
    shutil.copy(xrays[0].image, tmp_path / "other.png")
    assert radiograph_hash(read_image(tmp_path / "other.png")) == radiograph_hash(read_image(xrays[0].image))
    assert radiograph_hash(read_image(xrays[1].image)) != radiograph_hash(read_image(xrays[0].image))
