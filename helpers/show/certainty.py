"""Pictures of how sure a system is: doubt laid over slices, doubt against error, what a gate said of each slice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps, colors
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from helpers.show.panel import grey_levels, plane, show_slice
from helpers.show.style import CLASS_COLOURS, CLASS_NAMES, MODALITY_NAMES, alt, styled

if TYPE_CHECKING:
    from helpers.data.volumes import Scan

ENTROPY_COLOURS = "inferno"
MOST = 1.5  # bits of entropy that get the brightest colour; 2 would be all four classes alike


def key_slices(labels: np.ndarray, axis: int = 2, count: int = 3) -> list[int]:
    """Slices that show a tumour best: below, amid and above, each with an equal share of its volume around it.

    Without tumour, slices evenly spaced over the volume.
    """
    area = (labels > 0).sum(axis=tuple(other for other in range(3) if other != axis))
    shares = (np.arange(count) + 0.5) / count
    if not area.any():
        return [int(k) for k in shares * len(area)]
    return [int(k) for k in np.searchsorted(np.cumsum(area) / area.sum(), shares)]


@styled
def outline_and_entropy(
    scan: Scan,
    labels: np.ndarray,
    entropy: np.ndarray,
    ks: Sequence[int] | None = None,
    modality: str = "flair",
    title: str | None = None,
) -> Figure:
    """The outline on a few axial slices, and below each how unsure the passes were.

    Args:
        scan: the patient.
        labels: network labels, the shape of the scan.
        entropy: bits, the shape of the scan.
        ks: slice numbers; by default `key_slices`.
        modality: what to draw underneath; the scan's first where it has no such modality.
        title: what to see.
    """
    view, box = plane(scan.affine), plane(scan.affine).brain(scan.images)
    modality = modality if modality in scan.modalities else scan.modalities[0]
    volume = scan.image(modality)
    ks = key_slices(labels, view.axis) if ks is None else list(ks)
    if scan.affine[2, view.axis] < 0:
        ks = ks[::-1]
    high, wide = view.size(box)
    height = 2 * 8 / len(ks) * high / wide + 0.9 + 0.3 * (title is not None)
    figure = Figure(figsize=(8, height))
    axes = figure.subplots(2, len(ks), squeeze=False)
    window = grey_levels(volume)
    for column, k in enumerate(ks):
        image = view.cut(volume, k, box)
        show_slice(axes[0, column], image, view, window, view.cut(labels, k, box), marks=column == 0)
        axes[0, column].set_title(f"{MODALITY_NAMES.get(modality, modality)}, slice {k}")
        show_slice(axes[1, column], image, view, window, marks=False)
        doubt = view.turn(view.cut(entropy, k, box))
        shown = colormaps[ENTROPY_COLOURS](np.clip(doubt / MOST, 0, 1))
        shown[..., 3] = np.clip(doubt / 0.3, 0, 0.85)  # where nothing is in doubt the scan shows
        down, across = (float(n * step) for n, step in zip(doubt.shape, view.steps, strict=True))
        axes[1, column].imshow(shown, extent=(0, across, down, 0), aspect="equal")
    bar = figure.colorbar(
        _scale(), ax=axes[1].tolist(), orientation="horizontal", fraction=0.05, pad=0.02, aspect=50, shrink=0.6
    )
    bar.set_label("doubt: entropy of the passes (bits); 1 is two classes alike")
    bar.outline.set_visible(False)
    figure.legend(
        handles=[Patch(facecolor=c, edgecolor="#555555", label=CLASS_NAMES[n]) for n, c in CLASS_COLOURS.items()],
        loc="outside lower center",
        ncols=len(CLASS_COLOURS),
    )
    if title is not None:
        figure.suptitle(title)
    listed = ", ".join(map(str, ks))
    return alt(figure, f"Slices {listed} of {scan.id} with the outlined tumour, and how unsure the passes were.")


@styled
def gate_strip(said: ArrayLike, threshold: float, truth: ArrayLike | None = None, title: str | None = None) -> Figure:
    """What the gate said of each slice, its threshold, and where the truth has tumour.

    Args:
        said: (slices,), probabilities in file order.
        threshold: from here on a slice passes.
        truth: (slices,), whether there is tumour; left out if None.
        title: what to see.
    """
    said = np.asarray(said)
    figure = Figure(figsize=(8, 1.9 + 0.3 * (title is not None)))
    ax = figure.subplots()
    slices, passed = np.arange(len(said)), said >= threshold
    for which, colour, name in ((passed, "#0072B2", "let pass"), (~passed, "#B5B5B5", "held back")):
        ax.bar(slices[which], said[which], width=1, color=colour, label=name)
    ax.axhline(threshold, color="#333333", linewidth=1, linestyle=":")
    if truth is not None:
        ax.fill_between(slices, 1.03, 1.1, where=np.asarray(truth, bool), color="#D55E00", step="mid", label="tumour")
    ax.set(xlim=(-0.5, len(said) - 0.5), ylim=(0, 1.12), xlabel="slice", ylabel="probability")
    ax.grid(False)
    figure.legend(loc="outside right upper")
    if title is not None:
        figure.suptitle(title)
    return alt(
        figure, f"The gate lets {int(passed.sum())} of {len(said)} slices pass; its threshold is {threshold:.2f}."
    )


@styled
def confidence_and_error(
    confidence: ArrayLike, dice: ArrayLike, region: str = "WT", title: str | None = None
) -> Figure:
    """Left: confidence against Dice, a dot a patient. Right: the error that remains if only the surest are kept.

    Args:
        confidence: (patients,), more is surer.
        dice: (patients,), of the region.
        region: named at the axes.
        title: what to see.
    """
    confidence, dice = np.asarray(confidence, float), np.asarray(dice, float)
    count = np.arange(1, len(dice) + 1)
    figure = Figure(figsize=(8, 3.2 + 0.3 * (title is not None)))
    left, right = figure.subplots(1, 2)
    middle = np.median(confidence)
    for half, colour, name in (
        (confidence >= middle, "#0072B2", "surest half"),
        (confidence < middle, "#D55E00", "rest"),
    ):
        left.plot(confidence[half], dice[half], "o", color=colour, markersize=6, alpha=0.8, label=name)
    left.set(xlabel="confidence: Dice of the passes with the outline", ylabel=f"{region} Dice with the truth")
    left.legend()
    for order, colour, name in (
        (np.argsort(-confidence, kind="stable"), "#0072B2", "kept by confidence"),
        (np.argsort(-dice, kind="stable"), "#777777", "kept by Dice itself"),
    ):
        right.plot(count / len(dice), np.cumsum(1 - dice[order]) / count, color=colour, label=name,
                   linestyle="-" if colour != "#777777" else ":")  # fmt: skip
    right.axhline(1 - dice.mean(), color="#D55E00", linewidth=1, linestyle="--", label="kept by chance")
    right.set(xlabel="coverage: share of patients kept", ylabel=f"risk: mean 1 - {region} Dice", xlim=(0, 1.02))
    right.set_ylim(0, None)
    right.legend()
    if title is not None:
        figure.suptitle(title)
    return alt(figure, f"Confidence against {region} Dice of {len(dice)} patients, and the risk-coverage curve.")


def _scale():
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(colors.Normalize(0, MOST), ENTROPY_COLOURS)
