"""Whether the notebook runs interactively; only then do viewers draw widgets, and these leave a still picture too."""

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from ipywidgets import DOMWidget
from matplotlib.figure import Figure

W = TypeVar("W", bound=DOMWidget)


def is_interactive() -> bool:
    """True in a session of a Jupyter server or in Kaggle's editor, where a person can move a slider.

    papermill, nbconvert and Kaggle's "Save & Run All" run a notebook unattended and save the picture of each cell,
    which a widget does not provide. `COURSE_STATIC=1` forces static figures, `COURSE_STATIC=0` widgets.
    """
    if static := os.environ.get("COURSE_STATIC"):
        return static == "0"
    # JupyterLab's server sets the first variable only for the kernels of its own pages.
    return bool(os.environ.get("JPY_SESSION_NAME")) or os.environ.get("KAGGLE_KERNEL_RUN_TYPE") == "Interactive"


def with_still(widget: W, draw: Callable[[], Figure]) -> W:
    """Give a widget's output a still picture too, unless a page of Jupyter asks for it, which shows the widget at once.

    papermill from a cell of JupyterLab needs the picture: its kernel inherits the variables of the session, and nothing
    else is left of the viewer.

    Args:
        widget: is changed, and returned; what shows widgets goes on showing it.
        draw: makes the figure, with its `alt`; called when the widget is displayed.
    """
    show = widget._repr_mimebundle_

    def bundle(**options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        shown = show(**options)
        widget_data, about = shown if isinstance(shown, tuple) else (shown, {})  # anywidget gives a pair
        if _on_a_page():
            return widget_data, about
        data, metadata = draw()._repr_mimebundle_()
        return {**data, **widget_data}, {**metadata, **about}

    widget._repr_mimebundle_ = bundle
    return widget


def _on_a_page() -> bool:
    """Whether a page of Jupyter sent the cell that runs: pages name their cells, and what executes files does not."""
    ipython = sys.modules.get("IPython")
    kernel = getattr(ipython and ipython.get_ipython(), "kernel", None)
    return kernel is not None and "cellId" in (kernel.get_parent("shell") or {}).get("metadata", {})
