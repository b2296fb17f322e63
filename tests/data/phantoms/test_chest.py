"""Laws of the phantom X-rays: on disk the real set, in the pixels two hospitals."""

import numpy as np
import pytest
from PIL import Image

from helpers.data.chest import read_chest, read_xray
from helpers.data.phantoms import chest
from helpers.data.phantoms.chest import make_chest
from helpers.data.pictures import read_image
from helpers.runtime.errors import DataError

FOLDER = "Lung Segmentation"


def _pairs(root, site):
    return [read_xray(xray) for xray in read_chest(root).require(site)]


def test_files_are_named_as_in_the_real_set(chests):
    names = {kind: sorted(p.name for p in (chests / FOLDER / kind).iterdir()) for kind in ("CXR_png", "masks", "test")}
    assert names["CXR_png"][0] == "CHNCXR_0001_1.png"
    assert names["CXR_png"][-1] == "MCUCXR_0006_0.png"
    assert names["masks"][0] == "CHNCXR_0001_1_mask.png"
    assert names["masks"][-1] == "MCUCXR_0006_0.png"
    assert names["test"] == ["CHNCXR_0004_0.png"]


def test_readings_have_the_form_of_each_hospital(chests):
    readings = chests / FOLDER / "ClinicalReadings"
    assert (readings / "MCUCXR_0002_0.txt").read_text().startswith("Patient's Sex: ")
    assert "yrs\nnormal\n" in (readings / "CHNCXR_0002_0.txt").read_text()


def test_test_folder_has_the_pixels_of_an_image_without_mask_in_other_bytes(chests):
    (copy,) = (chests / FOLDER / "test").iterdir()
    image = chests / FOLDER / "CXR_png" / copy.name
    np.testing.assert_array_equal(read_image(copy), read_image(image))
    assert copy.read_bytes() != image.read_bytes()


def test_second_copy_is_whole(chests):
    files = [
        {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        for folder in (chests / FOLDER, chests / "data" / FOLDER)
    ]
    assert files[0] == files[1]


def test_montgomery_is_grey_and_shenzhen_has_palettes_and_colours(chests):
    modes = {path.name: Image.open(path).mode for path in (chests / FOLDER / "CXR_png").iterdir()}
    assert {mode for name, mode in modes.items() if name.startswith("MCU")} == {"L"}
    assert {mode for name, mode in modes.items() if name.startswith("CHN")} == {"P", "RGB"}


def test_hospitals_differ_as_the_real_ones_do(chests):
    """Real: mean grey 113 with a fifth of all pixels black, against 157 and a fiftieth; lung share 0.25 in both."""
    montgomery, shenzhen = (_pairs(chests, site) for site in ("montgomery", "shenzhen"))
    grey = [np.mean([image.mean() for image, _ in pairs]) for pairs in (montgomery, shenzhen)]
    black = [np.mean([(image < 8).mean() for image, _ in pairs]) for pairs in (montgomery, shenzhen)]
    lung = [np.mean([mask.mean() for _, mask in pairs]) for pairs in (montgomery, shenzhen)]
    assert 95 < grey[0] < 130
    assert 140 < grey[1] < 175
    assert black[0] > 0.1 > 0.05 > black[1]
    assert all(0.2 < share < 0.3 for share in lung)


def test_aspects_differ(chests):
    shapes = {site: {image.shape for image, _ in _pairs(chests, site)} for site in ("montgomery", "shenzhen")}
    assert shapes["montgomery"] == {(79, 96), (96, 79)}
    assert all(0.85 < rows / columns <= 1 for rows, columns in shapes["shenzhen"])


def test_lungs_are_two_and_darker_than_what_is_round_them(chests):
    from skimage.measure import label, regionprops

    for xray in read_chest(chests).require():
        image, mask = read_xray(xray)
        areas = sorted((region.area for region in regionprops(label(mask))), reverse=True)
        assert areas[1] > 0.1 * areas[0]
        assert sum(areas[2:]) < 0.02 * areas[0]
        window = np.ix_(mask.any(axis=1), mask.any(axis=0))  # between and below the lungs, not the air beside the body
        assert image[mask].mean() < image[window][~mask[window]].mean() - 10


def test_an_xray_does_not_depend_on_how_many_there_are(chests, tmp_path):
    few = make_chest(tmp_path / "set", montgomery=1, shenzhen=1, size=96, seed=1)
    for name in ("CXR_png/MCUCXR_0001_1.png", "masks/CHNCXR_0001_1_mask.png"):
        assert (few / FOLDER / name).read_bytes() == (chests / FOLDER / name).read_bytes()


def test_another_seed_is_another_patient(chests, tmp_path):
    other = make_chest(tmp_path / "set", montgomery=1, shenzhen=0, size=96, seed=2) / FOLDER
    image = "CXR_png/MCUCXR_0001_1.png"
    assert (other / image).read_bytes() != (chests / FOLDER / image).read_bytes()


def test_a_larger_picture_shows_the_same_lungs(chests, tmp_path):
    large = make_chest(tmp_path / "set", montgomery=2, shenzhen=0, size=192, seed=1)
    small = {xray.id: read_xray(xray)[1].mean() for xray in read_chest(chests).require("montgomery")}
    for xray in read_chest(large).require():
        assert read_xray(xray)[1].mean() == pytest.approx(small[xray.id], rel=0.05)


def test_second_call_returns_at_once(chests, monkeypatch):
    monkeypatch.setattr(chest, "_build", lambda *_: pytest.fail("built again"))
    assert make_chest(chests, montgomery=6, shenzhen=8, size=96, seed=1) == chests


def test_interruption_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(chest, "take_xray", stop)
    with pytest.raises(KeyboardInterrupt):
        make_chest(tmp_path / "set", montgomery=1, shenzhen=1, size=96)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"montgomery": -1}, {"montgomery": 0, "shenzhen": 0}, {"size": 20}])
def test_impossible_requests_are_refused(tmp_path, wrong):
    with pytest.raises(DataError, match="Cannot make"):
        make_chest(tmp_path / "set", **{"montgomery": 1, "shenzhen": 1, "size": 96, **wrong})
