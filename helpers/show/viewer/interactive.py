"""Whether the notebook runs interactively; only then do viewers draw widgets, and these leave a still picture too."""

import os
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
    """Give a widget's output a still picture too, for places that show no widgets.

    Such are a notebook on GitHub, a report, and a run by papermill from a cell of JupyterLab: its kernel inherits the
    variables of the session, and only the picture is left of it.

    Args:
        widget: is changed, and returned; what shows widgets goes on showing it.
        draw: makes the figure, with its `alt`; called when the widget is displayed.
    """
    show = widget._repr_mimebundle_

    def bundle(**options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = draw()._repr_mimebundle_()
        return {**data, **show(**options)}, metadata

    widget._repr_mimebundle_ = bundle
    return widget
