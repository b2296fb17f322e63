import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from helpers.show import moving as module
from helpers.show.moving import moving


def frames(count, size=(2, 1)):
    """Figures whose lower left quarter gets brighter from one to the next."""
    for step in range(count):
        figure = Figure(figsize=size)
        figure.add_axes((0, 0, 0.5, 0.5)).imshow(np.full((2, 2), step), vmin=0, vmax=count)
        yield figure


def test_every_frame_is_shown_and_the_last_one_rests():
    gif = Image.open(io.BytesIO(moving(frames(5), "It brightens.", seconds=0.1, rest=1.5).gif))
    assert gif.n_frames == 5
    durations = []
    for frame in range(5):
        gif.seek(frame)
        durations.append(gif.info["duration"])
    assert durations == [100] * 4 + [1500]


def test_who_cannot_play_it_gets_the_last_frame_and_the_text():
    made = moving(frames(3), 'A "square" brightens.')
    data, about = made._repr_mimebundle_()
    still, gif = (
        Image.open(io.BytesIO(data["image/png"])),
        Image.open(io.BytesIO(made.gif)),
    )
    gif.seek(2)
    assert still.size == gif.size == made.size
    assert np.abs(np.asarray(still, int) - np.asarray(gif.convert("RGB"), int)).max() < 24  # of 64 colours
    assert data["text/plain"] == about["image/png"]["alt"] == 'A "square" brightens.'
    assert 'alt="A &quot;square&quot; brightens."' in data["text/html"]


def test_a_figure_may_change_between_its_frames():
    figure = Figure(figsize=(2, 1))
    picture = figure.add_axes((0, 0, 1, 1)).imshow(np.zeros((2, 2)), vmin=0, vmax=1)

    def changing():
        for level in (0.0, 1.0):
            picture.set_data(np.full((2, 2), level))
            yield figure

    gif = Image.open(io.BytesIO(moving(changing(), "It brightens.").gif))
    first = np.asarray(gif.convert("L")).mean()
    gif.seek(1)
    assert np.asarray(gif.convert("L")).mean() > first + 50


def test_what_is_no_moving_picture_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="there is no frame"):
        moving([], "Nothing.")
    with pytest.raises(ValueError, match="have 2 sizes"):
        moving([*frames(1), *frames(1, (3, 1))], "It grows.")
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="fewer frames"):
        moving(frames(3), "It brightens.")


def test_a_colour_that_is_in_no_end_is_kept():
    """A palette of the first and the last frame would draw the mask between them grey."""

    def frame(shows):
        figure = Figure(figsize=(2, 2))
        ax = figure.add_axes((0, 0, 1, 1))
        ax.imshow(np.random.default_rng(0).random((40, 40)), cmap="gray")
        if shows:
            ax.add_patch(Rectangle((18, 18), 3, 3, color="#D55E00"))
        ax.set_axis_off()
        return figure

    gif = Image.open(io.BytesIO(moving(map(frame, (0, 1, 0)), "A mask that comes and goes.").gif))
    gif.seek(1)
    middle = np.asarray(gif.convert("RGB"), int)[76:84, 76:84].reshape(-1, 3)
    assert (middle.max(axis=1) - middle.min(axis=1) > 80).all()
