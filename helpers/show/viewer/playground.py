"""Augmentation playground: a slider for each transform, applied to a slice and its mask together."""

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

BRATS = Plane(2, ("L", "P"), (1.0, 1.0))  # orientation of a training slice; one unit is one pixel
COLUMNS = 5


@dataclass(frozen=True)
class Slice:
    """A training slice that can be augmented.

    Attributes:
        image: (size, size, channels) float32, z-scored, 0 outside the brain.
        soft_labels: (size, size, classes) float32, soft labels that sum to 1.
        modalities: name of each channel.
        seed: of the random fields (noise, elastic deformation, bias field); fixed, so that a slider changes only its
            own transform.

    Raises:
        ValueError: the shapes of image, soft labels and modalities do not match.
    """

    image: np.ndarray
    soft_labels: np.ndarray
    modalities: tuple[str, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        size, channels = self.image.shape[0], len(self.modalities)
        if self.image.shape != (size, size, channels) or self.soft_labels.shape[:2] != (size, size):
            raise ValueError(
                f"image has shape {self.image.shape} and soft labels {self.soft_labels.shape}; expected (size, size, "
                f"{channels}), a channel for each of {', '.join(self.modalities)}, and (size, size, classes)"
            )

    @cached_property
    def windows(self) -> list[tuple[float, float]]:
        """Intensity window of each channel, from the original slice, so that a change of brightness is visible."""
        return [grey_levels(self.image[..., channel]) for channel in range(len(self.modalities))]

    def augmented(self, strengths: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
        """Apply the transforms whose strength is not 0, in the order of `augment.ALL`.

        Args:
            strengths: by name of the transform; those not named have strength 0.

        Returns:
            Image (size, size, channels) and labels (size, size) uint8, the most probable class of each pixel.
        """
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
    """The original and the augmented slice, and a slider for the strength of each transform.

    Args:
        slice_: the slice to augment.
        title: heading of the viewer.

    Attributes:
        sliders: by name of the transform, CSS class `course-kind-NAME`, with hyphens for spaces.
        panes: `before` (CSS class `course-image-before`) and `after` (`course-image-after`).
        channel: selects the modality that is drawn, CSS class `course-modality`.
    """

    def __init__(self, slice_: Slice, title: str | None = None) -> None:
        from helpers.prepare import augment

        self._slice = slice_
        whole = (slice(0, len(slice_.image)),) * 2
        captions = {"before": "Original", "after": "Augmented"}
        self.panes = {name: Pane(BRATS, whole, name, text, marks=False) for name, text in captions.items()}
        names = [(MODALITY_NAMES.get(name, name), index) for index, name in enumerate(slice_.modalities)]
        self.channel = widgets.Dropdown(options=names, description="picture", style=OWN_WIDTH)
        self.channel.layout.width = "10em"
        self.sliders = {}
        for name in augment.ALL:
            kind = augment.TRANSFORMS[name]
            # A power of ten over 50 divides both limits, so that 0 is one of the slider's values.
            step = 1 if name == "flip" else 10 ** np.floor(np.log10(kind.high - kind.low)) / 50
            slider = widgets.FloatSlider(0, min=kind.low, max=kind.high, step=step, description=name)
            slider.readout_format = ".2f" if step > 0.005 else ".3f"
            slider.tooltip, slider.layout.width = kind.unit, "98%"
            slider.style.description_width = "7em"
            slider.observe(lambda _: self._draw("after"), "value")
            self.sliders[name] = slider.add_class(f"course-kind-{name.replace(' ', '-')}")
        self.reset = button("Reset", self._reset)
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
            image, labels = self._slice.augmented(strengths)
            self.panes[name].draw(image[..., channel], self._slice.windows[channel], labels, opacity=0.4)


@styled
def grid(slice_: Slice, title: str | None = None) -> Figure:
    """Static figure: the original slice, and each transform at its maximum strength; the mask outlined.

    Args:
        slice_: the slice to augment.
        title: heading of the figure.
    """
    from helpers.prepare import augment

    highest = {kind: augment.TRANSFORMS[kind].high for kind in augment.ALL}
    panels = {"original": {}} | {f"{kind} {high:g}": {kind: high} for kind, high in highest.items()}
    rows = -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(8, 1.8 * rows + 0.3 * (title is not None)))
    axes = figure.subplots(rows, COLUMNS).ravel()
    for ax, (name, strengths) in zip(axes, panels.items(), strict=False):
        image, labels = slice_.augmented(strengths)
        show_slice(ax, image[..., 0], BRATS, slice_.windows[0], labels, CLASS_COLOURS, marks=False)
        ax.set_title(name)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    if title is not None:
        figure.suptitle(title)
    return alt(figure, f"One slice and its mask, original and after {len(panels) - 1} transforms: {', '.join(panels)}.")
