"""Uncertainty of a segmentation, from several stochastic predictions (passes) of one network.

The passes use Monte Carlo dropout (Gal and Ghahramani 2016, arXiv 1506.02142), and every second one test-time
augmentation, a mirrored head (Wang et al. 2019, doi 10.1016/j.neucom.2019.01.103). Where they disagree, the network is
uncertain.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from helpers.measure.overlap import dice
from helpers.measure.regions import REGIONS, mask

PASSES = 4
"""Predictions with Monte Carlo dropout that are made of a patient."""


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Entropy of class probabilities in bits: 0 where one class is certain, log2(classes) at most.

    Args:
        probabilities: (..., classes) that sum to 1.

    Returns:
        The shape of `probabilities` without its last axis.

    Example:
        >>> entropy(np.array([[0, 1, 0, 0], [0.5, 0.5, 0, 0], [0.25, 0.25, 0.25, 0.25]])).round(3)
        array([0., 1., 2.])
    """
    p = np.clip(probabilities, 1e-7, 1)
    return -(p * np.log2(p)).sum(axis=-1)


def agreement(outline: np.ndarray, passes: Sequence[np.ndarray]) -> dict[str, float]:
    """Per region the mean Dice between a segmentation and each pass, a measure of confidence.

    After the structure-wise uncertainty of Roy et al. 2019 (doi 10.1016/j.neuroimage.2019.03.042).

    Args:
        outline: predicted network labels 0 to 3, any shape.
        passes: one array of labels per pass, each the same shape.

    Returns:
        A number in [0, 1] per region; 1 if every pass equals the segmentation, also where all of them are empty.
    """
    return {
        region: float(np.mean([dice(mask(outline, region), mask(labels, region)) for labels in passes]))
        for region in REGIONS
    }


def risk_coverage(confidence: ArrayLike, risk: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Risk-coverage curve of selective prediction (Geifman and El-Yaniv 2017, arXiv 1705.08500).

    Args:
        confidence: (patients,), higher is more confident.
        risk: (patients,), for example 1 - Dice.

    Returns:
        Coverage, (patients,): 1/n, 2/n, ... 1; and the mean risk of that fraction of the patients, the most confident
        first, (patients,). The curve rises if the confidence predicts the risk, and is flat if it does not.

    Raises:
        ValueError: there are no patients, or the shapes differ.

    Example:
        >>> coverage, risk = risk_coverage(confidence=[0.9, 0.5, 0.7, 0.6], risk=[0.1, 0.4, 0.2, 0.3])
        >>> coverage.round(2), risk.round(2)
        (array([0.25, 0.5 , 0.75, 1.  ]), array([0.1 , 0.15, 0.2 , 0.25]))
    """
    confidence, risk = np.asarray(confidence, float), np.asarray(risk, float)
    if confidence.ndim != 1 or confidence.shape != risk.shape or not confidence.size:
        raise ValueError(
            f"confidence has shape {confidence.shape} and risk {risk.shape}; expected one number per patient in each"
        )
    order = np.argsort(-confidence, kind="stable")
    count = np.arange(1, risk.size + 1)
    return count / risk.size, np.cumsum(risk[order]) / count


def split_by_confidence(confidence: ArrayLike, score: ArrayLike) -> tuple[float, float]:
    """Mean score of the more confident half of the patients and of the rest, which has the middle one if n is odd.

    Args:
        confidence: (patients,), higher is more confident.
        score: (patients,), for example Dice.

    Raises:
        ValueError: as `risk_coverage`, or there are fewer than two patients.
    """
    _, mean = risk_coverage(confidence, score)
    half = len(mean) // 2
    if not half:
        raise ValueError("one patient cannot be split into halves; give at least two")
    confident = mean[half - 1]
    return float(confident), float((mean[-1] * len(mean) - confident * half) / (len(mean) - half))
