"""Fraction of the domain gap, between source model and target ceiling, that an adaptation method closes."""

import numpy as np
from numpy.typing import ArrayLike

from helpers.measure.statistics import percentile_interval, resample


def gap_closed(
    source: ArrayLike,
    adapted: ArrayLike,
    ceiling: ArrayLike,
    confidence: float = 0.95,
    samples: int = 10_000,
    seed: int = 0,
) -> tuple[float, tuple[float, float]]:
    """Fraction of the gap that is closed, (adapted - source) / (ceiling - source) of the means, with its interval.

    0 is the source model without adaptation, 1 a model trained on labels of the target domain; below 0 adaptation did
    harm, above 1 it beat the labels. The interval is a percentile bootstrap over images, and it is paired: an image is
    drawn with its three scores, so that what makes it hard for all three models cancels (Efron and Tibshirani 1993,
    chapters 13 and 16).

    >>> value, (low, high) = gap_closed(source=[0.5, 0.7], adapted=[0.6, 0.8], ceiling=[0.7, 0.9])
    >>> print(f"{value:.2f}, interval {low:.2f} to {high:.2f}")
    0.50, interval 0.50 to 0.50

    Args:
        source: scores of the source model without adaptation, shape (images,). Where there are several trainings, give
            every image its mean over them; so for the other two.
        adapted: scores of the adapted model on the same images in the same order, shape (images,).
        ceiling: scores of the model trained on target labels, the same images in the same order, shape (images,).
        confidence: fraction of the bootstrap values inside the interval, between 0 and 1.
        samples: number of bootstrap samples.
        seed: the same seed gives the same interval.

    Returns:
        The fraction, and the lower and the upper bound of its interval.

    Raises:
        ValueError: the scores are not finite numbers, one per image; the confidence is outside (0, 1); or there is no
            gap: the interval of ceiling - source reaches 0, where a ratio to it says nothing (Fieller 1954).
    """
    scores = [np.asarray(values, dtype=float) for values in (source, adapted, ceiling)]
    if len({values.shape for values in scores}) > 1 or scores[0].ndim != 1 or scores[0].size == 0:
        shapes = ", ".join(str(values.shape) for values in scores)
        raise ValueError(f"source, adapted and ceiling have shapes {shapes}; expected a score of each for every image")
    if not np.isfinite(scores).all():
        raise ValueError("the scores hold NaN or infinity; give an image that was missed the worst score instead")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; expected a share between 0 and 1, for example 0.95")
    gain, gap = scores[1] - scores[0], scores[2] - scores[0]  # per image
    drawn = resample(gap.size, samples, seed)
    gains, gaps = gain[drawn].mean(axis=1), gap[drawn].mean(axis=1)  # (samples,): paired, the same images in both
    lowest, highest = percentile_interval(gaps, confidence)
    if lowest <= 0:
        raise ValueError(
            f"there is no gap to close: source {scores[0].mean():.3f}, ceiling {scores[2].mean():.3f}, the difference "
            f"between {lowest:.3f} and {highest:.3f} on {gap.size} images"
        )
    usable = gaps > 0  # with `lowest` above 0, all but a few samples in the tail
    return float(gain.mean() / gap.mean()), percentile_interval(gains[usable] / gaps[usable], confidence)
