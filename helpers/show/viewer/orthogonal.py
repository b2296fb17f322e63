"""Viewer of the three orthogonal planes of a head, linked by a crosshair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ipywidgets as widgets
import numpy as np

from helpers.show.panel import PLANES, filled, plane
from helpers.show.style import CLASS_COLOURS, CLASS_NAMES, MODALITY_NAMES
from helpers.show.viewer.controls import Overlay, Picture, button, chip, slice_slider, title_line
from helpers.show.viewer.pane import Pane, Voxel

if TYPE_CHECKING:
    from helpers.data.volumes import Scan


class Planes(widgets.VBox):
    """Axial, coronal and sagittal slice through one voxel; each has a slider.

    A slider redraws the slice of its own plane and, in the two others, only the crosshair. Slices are views of the
    volume: nothing is copied.

    Args:
        scan: the patient.
        picture: selects the background image.
        overlay: the labels laid over it.
        start: index of the initial voxel, in file order; a button returns to it.
        jump: label of that button.
        note: text of an arrow to `start`, shown in slices that contain some of the labels.
        title: heading of the viewer.

    Attributes:
        sliders: the slice slider of each plane, by its name.
        panes: the picture of each plane, by its name.
        values: intensities and tissue at the crosshair, CSS class `course-values`.
    """

    def __init__(
        self,
        scan: Scan,
        picture: Picture,
        overlay: Overlay,
        start: Voxel,
        jump: str,
        note: str | None = None,
        title: str | None = None,
    ) -> None:
        self._scan, self._start, self._note = scan, tuple(start), note
        self.picture, self.overlay = picture, overlay
        head = filled(scan.images)[..., None]  # (rows, columns, slices, 1)
        views = {name: plane(scan.affine, name) for name in PLANES}
        self.panes = {name: Pane(view, view.brain(head), name) for name, view in views.items()}
        self.sliders = {
            name: slice_slider(name, head.shape[view.axis], start[view.axis]) for name, view in views.items()
        }
        self.values = widgets.HTML().add_class("course-values")
        self.jump = button(jump, self._return)
        for pane, slider in zip(self.panes.values(), self.sliders.values(), strict=True):
            pane.children = (*pane.children, slider)
        row = widgets.HBox([*self.panes.values()], layout=widgets.Layout(width="100%", align_items="flex-end"))
        above = widgets.HBox([picture, self.jump], layout=widgets.Layout(flex_flow="row wrap"))
        super().__init__([*title_line(title), above, row, overlay, self.values])

        for name, slider in self.sliders.items():
            slider.observe(lambda _, name=name: self._moved(name), "value")
        picture.on_change(self._draw_all)
        overlay.on_change(self._draw_all)
        self._draw_all()
        self._mark(*self.panes)

    @property
    def voxel(self) -> tuple[int, ...]:
        """Index of the voxel at the crosshair, in file order."""
        by_axis = {self.panes[name].view.axis: slider.value for name, slider in self.sliders.items()}
        return tuple(by_axis[axis] for axis in range(3))

    def _moved(self, name: str) -> None:
        self._draw(name)
        # Whether the arrow is shown depends on the slice.
        self._mark(*(other for other in self.panes if other != name or self._note))

    def _return(self) -> None:
        for name, slider in self.sliders.items():
            slider.value = self._start[self.panes[name].view.axis]

    def _draw_all(self) -> None:
        for name in self.panes:
            self._draw(name)

    def _draw(self, name: str) -> None:
        pane, k = self.panes[name], self.sliders[name].value
        pane.draw(pane.cut(self.picture.volume, k), self.picture.window.value, *self.overlay.cut(pane, k))

    def _mark(self, *names: str) -> None:
        for name in names:
            pane, k = self.panes[name], self.sliders[name].value
            pointed = self._note is not None and self._passes(pane, k)
            pane.mark(self.voxel, {self._note: self._start} if pointed else None)
        self.values.value = self._describe()

    def _passes(self, pane: Pane, k: int) -> bool:
        """Whether slice k contains any of the labels that have a colour."""
        return bool(np.isin(pane.cut(self.overlay.labels, k), list(self.overlay.palette)).any())

    def _describe(self) -> str:
        """The intensities and the tissue at the crosshair, as HTML."""
        here = self._scan.images[self.voxel]  # (modalities,)
        parts = [f"voxel {self.voxel}"]
        for name, value in zip(self._scan.modalities, here, strict=True):
            parts.append(f"{MODALITY_NAMES.get(name, name)} <b>{value:.4g}</b>")
        if self.overlay.labels is not None:
            label = int(self.overlay.labels[self.voxel])
            colour = chip(CLASS_COLOURS[label]) + " " if label else ""
            parts.append(f"{colour}<b>{CLASS_NAMES[label] if label or here.any() else 'background'}</b>")
        return " &nbsp;&middot;&nbsp; ".join(parts)
