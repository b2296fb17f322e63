"""Laws of the shape check: what is learned from masks recognises an outline that is no pair of lungs."""

import json
import shutil

import numpy as np
import pytest
from scipy import ndimage

from helpers.data.chest import read_chest, read_xray
from helpers.data.phantoms.chest import make_chest
from helpers.data.pictures import read_image
from helpers.data.radiographs import lung_soft_labels
from helpers.learn.run_folder import read_run, write_signed
from helpers.tasks.lungs.commands import train_lungs
from helpers.tasks.lungs.inference import LungSegmenter
from helpers.tasks.lungs.prediction import predict_lungs, shape_faults
from helpers.tasks.lungs.shape import MIN_MASKS, ShapeCheck, shape_numbers, two_largest, united

SIZE = 64


def pair(right=10, left=10, shift=0, size=SIZE):
    """Two lungs as discs with these radii, one lower than the other by `shift`."""
    rows, columns = np.mgrid[:size, :size]
    middle = size // 2
    one = (rows - middle) ** 2 + (columns - size // 4) ** 2 <= right**2
    return one | ((rows - middle - shift) ** 2 + (columns - 3 * size // 4) ** 2 <= left**2)


@pytest.fixture(scope="module")
def check():
    rng = np.random.default_rng(0)
    return ShapeCheck.fit(pair(*rng.integers(9, 13, 2), rng.integers(0, 3)) for _ in range(40))


def test_numbers_of_two_equal_discs_are_those_of_the_formulas():
    found = shape_numbers(pair())
    assert found["parts"] == found["balance"] == found["level"] == 1
    assert found["area"] == pytest.approx(2 * np.pi * 10**2 / SIZE**2, rel=0.03)
    assert found["smoothness"] == pytest.approx(1, abs=0.1)


def test_each_number_falls_with_what_it_is_for():
    lungs = pair()
    assert shape_numbers(pair(10, 5))["balance"] == pytest.approx(0.25, abs=0.05)
    assert shape_numbers(pair(shift=10))["level"] == pytest.approx(11 / 31, abs=0.02)
    speck = lungs.copy()
    speck[:6, :6] = True
    assert shape_numbers(speck)["parts"] == pytest.approx(lungs.sum() / speck.sum())
    assert shape_numbers(speck)["area"] == shape_numbers(lungs)["area"]
    frayed = lungs & (np.random.default_rng(0).random(lungs.shape) > 0.3)
    assert shape_numbers(frayed)["smoothness"] < 0.5


def test_numbers_hold_whatever_the_grid():
    coarse, fine = shape_numbers(pair(10, 8, 3)), shape_numbers(pair(30, 24, 9, 3 * SIZE))
    for name, value in coarse.items():
        assert fine[name] == pytest.approx(value, abs=0.07), name


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros((SIZE, SIZE), bool), "no lungs were found"),
        (np.ones((SIZE, SIZE), bool), "lungs, as a share"),
        (pair(10, 0), "area of the smaller lung"),
        (pair(20, 20), "area of the smaller lung"),  # they touch, and are one
        (pair(shift=14), "height that the lungs"),
        (pair() | np.pad(np.ones((8, 8), bool), ((0, 56), (28, 28))), "two largest parts"),
        (pair() & ~np.tile([True, False, False, False], (SIZE, 16)), "smoothness"),
    ],
    ids=["nothing", "everything", "one lung", "one part", "one too low", "a third part", "frayed"],
)
def test_what_cannot_be_lungs_is_named(check, mask, words):
    faults = check.faults(mask)
    assert any(words in fault for fault in faults), faults
    assert not check.is_plausible(mask)


def test_other_lungs_are_plausible_however_smooth(check):
    assert check.faults(pair(11, 10, 1)) == []
    assert check.faults(ndimage.binary_opening(pair(12, 11, 2), iterations=2)) == []


def test_few_masks_teach_no_range():
    assert ShapeCheck.fit([pair()] * (MIN_MASKS - 1)) is None
    assert ShapeCheck.fit([pair()] * MIN_MASKS) is not None


def test_the_patients_right_lung_comes_first():
    right, left = two_largest(pair(8, 10))
    assert right.sum() < left.sum()
    assert [part.sum() for part in two_largest(np.zeros((4, 4), bool))] == []


def test_two_checks_united_admit_what_either_does(check):
    large = ShapeCheck.fit(pair(15, 15) for _ in range(9))
    both = united([check, large])
    for lungs in (pair(11, 10), pair(15, 15)):
        assert both.is_plausible(lungs)
    assert not check.is_plausible(pair(15, 15))
    assert (both.masks, united([])) == (49, None)


def test_shape_of_one_phantom_hospital_holds_for_the_other(tmp_path):
    xrays = read_chest(make_chest(tmp_path, montgomery=24, shenzhen=24, size=96, seed=1)).require()
    masks = {
        site: [lung_soft_labels(read_xray(x)[1], SIZE)[..., 1] > 127 for x in xrays if x.site == site]
        for site in ("montgomery", "shenzhen")
    }
    learned = ShapeCheck.fit(masks["montgomery"])
    assert learned.implausible_fraction(masks["shenzhen"]) < 0.15
    shifted = [np.roll(mask, mask.shape[1] // 4, axis=1) for mask in masks["shenzhen"]]
    assert learned.implausible_fraction(shifted) > 0.9


@pytest.fixture(scope="module")
def run(hospitals, short, tmp_path_factory):
    settings = {"size": 32, "filters": 2, "augmentation": "none", "log": lambda _: None}
    return train_lungs(hospitals, tmp_path_factory.mktemp("shape") / "run", "both", **settings)


def test_a_training_saves_the_shape_of_its_training_masks_alone(run):
    saved, check = json.loads((run / "run.json").read_text()), ShapeCheck.load(run)
    assert check.as_json() == saved["shape"]
    learned = set(json.loads((run / "split.json").read_text())["train"]) & set(saved["learned_from"])
    assert check.masks == len(learned) >= MIN_MASKS


def test_folders_of_older_versions_have_no_shape_and_are_used_as_before(run, hospitals, tmp_path):
    old, said = shutil.copytree(run, tmp_path / "old"), []
    write_signed({name: entry for name, entry in read_run(run).items() if name != "shape"}, old / "run.json")
    assert ShapeCheck.load(old) is None
    written, refused = predict_lungs(old, [hospitals], tmp_path / "masks", said.append)
    assert (len(written), refused) == (26, [])
    assert not any("smaller lung" in line for line in said)


def test_outlines_that_are_no_lungs_are_named_in_prediction_each_time(run, hospitals, tmp_path):
    """A network of two epochs outlines something; the phantom's own masks would be plausible."""
    said, again = [], []
    predict_lungs(run, [hospitals], tmp_path / "masks", said.append)
    named = [line for line in said if "may be no lungs" in line]
    check, segmenter = ShapeCheck.load(run), LungSegmenter.load(run)
    drawn = {xray.id: segmenter.predict(read_image(xray.image)) for xray in read_chest(hospitals).xrays}
    wrong = {name for name, mask in drawn.items() if shape_faults(check, mask, segmenter.size)}
    assert {line.split(":")[1].strip() for line in named} == wrong != set()
    predict_lungs(run, [hospitals], tmp_path / "masks", again.append)
    assert [line for line in again if "may be no lungs" in line] == named
