"""Laws of the chest catalogue: one copy is read, storage of a file does not matter, and each fault is named."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.data import sources
from helpers.data.audit.report import audit
from helpers.data.chest import find_sets, list_pictures, list_radiographs, read_chest, read_lungs, read_xray
from helpers.data.phantoms.dicom import write_radiograph
from helpers.data.pictures import read_image, read_mask
from helpers.data.radiographs import lung_soft_labels, open_radiographs
from helpers.runtime.errors import DataError
from helpers.runtime.folders import walk_once
from tests.faults.chest import nlm_layout, png


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


def test_second_image_of_a_name_is_reported_and_no_second_patient(spoiled_chests):
    path = _file(spoiled_chests, "CXR_png", "MCU*")
    shutil.copy(path, path.with_suffix(".PNG"))
    catalogue = read_chest(spoiled_chests)
    assert len(catalogue.xrays) == len(list_radiographs(spoiled_chests)) == 14
    assert [problem.message for problem in catalogue.problems] == ["a second image of this name; keep one"]


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


# --- what a folder holds


def _bare(root: Path, to: Path) -> Path:
    """The first copy of the set alone."""
    return Path(shutil.copytree(root / "Lung Segmentation", to / "Lung Segmentation")).parent


def test_lessons_commands_and_audit_find_the_same(chests, tmp_path, capsys):
    """At any depth, through links, beside other things: one answer, whoever asks."""
    deep = tmp_path / "1" / "2" / "3" / "4" / "5"
    _bare(chests, deep)
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "set").symlink_to(deep / "Lung Segmentation")
    inside = tmp_path / "inside"
    shutil.copytree(chests / "Lung Segmentation" / "masks", inside / "masks")
    (inside / "CXR_png").symlink_to(chests / "Lung Segmentation" / "CXR_png")
    for root in (tmp_path / "1", linked, inside):
        assert sources.chest(root) == root
        assert len(read_chest(root).xrays) == 14
        assert {one.level for one in audit([root])} == {"note"}
    for nothing in (tmp_path / "empty", tmp_path / "hidden"):
        (nothing / ".trash" / "CXR_png").mkdir(parents=True)
        shutil.copy(_file(chests, "CXR_png", "*"), nothing / ".trash" / "CXR_png")
        for door in (sources.chest, read_chest, lambda root: audit([root])):
            with pytest.raises(DataError, match=r"CXR_png"):
                door(nothing)


def test_folders_are_entered_once_and_never_upwards(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "elsewhere" / "c").mkdir(parents=True)
    (tmp_path / "a" / "0_link").symlink_to(tmp_path / "a" / "b")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "out").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "a")
    walked = [str(folder.relative_to(tmp_path)) for folder, _, _ in walk_once(tmp_path / "a")]
    assert sorted(walked) == ["a", "a/again", "a/again/c", "a/b"]


def test_copy_through_a_link_is_the_same_set_and_no_copy(chests, tmp_path):
    root = _bare(chests, tmp_path / "chest")
    (root / "A link to it").symlink_to(root / "Lung Segmentation")
    assert [folder for folder, _ in find_sets(root)] == [root / "Lung Segmentation"]
    assert read_chest(root).copies == ()


def test_halves_of_nlms_layout_are_joined_and_feed_training(chests, tmp_path):
    root = _bare(chests, tmp_path / "chest")
    nlm_layout(root / "Lung Segmentation")
    whole, halves = (read_chest(one).require() for one in (chests, root))
    assert [xray.id for xray in whole] == [xray.id for xray in halves]
    assert sum(len(xray.mask_files) == 2 for xray in halves) == 6
    for one, other in zip(whole, halves, strict=True):
        np.testing.assert_array_equal(read_lungs(other), read_mask(one.mask))
    store = open_radiographs(halves, tmp_path / "store", 16)
    expected = lung_soft_labels(read_mask(whole[-1].mask), 16)
    np.testing.assert_array_equal(store.soft_labels[store.rows([whole[-1].id])[0]], expected)
    half = halves[-1].other_half
    half.write_bytes(b"")
    with pytest.raises(DataError, match=rf"rightMask/{half.name}.*empty"):
        read_chest(root).require()


def test_one_lung_alone_and_lungs_without_an_image_are_reported(chests, tmp_path):
    root = _bare(chests, tmp_path / "chest")
    nlm_layout(root / "Lung Segmentation")
    _file(root, "ManualMask/leftMask", "*").unlink()
    path = _file(root, "ManualMask/rightMask", "*2_0*")
    path.rename(path.with_name("MCUCXR_0999_0.png"))
    messages = sorted(problem.message for problem in read_chest(root).problems)
    assert [message[:24] for message in messages] == [
        "a mask without an image;",
        "one lung alone; expected",
        "one lung alone; expected",
    ]


def test_masks_in_another_folder_are_pointed_at(chests, tmp_path):
    root = _bare(chests, tmp_path / "chest")
    (root / "Lung Segmentation" / "masks").rename(root / "Lung Segmentation" / "mask")
    with pytest.raises(DataError, match=r"mask holds 13 pictures named as X-rays without a mask; masks are read from"):
        read_chest(root).require()


@pytest.mark.parametrize("ending", [".dcm", "", ".DCM", ".ima"])
def test_dicom_is_read_as_png_is(chests, tmp_path, ending):
    root = _bare(chests, tmp_path / "chest")
    path = _file(root, "CXR_png", "MCU*")
    (before,) = [read_xray(xray) for xray in read_chest(root).xrays if xray.image == path]
    write_radiograph(path.with_suffix(ending), read_image(path), bits=8)
    path.unlink()
    catalogue = read_chest(root)
    assert not catalogue.problems
    assert not catalogue.notes
    (after,) = [read_xray(xray) for xray in catalogue.xrays if xray.id == path.stem]
    np.testing.assert_array_equal(after[0], before[0])
    np.testing.assert_array_equal(after[1], before[1])
    assert [one.check for one in audit([root]) if one.check == "file at fault"] == []
    assert path.with_suffix(ending) in list_pictures(root)[0]


def test_dicom_files_of_an_archive_are_listed_at_any_depth(tmp_path, rng):
    for number in range(2):
        write_radiograph(tmp_path / "study" / f"series{number}" / "IM1", rng.integers(0, 255, (8, 8), "uint8"))
    assert len(list_pictures(tmp_path)[0]) == 2
    with pytest.raises(DataError, match=r"It holds 2 DICOM files.*Put X-rays into CXR_png/"):
        read_chest(tmp_path)


def test_pictures_are_listed_whatever_their_names(chests, tmp_path):
    root = _bare(chests, tmp_path / "chest")
    shutil.copy(_file(root, "CXR_png", "*"), root / "Lung Segmentation" / "CXR_png" / "JPCLN001.png")
    assert len(list_pictures(root)[0]) == 15
    assert len(list_pictures(root / "Lung Segmentation" / "CXR_png")[0]) == 15
    with pytest.raises(DataError, match="No X-ray in"):
        list_pictures(root / "Lung Segmentation" / "ClinicalReadings")


# --- one admission for a whole run


def test_faults_of_the_other_hospital_are_skipped_with_a_word(spoiled_chests):
    _file(spoiled_chests, "masks", "CHN*").write_bytes(b"")
    path = _file(spoiled_chests, "CXR_png", "MCU*")
    shutil.copy(path, path.with_name("JPCLN001.png"))
    catalogue = read_chest(spoiled_chests)
    skipping = catalogue.skip_beyond("montgomery")
    assert skipping.problems == ()
    assert [xray.id for xray in skipping.xrays] == [xray.id for xray in catalogue.xrays]
    assert set(skipping.without_mask) - set(catalogue.without_mask) == {"CHNCXR_0001_1"}
    assert "2 file(s) are skipped" in skipping.notes[-1]
    assert "JPCLN001" in skipping.notes[-1]
    assert skipping.require("montgomery") == catalogue.require("montgomery")
    for site in (None, "shenzhen"):
        with pytest.raises(DataError, match="CHNCXR_0001_1_mask"):
            catalogue.skip_beyond(site).require(site)


def test_nothing_is_skipped_where_nothing_is_wrong(chests):
    catalogue = read_chest(chests)
    assert catalogue.skip_beyond("montgomery") is catalogue.skip_beyond(None) is catalogue


def test_image_too_large_is_one_problem_among_good_ones(spoiled_chests):
    png(_file(spoiled_chests, "CXR_png", "MCU*"), (14000, 14000), 1, 0)
    catalogue = read_chest(spoiled_chests)
    assert len(catalogue.xrays) == 14
    assert any("14000 x 14000" in problem.message for problem in catalogue.problems)
    assert {problem.patient for problem in catalogue.problems} == {"MCUCXR_0001_1"}


def test_reading_that_cannot_be_read_is_unknown(spoiled_chests):
    path = _file(spoiled_chests, "ClinicalReadings", "*.txt")
    path.unlink()
    path.mkdir()
    assert read_chest(spoiled_chests).xrays[0].age is None


def test_real_xrays_are_read(real_data):
    catalogue = read_chest(real_data / "chest")
    assert catalogue.problems == ()
    assert len(catalogue.without_mask) == 96
    assert len(catalogue.require("montgomery")) == 98
    assert len(catalogue.require("shenzhen")) == 416
