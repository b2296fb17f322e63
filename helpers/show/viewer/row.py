"""Viewer of several pictures of one slice side by side, with one slider."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import ipywidgets as widgets

from helpers.show.panel import plane
from helpers.show.slices import busiest
from helpers.show.viewer.controls import button, slice_slider, title_line
from helpers.show.viewer.pane import Pane

if TYPE_CHECKING:
    from helpers.data.volumes import Scan


class Row(widgets.VBox):
    """Several pictures of the same axial slice.

    Args:
        scan: the patient.
        captions: text above each picture; the pictures have the CSS classes `course-image-0`, `course-image-1` ...
        draw: called with the panes and the slice number, to draw each pane.
        k: initial slice, to which a button returns; by default the one with most tumour.
        above: widgets above the pictures.
        below: widgets below the pictures.
        title: heading of the viewer.

    Attributes:
        slider: the slice slider.
        panes: the pictures.
    """

    def __init__(
        self,
        scan: Scan,
        captions: Sequence[str],
        draw: Callable[[list[Pane], int], None],
        k: int | None = None,
        above: Sequence[widgets.Widget] = (),
        below: Sequence[widgets.Widget] = (),
        title: str | None = None,
    ) -> None:
        view, start = plane(scan.affine), busiest(scan) if k is None else k
        box = view.brain(scan.images)
        self._draw = draw
        self.panes = [Pane(view, box, str(index), caption) for index, caption in enumerate(captions)]
        self.slider = slice_slider("axial", scan.images.shape[view.axis], start)
        self.jump = button(
            "Largest tumour slice" if k is None else f"Back to slice {k}", lambda: setattr(self.slider, "value", start)
        )
        row = widgets.HBox(self.panes, layout=widgets.Layout(width="100%"))
        head = widgets.HBox([*above, self.jump], layout=widgets.Layout(flex_flow="row wrap"))
        super().__init__([*title_line(title), head, row, self.slider, *below])
        self.slider.observe(lambda _: self.redraw(), "value")
        self.redraw()

    def redraw(self) -> None:
        """Draw the slice that the slider selects."""
        self._draw(self.panes, self.slider.value)
