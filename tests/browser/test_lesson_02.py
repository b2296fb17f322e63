"""Tests of the viewers in lesson 02 in the browser: the pictures show what the controls select."""

import numpy as np
import pytest

from helpers.show.style import CLASS_COLOURS, MODALITY_NAMES
from tests.browser.looking import Expected, Viewer

PLANES = ("axial", "coronal", "sagittal")
NEAR = 1.5  # grey levels of 255, in the mean: rounding, and nothing else


@pytest.fixture(scope="module")
def page(open_lesson):
    with open_lesson("02") as page:
        yield page


@pytest.fixture(scope="module")
def initial(page):
    """Initial values of the sliders of the three planes."""
    return places(Viewer(page, "api.patient("))


@pytest.fixture
def viewer(page, initial):
    """The three planes after a click on the button: mask on, at the largest tumour slice."""
    shown = Viewer(page, "api.patient(")
    shown.find("jump").click()
    shown.until(lambda: places(shown) == initial, f"the sliders are at {initial}")
    return shown


def places(viewer):
    return {name: viewer.value(f"slice-{name}") for name in PLANES}


@pytest.fixture(scope="module")
def expected(scan):
    return {name: Expected(scan, name) for name in PLANES}


def until_shown(viewer, expected, name, modality="flair", classes=(1, 2, 3), picture=None):
    """Wait until the picture of a plane is the slice that its slider stands at; of all slices none may be nearer."""

    def shown():
        k, distance = expected[name].recognise(viewer.picture(picture or name), modality, classes)
        return k == viewer.value(f"slice-{name}") and distance < NEAR

    viewer.until(shown, f"the {name} picture is the slice its slider stands at")


@pytest.mark.parametrize("name", PLANES)
def test_a_drag_of_a_slider_brings_the_slice_it_stops_at(viewer, expected, name):
    for fraction in (0.4, 0.6):
        assert viewer.drag(f"slice-{name}", fraction) == pytest.approx(fraction * (expected[name].count - 1), abs=1.5)
        until_shown(viewer, expected, name)


def test_a_slider_moves_the_picture_of_its_own_plane_only(viewer, expected):
    for name in PLANES:
        until_shown(viewer, expected, name)
    before = {name: viewer.picture(name) for name in PLANES}
    viewer.press("slice-coronal", "ArrowRight")
    until_shown(viewer, expected, "coronal")
    same = {name: np.array_equal(before[name], viewer.picture(name)) for name in PLANES}
    assert same == {"axial": True, "coronal": False, "sagittal": True}


@pytest.mark.parametrize("name", PLANES)
def test_arrow_keys_go_one_slice_up_and_one_slice_down(viewer, expected, name):
    start = viewer.value(f"slice-{name}")
    for key, place in (("ArrowRight", start + 1), ("ArrowRight", start + 2), ("ArrowLeft", start + 1)):
        assert viewer.press(f"slice-{name}", key) == place
        until_shown(viewer, expected, name)


def test_the_mask_goes_and_comes_back_with_its_button(viewer, expected):
    until_shown(viewer, expected, "axial")
    painted = viewer.picture("axial")
    where = expected["axial"].labels(int(viewer.value("slice-axial")), painted.shape[:2])
    coloured = np.ptp(painted, axis=-1) > 0
    assert (coloured == (where > 0)).mean() > 0.999
    viewer.find("mask").click()
    for name in PLANES:
        until_shown(viewer, expected, name, classes=())
        assert not np.ptp(viewer.picture(name), axis=-1).any()
    viewer.find("mask").click()
    for name in PLANES:
        until_shown(viewer, expected, name)


@pytest.mark.parametrize("label", CLASS_COLOURS)
def test_a_class_goes_and_comes_back_with_its_box(viewer, expected, label):
    box, others = viewer.find(f"class-{label}").locator("input"), {1, 2, 3} - {label}
    box.uncheck()
    until_shown(viewer, expected, "axial", classes=tuple(others))
    box.check()
    until_shown(viewer, expected, "axial")


@pytest.mark.parametrize("modality", ["t1", "t1ce", "t2", "flair"])
def test_another_modality_is_shown_in_its_own_window(viewer, expected, modality):
    viewer.find("modality").locator("select").select_option(MODALITY_NAMES[modality])
    for name in PLANES:
        until_shown(viewer, expected, name, modality)


def test_the_button_jumps_to_the_slice_with_most_tumour(viewer, expected, scan):
    viewer.drag("slice-axial", 0.1)
    until_shown(viewer, expected, "axial")
    viewer.find("jump").click()
    axis = expected["axial"].view.axis
    most = int((scan.seg > 0).sum(axis=tuple({0, 1, 2} - {axis})).argmax())
    viewer.until(lambda: viewer.value("slice-axial") == most, f"the axial slider stands at {most}")
    until_shown(viewer, expected, "axial")


def test_the_values_are_those_of_the_voxel_under_the_crosshair(viewer, scan):
    by_axis = {}
    for name in PLANES:
        k = viewer.press(f"slice-{name}", "ArrowRight")
        by_axis[Expected(scan, name).view.axis] = int(k)
    voxel = tuple(by_axis[axis] for axis in range(3))
    wanted = [f"{value:.4g}" for value in scan.images[voxel]]
    viewer.until(lambda: str(voxel) in viewer.find("values").inner_text(), f"the voxel is {voxel}")
    assert all(value in viewer.find("values").inner_text() for value in wanted)


def test_four_modalities_move_on_one_slider(page, expected, scan):
    row = Viewer(page, "api.modalities(scan")
    for key in ("ArrowRight", "ArrowUp"):
        row.press("slice-axial", key)
        for place, modality in enumerate(scan.modalities):
            until_shown(row, expected, "axial", modality, classes=(), picture=str(place))


@pytest.mark.parametrize("kind", ["patient", "modalities", "image_and_mask", "core"])
def test_each_viewer_is_shown(page, screenshots, kind):
    viewer = Viewer(page, f"api.{kind}(scan")
    viewer.output.screenshot(path=screenshots / f"02_{kind}.png")
    pictures = viewer.output.locator("img.widget-image")
    assert pictures.count() == {"patient": 3, "modalities": 4, "image_and_mask": 3, "core": 3}[kind]
    for place in range(pictures.count()):
        assert pictures.nth(place).bounding_box()["width"] > 150
