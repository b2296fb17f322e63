"""Three planes of one head in the browser, linked by a crosshair."""

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

    A slider redraws the slice of its own plane and, in the two others, only the crosshair. Slices are cut from the
    volume as they are wanted: nothing is copied.

    Args:
        scan: the patient.
        picture: what is drawn.
        overlay: what lies on top of it.
        home: voxel to begin with, and to come back to.
        back: what the button says that goes there.
        note: text of an arrow to `home`, in the planes that pass through the labels.
        title: what to see.

    Attributes:
        sliders, panes: for each plane, by its name.
        values: what is at the crosshair, CSS class `course-values`.
    """

    def __init__(
        self,
        scan: Scan,
        picture: Picture,
        overlay: Overlay,
        home: Voxel,
        back: str,
        note: str | None = None,
        title: str | None = None,
    ) -> None:
        self._scan, self._home, self._note = scan, tuple(home), note
        self.picture, self.overlay = picture, overlay
        head = filled(scan.images)[..., None]  # (rows, columns, slices, 1)
        views = {name: plane(scan.affine, name) for name in PLANES}
        self.panes = {name: Pane(view, view.brain(head), name) for name, view in views.items()}
        self.sliders = {
            name: slice_slider(name, head.shape[view.axis], home[view.axis]) for name, view in views.items()
        }
        self.values = widgets.HTML().add_class("course-values")
        self.jump = button(back, self._go_home)
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
        """Where the crosshair is, in file order."""
        by_axis = {self.panes[name].view.axis: slider.value for name, slider in self.sliders.items()}
        return tuple(by_axis[axis] for axis in range(3))

    def _moved(self, name: str) -> None:
        self._draw(name)
        # An arrow that points to a place in this plane comes and goes with the slice.
        self._mark(*(other for other in self.panes if other != name or self._note))

    def _go_home(self) -> None:
        for name, slider in self.sliders.items():
            slider.value = self._home[self.panes[name].view.axis]

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
            pane.mark(self.voxel, {self._note: self._home} if pointed else None)
        self.values.value = self._describe()

    def _passes(self, pane: Pane, k: int) -> bool:
        """Whether slice k holds any of the labels that have a colour."""
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
