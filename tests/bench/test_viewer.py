"""Tests of the viewers' benchmark: without a browser it measures the kernel alone, and reports that."""

import json
import os

import pytest
from typer.testing import CliRunner

from helpers.bench import browser, report, viewer
from helpers.cli import app

COARSE = {"shape": (60, 60, 39), "spacing": (4.0, 4.0, 155 / 39)}


@pytest.fixture
def no_chromium(monkeypatch):
    monkeypatch.setattr(browser.shutil, "which", lambda name: None)


@pytest.fixture
def coarse(monkeypatch):
    measure = viewer.bench_viewer
    monkeypatch.setattr(viewer, "bench_viewer", lambda: measure(steps=4, grid=COARSE))


def test_without_chromium_the_message_says_how_to_get_it(no_chromium):
    with pytest.raises(browser.NoBrowserError, match="apt-get install chromium"), browser.chromium():
        pass


def test_without_chromium_only_the_kernels_share_is_measured(no_chromium, coarse, tmp_path):
    answer = CliRunner().invoke(app, ["bench", "viewer", "--json", str(tmp_path / "new" / "viewer.json")])
    assert answer.exit_code == 0, answer.output
    assert "Not measured in a browser" in answer.output
    result = json.loads((tmp_path / "new" / "viewer.json").read_text())
    assert result["browser"] is None
    assert "apt-get install chromium" in result["why"]
    assert result["patient"] == [60, 60, 39, 4]
    assert 0 < result["kernel"]["ours"]["median_ms"] <= result["kernel"]["ours"]["p95_ms"]
    assert 1 <= result["memory"] <= 2
    assert os.environ.get("COURSE_STATIC") is None


def test_more_steps_than_slices_are_refused():
    with pytest.raises(ValueError, match="39 slices"):
        viewer.bench_viewer(steps=30, grid=COARSE)


def test_the_ratio_is_how_many_times_longer_the_peer_takes():
    found = report.compare(ours=[1, 2, 3], peer=[10, 20, 90])
    assert found["ratio"] == 10
    assert found["ours"] == {"median_ms": 2, "p95_ms": 2.9}
