"""How much of the way from one hospital's model to the other's own an adaptation went."""

import numpy as np
from numpy.typing import ArrayLike


def gap_closed(
    source: ArrayLike,
    adapted: ArrayLike,
    ceiling: ArrayLike,
    confidence: float = 0.95,
    samples: int = 10_000,
    seed: int = 0,
) -> tuple[float, tuple[float, float]]:
    """Share of the gap that is closed, (adapted - source) / (ceiling - source) of the means, with its interval.

    0 is the model that nobody adapted, 1 one that was trained on labels of the target; below 0 adaptation did harm,
    above 1 it beat the labels. The interval is a percentile bootstrap over images, and it is paired: an image is drawn
    with its three scores, so that what makes it hard for all three models cancels (Efron and Tibshirani 1993,
    chapters 13 and 16).

    Args:
        source, adapted, ceiling: one score per image, the same images in the same order, shape (images,). Where there
            are several trainings of each, give every image its mean over them.
        confidence: share of the draws inside the interval, between 0 and 1.
        samples: number of draws.
        seed: the same seed gives the same interval.

    Returns:
        The share, and the lower and the upper bound.

    Raises:
        ValueError: the scores are no finite numbers per image, or there is no gap: the interval of ceiling - source
            reaches 0, and a share of nothing says nothing (Fieller 1954).
    """
    scores = [np.asarray(values, dtype=float) for values in (source, adapted, ceiling)]
    if len({values.shape for values in scores}) > 1 or scores[0].ndim != 1 or scores[0].size == 0:
        shapes = ", ".join(str(values.shape) for values in scores)
        raise ValueError(f"source, adapted and ceiling have shapes {shapes}; expected a score of each for every image")
    if not np.isfinite(scores).all():
        raise ValueError("the scores hold NaN or infinity; give an image that was missed the worst score instead")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; expected a share between 0 and 1, for example 0.95")
    gained, gap = scores[1] - scores[0], scores[2] - scores[0]  # per image
    drawn = np.random.default_rng(seed).integers(gap.size, size=(samples, gap.size))
    gains, gaps = gained[drawn].mean(axis=1), gap[drawn].mean(axis=1)  # (samples,): paired, the same images in both
    tail = [(1 - confidence) / 2, (1 + confidence) / 2]
    least, most = np.quantile(gaps, tail)
    if least <= 0:
        raise ValueError(
            f"there is no gap to close: source {scores[0].mean():.3f}, ceiling {scores[2].mean():.3f}, the difference "
            f"between {least:.3f} and {most:.3f} on {gap.size} images"
        )
    usable = gaps > 0  # with `least` above 0, all but a few draws in the tail
    low, high = np.quantile(gains[usable] / gaps[usable], tail)
    return float(gained.mean() / gap.mean()), (float(low), float(high))
