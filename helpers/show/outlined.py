"""Figures of what a system outlined: its volumes against the true ones, and patients whom nobody else outlined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from helpers.show.panel import plane, show_slice
from helpers.show.slices import busiest
from helpers.show.style import REGION_COLOURS, alt, styled

if TYPE_CHECKING:
    from helpers.data.volumes import Scan


@styled
def volumes(outlined: Mapping[str, ArrayLike], true: Mapping[str, ArrayLike], title: str | None = None) -> Figure:
    """Outlined against true volume, a dot per patient and a panel per region; the line is where both are equal.

    Args:
        outlined: by region the volumes that were outlined, in millilitres, (patients,).
        true: by region the true ones, of the same patients, (patients,).
        title: heading of the figure.

    Raises:
        ValueError: the regions differ, or the numbers of patients.
    """
    if list(outlined) != list(true) or any(np.shape(outlined[name]) != np.shape(true[name]) for name in true):
        raise ValueError("outlined and true volumes are of other regions or patients; give both for the same ones")
    figure = Figure(figsize=(8, 3.1 + 0.3 * (title is not None)))
    told = []
    for ax, region in zip(figure.subplots(1, len(true), squeeze=False)[0], true, strict=True):
        found, wanted = np.asarray(outlined[region], float), np.asarray(true[region], float)
        most = 1.08 * max(found.max(), wanted.max(), 1)
        ax.plot([0, most], [0, most], color="#333333", linewidth=1, linestyle=":")
        ax.plot(wanted, found, "o", color=REGION_COLOURS.get(region, "#0072B2"), alpha=0.8, clip_on=False)
        ax.set(xlim=(0, most), ylim=(0, most), aspect="equal", xlabel="true (ml)")
        ax.set_title(f"{region}, n = {found.size}")
        told.append(f"{region} {found.sum():.1f} of {wanted.sum():.1f} ml in {found.size} patients")
    figure.axes[0].set_ylabel("outlined (ml)")
    if title is not None:
        figure.suptitle(title)
    return alt(figure, f"Outlined against true volume, a dot per patient; in all {', '.join(told)}.")


@styled
def patients(
    scans: Sequence[Scan], labels: Sequence[np.ndarray], captions: Sequence[str], title: str | None = None
) -> Figure:
    """The outline of each patient on the slice with most of it, under a caption.

    Args:
        scans: the patients.
        labels: (rows, columns, slices) predicted network labels, one array per patient.
        captions: above each patient.
        title: heading of the figure.
    """
    figure = Figure(figsize=(8, 2.7 + 0.3 * (title is not None)))
    panels = figure.subplots(1, len(scans), squeeze=False)[0]
    for ax, scan, found, caption in zip(panels, scans, labels, captions, strict=True):
        view, k = plane(scan.affine), busiest(scan, found)
        box = view.brain(scan.images)
        image = view.cut(scan.images[..., 0], k, box)
        show_slice(ax, image, view, labels=view.cut(found, k, box), marks=ax is panels[0])
        ax.set_title(caption, fontsize=9)
    if title is not None:
        figure.suptitle(title)
    return alt(
        figure, f"{len(scans)} patients and their outlines. {'; '.join(' '.join(one.split()) for one in captions)}."
    )
