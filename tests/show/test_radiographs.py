"""Tests of the figures of radiographs: masks are painted where they lie, scores stand beside their radiographs."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import colors
from matplotlib.figure import Figure

from helpers.data.radiographs import preprocess
from helpers.measure.overlap import dice
from helpers.show import radiographs as show
from helpers.show.style import AGREEMENT_COLOURS


@pytest.fixture
def radiograph():
    """A landscape radiograph with two lungs, and an outline that is one column off."""
    lungs = np.zeros((40, 60), bool)
    lungs[10:30, 10:25] = lungs[10:30, 35:50] = True
    picture = np.where(lungs, 60, 180).astype(np.uint8)
    return picture, lungs, np.roll(lungs, 1, axis=1)


def ax():
    return Figure().subplots()


def test_agreement_false_negatives_and_false_positives_are_painted_where_they_lie(radiograph):
    picture, lungs, drawn = radiograph
    painted = show.show_radiograph(ax(), picture, lungs, drawn).images[1].get_array()
    parts = {"agreement": lungs & drawn, "false negative": lungs & ~drawn, "false positive": drawn & ~lungs}
    for name, part in parts.items():
        assert (painted[part][:, :3] == colors.to_rgb(AGREEMENT_COLOURS[name])).all()
    assert (painted[~(lungs | drawn)] == 0).all()


def test_the_ground_truth_alone_is_an_outline(radiograph):
    picture, lungs, _ = radiograph
    outlined = show.show_radiograph(ax(), picture, lungs)
    assert len(outlined.images) == 1
    (contour,) = outlined.collections
    rim = np.concatenate([path.vertices for path in contour.get_paths()])
    assert rim.min(axis=0) == pytest.approx([9.5, 9.5])  # x, y
    assert rim.max(axis=0) == pytest.approx([49.5, 29.5])


def test_a_large_radiograph_is_thinned_and_its_mask_with_it(radiograph):
    picture, lungs, _ = (np.kron(a, np.ones((40, 40), a.dtype)) for a in radiograph)
    drawn = show.show_radiograph(ax(), picture, lungs, lungs)
    assert max(drawn.images[0].get_array().shape) <= 480
    assert drawn.images[0].get_array().shape == drawn.images[1].get_array().shape[:2]


def test_a_mask_of_another_radiograph_is_refused(radiograph):
    picture, lungs, _ = radiograph
    with pytest.raises(ValueError, match=r"lungs has shape \(60, 40\); expected the radiograph's own grid, \(40, 60\)"):
        show.show_radiograph(ax(), picture, lungs.T)


def test_each_radiograph_stands_above_its_own_dice(radiograph):
    picture, lungs, drawn = radiograph
    tall = picture.T, lungs.T, lungs.T
    figure = show.compare(*zip(radiograph, tall, strict=True), names=["wide", "tall"])
    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert titles == ["wide", "tall", f"Dice {dice(lungs, drawn):.3f}", "Dice 1.000"]


def test_curves_draw_training_validation_and_the_mean_mask():
    history = pd.DataFrame({"epoch": [1, 2], "loss": [0.5, 0.2], "dice": [0.7, 0.9], "val_dice": [0.6, 0.8]})
    figure = show.curves(history, {"dice": 0.75})
    loss, dices = (panel for panel in figure.axes if panel.axison)
    assert [list(line.get_ydata()) for line in loss.lines] == [[0.5, 0.2]]
    assert [list(line.get_ydata()) for line in dices.lines] == [[0.7, 0.9], [0.6, 0.8], [0.75, 0.75]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training", "validation", "mean mask"]


def test_curves_of_something_else_are_refused():
    with pytest.raises(ValueError, match="the history holds epoch, round; expected `epoch` and `loss`"):
        show.curves(pd.DataFrame({"epoch": [1], "round": [1]}))


def test_every_model_stands_at_its_mean_in_each_hospital():
    models = {"both": {"montgomery": [0.9, 1.0], "shenzhen": [0.8]}, "one": {"montgomery": [0.5, 0.6, 0.7]}}
    panel = show.site_comparison(models, {"montgomery": 0.4}).axes[0]
    assert [text.get_text() for text in panel.texts] == ["0.950", "0.600", "0.800"]
    names = [label.get_text() for label in panel.get_yticklabels()]
    assert names == ["at Montgomery: both", "at Montgomery: one", "at Shenzhen: both"]
    crosses = [line.get_xdata()[0] for line in panel.lines if line.get_marker() == "X" and len(line.get_xdata())]
    assert crosses == [0.4, 0.4]
    assert [len(dots.get_offsets()) for dots in panel.collections] == [2, 3, 1]


@pytest.mark.parametrize("models", [{}, {"both": {}}])
def test_no_scores_are_refused(models):
    with pytest.raises(ValueError, match="no scores to draw"):
        show.site_comparison(models)


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (50, 50)])
def test_the_padding_is_what_preprocess_leaves_beside_the_radiograph(shape):
    radiograph = np.random.default_rng(0).integers(1, 255, shape).astype(np.uint8)
    assert np.array_equal(show.beside(shape, 20), preprocess(radiograph, 20)[..., 0] == 0)


def test_padding_is_painted_and_the_radiographs_own_black_is_not():
    black = np.zeros((40, 60), np.uint8)
    seen = np.zeros((20, 20))
    figure = show.squares([black], [seen.astype(np.uint8)], [seen], "padding")
    paint = figure.axes[2].images[1].get_array()
    assert np.array_equal(paint[..., 3] == 1, show.beside(black.shape, 20))
    assert 0 < (paint[..., 3] == 1).mean() < 0.5
    assert figure.get_suptitle() == "padding"


def test_each_models_outline_stands_in_its_column_with_its_dice(radiograph):
    picture, lungs, drawn = radiograph
    figure = show.by_model([picture] * 2, [lungs] * 2, {"exact": [lungs] * 2, "one off": [drawn, lungs]}, "who?")
    titles = [ax.get_title("left") for ax in figure.axes]
    assert titles == ["exact\nDice 1.000", f"one off\nDice {dice(lungs, drawn):.3f}", "Dice 1.000", "Dice 1.000"]
    painted = figure.axes[1].images[1].get_array()
    assert (painted[drawn & ~lungs][:, :3] == colors.to_rgb(AGREEMENT_COLOURS["false positive"])).all()


def test_a_model_that_leaves_a_radiograph_out_is_refused(radiograph):
    picture, lungs, _ = radiograph
    with pytest.raises(ValueError, match="one outlines 1 radiographs; expected 2"):
        show.by_model([picture] * 2, [lungs] * 2, {"one": [lungs]})


def test_radiographs_of_different_shapes_stand_in_a_row_under_their_names(radiograph):
    picture, *_ = radiograph
    figure = show.row({"wide": picture, "tall": picture.T}, "both")
    assert [ax.get_title("left") for ax in figure.axes] == ["wide", "tall"]
    assert [ax.images[0].get_array().shape for ax in figure.axes] == [picture.shape, picture.T.shape]


def test_greys_are_counted_where_they_are_and_padding_is_not():
    images, lungs = np.full((1, 4, 4, 1), 1.5), np.zeros((1, 4, 4), bool)
    lungs[0, 0] = True
    images[0, 0], images[0, 3] = -1.5, 0  # lungs; padding
    (ax,) = show.greys({"shenzhen": (images, lungs)}).axes
    inside, outside = ([patch for patch in part if patch.get_height() > 0] for part in ax.containers)
    assert [patch.get_x() < -1 for patch in inside] == [True]
    assert [patch.get_x() > 1 for patch in outside] == [True]
