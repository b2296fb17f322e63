"""Laws of the chest catalogue: one copy is read, storage of a file does not matter, and each fault is named."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.data.chest import read_chest, read_xray
from helpers.data.pictures import read_image, read_mask
from helpers.runtime.errors import DataError


def _file(root: Path, kind: str, pattern: str) -> Path:
    return sorted((root / "Lung Segmentation" / kind).glob(pattern))[0]


def _save(array: np.ndarray, path: Path) -> None:
    Image.fromarray(array).save(path)


def _interpolate(path: Path) -> None:
    """As a careless resize leaves a mask: of its size again, with greys at the rim."""
    mask = Image.open(path)
    mask.resize((50, 50), Image.Resampling.BILINEAR).resize(mask.size, Image.Resampling.BILINEAR).save(path)


def test_phantoms_are_read_without_a_problem_and_once(chests):
    catalogue = read_chest(chests)
    assert catalogue.problems == ()
    assert len(catalogue.xrays) == 14
    assert catalogue.folder == chests / "Lung Segmentation"
    assert catalogue.copies == (chests / "data" / "Lung Segmentation",)


def test_images_without_a_mask_are_named_and_left_out_of_training(chests):
    catalogue = read_chest(chests)
    assert catalogue.without_mask == ("CHNCXR_0004_0",)
    assert "CHNCXR_0004_0" not in {xray.id for xray in catalogue.require()}
    assert "CHNCXR_0004_0" in {xray.id for xray in catalogue.require(mask=False)}


def test_masks_are_paired_in_both_ways_of_naming(chests):
    masks = {xray.id: xray.mask.name for xray in read_chest(chests).require()}
    assert masks["MCUCXR_0001_1"] == "MCUCXR_0001_1.png"
    assert masks["CHNCXR_0001_1"] == "CHNCXR_0001_1_mask.png"


def test_site_label_age_and_sex_stand_in_the_table(chests):
    table = read_chest(chests).table()
    assert table.groupby("site").size().to_dict() == {"montgomery": 6, "shenzhen": 8}
    assert table.groupby("label").size().to_dict() == {"normal": 7, "tuberculosis": 7}
    assert table["age"].between(15, 80).all()
    assert set(table["sex"]) == {"female", "male"}


def test_one_site_can_be_asked_for(chests):
    assert {xray.site for xray in read_chest(chests).require("montgomery")} == {"montgomery"}
    with pytest.raises(DataError, match="Unknown site 'boston'"):
        read_chest(chests).require("boston")


@pytest.mark.parametrize(
    ("reading", "age", "sex"),
    [
        ("Patient's Sex: F \nPatient's Age: 027Y\nnormal", 27, "female"),
        ("Patient's Sex: M\nPatient's Age: 006M\n", 0.5, "male"),
        ("male 45yrs\nright PTB, seen 3 months ago", 45, "male"),
        ("Femal, 16month\n", 16 / 12, "female"),
        ("female\nnormal", None, "female"),
        ("nothing that is known", None, None),
    ],
)
def test_readings_of_both_hospitals_are_understood(spoiled_chests, reading, age, sex):
    path = _file(spoiled_chests, "ClinicalReadings", "*.txt")
    path.write_text(reading)
    xray = next(xray for xray in read_chest(spoiled_chests).xrays if xray.id == path.stem)
    assert xray.age == (None if age is None else pytest.approx(age))
    assert xray.sex == sex


def test_without_readings_age_and_sex_are_unknown(spoiled_chests):
    shutil.rmtree(spoiled_chests / "Lung Segmentation" / "ClinicalReadings")
    assert {(xray.age, xray.sex) for xray in read_chest(spoiled_chests).xrays} == {(None, None)}


def test_every_way_to_store_a_grey_picture_reads_the_same(tmp_path, rng):
    grey = rng.integers(0, 256, (40, 30)).astype(np.uint8)
    grey[0, :2] = 0, 255
    picture = Image.fromarray(grey)
    turned = Image.fromarray(255 - grey)
    turned.putpalette([level for grey_level in range(255, -1, -1) for level in (grey_level,) * 3])
    transparent = picture.convert("RGBA")
    transparent.putalpha(7)
    stored = {
        "grey": picture,
        "palette": turned,
        "rgb": picture.convert("RGB"),
        "rgba": transparent,
        "alpha": picture.convert("LA"),
        "16 bit": Image.fromarray(grey.astype(np.uint16) * 257),
        "12 bit in 16": Image.fromarray(np.round(grey * (4095 / 255)).astype(np.uint16)),
        "8 bit in 16": Image.fromarray(grey.astype(np.uint16)),
    }
    for name, image in stored.items():
        image.save(tmp_path / f"{name}.png")
        read = read_image(tmp_path / f"{name}.png")
        assert read.dtype == np.uint8, name
        np.testing.assert_array_equal(read, grey, err_msg=name)


def test_picture_in_colour_is_no_radiograph_but_one_with_a_coloured_letter_is(tmp_path, rng):
    radiograph = np.repeat(rng.integers(0, 256, (80, 80, 1), np.uint8), 3, axis=-1)
    radiograph[:8, :8] = 255, 0, 0
    _save(radiograph, tmp_path / "letter.png")
    assert read_image(tmp_path / "letter.png").shape == (80, 80)
    _save(rng.integers(0, 256, (80, 80, 3), np.uint8), tmp_path / "photograph.png")
    with pytest.raises(DataError, match=r"photograph\.png: a picture in colour"):
        read_image(tmp_path / "photograph.png")


def test_site_can_be_read_without_opening_a_file_of_the_other(spoiled_chests):
    """Not even a look: what is no picture would be a problem."""
    for path in spoiled_chests.rglob("CHNCXR*"):
        path.write_bytes(b"no picture")
    catalogue = read_chest(spoiled_chests, "montgomery")
    assert catalogue.problems == ()
    assert len(catalogue.xrays) == 6


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: _save(np.zeros_like(np.asarray(Image.open(path))), path), "the mask is empty"),
        (lambda path: _save(np.full_like(np.asarray(Image.open(path)), 255), path), "the mask has 1 value"),
        (_interpolate, r"the mask has \d+ value\(s\), from 0 to 255; expected two"),
        (lambda path: _save(np.asarray(Image.open(path))[:-3], path), r"size is \d+ x \d+, that of its image"),
        (lambda path: path.write_bytes(path.read_bytes()[:-60]), "cannot be read|can be read to its end"),
        (lambda path: path.write_text("an error page"), "not a picture"),
    ],
)
def test_bad_mask_is_reported_by_name(spoiled_chests, spoil, message):
    path = _file(spoiled_chests, "masks", "CHN*")
    spoil(path)
    (problem,) = read_chest(spoiled_chests).problems
    assert problem.path == path
    with pytest.raises(DataError, match=rf"(?s){path.name}.*({message})"):
        read_chest(spoiled_chests).require()
    assert read_chest(spoiled_chests).require(mask=False)
    assert read_chest(spoiled_chests).require("montgomery")


def test_image_that_is_no_picture_is_reported_by_name(spoiled_chests):
    path = _file(spoiled_chests, "CXR_png", "MCU*")
    path.write_text("an error page")
    with pytest.raises(DataError, match=rf"{path.name}.*not a picture"):
        read_chest(spoiled_chests).require(mask=False)


def test_image_cut_short_or_blank_is_refused_when_it_is_read(spoiled_chests):
    path = _file(spoiled_chests, "CXR_png", "MCU*")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DataError, match=rf"{path.name}: not a picture that can be read to its end"):
        read_image(path)
    _save(np.full((20, 20), 7, np.uint8), path)
    with pytest.raises(DataError, match="every pixel is 7"):
        read_image(path)


def test_image_whose_name_tells_nothing_is_reported(spoiled_chests):
    path = _file(spoiled_chests, "CXR_png", "MCU*")
    shutil.copy(path, path.with_name("chest (1).png"))
    with pytest.raises(DataError, match=r"chest \(1\)\.png: its name tells neither"):
        read_chest(spoiled_chests).require(mask=False)


def test_mask_without_an_image_and_second_mask_are_reported(spoiled_chests):
    path = _file(spoiled_chests, "masks", "CHN*")
    shutil.copy(path, path.with_name("CHNCXR_9999_0_mask.png"))
    shutil.copy(path, path.with_name(path.name.replace("_mask", "")))
    messages = sorted(problem.message for problem in read_chest(spoiled_chests).problems)
    assert [message[:13] for message in messages] == ["a mask withou", "a second mask"]


def test_fuller_copy_is_read(spoiled_chests):
    _file(spoiled_chests, "CXR_png", "*").unlink()
    catalogue = read_chest(spoiled_chests)
    assert catalogue.folder == spoiled_chests / "data" / "Lung Segmentation"
    assert len(catalogue.xrays) == 14


def test_two_different_sets_are_refused(spoiled_chests):
    path = _file(spoiled_chests, "CXR_png", "*")
    path.rename(path.with_name("CHNCXR_7777_1.png"))
    with pytest.raises(DataError, match="different sets"):
        read_chest(spoiled_chests)


def test_folder_without_xrays_says_what_was_expected(tmp_path):
    with pytest.raises(DataError, match=r"No chest X-ray.*CXR_png"):
        read_chest(tmp_path)
    with pytest.raises(DataError, match="no folder"):
        read_chest(tmp_path / "nowhere")


def test_image_and_mask_share_a_grid(chests):
    for xray in read_chest(chests).require():
        image, mask = read_xray(xray)
        assert (image.shape, image.dtype, mask.dtype) == (mask.shape, np.uint8, bool)


def test_mask_of_another_size_is_refused_when_it_is_read(spoiled_chests):
    xray = read_chest(spoiled_chests).require()[0]
    _save(np.asarray(Image.open(xray.mask))[:-3], xray.mask)
    with pytest.raises(DataError, match=r"use the mask of this image"):
        read_xray(xray)
    assert read_mask(xray.mask).any()


def test_real_xrays_are_read(real_data):
    catalogue = read_chest(real_data / "chest")
    assert catalogue.problems == ()
    assert len(catalogue.without_mask) == 96
    assert len(catalogue.require("montgomery")) == 98
    assert len(catalogue.require("shenzhen")) == 416
