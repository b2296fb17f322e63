"""Augmentation to play with: a slider for each way to vary a slice, the image and its mask moved together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure

from helpers.show.panel import Plane, grey_levels, show_slice
from helpers.show.style import CLASS_COLOURS, MODALITY_NAMES, alt, styled
from helpers.show.viewer.controls import OWN_WIDTH, button, title_line
from helpers.show.viewer.pane import Pane

BRATS = Plane(2, ("L", "P"), (1.0, 1.0))  # how a training slice lies, one unit a pixel
COLUMNS = 5


@dataclass(frozen=True)
class Slice:
    """A slice as the network sees it, and ways to vary it.

    Attributes:
        image: (size, size, channels) float32, z-scored, 0 outside the brain.
        soft_labels: (size, size, classes) float32, soft labels that sum to 1.
        modalities: name of each channel.
        seed: of the patterns of noise, of elastic and of bias fields; fixed, so that a slider changes one thing.
    """

    image: np.ndarray
    soft_labels: np.ndarray
    modalities: tuple[str, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        size, channels = self.image.shape[0], len(self.modalities)
        if self.image.shape != (size, size, channels) or self.soft_labels.shape[:2] != (size, size):
            raise ValueError(
                f"image has shape {self.image.shape} and shares {self.soft_labels.shape}; expected (size, size, "
                f"{channels}), a channel for each of {', '.join(self.modalities)}, and (size, size, classes)"
            )

    @cached_property
    def windows(self) -> list[tuple[float, float]]:
        """Black and white of each channel, of the slice as it was: or a brighter one would look the same."""
        return [grey_levels(self.image[..., channel]) for channel in range(len(self.modalities))]

    def varied(self, strengths: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
        """Image and labels (size, size) after the ways whose strength is not 0, in `augment.ALL`'s order."""
        from keras import ops

        from helpers.prepare import augment

        images, soft_labels = self.image[None], self.soft_labels[None]
        for kind in augment.ALL:
            if strength := strengths.get(kind, 0):
                one = augment.single(kind, strength, *self.image.shape[1:], seed=self.seed)
                images, soft_labels = augment.apply(images, soft_labels, one)
        labels = np.argmax(ops.convert_to_numpy(soft_labels)[0], axis=-1).astype(np.uint8)
        return ops.convert_to_numpy(images)[0], labels


class Playground(widgets.VBox):
    """The slice as it was and as it is varied, and a slider for each way to vary it.

    Attributes:
        sliders: by the name of the way, CSS class `course-kind-NAME`, with hyphens for spaces.
        panes: `before` (CSS class `course-image-before`) and `after` (`course-image-after`).
        channel: which modality is drawn, CSS class `course-modality`.
    """

    def __init__(self, slice_: Slice, title: str | None = None) -> None:
        from helpers.prepare import augment

        self._slice = slice_
        whole = (slice(0, len(slice_.image)),) * 2
        captions = {"before": "As it was", "after": "Varied"}
        self.panes = {name: Pane(BRATS, whole, name, text, marks=False) for name, text in captions.items()}
        names = [(MODALITY_NAMES.get(name, name), index) for index, name in enumerate(slice_.modalities)]
        self.channel = widgets.Dropdown(options=names, description="picture", style=OWN_WIDTH)
        self.channel.layout.width = "10em"
        self.sliders = {}
        for name in augment.ALL:
            kind = augment.TRANSFORMS[name]
            # A power of ten over 50 divides both ends, so that a slider can stand at 0.
            step = 1 if name == "flip" else 10 ** np.floor(np.log10(kind.high - kind.low)) / 50
            slider = widgets.FloatSlider(0, min=kind.low, max=kind.high, step=step, description=name)
            slider.readout_format = ".2f" if step > 0.005 else ".3f"
            slider.tooltip, slider.layout.width = kind.unit, "98%"
            slider.style.description_width = "7em"
            slider.observe(lambda _: self._draw("after"), "value")
            self.sliders[name] = slider.add_class(f"course-kind-{name.replace(' ', '-')}")
        self.reset = button("As it was", self._reset)
        self.channel.observe(lambda _: self._draw(*self.panes), "value")
        above = widgets.HBox([self.channel.add_class("course-modality"), self.reset])
        grid = widgets.GridBox([*self.sliders.values()], layout=widgets.Layout(grid_template_columns="repeat(3, 33%)"))
        pictures = widgets.HBox([*self.panes.values()], layout=widgets.Layout(max_width="44em"))
        super().__init__([*title_line(title), above, pictures, grid])
        self._draw(*self.panes)

    def _reset(self) -> None:
        for slider in self.sliders.values():
            slider.value = 0

    def _draw(self, *names: str) -> None:
        channel = self.channel.value
        for name in names:
            strengths = {kind: slider.value for kind, slider in self.sliders.items()} if name == "after" else {}
            image, labels = self._slice.varied(strengths)
            self.panes[name].draw(image[..., channel], self._slice.windows[channel], labels, opacity=0.4)


@styled
def grid(slice_: Slice, title: str | None = None) -> Figure:
    """The slice as it was, and varied in each way as far as its slider goes; the mask outlined."""
    from helpers.prepare import augment

    highest = {kind: augment.TRANSFORMS[kind].high for kind in augment.ALL}
    ways = {"as it was": {}} | {f"{kind} {high:g}": {kind: high} for kind, high in highest.items()}
    rows = -(-len(ways) // COLUMNS)
    figure = Figure(figsize=(8, 1.8 * rows + 0.3 * (title is not None)))
    axes = figure.subplots(rows, COLUMNS).ravel()
    for ax, (name, strengths) in zip(axes, ways.items(), strict=False):
        image, labels = slice_.varied(strengths)
        show_slice(ax, image[..., 0], BRATS, slice_.windows[0], labels, CLASS_COLOURS, marks=False)
        ax.set_title(name)
    for ax in axes[len(ways) :]:
        ax.set_axis_off()
    if title is not None:
        figure.suptitle(title)
    return alt(figure, f"One slice and its mask, untouched and varied in {len(ways) - 1} ways: {', '.join(ways)}.")
