"""Controls of the viewers: slice slider, modality and intensity window, label overlay, button, legend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING

import ipywidgets as widgets
import numpy as np

from helpers.show.panel import grey_levels
from helpers.show.style import CLASS_COLOURS, CLASS_NAMES, MODALITY_NAMES
from helpers.show.viewer.pane import Pane

if TYPE_CHECKING:
    from helpers.data.volumes import Scan

OWN_WIDTH = {"description_width": "initial"}  # or a long description is cut off


def slice_slider(name: str, count: int, k: int) -> widgets.IntSlider:
    """A slider over the slices of a plane; the arrow keys move it by one. CSS class `course-slice-NAME`.

    Args:
        name: the plane.
        count: number of slices.
        k: initial slice.
    """
    layout = widgets.Layout(width="98%")
    slider = widgets.IntSlider(k, 0, count - 1, description=name, style=OWN_WIDTH, layout=layout)
    return slider.add_class(f"course-slice-{name}")


def button(text: str, pressed: Callable[[], None]) -> widgets.Button:
    """A button that jumps to a position. CSS class `course-jump`.

    Args:
        text: label of the button.
        pressed: called on every click.
    """
    made = widgets.Button(description=text, icon="crosshairs", layout=widgets.Layout(width="auto"))
    made.on_click(lambda _: pressed())
    return made.add_class("course-jump")


def chip(colour: str) -> str:
    """HTML of a small coloured square."""
    style = f"display: inline-block; width: 1em; height: 1em; vertical-align: -0.1em; background: {colour}"
    return f'<span style="{style}; border: 1px solid #555"></span>'


def legend(colours: Mapping[str, str]) -> str:
    """HTML of a one-line legend: name to colour."""
    return " &emsp; ".join(f"{chip(colour)} {escape(name)}" for name, colour in colours.items())


class Picture(widgets.HBox):
    """Selects the modality that is drawn, and its window; CSS classes `course-modality` and `course-window`.

    A window runs from the intensity drawn black to the one drawn white: its centre is the level.

    Args:
        scan: the patient.
        modality: the one selected initially.

    Attributes:
        modality: the `ipywidgets.Dropdown` of the modalities.
        window: the `ipywidgets.FloatRangeSlider` of the intensity window.
    """

    def __init__(self, scan: Scan, modality: str) -> None:
        self._scan, self._windows = scan, {}
        options = [(MODALITY_NAMES.get(name, name), name) for name in scan.modalities]
        short, wide = widgets.Layout(width="10em"), widgets.Layout(width="24em")
        self.modality = widgets.Dropdown(options=options, value=modality, description="picture", layout=short)
        self.modality.style = OWN_WIDTH
        self.window = widgets.FloatRangeSlider(description="window", style=OWN_WIDTH, layout=wide)
        super().__init__([self.modality.add_class("course-modality"), self.window.add_class("course-window")])
        self._changed: list[Callable[[], None]] = []
        self._open_window()
        self.modality.observe(self._open_window, "value")
        self.window.observe(lambda _: self._notify(), "value")

    @property
    def volume(self) -> np.ndarray:
        """(rows, columns, slices) of the selected modality, a view of the scan."""
        return self._scan.image(self.modality.value)

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever another modality or window is selected."""
        self._changed.append(changed)

    def _open_window(self, _: object = None) -> None:
        name = self.modality.value
        if name not in self._windows:
            low, high = grey_levels(self.volume)
            ends = float(self.volume.min()), float(self.volume.max())
            # Some voxels of vessels are far brighter than tissue; without a limit, they would take most of the slider.
            self._windows[name] = (low, high), (min(ends[0], low), min(ends[1], high + 0.5 * (high - low)))
        window, (low, high) = self._windows[name]
        callbacks, self._changed = self._changed, []
        with self.window.hold_trait_notifications():
            self.window.min, self.window.max, self.window.value = low, max(high, window[1]), window
            self.window.step = (window[1] - window[0]) / 100
            self.window.readout_format = ".0f" if window[1] - window[0] > 20 else ".2f"
        self._changed = callbacks
        self._notify()

    def _notify(self) -> None:
        for changed in self._changed:
            changed()


class Overlay(widgets.HBox):
    """Controls of the label overlay: on or off, opacity, and a checkbox for each class.

    CSS classes `course-mask`, `course-opacity` and `course-class-LABEL`. Without labels the box is empty.

    Args:
        labels: (rows, columns, slices) whole numbers, or None.
        palette: colour of each label that may be shown.
        on: whether the labels are shown initially.
    """

    def __init__(
        self,
        labels: np.ndarray | None,
        palette: Mapping[int, str] = CLASS_COLOURS,
        on: bool = True,
    ) -> None:
        self.labels, self.palette = labels, palette
        narrow = widgets.Layout(width="auto")
        self.on = widgets.ToggleButton(on, description="mask", icon="eye", layout=narrow).add_class("course-mask")
        self.opacity = widgets.FloatSlider(0.5, min=0.1, max=1, step=0.05, description="opacity", style=OWN_WIDTH)
        self.opacity.layout.width = "15em"
        self.opacity.add_class("course-opacity")
        self.classes = {}
        parts: list[widgets.Widget] = [self.on, self.opacity]
        for label, colour in palette.items():
            box = widgets.Checkbox(True, description=CLASS_NAMES[label], indent=False, layout=narrow)
            self.classes[label] = box.add_class(f"course-class-{label}")
            parts += [widgets.HTML(chip(colour), layout=widgets.Layout(margin="2px 4px 2px 12px")), box]
        super().__init__(parts if labels is not None else [], layout=widgets.Layout(flex_flow="row wrap"))

    @property
    def colours(self) -> dict[int, str]:
        """Colours of the labels that are currently shown."""
        if self.labels is None or not self.on.value:
            return {}
        return {label: colour for label, colour in self.palette.items() if self.classes[label].value}

    def cut(self, pane: Pane, k: int) -> tuple[np.ndarray | None, dict[int, str], float]:
        """Arguments of `Pane.draw` for slice k: (rows, columns) labels or None, their colours and their opacity.

        Args:
            pane: the pane that draws the slice.
            k: slice number.
        """
        colours = self.colours
        return pane.cut(self.labels, k) if colours else None, colours, self.opacity.value

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever labels are shown or hidden, or their opacity changes."""
        for part in (self.on, self.opacity, *self.classes.values()):
            part.observe(lambda _: changed(), "value")


def title_line(title: str | None) -> list[widgets.HTML]:
    """The heading of a viewer as a list of widgets; empty without a title."""
    return [widgets.HTML(f"<b>{escape(title)}</b>")] if title else []
