from types import SimpleNamespace

import pytest
from IPython.core.interactiveshell import InteractiveShell
from ipywidgets import VBox
from matplotlib.figure import Figure

from helpers.show.style import alt
from helpers.show.viewer.interactive import is_interactive, with_still

NAMES = ("COURSE_STATIC", "JPY_SESSION_NAME", "KAGGLE_KERNEL_RUN_TYPE")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"JPY_SESSION_NAME": "lesson.ipynb"}, True),
        ({"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}, True),
        ({"KAGGLE_KERNEL_RUN_TYPE": "Batch"}, False),
        ({"COURSE_STATIC": "1", "JPY_SESSION_NAME": "lesson.ipynb"}, False),
        ({"COURSE_STATIC": "0"}, True),
        ({"COURSE_STATIC": "", "JPY_SESSION_NAME": "lesson.ipynb"}, True),
    ],
)
def test_only_a_session_of_jupyter_or_kaggle_is_interactive(monkeypatch, environment, expected):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_interactive() is expected


def test_a_widget_leaves_a_still_picture_too_drawn_when_it_is_displayed():
    """papermill from a cell of JupyterLab: the kernel inherits the session's variables, and no page is there."""
    drawn = []

    def draw():
        drawn.append(True)
        return alt(Figure(), "Nothing.")

    viewer = with_still(VBox(), draw)
    assert drawn == []
    data, metadata = InteractiveShell.instance().display_formatter.format(viewer)
    assert {"application/vnd.jupyter.widget-view+json", "image/png"} <= data.keys()
    assert data["image/png"].startswith(b"\x89PNG")
    assert metadata["image/png"] == {"alt": "Nothing."}
    assert "VBox" in data["text/plain"]


def test_a_page_that_shows_widgets_does_not_wait_for_a_picture(monkeypatch):
    parent = {"metadata": {"cellId": "5f2a"}}
    shell = SimpleNamespace(kernel=SimpleNamespace(get_parent=lambda channel: parent))
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    viewer = with_still(VBox(), lambda: pytest.fail("drawn"))
    data, metadata = viewer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert metadata == {}
    parent["metadata"].clear()
    assert "image/png" in with_still(VBox(), lambda: alt(Figure(), "Nothing."))._repr_mimebundle_()[0]


def test_a_widget_that_gives_its_metadata_too_keeps_it():
    """As those of anywidget do, among them the body that can be turned."""

    class Pair(VBox):
        def _repr_mimebundle_(self, **_):
            return {"application/vnd.jupyter.widget-view+json": {}}, {"widget": {"of": "anywidget"}}

    data, metadata = with_still(Pair(), lambda: alt(Figure(), "Nothing."))._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "image/png"} <= data.keys()
    assert metadata == {"image/png": {"alt": "Nothing."}, "widget": {"of": "anywidget"}}
