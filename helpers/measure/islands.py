"""Islands: parts of a predicted tumour that lie apart from its largest one, and a rule for which of them to keep.

A speck on the far side of the brain costs hardly any Dice, and half a head of HD95. To keep the largest part alone, as
is often done, cures that, and loses every second tumour. Here a part stays that is large beside the largest one, or
that the network is sure of; how large and how sure is learned on validation patients.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.measure.components import components_in_box
from helpers.measure.overlap import dice
from helpers.measure.regions import REGIONS, mask
from helpers.measure.surface import hd95

T = TypeVar("T")

SHARES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Thresholds for the size of a part that are tried."""

CERTAINTIES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, None)
"""Thresholds for the mean probability of a part that are tried; None: however sure, it goes."""


class IslandCase(NamedTuple):
    """A validation patient's prediction, with the ground truth.

    Attributes:
        labels: predicted network labels 0 to 3, (rows, columns, slices).
        tumour: predicted probability of whole tumour, the same shape.
        truth: network labels of the ground truth, the same shape.
        spacing: millimetres per voxel along each axis.
    """

    labels: NDArray[np.uint8]
    tumour: NDArray[np.floating]
    truth: NDArray[np.uint8]
    spacing: Sequence[float]


@dataclass(frozen=True)
class IslandRule:
    """Which parts of a predicted tumour stay: the largest, and those beside it that are large, or sure.

    Voxels that meet at a face, an edge or a corner are one part. The size of a part is the sum of its probabilities.

    Attributes:
        min_share: a part stays from this share of the largest one's size on; at 0 all stay.
        min_certainty: or from this mean probability on; None where that does not count.

    Examples:
        >>> rule = IslandRule(min_share=0.3, min_certainty=0.8)
        >>> rule.apply([2, 2, 2, 2, 0, 2, 0, 2], [0.9, 0.9, 0.9, 0.9, 0.1, 0.4, 0.1, 0.9]).tolist()
        [2, 2, 2, 2, 0, 0, 0, 2]
    """

    min_share: float = 0.0
    min_certainty: float | None = None

    def apply(self, labels: ArrayLike, tumour: ArrayLike) -> NDArray[np.uint8]:
        """The labels without the parts that do not stay; no voxel is added, and none gets another label of tumour.

        Args:
            labels: predicted network labels 0 to 3, (rows, columns, slices).
            tumour: predicted probability of whole tumour, the same shape.

        Returns:
            (rows, columns, slices) uint8.

        Raises:
            ValueError: the shapes differ, or values are no labels, or no probabilities.
        """
        parts = _Parts(labels, tumour)
        return parts.without(~parts.kept(self))


KEEP_ALL = IslandRule()
"""Changes nothing."""


def fit_islands(cases: Iterable[IslandCase]) -> IslandRule:
    """The rule that helps validation patients most.

    Of all pairs of `SHARES` and `CERTAINTIES` those count that neither lower the mean Dice over patients and regions
    nor raise the mean HD95; of them those with the lowest HD95, and then with the highest Dice. Usually these are many,
    from the one that just drops the specks of these few patients to the one that just keeps their second tumours, and
    the middle one is taken. Where none improves either score, everything is kept.

    Args:
        cases: one a patient; they are read one after the other, and not held.

    Returns:
        The rule, `KEEP_ALL` without cases.

    Raises:
        ValueError: as `IslandRule.apply`, or the truth of a case has another shape.
    """
    rules = [KEEP_ALL, *(IslandRule(*pair) for pair in itertools.product(SHARES, CERTAINTIES))]
    scores = [_scores(case, rules) for case in cases]
    if not scores:
        return KEEP_ALL
    dices, distances = np.mean(scores, axis=0).T.round(9)  # (rules,) each; sums of equal numbers may differ in the last
    allowed = np.flatnonzero((dices >= dices[0]) & (distances <= distances[0]))
    best = min((distances[number], -dices[number]) for number in allowed)
    equals = [rules[number] for number in allowed if (distances[number], -dices[number]) == best]
    if KEEP_ALL in equals:
        return KEEP_ALL
    share = _middle(list(dict.fromkeys(rule.min_share for rule in equals)))
    return _middle([rule for rule in equals if rule.min_share == share])


def _middle(choices: Sequence[T]) -> T:
    """The middle one, of two the first, which drops less."""
    return choices[(len(choices) - 1) // 2]


def _scores(case: IslandCase, rules: Sequence[IslandRule]) -> list[tuple[float, float]]:
    """Mean Dice and HD95 over the regions, by rule; rules that keep the same parts are scored once."""
    parts, known = _Parts(case.labels, case.tumour), {}
    truths = [mask(case.truth, name) for name in REGIONS]
    result = []
    for rule in rules:
        kept = parts.kept(rule)
        if (key := kept.tobytes()) not in known:
            labels = parts.without(~kept)
            pairs = [(truth, mask(labels, name)) for truth, name in zip(truths, REGIONS, strict=True)]
            known[key] = (
                float(np.mean([dice(*pair) for pair in pairs])),
                float(np.mean([hd95(*pair, case.spacing) for pair in pairs])),
            )
        result.append(known[key])
    return result


class _Parts:
    """The connected parts of a predicted tumour, with their sizes and certainties, (parts,) each."""

    def __init__(self, labels: ArrayLike, tumour: ArrayLike) -> None:
        self.labels, tumour = np.asarray(labels), np.asarray(tumour)
        if self.labels.shape != tumour.shape:
            raise ValueError(f"labels have shape {self.labels.shape} and tumour {tumour.shape}; expected the same")
        found = mask(self.labels, "WT")
        self.numbers, count, start = components_in_box(found)
        self.box = tuple(slice(first, first + size) for first, size in zip(start, self.numbers.shape, strict=True))
        inside = self.numbers > 0
        numbers, values = self.numbers[inside] - 1, tumour[self.box][inside]
        if values.size and not (values.min() >= 0 and values.max() <= 1.01):  # sums of classes may be a little above 1
            raise ValueError(f"tumour runs from {values.min()} to {values.max()}; expected probabilities from 0 to 1")
        self.sizes = np.bincount(numbers, values, minlength=count)
        self.certainties = self.sizes / np.bincount(numbers, minlength=count)

    def kept(self, rule: IslandRule) -> NDArray[np.bool_]:
        """Which parts stay by a rule, (parts,)."""
        stays = self.sizes >= rule.min_share * self.sizes.max(initial=0.0)
        return stays if rule.min_certainty is None else stays | (self.certainties >= rule.min_certainty)

    def without(self, dropped: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """A copy of the labels, in which these parts, (parts,), are background."""
        labels = self.labels.astype(np.uint8)
        labels[self.box][np.concatenate([[False], dropped])[self.numbers]] = 0
        return labels
