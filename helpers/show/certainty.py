"""Figures of uncertainty: entropy laid over slices, confidence against error, a gate's probability for each slice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps, colors
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from helpers.show.panel import grey_levels, plane, show_slice
from helpers.show.style import CLASS_COLOURS, CLASS_NAMES, MODALITY_NAMES, alt, styled

if TYPE_CHECKING:
    from helpers.data.volumes import Scan

ENTROPY_COLOURS = "inferno"
MOST = 1.5  # bits of entropy that get the brightest colour; the maximum is 2, all four classes equally likely


def key_slices(labels: np.ndarray, axis: int = 2, count: int = 3) -> list[int]:
    """Slice numbers at evenly spaced quantiles of the tumour volume; without tumour, evenly spaced over the scan.

    Args:
        labels: (rows, columns, slices) whole numbers, 0 is no tumour.
        axis: array axis that counts the slices.
        count: how many slices.
    """
    area = (labels > 0).sum(axis=tuple(other for other in range(3) if other != axis))
    quantiles = (np.arange(count) + 0.5) / count
    if not area.any():
        return [int(k) for k in quantiles * len(area)]
    return [int(k) for k in np.searchsorted(np.cumsum(area) / area.sum(), quantiles)]


@styled
def outline_and_entropy(
    scan: Scan,
    labels: np.ndarray,
    entropy: np.ndarray,
    ks: Sequence[int] | None = None,
    modality: str = "flair",
    title: str | None = None,
) -> Figure:
    """The predicted outline on a few axial slices, and below each the entropy of the predictions.

    Args:
        scan: the patient.
        labels: (rows, columns, slices) predicted network labels on the scan's grid.
        entropy: (rows, columns, slices) in bits, from `helpers.apply.uncertainty.entropy`.
        ks: slice numbers; by default `key_slices`.
        modality: background image; the scan's first modality where it lacks this one.
        title: heading of the figure.
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
        bits = view.turn(view.cut(entropy, k, box))
        rgba = colormaps[ENTROPY_COLOURS](np.clip(bits / MOST, 0, 1))
        rgba[..., 3] = np.clip(bits / 0.3, 0, 0.85)  # transparent where the entropy is 0
        down, across = (float(n * step) for n, step in zip(bits.shape, view.steps, strict=True))
        axes[1, column].imshow(rgba, extent=(0, across, down, 0), aspect="equal")
    bar = figure.colorbar(
        _scale(), ax=axes[1].tolist(), orientation="horizontal", fraction=0.05, pad=0.02, aspect=50, shrink=0.6
    )
    bar.set_label("entropy of the mean prediction (bits)")
    bar.outline.set_visible(False)
    figure.legend(
        handles=[Patch(facecolor=c, edgecolor="#555555", label=CLASS_NAMES[n]) for n, c in CLASS_COLOURS.items()],
        loc="outside lower center",
        ncols=len(CLASS_COLOURS),
    )
    if title is not None:
        figure.suptitle(title)
    listed = ", ".join(map(str, ks))
    return alt(figure, f"Slices {listed} of {scan.id} with the predicted tumour, and the entropy of the predictions.")


@styled
def gate_strip(
    probabilities: ArrayLike, threshold: float, truth: ArrayLike | None = None, title: str | None = None
) -> Figure:
    """The gate's probability for each slice, its threshold, and where the ground truth has tumour.

    Args:
        probabilities: (slices,) probabilities of tumour, in file order.
        threshold: a slice passes from this probability on.
        truth: (slices,) bool, whether the slice holds tumour; not drawn if None.
        title: heading of the figure.
    """
    probabilities = np.asarray(probabilities)
    figure = Figure(figsize=(8, 1.9 + 0.3 * (title is not None)))
    ax = figure.subplots()
    slices, passed = np.arange(len(probabilities)), probabilities >= threshold
    for which, colour, name in ((passed, "#0072B2", "passed"), (~passed, "#B5B5B5", "skipped")):
        ax.bar(slices[which], probabilities[which], width=1, color=colour, label=name)
    ax.axhline(threshold, color="#333333", linewidth=1, linestyle=":")
    if truth is not None:
        ax.fill_between(slices, 1.03, 1.1, where=np.asarray(truth, bool), color="#D55E00", step="mid", label="tumour")
    ax.set(xlim=(-0.5, len(probabilities) - 0.5), ylim=(0, 1.12), xlabel="slice", ylabel="P(tumour)")
    ax.grid(False)
    figure.legend(loc="outside right upper")
    if title is not None:
        figure.suptitle(title)
    return alt(figure, f"{int(passed.sum())} of {len(probabilities)} slices pass the gate; threshold {threshold:.2f}.")


@styled
def confidence_and_error(
    confidence: ArrayLike, dice: ArrayLike, region: str = "WT", title: str | None = None
) -> Figure:
    """Left: confidence against Dice, a dot per patient. Right: the risk-coverage curve.

    The curve is that of `helpers.apply.uncertainty.risk_coverage`, beside the best possible order and a random one.

    Args:
        confidence: (patients,), higher is more confident.
        dice: (patients,) in [0, 1], Dice of the region.
        region: name of the region for the axes.
        title: heading of the figure.
    """
    confidence, dice = np.asarray(confidence, float), np.asarray(dice, float)
    count = np.arange(1, len(dice) + 1)
    figure = Figure(figsize=(8, 3.2 + 0.3 * (title is not None)))
    left, right = figure.subplots(1, 2)
    middle = np.median(confidence)
    for half, colour, name in (
        (confidence >= middle, "#0072B2", "more confident half"),
        (confidence < middle, "#D55E00", "less confident half"),
    ):
        left.plot(confidence[half], dice[half], "o", color=colour, markersize=6, alpha=0.8, label=name)
    left.set(xlabel="confidence: mean Dice of the passes", ylabel=f"{region} Dice with the ground truth")
    left.legend()
    for order, colour, name in (
        (np.argsort(-confidence, kind="stable"), "#0072B2", "by confidence"),
        (np.argsort(-dice, kind="stable"), "#777777", "by Dice (optimum)"),
    ):
        right.plot(count / len(dice), np.cumsum(1 - dice[order]) / count, color=colour, label=name,
                   linestyle="-" if colour != "#777777" else ":")  # fmt: skip
    right.axhline(1 - dice.mean(), color="#D55E00", linewidth=1, linestyle="--", label="random order")
    right.set(xlabel="coverage: fraction of patients retained", ylabel=f"risk: mean 1 - {region} Dice", xlim=(0, 1.02))
    right.set_ylim(0, None)
    right.legend()
    if title is not None:
        figure.suptitle(title)
    return alt(figure, f"Confidence against {region} Dice of {len(dice)} patients, and the risk-coverage curve.")


def _scale() -> ScalarMappable:
    """Colours of the entropy, for a colour bar."""
    return ScalarMappable(colors.Normalize(0, MOST), ENTROPY_COLOURS)
