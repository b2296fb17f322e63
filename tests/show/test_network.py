import io

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from helpers.models.unet import sharp_unet, unet
from helpers.show.network import draw_unet, numbers, receptive_fields, slide, stages
from helpers.show.panel import Plane


@pytest.fixture(scope="module")
def model():
    return unet(32, channels=3, classes=2, filters=4, depth=3)


def test_stages_are_the_shapes_of_the_built_model(model):
    assert [(stage.way, stage.level, str(stage)) for stage in stages(model)] == [
        ("end", 0, "32 x 32 x 3"),
        ("down", 0, "32 x 32 x 4"),
        ("down", 1, "16 x 16 x 8"),
        ("down", 2, "8 x 8 x 16"),
        ("bottom", 3, "4 x 4 x 32"),
        ("up", 2, "8 x 8 x 16"),
        ("up", 1, "16 x 16 x 8"),
        ("up", 0, "32 x 32 x 4"),
        ("end", 0, "32 x 32 x 2"),
    ]


@pytest.mark.parametrize(
    "relative",
    [
        lambda: sharp_unet(32, 3, 2, filters=4, depth=3),
        lambda: unet(32, 3, 2, filters=4, depth=3, residual=True),
        lambda: unet(32, 3, 2, filters=4, depth=3, normalisation="batch"),
    ],
)
def test_relatives_have_the_same_stages(model, relative):
    assert stages(relative()) == stages(model)


def test_the_drawing_has_a_box_and_a_label_for_each_stage_and_an_arrow_for_each_skip(model):
    ax = draw_unet(model).axes[0]
    boxes = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert len(boxes) == 9
    written = [text.get_text() for text in ax.texts]
    assert [text for text in written if " x " in text] == list(map(str, stages(model)))
    without = draw_unet(model, across=False).axes[0]
    assert len(ax.texts) - len(without.texts) == 3 + 1  # the arrows, which are annotations, and their name
    wide = [box.get_width() for box in boxes]
    assert wide[1] < wide[2] < wide[3] < wide[4] > wide[5] > wide[6] > wide[7]


def test_a_blank_drawing_says_what_it_is_given(model):
    ax = draw_unet(model, ["?"] * 9).axes[0]
    assert [text.get_text() for text in ax.texts].count("?") == 9
    with pytest.raises(ValueError, match="4 labels for 9 boxes"):
        draw_unet(model, ["?"] * 4)


def test_what_is_no_unet_is_refused():
    import keras

    inputs = keras.Input((8, 8, 1))
    with pytest.raises(ValueError, match="pools 1 times and up-samples 0 times"):
        stages(keras.Model(inputs, keras.layers.MaxPooling2D()(inputs)))


def test_a_kernel_visits_every_place_where_it_fits():
    made = slide(np.eye(6), np.ones((3, 3)))
    assert Image.open(io.BytesIO(made.gif)).n_frames == 4 * 4
    for wrong in (np.ones((2, 2)), np.ones((3, 2)), np.ones((7, 7))):
        with pytest.raises(ValueError, match="expected a square kernel of odd side"):
            slide(np.eye(6), wrong)


def test_every_number_is_written_into_its_square():
    arrays = {"before": np.arange(6).reshape(2, 3), "after": np.zeros((1, 1))}
    panels = numbers(arrays).axes
    assert [[text.get_text() for text in ax.texts] for ax in panels] == [list("012345"), ["0"]]
    assert [ax.get_title(loc="left") for ax in panels] == ["before, (2, 3)", "after, (1, 1)"]
    with pytest.raises(ValueError, match="expected one or more with two axes"):
        numbers({"flat": np.zeros(3)})


def test_a_field_is_as_wide_as_it_sees_and_no_wider_than_the_slice():
    view = Plane(2, ("L", "P"), (2.0, 2.0))
    figure = receptive_fields(np.eye(20), view, {"first": 5, "second": 10, "bottom": 99})
    ax, legend = figure.axes[0], figure.legends[0]
    squares = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert [one.get_width() for one in squares] == [10, 20, 38]
    assert all(one.get_x() + one.get_width() / 2 == pytest.approx(20) for one in squares)
    assert len({str(one.get_linestyle()) for one in squares}) == 3  # told apart without colour
    assert legend.get_texts()[0].get_text() == "first: 5 pixels, 10 mm"
