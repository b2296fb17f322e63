"""Slices side by side, one panel a picture, in one size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from helpers.show.panel import Plane, show_slice
from helpers.show.style import CLASS_COLOURS, alt, styled


@dataclass(frozen=True)
class Panel:
    """One picture of a row.

    Attributes:
        image: (rows, columns), a slice in file order.
        plane: its orientation and spacing.
        labels: (rows, columns) int, laid over it; None for the picture alone.
        window: the values drawn black and white; None for the picture's own.
    """

    image: np.ndarray
    plane: Plane
    labels: np.ndarray | None = None
    window: tuple[float, float] | None = None


@styled
def row(
    panels: Mapping[str, Panel],
    text: str,
    title: str | None = None,
    colours: Mapping[int, str] = CLASS_COLOURS,
    names: Mapping[int, str] | None = None,
    fill: float = 0.0,
    width: float = 8.0,
) -> Figure:
    """Draw slices side by side; letters and scale bar stand in the first.

    Args:
        panels: each picture by the title of its panel.
        text: alternative text of the figure.
        title: heading of the figure.
        colours: of each label.
        names: of each label, for a legend; no legend without.
        fill: opacity of the labels, from 0 to 1; 0 draws their outlines.
        width: of the figure, in inches.

    Raises:
        ValueError: there is no panel, or labels have another shape than their picture.
    """
    if not panels:
        raise ValueError("there is nothing to draw; give one panel or more")
    for name, panel in panels.items():
        if panel.labels is not None and panel.labels.shape != panel.image.shape:
            raise ValueError(f"{name!r} has labels of shape {panel.labels.shape} over a picture of {panel.image.shape}")
    heights = [_aspect(panel) for panel in panels.values()]
    lines = 1 + max(name.count("\n") for name in panels)
    above = 0.2 * lines + 0.3 * (title is not None) + 0.3 * (names is not None)
    figure = Figure(figsize=(width, width / len(panels) * max(heights) + above))
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, (name, panel) in zip(axes, panels.items(), strict=True):
        first = ax is axes[0]
        show_slice(ax, panel.image, panel.plane, panel.window, panel.labels, colours, fill, marks=first)
        ax.set_title(name)
    if names:
        handles = [Patch(facecolor=colours[label], edgecolor="#555555", label=name) for label, name in names.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    if title is not None:
        figure.suptitle(title)
    return alt(figure, text)


def _aspect(panel: Panel) -> float:
    """Height of the picture as drawn, as a share of its width."""
    rows, columns = (size * step for size, step in zip(panel.image.shape, panel.plane.spacing, strict=True))
    return columns / rows if panel.plane.swap else rows / columns
