"""Tests of the augmentation playground in lesson 03: the sliders transform image and mask together."""

import numpy as np
import pytest
from scipy.ndimage import rotate

from tests.browser.looking import Viewer

ANGLES = np.arange(-20, 21)


@pytest.fixture(scope="module")
def page(open_lesson):
    with open_lesson("03") as page:
        yield page


@pytest.fixture
def viewer(page):
    """The playground with every slider at 0."""
    shown = Viewer(page, "api.playground(")
    shown.find("jump").click()
    shown.until(lambda: np.array_equal(shown.picture("after"), shown.picture("before")), "nothing is augmented")
    return shown


def coloured(picture):
    """Where the mask is: the scan itself is grey."""
    return np.ptp(picture, axis=-1) > 8


def turn_of_image(before, after):
    """The angle by which the grey part of a picture was turned, to a degree."""
    return _best(lambda angle: -_difference(_turned(before, angle), after))


def turn_of_mask(before, after):
    """The angle by which the coloured part of a picture was turned, to a degree."""
    truth = coloured(after)

    def overlap(angle):
        found = rotate(coloured(before).astype(float), angle, reshape=False, order=1) > 0.5
        return (found & truth).sum() / (found | truth).sum()

    return _best(overlap)


def _best(score):
    return int(ANGLES[np.argmax([score(angle) for angle in ANGLES])])


def _turned(picture, angle):
    return rotate(picture, angle, axes=(1, 0), reshape=False, order=1)


def _difference(first, second):
    grey = ~(coloured(first) | coloured(second))
    return np.abs(first - second)[grey].mean()


@pytest.mark.parametrize("fraction", [0.1, 0.85])
def test_the_rotation_slider_turns_image_and_mask_by_its_angle(viewer, screenshots, fraction):
    before, angle = viewer.picture("before"), viewer.drag("kind-rotation", fraction)
    assert abs(angle) > 10
    # The slice lies transposed in its array, so what the array calls anticlockwise is clockwise in the picture.
    viewer.until(
        lambda: turn_of_image(before, viewer.picture("after")) == pytest.approx(-angle, abs=1),
        f"the image is turned by {angle:g} degrees",
    )
    after = viewer.picture("after")
    assert turn_of_mask(before, after) == pytest.approx(-angle, abs=1)
    assert coloured(after).sum() == pytest.approx(coloured(before).sum(), rel=0.05)
    assert np.array_equal(before, viewer.picture("before"))
    viewer.output.screenshot(path=screenshots / "03_playground.png")


def test_the_flip_slider_mirrors_image_and_mask(viewer):
    before = viewer.picture("before")
    assert viewer.press("kind-flip", "End") == 1
    viewer.until(lambda: np.abs(viewer.picture("after") - before[:, ::-1]).mean() < 1, "right and left are exchanged")


def test_an_arrow_key_on_brightness_changes_the_image_and_leaves_the_mask(viewer):
    before = viewer.picture("before")
    assert viewer.press("kind-brightness", "ArrowRight") > 0
    assert viewer.press("kind-brightness", "End") == 1
    grey = ~coloured(before)
    viewer.until(lambda: viewer.picture("after")[grey].mean() > before[grey].mean() + 5, "the image is brighter")
    assert (coloured(viewer.picture("after")) == coloured(before)).mean() > 0.999
