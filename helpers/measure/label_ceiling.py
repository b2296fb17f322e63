"""What labels cost: how much of a score's rest is disagreement about where a structure ends, and no model's fault.

Two models that learned from different outliners are each the mean of a school: what one person draws now so, now
otherwise has cancelled. Where they differ on the same image, the schools differ, as far as both models are good.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from helpers.measure.overlap import dice, jaccard

MARGINS = tuple(range(-6, 7))
"""Pixels by which outlines are moved to find the best margin."""


def schools(
    one: Sequence[NDArray[np.bool_]], other: Sequence[NDArray[np.bool_]], truths: Sequence[NDArray[np.bool_]]
) -> dict[str, float]:
    """Two models against the truth, and against each other, on the same images.

    The Jaccard distance is a metric (Kosub 2019, doi 10.1016/j.patrec.2018.12.007), so by the triangle inequality the
    two scores of an image cannot differ by more than the models do: |J(one, truth) - J(other, truth)| <= 1 - J(one,
    other). Where the models agree better with each other than either does with the truth, the rest is the truth's.

    Args:
        one: masks of a model that learned elsewhere, each (rows, columns) bool.
        other: masks of a model that learned from the truth's own outliners, on the same images.
        truths: ground-truth masks of these images, each (rows, columns) bool.

    Returns:
        Means over the images: `one` and `other`, Dice with the truth; `each_other`, Dice of the two; `most`, 1 - J(one,
        other), by which their Jaccard indices can differ at most.
    """
    return {
        "one": _mean_dice(one, truths),
        "other": _mean_dice(other, truths),
        "each_other": _mean_dice(one, other),
        "most": float(np.mean([1 - jaccard(a, b) for a, b in zip(one, other, strict=True)])),
    }


def moved(mask: NDArray[np.bool_], margin: float) -> NDArray[np.bool_]:
    """A mask whose edge is moved outwards, or inwards where the margin is negative, by the Euclidean distance.

    Args:
        mask: (rows, columns) bool.
        margin: pixels.

    Returns:
        The same shape.
    """
    if margin == 0 or not mask.any() or mask.all():
        return mask
    if margin > 0:
        return ndimage.distance_transform_edt(~mask) <= margin
    return ndimage.distance_transform_edt(mask) > -margin


def best_margin(
    outlines: Sequence[NDArray[np.bool_]], truths: Sequence[NDArray[np.bool_]], margins: Sequence[float] = MARGINS
) -> float:
    """The margin by which outlines fit the truths best: a habit of drawing wide or close that two schools do not share.

    It is chosen with the truths, so it is no method: on other images it tells what such a habit costs, at least.

    Args:
        outlines: masks of a model, each (rows, columns) bool.
        truths: ground-truth masks of the same images, each (rows, columns) bool.
        margins: to choose from, pixels; nothing is moved where 0 is as good.

    Returns:
        Pixels; above 0 the truths are drawn wider.
    """
    scores = {
        margin: _mean_dice([moved(mask, margin) for mask in outlines], truths)
        for margin in sorted(margins, key=lambda margin: (abs(margin), margin))
    }
    return max(scores, key=scores.__getitem__)


def _mean_dice(some: Sequence[NDArray[np.bool_]], others: Sequence[NDArray[np.bool_]]) -> float:
    return float(np.mean([dice(one, other) for one, other in zip(some, others, strict=True)]))
