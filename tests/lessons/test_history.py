"""Laws of the history of a folder: a line a run, curves of what is a number, and half a line is no trouble."""

import json

import pytest

from helpers.lessons.history import HISTORY, SHOWN, curve, recall, remember

METRICS = {"lesson": "00_first", "finished": "2026-01-02", "commit": None, "effort": 12.5}


def test_what_is_remembered_is_recalled_in_order(tmp_path):
    for dice in (0.7, 0.8):
        remember(tmp_path, METRICS | {"values": {"dice": {"WT": dice}, "verdict": "helped", "lost": None}})
    assert recall(tmp_path) == {"00_first": {"effort": [12.5, 12.5], "dice.WT": [0.7, 0.8]}}


def test_half_a_line_is_left_out(tmp_path):
    remember(tmp_path, METRICS | {"values": {"n": 1}})
    with (tmp_path / HISTORY).open("a") as file:
        file.write(json.dumps({"lesson": "00_first"}) + "\n[1]\n" + '{"lesson": "00_fi')
    assert recall(tmp_path)["00_first"]["n"] == [1]


def test_no_history_is_an_empty_one(tmp_path):
    assert recall(tmp_path) == {}


@pytest.mark.parametrize("values", [[], [0.5]])
def test_fewer_than_two_runs_make_no_curve(values):
    assert curve(values) is None


def test_a_curve_goes_up_with_the_number_and_shows_the_last_runs():
    drawn = curve([*[9.0] * 5, *range(SHOWN)])
    places = [tuple(map(float, point.split(","))) for point in drawn["points"].split()]
    assert len(places) == SHOWN
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert [y for _, y in places] == sorted((y for _, y in places), reverse=True)  # y counts from above
    assert drawn["last"] == places[-1]
    assert all(0 <= x <= drawn["width"] and 0 <= y <= drawn["height"] for x, y in places)


def test_a_band_lies_behind_the_curve_where_its_ends_are():
    drawn = curve([0.5, 1.0], low=0.0, high=0.5)
    top, height = drawn["band"]
    assert (top, top + height) == (pytest.approx(8.0), pytest.approx(14.0))
    assert curve([0.5, 1.0], low=0.7)["band"][0] == 0.0  # open above
    assert curve([1, 1], low=1, high=1)["band"] is None
