"""The benchmark's clock in a browser, checked with a viewer that is slowed down by a known time."""

from helpers.bench import viewer
from tests.bench.test_viewer import COARSE

SLOW = 300  # ms
DELAY = f"""
import time

pane = viewer.panes["axial"]
draw = pane.draw
pane.draw = lambda *shown: (time.sleep({SLOW / 1000}), draw(*shown))
viewer"""


def test_a_slow_viewer_is_measured_as_slow_as_it_is(monkeypatch):
    quick = viewer.bench_viewer(steps=4, grid=COARSE)["browser"]
    monkeypatch.setattr(viewer, "OURS", viewer.OURS + DELAY)
    slow = viewer.bench_viewer(steps=4, grid=COARSE)["browser"]
    assert slow["ours"]["median_ms"] - quick["ours"]["median_ms"] > 0.8 * SLOW
    assert quick["ours"]["median_ms"] < quick["peer"]["median_ms"]
