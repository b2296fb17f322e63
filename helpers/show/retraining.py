"""Figures of lesson 12: slices stacked two ways, a brain under another's rim, and losses of two starts side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from helpers.show.panel import plane, show_slice
from helpers.show.style import alt, styled

_LOSSES = {"training": "#0072B2", "validation": "#D55E00"}


@styled
def stacked(stacks: Mapping[str, np.ndarray], aspect: float, title: str | None = None) -> Figure:
    """The same slices in several orders, each cut along the head.

    Args:
        stacks: by name (rows, columns, slices).
        aspect: a slice's distance from the next over the size of its pixels.
        title: heading of the figure.
    """
    figure = Figure(figsize=(8, 2.9 + 0.3 * (title is not None)))
    for ax, (name, stack) in zip(figure.subplots(1, len(stacks), squeeze=False)[0], stacks.items(), strict=True):
        ax.imshow(stack[:, stack.shape[1] // 2].T[::-1], aspect=aspect, cmap="gray")
        ax.set(xticks=[], yticks=[], xlabel="front to back")
        ax.set_title(name)
    if title is not None:
        figure.suptitle(title)
    return alt(figure, f"A cut along the head, of the same slices {' and '.join(stacks)}.")


@styled
def under_rim(
    volumes: Mapping[str, np.ndarray], rim: np.ndarray, affine: np.ndarray, title: str | None = None
) -> Figure:
    """The middle slice of volumes on one grid, each under the outline of a brain.

    Args:
        volumes: by name (rows, columns, slices).
        rim: (rows, columns, slices) bool, the brain whose outline is drawn.
        affine: (4, 4), of the grid.
        title: heading of the figure.
    """
    view, k = plane(affine), rim.shape[2] // 2
    box = view.brain(rim[..., None])
    figure = Figure(figsize=(8, 4.1 + 0.3 * (title is not None)))
    axes = figure.subplots(1, len(volumes), squeeze=False)[0]
    for ax, (name, volume) in zip(axes, volumes.items(), strict=True):
        drawn = view.cut(rim * 1, k, box)
        show_slice(ax, view.cut(volume, k, box), view, labels=drawn, marks=ax is axes[0])
        ax.set_title(name)
    if title is not None:
        figure.suptitle(title)
    return alt(figure, f"A slice of a head under the rim of another series: {', '.join(volumes)}.")


@styled
def losses(trainings: Mapping[str, Mapping[str, Sequence[float]]], title: str | None = None) -> Figure:
    """Loss over the epochs of several trainings, a panel each on one scale, as the paper's figure 12 has them.

    Args:
        trainings: by name, the losses of `training` and `validation`, one number per epoch.
        title: heading of the figure.
    """
    figure = Figure(figsize=(8, 2.9 + 0.3 * (title is not None)))
    axes = figure.subplots(1, len(trainings), sharey=True, squeeze=False)[0]
    for ax, (name, curves) in zip(axes, trainings.items(), strict=True):
        for kind, values in curves.items():
            ax.plot(range(1, len(values) + 1), values, marker="o", markersize=3, color=_LOSSES[kind], label=kind)
        ax.set(xlabel="epoch", ylabel="loss" if ax is axes[0] else "")
        ax.set_title(name)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes[-1].legend()
    if title is not None:
        figure.suptitle(title)
    ends = "; ".join(f"{name} {curves['validation'][-1]:.2f}" for name, curves in trainings.items())
    return alt(figure, f"Losses of {len(trainings)} trainings; validation ends at: {ends}.")
