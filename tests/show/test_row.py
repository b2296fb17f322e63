import numpy as np
import pytest
from matplotlib.colors import to_rgba

from helpers.show.panel import Plane
from helpers.show.row import Panel, row

VIEW = Plane(2, ("L", "P"), (1.0, 2.0))
IMAGE = np.arange(12.0).reshape(3, 4)


def test_each_picture_has_its_title_its_labels_and_its_window():
    labels = (IMAGE > 5).astype(int)
    figure = row({"one": Panel(IMAGE, VIEW, window=(0, 9)), "two": Panel(IMAGE, VIEW, labels)}, "Two.", fill=1.0)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["one", "two"]
    one, two = figure.axes
    assert one.images[0].get_clim() == (0, 9)
    assert len(one.images) == 1
    assert np.count_nonzero(two.images[1].get_array()[..., 3]) == 6


def test_letters_stand_in_the_first_panel_alone():
    first, second = row({"one": Panel(IMAGE, VIEW), "two": Panel(IMAGE, VIEW)}, "Two.").axes
    assert {"R", "L", "A", "P"} <= {text.get_text() for text in first.texts}
    assert not second.texts


def test_the_legend_names_the_colours_that_are_drawn():
    figure = row({"one": Panel(IMAGE, VIEW)}, "One.", colours={7: "#FF00FF"}, names={7: "what is wrong"})
    [handle] = figure.legends[0].get_patches()
    assert handle.get_facecolor() == to_rgba("#FF00FF")
    assert figure.legends[0].get_texts()[0].get_text() == "what is wrong"


def test_the_alternative_text_is_kept():
    data, about = row({"one": Panel(IMAGE, VIEW)}, "Twelve greys.")._repr_mimebundle_()
    assert data["text/plain"] == "Twelve greys."
    assert about["image/png"]["alt"] == "Twelve greys."


def test_a_row_of_nothing_and_labels_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="nothing to draw"):
        row({}, "Nothing.")
    with pytest.raises(ValueError, match=r"'one' has labels of shape \(4, 3\)"):
        row({"one": Panel(IMAGE, VIEW, IMAGE.T.astype(int))}, "One.")
