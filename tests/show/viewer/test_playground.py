import dataclasses
import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

pytest.importorskip("keras")

from helpers.prepare.augment import ALL, TRANSFORMS
from helpers.show.viewer import api
from helpers.show.viewer.playground import Slice


@pytest.fixture
def slice_():
    """A disc with a tumour towards one side, two channels."""
    i, j = np.indices((64, 64))
    head = np.hypot(i - 32, j - 32) < 28
    labels = np.where(np.hypot(i - 20, j - 36) < 7, 2, 0)
    image = np.stack([head * (1.0 + (labels == 2)), head * 0.5], axis=-1).astype(np.float32)
    return Slice(image, np.eye(4, dtype=np.float32)[labels], ("flair", "t1ce"), seed=3)


def pixels(pane):
    return np.asarray(Image.open(io.BytesIO(pane.image.value)).convert("RGB")).astype(int)


@pytest.fixture
def playground(monkeypatch, slice_):
    monkeypatch.setenv("COURSE_STATIC", "0")
    return api.playground(slice_.image, slice_.soft_labels, slice_.modalities, seed=3)


def test_every_transform_has_a_slider_with_its_own_limits(playground):
    assert set(playground.sliders) == set(ALL)
    for name in ALL:
        kind = TRANSFORMS[name]
        slider = playground.sliders[name]
        assert (slider.min, slider.max, slider.value) == (kind.low, kind.high, 0)
        assert -slider.min / slider.step == pytest.approx(round(-slider.min / slider.step))  # 0 is one of its values
        assert f"course-kind-{name.replace(' ', '-')}" in slider._dom_classes


def test_sliders_at_zero_leave_the_slice_unchanged(playground, slice_):
    np.testing.assert_array_equal(pixels(playground.panes["after"]), pixels(playground.panes["before"]))
    image, labels = slice_.augmented(dict.fromkeys(ALL, 0))
    np.testing.assert_array_equal(image, slice_.image)
    np.testing.assert_array_equal(labels, slice_.soft_labels.argmax(axis=-1))


@pytest.mark.parametrize("kind", ALL)
def test_a_slider_changes_the_picture_and_the_button_changes_it_back(playground, kind):
    before = pixels(playground.panes["before"])
    playground.sliders[kind].value = TRANSFORMS[kind].high
    assert (pixels(playground.panes["after"]) != before).any()
    np.testing.assert_array_equal(pixels(playground.panes["before"]), before)
    playground.reset.click()
    np.testing.assert_array_equal(pixels(playground.panes["after"]), before)


def test_image_and_mask_move_together(slice_):
    """What is bright is what is labelled, wherever it was moved."""
    image, labels = slice_.augmented({"rotation": 17, "scale": 0.1, "shift": 0.05, "flip": 1, "elastic": 0.02})
    bright, labelled = (
        np.average(np.indices((64, 64)), axis=(1, 2), weights=w) for w in (image[..., 0] > 1.5, labels == 2)
    )
    np.testing.assert_allclose(bright, labelled, atol=0.5)
    assert np.hypot(*(labelled - [20, 36])) > 5


def test_the_pattern_is_fixed_by_the_seed(slice_):
    strengths = {"noise": 0.3, "elastic": 0.05, "bias field": 0.2}
    np.testing.assert_array_equal(slice_.augmented(strengths)[0], slice_.augmented(strengths)[0])
    other = dataclasses.replace(slice_, seed=4)
    assert (other.augmented(strengths)[0] != slice_.augmented(strengths)[0]).any()


def test_transforms_are_drawn_side_by_side_in_an_unattended_run(monkeypatch, slice_):
    monkeypatch.setenv("COURSE_STATIC", "1")
    figure = api.playground(slice_.image, slice_.soft_labels, title="One slice, many scanners")
    assert isinstance(figure, Figure)
    assert len([ax for ax in figure.axes if ax.images]) == 1 + len(ALL)
    assert {ax.images[0].get_clim() for ax in figure.axes if ax.images} == {slice_.windows[0]}


def test_shapes_that_do_not_match_are_refused(slice_):
    with pytest.raises(ValueError, match=r"\(64, 64, 2\).*a channel for each of flair"):
        api.playground(slice_.image, slice_.soft_labels, ("flair",))
    with pytest.raises(ValueError, match="size, size, classes"):
        api.playground(slice_.image, slice_.soft_labels[:32])
