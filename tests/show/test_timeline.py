import io

import numpy as np
import pytest
from PIL import Image

from helpers.show.timeline import draw_timelines, draw_waiting, schedule, step_of_two

RNG = np.random.default_rng(0)


def test_in_turns_the_seconds_of_both_add_up():
    loading, training = RNG.uniform(0.1, 1, (2, 7)).tolist()
    one = schedule(loading, training)
    assert one.seconds == pytest.approx(sum(loading) + sum(training))
    assert one.waiting == pytest.approx(sum(loading) / one.seconds)


@pytest.mark.parametrize("factor", [0.1, 1.0, 10.0])
def test_a_loader_that_works_ahead_is_hidden_unless_it_is_the_slower_one(factor):
    loading, training = [1.0] * 50, [factor] * 50
    one = schedule(loading, training, ahead=True)
    slower = max(50.0, 50 * factor)
    assert slower < one.seconds <= slower + 1 + factor
    assert one.waiting == pytest.approx(max(0, 1 - factor), abs=0.03)


def test_nobody_trains_on_a_batch_before_it_is_loaded_nor_on_two_at_once():
    one = schedule(*RNG.uniform(0.1, 1, (2, 20)).tolist(), ahead=True)
    ready = np.cumsum([seconds for _, seconds in one.loads])
    starts, seconds = np.transpose(one.trains)
    assert (starts >= ready - 1e-9).all()
    assert (starts[1:] >= (starts + seconds)[:-1] - 1e-9).all()


def test_the_figure_says_of_each_how_long_it_takes_and_how_much_of_it_waits():
    drawn = draw_timelines({"turns": schedule([1, 1], [1, 1]), "ahead": schedule([1, 1], [1, 1], ahead=True)})
    assert [text.get_text().strip() for text in drawn.axes[0].texts] == ["4.0 s, waits 50%", "3.0 s, waits 33%"]
    with pytest.raises(ValueError, match="no schedule"):
        draw_timelines({})


def test_a_device_begins_to_wait_where_it_is_faster_than_its_loader():
    figure = draw_waiting({"slow": 100.0, "fast": 1000.0}, {"ours": 300.0})
    for line, speed in zip(figure.axes[0].lines, (100, 1000), strict=False):
        at, idle = line.get_data()
        assert (idle[at <= speed] == 0).all()
        assert np.interp(2 * speed, at, idle) == pytest.approx(50, abs=0.5)  # half of the time at twice the speed
    figure.canvas.draw()
    assert not any("$" in tick.get_text() for tick in figure.axes[0].get_xticklabels())
    for wrong in ({}, {"none": 0.0}):
        with pytest.raises(ValueError, match="expected a loader at least"):
            draw_waiting(wrong, {})


@pytest.mark.parametrize("pair", [([], []), ([1], [1, 2])])
def test_batches_that_are_not_trained_on_are_refused(pair):
    with pytest.raises(ValueError, match="expected as many of both"):
        schedule(*pair)


def test_the_step_of_two_replicas_has_five_stages():
    assert Image.open(io.BytesIO(step_of_two().gif)).n_frames == 5
