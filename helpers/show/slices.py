"""Figures of a whole scan: its modalities, its three planes, its mask, and a prediction beside the ground truth.

Every function takes a `helpers.data.volumes.Scan` and returns a figure. A slice number `k` counts along the axis that
runs between foot and head; the default is the slice with most tumour.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from helpers.measure import overlap, regions
from helpers.show.landmarks import core_centre
from helpers.show.panel import LETTER_HALO, grey_levels, plane, show_slice
from helpers.show.style import AGREEMENT_COLOURS, CLASS_COLOURS, CLASS_NAMES, MODALITY_NAMES, alt, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from helpers.data.volumes import Scan

WIDTH = 8.0  # inches
FILL = 0.65  # lets the slice show through


def busiest(scan: Scan, labels: np.ndarray | None = None) -> int:
    """The axial slice with most tumour; without tumour, the one with most brain.

    Args:
        scan: the patient.
        labels: (rows, columns, slices) network labels; by default the scan's own mask.
    """
    labels = scan.seg if labels is None else labels
    shown = scan.images.any(axis=-1) if labels is None or not labels.any() else labels != 0
    axis = plane(scan.affine).axis
    return int(np.argmax(shown.sum(axis=tuple(other for other in range(3) if other != axis))))


@styled
def modalities(scan: Scan, k: int | None = None, title: str | None = None) -> Figure:
    """All modalities of one slice, and its mask laid over T1ce, or over the first modality (the paper's figure 9).

    Args:
        scan: the patient; without a mask, the last panel is left out.
        k: slice number.
        title: heading of the figure.
    """
    view, k = plane(scan.affine), busiest(scan) if k is None else k
    box = view.brain(scan.images)
    rows = 1 if len(scan.modalities) <= 2 else 2
    columns = -(-len(scan.modalities) // rows)
    masked = scan.seg is not None
    high, wide = view.size(box)
    across = columns + (rows if masked else 0)
    figure = _figure(WIDTH * rows * high / wide / across, title, legend=masked, rows=rows)
    grid = figure.add_gridspec(rows, across)
    for index, name in enumerate(scan.modalities):
        ax = figure.add_subplot(grid[index // columns, index % columns])
        volume = _modality(scan, name)
        show_slice(ax, view.cut(volume, k, box), view, grey_levels(volume), marks=index == 0 or not masked)
        ax.set_title(MODALITY_NAMES.get(name, name))
    if masked:
        name = "t1ce" if "t1ce" in scan.modalities else scan.modalities[0]
        ax, volume = figure.add_subplot(grid[:, columns:]), _modality(scan, name)
        labels = view.cut(scan.seg, k, box)
        show_slice(ax, view.cut(volume, k, box), view, grey_levels(volume), labels, fill=FILL)
        ax.set_title(f"The mask, over {MODALITY_NAMES.get(name, name)}")
        _legend(figure, _class_colours())
    names = ", ".join(MODALITY_NAMES.get(name, name) for name in scan.modalities)
    return alt(figure, f"Slice {k} of {scan.id} in {names}" + (", and the mask of its tumour." if masked else "."))


@styled
def image_and_mask(scan: Scan, k: int | None = None, modality: str = "flair", title: str | None = None) -> Figure:
    """A slice, its mask alone, and the mask laid over the slice (the paper's figure 10).

    Args:
        scan: the patient, with a mask.
        k: slice number.
        modality: background image.
        title: heading of the figure.

    Raises:
        ValueError: the scan has no such modality, or no mask.
    """
    view, k = plane(scan.affine), busiest(scan) if k is None else k
    volume, box = _modality(scan, modality), view.brain(scan.images)
    image, labels = view.cut(volume, k, box), view.cut(_mask(scan), k, box)
    high, wide = view.size(box)
    figure = _figure(WIDTH / 3 * high / wide, title, legend=True)
    first, second, third = figure.subplots(1, 3)
    show_slice(first, image, view, grey_levels(volume))
    first.set_title(f"{MODALITY_NAMES.get(modality, modality)}, slice {k}")
    # The mask alone is drawn over a silhouette of the head, so that its position can be recognised.
    show_slice(second, np.where(image != 0, 0.25, 0.0), view, (0, 1), labels, fill=1.0, marks=False)
    second.set_title("Mask")
    show_slice(third, image, view, grey_levels(volume), labels, marks=False)
    third.set_title("Both")
    _legend(figure, _class_colours())
    return alt(figure, f"Slice {k} of {scan.id}: the image, the mask of its tumour, and its outline on the image.")


@styled
def three_planes(
    scan: Scan, centre: Sequence[int] | None = None, modality: str = "t1ce", title: str | None = None
) -> Figure:
    """Axial, coronal and sagittal slice through one voxel, by default the centre of the tumour core (figure 11).

    By default the classes of the core are outlined, necrosis and enhancing rim; where a centre is given, all are.

    Args:
        scan: the patient.
        centre: index of the voxel, in file order.
        modality: background image.
        title: heading of the figure.

    Raises:
        ValueError: the scan has no such modality, or there is neither a mask nor a centre.
    """
    volume = _modality(scan, modality)
    point = core_centre(_mask(scan)) if centre is None else tuple(int(index) for index in centre)
    views = {name: plane(scan.affine, name) for name in ("axial", "coronal", "sagittal")}
    boxes = {name: view.brain(scan.images) for name, view in views.items()}
    sizes = {name: view.size(boxes[name]) for name, view in views.items()}
    wide = [size[1] for size in sizes.values()]
    named = centre is not None and scan.seg is not None
    figure = _figure(WIDTH * max(high for high, _ in sizes.values()) / sum(wide), title, legend=named)
    axes = figure.subplots(1, 3, width_ratios=wide)
    for ax, (name, view) in zip(axes, views.items(), strict=True):
        box, k = boxes[name], point[view.axis]
        image = view.cut(volume, k, box)
        labels = None if scan.seg is None else view.cut(scan.seg, k, box)
        if centre is None:
            labels = np.where(regions.mask(labels, "TC"), labels, 0)
        show_slice(ax, image, view, grey_levels(volume), labels)
        inside = [point[axis] for axis in range(3) if axis != view.axis]
        x, y = view.place(tuple(i - edge.start for i, edge in zip(inside, box, strict=True)), image.shape)
        _crosshair(ax, x, y)
        if centre is None:
            _annotate(ax, x, y, "tumour core")
        ax.set_title(f"{name.capitalize()}, slice {k}")
    if named:
        _legend(figure, _class_colours())
    return alt(figure, f"{scan.id} cut in three planes through voxel {point}, marked by a crosshair in each.")


@styled
def compare(
    scan: Scan,
    truth: np.ndarray,
    prediction: np.ndarray,
    k: int | None = None,
    modality: str = "flair",
    title: str | None = None,
) -> Figure:
    """Ground truth, prediction, and their agreement on the whole tumour; Dice of the slice and of the patient.

    The agreement shows true positives, false negatives and false positives, in `AGREEMENT_COLOURS`.

    Args:
        scan: the patient.
        truth: (rows, columns, slices) network labels, on the scan's grid.
        prediction: (rows, columns, slices) network labels, on the scan's grid.
        k: slice number; by default the one with most tumour in the ground truth.
        modality: background image.
        title: heading of the figure.

    Raises:
        ValueError: the labels have another shape than the scan, or the scan has no such modality.
    """
    view, volume = plane(scan.affine), _modality(scan, modality)
    for name, labels in {"truth": truth, "prediction": prediction}.items():
        if labels.shape != volume.shape:
            raise ValueError(f"{name} has shape {labels.shape}; expected the scan's own grid, {volume.shape}")
    k = busiest(scan, truth) if k is None else k
    box = view.brain(scan.images)
    image, cuts = view.cut(volume, k, box), [view.cut(labels, k, box) for labels in (truth, prediction)]
    high, wide = view.size(box)
    figure = _figure(WIDTH / 3 * high / wide + 0.2, title, legend=True)
    axes = figure.subplots(1, 3)
    for ax, labels, name in zip(axes, cuts, ("Ground truth", "Prediction"), strict=False):
        show_slice(ax, image, view, grey_levels(volume), labels, fill=FILL, marks=name == "Ground truth")
        ax.set_title(f"{name}\nslice {k}")
    true, drawn = (regions.mask(labels, "WT") for labels in cuts)
    agreement = np.select([true & drawn, true, drawn], [1, 2, 3], 0)
    colours = dict(enumerate(AGREEMENT_COLOURS.values(), start=1))
    show_slice(axes[2], image, view, grey_levels(volume), agreement, colours, fill=FILL, marks=False)
    here = overlap.dice(true, drawn)
    whole = overlap.dice(regions.mask(truth, "WT"), regions.mask(prediction, "WT"))
    axes[2].set_title(f"Whole tumour, Dice:\nslice {here:.2f}, patient {whole:.2f}")
    _legend(figure, _class_colours() | AGREEMENT_COLOURS)
    return alt(
        figure,
        f"Slice {k} of {scan.id}: ground truth, prediction, and their agreement. "
        f"Whole-tumour Dice is {here:.2f} in the slice and {whole:.2f} in the patient.",
    )


def _modality(scan: Scan, name: str) -> np.ndarray:
    if name not in scan.modalities:
        raise ValueError(f"{scan.id} was read without {name!r}; it holds {', '.join(scan.modalities)}")
    return scan.images[..., scan.modalities.index(name)]


def _mask(scan: Scan) -> np.ndarray:
    if scan.seg is None:
        raise ValueError(f"{scan.id} has no mask: read it with `seg=True`, or draw it without one")
    return scan.seg


def _crosshair(ax: Axes, x: float, y: float) -> None:
    line = {"color": "white", "linewidth": 0.7, "alpha": 0.8, "linestyle": (0, (4, 3))}
    ax.axhline(y, **line)
    ax.axvline(x, **line)


def _annotate(ax: Axes, x: float, y: float, text: str) -> None:
    """An arrow with a text to a point, from the side where there is more room."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    aside = 0.24 * (right - left) * (1 if x < (left + right) / 2 else -1)
    above = 0.28 * (top - bottom) * (1 if y > (bottom + top) / 2 else -1)
    arrow = {"arrowstyle": "->", "color": "white", "linewidth": 1.4}
    ax.annotate(text, (x, y), (x + aside, y + above), color="white", arrowprops=arrow, path_effects=LETTER_HALO)


def _figure(panels: float, title: str | None, legend: bool, rows: int = 1) -> Figure:
    """A figure with room for panels of `panels` inches in total height, and for its title and legend."""
    height = panels + 0.25 * rows + 0.3 * legend + 0.3 * (title is not None) + 0.1
    figure = Figure(figsize=(WIDTH, height))
    # The layout engine ignores that square pixels shrink a panel, and would push the titles over the upper edge.
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - 0.1 / height))
    if title is not None:
        figure.suptitle(title)
    return figure


def _legend(figure: Figure, colours: dict[str, str]) -> None:
    handles = [Patch(facecolor=colour, edgecolor="#555555", label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))


def _class_colours() -> dict[str, str]:
    return {CLASS_NAMES[label]: colour for label, colour in CLASS_COLOURS.items()}
