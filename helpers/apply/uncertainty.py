"""How sure is the outline? Passes that differ a little are held against each other.

A network is asked several times, with dropout on (Gal and Ghahramani 2016, arXiv 1506.02142) and the head mirrored
every second time (Wang et al. 2019, doi 10.1016/j.neucom.2019.01.103). Where the answers differ, it guessed.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from helpers.measure.overlap import dice
from helpers.measure.regions import REGIONS, mask


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Entropy of class probabilities (..., classes) in bits: 0 where one class is certain, log2(classes) at most."""
    p = np.clip(probabilities, 1e-7, 1)
    return -(p * np.log2(p)).sum(axis=-1)


def agreement(outline: np.ndarray, passes: Sequence[np.ndarray]) -> dict[str, float]:
    """Per region the mean Dice between the outline and each pass.

    After the structure-wise uncertainty of Roy et al. 2019 (doi 10.1016/j.neuroimage.2019.03.042).

    Args:
        outline: network labels 0 to 3, any shape.
        passes: the same, one array a pass.

    Returns:
        A number in [0, 1] per region; 1 where every pass draws the outline, or every pass draws nothing as it does.
    """
    return {
        region: float(np.mean([dice(mask(outline, region), mask(labels, region)) for labels in passes]))
        for region in REGIONS
    }


def risk_coverage(confidence: ArrayLike, risk: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The risk that remains if only the surest share is kept (Geifman and El-Yaniv 2017, arXiv 1705.08500).

    Args:
        confidence: (patients,), more is surer.
        risk: (patients,), for example 1 - Dice.

    Returns:
        Coverage 1/n, 2/n, ... 1, and the mean risk of that share. A confidence that means something gives a curve that
        rises; one that means nothing, a flat one.

    Raises:
        ValueError: there are no patients, or not as many of the one as of the other.
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
    """Mean score of the surest half of the patients and of the rest; of an odd number, the middle one is in the rest.

    Raises:
        ValueError: as `risk_coverage`, and where there are fewer than two patients.
    """
    _, kept = risk_coverage(confidence, score)
    half = len(kept) // 2
    if not half:
        raise ValueError("one patient has no halves; give at least two")
    surest = kept[half - 1]
    return float(surest), float((kept[-1] * len(kept) - surest * half) / (len(kept) - half))
