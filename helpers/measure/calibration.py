"""Calibration of voxels: do predicted probabilities agree with how often they are right, where it matters?

Nearly all voxels of a scan are background that everybody is sure of, and over all of them any network looks calibrated.
So the voxels are those near the foreground (`near_foreground`), and the bins hold equal numbers of voxels instead of
having equal widths. Temperature scaling mends what one number can. For the slices of a gate see
`helpers.measure.classification`; whether a confidence predicts errors is asked by the risk-coverage curve
(`helpers.apply.uncertainty.risk_coverage`).
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, optimize

from helpers.measure.overlap import Mask

LEAST = 1e-7
"""Probabilities below are raised to it, or a voxel that was certain of the wrong class would decide alone."""

_TEMPERATURES = 0.05, 20.0
"""The lowest and the highest temperature that is tried."""


def near_foreground(truth: ArrayLike, spacing: Sequence[float], mm: float = 5.0) -> Mask:
    """The voxels of the true foreground and those no further from it than some millimetres.

    The region depends on the ground truth alone, so that two networks are asked about the same voxels.

    >>> near_foreground([0, 0, 1, 0, 0, 0], spacing=(2,), mm=4).tolist()
    [True, True, True, True, True, False]

    Args:
        truth: ground truth mask, any number of axes, (rows, columns, slices) for a scan, bool or 0 and 1.
        spacing: millimetres per voxel along each axis.
        mm: the distance, between the centres of voxels.

    Returns:
        Mask of the same shape, bool; empty where the truth is.

    Raises:
        ValueError: not as many spacings as axes, or one that is not positive.
    """
    mask = np.asarray(truth, bool)
    if len(spacing) != mask.ndim or min(spacing, default=1) <= 0:
        raise ValueError(f"spacing is {tuple(spacing)}; expected {mask.ndim} positive numbers, one per axis")
    near = np.zeros_like(mask)
    if mask.any():
        inside = np.nonzero(mask)
        margins = [int(mm // step) + 1 for step in spacing]
        box = tuple(
            slice(max(at.min() - margin, 0), at.max() + margin + 1) for at, margin in zip(inside, margins, strict=True)
        )
        near[box] = ndimage.distance_transform_edt(~mask[box], sampling=spacing) <= mm + 1e-9
    return near


def reliability(
    truth: ArrayLike, probabilities: ArrayLike, bins: int = 10, by: Literal["width", "number"] = "width"
) -> pd.DataFrame:
    """The reliability diagram of voxels: one row for each bin that has any.

    Args:
        truth: whether each voxel is foreground, (voxels,) bool or 0 and 1, or any shape.
        probabilities: predicted probability of foreground, the same shape.
        bins: number of bins.
        by: "width", bins of equal width from 0 to 1, or "number", between quantiles, so that each holds as many voxels;
            voxels of equal probability stay together.

    Returns:
        Columns `mean_predicted` (mean probability), `fraction_positive` (fraction of foreground), `voxels` (count).

    Raises:
        ValueError: the shapes differ, there are no voxels, or the probabilities are none.
    """
    real, p = _as_pair(truth, probabilities)
    edges = np.linspace(0, 1, bins + 1)[1:-1] if by == "width" else np.quantile(p, np.linspace(0, 1, bins + 1))[1:-1]
    place = np.searchsorted(edges, p, side="right" if by == "width" else "left")
    count = np.bincount(place, minlength=bins)
    filled = count > 0
    return pd.DataFrame(
        {
            "mean_predicted": (np.bincount(place, p, minlength=bins)[filled] / count[filled]).clip(0, 1),
            "fraction_positive": np.bincount(place, real, minlength=bins)[filled] / count[filled],
            "voxels": count[filled],
        }
    )


def adaptive_calibration_error(truth: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> float:
    """Adaptive calibration error (ACE) of one region: the mean distance to the diagonal of `reliability` by number.

    Bins hold equal numbers of voxels, so that no bin is empty and none rests on a few (Nixon et al. 2019,
    arXiv 1904.01685). Where many voxels share a probability a bin holds more of them and counts for as many.

    >>> adaptive_calibration_error([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5])
    0.0

    Args:
        truth: whether each voxel is foreground, (voxels,) bool or 0 and 1, or any shape; those near the foreground.
        probabilities: predicted probability of foreground, the same shape.
        bins: number of bins.

    Returns:
        A number in [0, 1]; 0 is calibrated.

    Raises:
        ValueError: as `reliability`.
    """
    table = reliability(truth, probabilities, bins, by="number")
    return float(np.average((table["mean_predicted"] - table["fraction_positive"]).abs(), weights=table["voxels"]))


def class_calibration_error(labels: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> float:
    """Adaptive calibration error of all classes: the mean of that of each class against the others.

    Args:
        labels: true label of each voxel, (...) whole numbers from 0.
        probabilities: (..., classes), which sum to 1.
        bins: number of bins.

    Returns:
        A number in [0, 1]; 0 is calibrated.

    Raises:
        ValueError: as `reliability`.
    """
    truth, p = np.asarray(labels), np.asarray(probabilities)
    return float(np.mean([adaptive_calibration_error(truth == k, p[..., k], bins) for k in range(p.shape[-1])]))


def fit_temperature(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """The temperature that makes probabilities fit labels best: above 1 the network was too sure, below 1 too unsure.

    The scores of the network are divided by it before the softmax; the most probable class stays. It is fitted by the
    likelihood, on patients who were not trained on and are not tested (Guo et al. 2017, arXiv 1706.04599), and here on
    voxels near the foreground, or the background decides.

    Args:
        labels: true label of each voxel, (voxels,) whole numbers from 0, or any shape.
        probabilities: (voxels, classes), or the shape of the labels and one axis more; they sum to 1.

    Returns:
        The temperature, between 0.05 and 20.

    Raises:
        ValueError: the shapes do not fit, there are no voxels, or the probabilities are none.
    """
    truth, scores = _as_scores(labels, probabilities)
    right = scores[np.arange(truth.size), truth]

    def loss(log_temperature: float) -> float:
        scaled = scores / np.exp(log_temperature)
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - right / np.exp(log_temperature)))

    # Convex in 1 / temperature, so there is one minimum; the largest score is 0, so nothing overflows.
    found = optimize.minimize_scalar(loss, bounds=np.log(_TEMPERATURES), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def with_temperature(probabilities: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """The probabilities after the scores were divided by a temperature, from `fit_temperature`.

    >>> with_temperature([[0.9, 0.1]], 2.0).round(2).tolist()
    [[0.75, 0.25]]

    Args:
        probabilities: (..., classes), which sum to 1.
        temperature: positive.

    Returns:
        The same shape, float64.

    Raises:
        ValueError: the temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; expected a positive number, 1 changes nothing")
    p = np.asarray(probabilities, np.float64).clip(LEAST, 1) ** (1 / temperature)
    return p / p.sum(axis=-1, keepdims=True)


def _as_pair(truth: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Truth and probabilities as (voxels,) float64.

    Raises:
        ValueError: the shapes differ, there are no voxels, or the probabilities are none.
    """
    real, p = np.asarray(truth, np.float64), np.asarray(probabilities, np.float64)
    if real.shape != p.shape or not p.size:
        raise ValueError(f"truth has shape {real.shape} and probabilities {p.shape}; expected the same, and not empty")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("probabilities outside of [0, 1], or NaN; expected the softmax of the scores")
    return real.ravel(), p.ravel()


def _as_scores(labels: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The labels, (voxels,), and the logarithms of the probabilities, the largest of each voxel 0, (voxels, classes).

    Raises:
        ValueError: the shapes do not fit, there are no voxels, or the probabilities are none.
    """
    truth, p = np.asarray(labels), np.asarray(probabilities, np.float64)
    if p.shape[:-1] != truth.shape or not p.size:
        raise ValueError(
            f"labels have shape {truth.shape} and probabilities {p.shape}; expected one axis more, classes"
        )
    if not (np.abs(p.sum(axis=-1) - 1) < 0.01).all() or p.min() < 0:
        raise ValueError("probabilities do not sum to 1; expected the softmax of the scores")
    scores = np.log(p.reshape(-1, p.shape[-1]).clip(LEAST, 1))
    return truth.ravel().astype(np.intp), scores - scores.max(axis=1, keepdims=True)
