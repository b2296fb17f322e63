import json
import sys

import numpy as np
import pytest

from helpers.lessons.record import MIME, collect, record, write_metrics


def notebook(*entries):
    outputs = [{"data": {MIME: {"name": name, "value": value}}} for name, value in entries]
    return {"cells": [{"source": "markdown has no outputs"}, {"outputs": [{"text": "noise"}, *outputs]}]}


def test_outside_a_notebook_record_gives_the_value_back():
    value = np.float32(0.5)
    assert record("dice_wt", value) is value


def test_collect_gives_the_recorded_values_in_order():
    assert list(collect(notebook(("b", 1), ("a", [2.0]))).items()) == [("b", 1), ("a", [2.0])]


def test_a_name_recorded_twice_is_refused():
    with pytest.raises(ValueError, match="'a' is recorded twice"):
        collect(notebook(("a", 1), ("a", 2)))


@pytest.fixture
def shown(monkeypatch):
    """What a notebook displays."""
    shown = []
    display = type("display", (), {"display": staticmethod(lambda data, raw: shown.append((data, raw)))})
    fake = type("IPython", (), {"get_ipython": staticmethod(lambda: True), "display": display})
    monkeypatch.setitem(sys.modules, "IPython", fake)
    return shown


def test_what_is_recorded_is_json(shown):
    value = {"n": np.int64(3), "dice": np.array([0.5, np.nan]), "pair": (True, None), 7: "seven"}
    assert record("all", value) is value
    ((data, raw),) = shown
    assert raw is True
    kept = {"n": 3, "dice": [0.5, None], "pair": [True, None], "7": "seven"}
    assert json.loads(json.dumps(data, allow_nan=False)) == {MIME: {"name": "all", "value": kept}}


def test_a_value_that_json_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="got a object"):
        record("thing", object())


def test_a_notebook_writes_what_it_has_recorded(shown, tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.lessons.record._recorded", {})
    record("dice_wt", np.float32(0.5))
    written = json.loads(write_metrics("00_first", "abc", tmp_path).read_text())
    assert written["values"] == {"dice_wt": 0.5}
    assert (written["lesson"], written["token"]) == ("00_first", "abc")
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]
