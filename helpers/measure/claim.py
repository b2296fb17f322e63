"""Which definitions of accuracy, IoU and Dice could produce the figures that somebody reports, together?

Every definition is written in three shares of all pixels, of a test set whose pixels are pooled:

- e, the error: pixels whose label is wrong;
- t, the union: pixels that are foreground in the ground truth or in the prediction;
- u, the disagreement: pixels that are foreground in one of the two only.

They satisfy 0 <= u <= e <= t <= 1, and the true foreground is a share between t - u and t. With two classes u = e. What
depends on the classes of the foreground as well is known between bounds: per class k let c be the pixels that truth and
prediction share, and d those that only one of them has; then the sum of c is t - e and that of d is 2 e - u over the
foreground, no d exceeds e, and the IoU of a class is c / (c + d), its Dice 2 c / (2 c + d). The bounds are the extremes
over all such c and d. A reported figure is an interval, by its rounding: .994 is any number from .9935 to .9945.

All figures of a claim are read with one set of labels: the classes, or foreground and background alone. An accuracy
over four classes beside the IoU of all foreground would bind the two from below only. A mean over patients is not bound
by the pooled pixels, where patients differ, but for one law: of the same masks Dice is 2 IoU / (1 + IoU), and the mean
Dice lies between the mean IoU and that (Jensen).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

Shares = NDArray[np.float64]
"""Shares of all pixels, or values of a metric, (points,)."""

Range = tuple[float, float]

_LEAST_UNION = 1e-4
"""The foreground is taken to have so many of the pixels at least; without any, overlap is not defined."""

_STEPS = 96
"""Points of t, and of u for each."""

_STEPS_OF_TWO = 8192
"""Points of t where there are two classes, and u is e."""

_HALVINGS = 22
"""Of the range of e, to find where a metric takes a value."""

_TINY = 1e-300

_BLIND = 0.5
"""A range of Dice that is wider says nothing of it."""


@dataclass(frozen=True)
class Definition:
    """One way to compute a metric.

    Attributes:
        metric: "accuracy", "iou" or "dice".
        name: what it is, in a few words.
        formula: in e, t and u, with K classes; "between" where only bounds are known.
        source: who computes it so.
        bounds: from e, t and u, each (points,), and the number of classes to the lowest and the highest value that it
            can have, (points,) both. They fall with e; where u is e, they fall with both.
        classes: which classes it is a mean over, "foreground" or "all"; None where it is no mean over classes.
    """

    metric: str
    name: str
    formula: str
    source: str
    bounds: Callable[[Shares, Shares, Shares, int], tuple[Shares, Shares]]
    classes: str | None = None


@dataclass(frozen=True)
class Figure:
    """A reported number.

    Attributes:
        metric: "accuracy", "iou", "dice" or "foreground", the true share of all pixels that is foreground.
        text: as it was written.
        low: the smallest number that rounds to it.
        high: the largest.
    """

    metric: str
    text: str
    low: float
    high: float


@dataclass(frozen=True)
class Explanation:
    """Definitions that could produce the figures together, and what they would mean.

    Attributes:
        classes: number of classes, background among them; 2 is foreground and background.
        definitions: one for each figure, in the order of the figures.
        foreground_dice: lowest and highest Dice of all foreground against its ground truth.
        class_dice: lowest and highest mean of the Dice of the foreground's classes.
        foreground: lowest and highest true share of all pixels that is foreground.
    """

    classes: int
    definitions: tuple[Definition, ...]
    foreground_dice: Range
    class_dice: Range
    foreground: Range


def figure(metric: str, text: str) -> Figure:
    """A reported number with the interval that its rounding leaves.

    >>> figure("accuracy", ".994")
    Figure(metric='accuracy', text='.994', low=0.9935, high=0.9945)

    Args:
        metric: "accuracy", "iou", "dice" or "foreground".
        text: a share such as ".994", or a percentage such as "99.4%"; its digits say how it was rounded.

    Raises:
        ValueError: no number, or one outside of [0, 1].
    """
    digits = text.strip().removesuffix("%").strip()
    scale = 0.01 if text.strip().endswith("%") else 1.0
    try:
        value = float(digits) * scale
    except ValueError:
        value = np.nan
    if "e" in digits.lower() or not 0 <= value <= 1:
        raise ValueError(f"{metric} is {text!r}; expected a share from 0 to 1, such as .994, or 99.4%")
    half = 0.5 * scale * 10.0 ** -len(digits.partition(".")[2])
    return Figure(metric, text, round(max(0.0, value - half), 12), round(min(1.0, value + half), 12))


def dice_of_iou(iou: float) -> float:
    """The Dice of two masks with this IoU, 2 J / (1 + J).

    >>> round(dice_of_iou(0.81), 3)
    0.895

    Args:
        iou: in [0, 1].
    """
    return 2 * iou / (1 + iou)


def of_same_masks(iou: Figure, dice: Figure) -> bool:
    """Whether an IoU and a Dice can be of the same masks, of one pair or as means over patients or classes.

    >>> of_same_masks(figure("iou", ".81"), figure("dice", ".655"))
    False

    Args:
        iou: the reported IoU.
        dice: the reported Dice.
    """
    return dice.high >= iou.low and dice.low <= dice_of_iou(iou.high)


def explain(figures: Sequence[Figure], foreground: Figure | None = None, classes: int = 4) -> list[Explanation]:
    """All choices of definitions under which some segmentation has all of these figures.

    >>> paper = explain([figure("accuracy", ".994"), figure("iou", ".9920")], figure("foreground", ".010"))
    >>> [one.definitions[1].name for one in paper if one.classes == 4]
    ['MeanIoU of Keras on one-hot masks', 'MeanIoU of Keras on probabilities']

    Args:
        figures: one or more of accuracy, IoU and Dice; a metric may occur more than once.
        foreground: true share of all pixels that is foreground, if it is known.
        classes: number of classes, background among them.

    Returns:
        The explanations, those with all classes first; none where the figures exclude each other. Their ranges are
        exact to about 0.01.

    Raises:
        ValueError: no figure, or fewer than two classes.
    """
    if not figures:
        raise ValueError("there is no figure to explain; give an accuracy, an IoU or a Dice, better two of them")
    if classes < 2:
        raise ValueError(f"classes is {classes}; expected two at least, background and foreground")
    return [one for number in dict.fromkeys((classes, 2)) for one in _explanations(figures, foreground, number)]


def nearest(figures: Sequence[Figure], foreground: Figure | None = None, classes: int = 4) -> tuple[Explanation, float]:
    """The definitions that come nearest to figures which none explains.

    Args:
        figures: as in `explain`.
        foreground: as in `explain`.
        classes: as in `explain`.

    Returns:
        The explanation, and by how much each figure, beyond its rounding, has to give way for it, to 0.001.

    Raises:
        ValueError: as `explain`, or the foreground leaves no room for any.
    """

    def widened(by: float) -> list[Figure]:
        return [replace(one, low=one.low - by, high=one.high + by) for one in figures]

    least, most = 0.0, 1.0  # where figures give way by 1 every one fits
    while most - least > 1e-3:
        middle = (least + most) / 2
        least, most = (least, middle) if explain(widened(middle), foreground, classes) else (middle, most)
    if not (found := explain(widened(most), foreground, classes)):
        raise ValueError("no definition fits, however far the figures give way; the foreground is too small a share")
    return found[0], most


def remarks(
    figures: Sequence[Figure], explanations: Sequence[Explanation], closest: tuple[Explanation, float] | None = None
) -> list[str]:
    """What a reader should take from the explanations, in sentences.

    Args:
        figures: as in `explain`.
        explanations: what it returned.
        closest: what `nearest` returned, where there is no explanation.
    """
    said = []
    if explanations:
        count = len(explanations)
        said.append(f"{count} reading{'s explain' if count > 1 else ' explains'} these figures together.")
    elif closest is not None:
        names = ", ".join(f"{one.metric} as {one.name}" for one in closest[0].definitions)
        said.append(
            f"No known definition explains these figures together. The nearest: {names}, if each figure were off by "
            f"{closest[1]:.3f} beyond its rounding."
        )
        said.append(
            "Not tried: means over patients who differ, and an accuracy over all classes beside an IoU or Dice of the "
            "whole foreground."
        )
    for iou, dice in product(figures, repeat=2):
        if (iou.metric, dice.metric) == ("iou", "dice") and not of_same_masks(iou, dice):
            value = dice_of_iou((iou.low + iou.high) / 2)
            said.append(
                f"IoU {iou.text} and Dice {dice.text} are not of the same masks: their Dice would be {value:.3f}, and "
                f"as means over patients between {(iou.low + iou.high) / 2:.3f} and that."
            )
    blind = [one for one in explanations if one.foreground_dice[1] - one.foreground_dice[0] > _BLIND]
    if blind:
        low, high = min(one.foreground_dice[0] for one in blind), max(one.foreground_dice[1] for one in blind)
        said.append(f"{len(blind)} of them leave the foreground's Dice anywhere from {low:.2f} to {high:.2f}.")
    return said


def as_json(
    figures: Sequence[Figure],
    foreground: Figure | None,
    explanations: Sequence[Explanation],
    closest: tuple[Explanation, float] | None = None,
) -> dict:
    """The claim and its explanations, ready for JSON.

    Args:
        figures: as in `explain`.
        foreground: as in `explain`.
        explanations: what it returned.
        closest: what `nearest` returned, where there is no explanation.
    """

    def plain(one: Explanation) -> dict:
        definitions = [{"metric": each.metric, "name": each.name, "formula": each.formula} for each in one.definitions]
        return {**vars(one), "definitions": definitions}

    return {
        "figures": [vars(one) for one in figures],
        "foreground": None if foreground is None else vars(foreground),
        "explanations": [plain(one) for one in explanations],
        "nearest": None if closest is None else {**plain(closest[0]), "off_by": closest[1]},
    }


def _explanations(figures: Sequence[Figure], foreground: Figure | None, classes: int) -> Iterator[Explanation]:
    """Try every choice of definitions on a grid of t and u.

    At each point of it a figure leaves an interval of e, since all bounds fall with e; a choice is possible where the
    intervals of its figures overlap at some point.
    """
    accuracies = [one for one in figures if one.metric == "accuracy"]
    error = 1 - min([1.0, *(one.high for one in accuracies)]), 1 - max([0.0, *(one.low for one in accuracies)])
    grid = _Grid(classes, (0.0, 1.0) if foreground is None else (foreground.low, foreground.high), error)
    options = [
        [(one, *grid.errors(reported, one)) for one in DEFINITIONS if one.metric == reported.metric]
        for reported in figures
    ]
    for chosen in product(*options):
        definitions = tuple(definition for definition, _, _ in chosen)
        low = np.maximum.reduce([grid.least, *(low for _, low, _ in chosen)])
        high = np.minimum.reduce([grid.most, *(high for _, _, high in chosen)])
        if ranges := grid.ranges(low, high, list(zip(figures, definitions, strict=True))):
            yield Explanation(classes, definitions, *ranges)


class _Grid:
    """Points of t and u, and what figures say of e at each of them.

    Args:
        classes: their number, background among them.
        foreground: the lowest and the highest true share of the foreground.
        error: the lowest and the highest e.
    """

    def __init__(self, classes: int, foreground: Range, error: Range) -> None:
        self.classes, self.foreground = classes, foreground
        least, most = np.clip(error, 0, 1)
        ends = np.clip([foreground[0], foreground[1] + most], _LEAST_UNION, 1 - _LEAST_UNION)
        odds = np.log(ends / (1 - ends))
        t = 1 / (1 + np.exp(-np.linspace(*odds, _STEPS_OF_TWO if classes == 2 else _STEPS)))  # dense at both ends
        missed = np.linspace(least, most, _STEPS // 2)  # t where all foreground is missed, and nothing else is wrong
        t = np.union1d(t, missed[(missed > t[0]) & (missed < t[-1])])
        if classes == 2:
            self.t, self.u = t, None
            self.least, self.most = np.maximum(t - foreground[1], 0), np.minimum(t, most)
        else:
            u = np.minimum(t, most)[:, None] * np.linspace(0, 1, _STEPS)
            t = np.broadcast_to(t[:, None], u.shape)
            exists = t - u <= foreground[1]
            self.t, self.u = t[exists], u[exists]
            self.least, self.most = self.u, np.minimum(self.t, most)

    def errors(self, figure: Figure, definition: Definition) -> tuple[Shares, Shares]:
        """The lowest and the highest e at each point with which the definition may give the figure."""

        def bounds(e: Shares) -> tuple[Shares, Shares]:
            return definition.bounds(e, self.t, e if self.u is None else self.u, self.classes)

        lowest, highest = (
            self._last(lambda e: bounds(e)[0], figure.high),
            self._last(lambda e: bounds(e)[1], figure.low),
        )
        return np.where(bounds(self.most)[0] > figure.high, np.inf, lowest), highest

    def _last(self, falling: Callable[[Shares], Shares], value: float) -> Shares:
        """The largest e at which a function is at least a value, (points,); minus infinity where it never is."""
        low, high = self.least, self.most
        never, always = falling(low) < value, falling(high) >= value
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            above = falling(middle) >= value
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return np.select([never, always], [-np.inf, self.most], low)

    def ranges(
        self, low: Shares, high: Shares, readings: Sequence[tuple[Figure, Definition]]
    ) -> tuple[Range, Range, Range] | None:
        """Ranges of Dice, mean Dice of classes and foreground over the points with an e from low to high; None without.

        Means over classes bind two numbers, the mean IoU and the mean Dice of the foreground's classes, and those bind
        each other: Dice is at least IoU, and at most 2 IoU / (1 + IoU).
        """
        u = low if self.u is None else self.u
        means = {"iou": [np.zeros_like(low), np.ones_like(low)], "dice": [np.zeros_like(low), np.ones_like(low)]}
        for reported, definition in readings if self.u is not None else ():
            if definition.classes:
                # K times a mean over all, less the background's part, is left for the others.
                others = self.classes - 1
                whole = self.classes / others if definition.classes == "all" else 1
                part = _background(self.t, u, reported.metric) / others if definition.classes == "all" else 0
                claimed = means[reported.metric]
                claimed[0] = np.maximum(claimed[0], whole * reported.low - part)
                claimed[1] = np.minimum(claimed[1], whole * reported.high - part)
        (iou_low, iou_high), (dice_low, dice_high) = means["iou"], means["dice"]
        dice_low, dice_high = np.maximum(dice_low, iou_low), np.minimum(dice_high, dice_of_iou(np.maximum(iou_high, 0)))
        possible = (low <= high) & (dice_low <= dice_high)
        if not possible.any():
            return None
        t, low, high = self.t[possible], low[possible], high[possible]
        at_low, at_high = (low, high) if self.u is None else (u[possible], u[possible])
        lowest = np.maximum(dice_low[possible], _class_dice(high, t, at_high, self.classes)[0])
        highest = np.minimum(dice_high[possible], _class_dice(low, t, at_low, self.classes)[1])
        return (
            (float(_foreground_dice(t, at_high).min()), float(_foreground_dice(t, at_low).max())),
            (float(lowest.min()), float(highest.max())),
            (
                max(self.foreground[0], float((t - at_high).min())),
                min(self.foreground[1], float(t.max())),
            ),
        )


def _accuracy(e: Shares, t: Shares, u: Shares, classes: int) -> tuple[Shares, Shares]:
    """1 - e."""
    return 1 - e, 1 - e


def _one_hot_iou(e: Shares, t: Shares, u: Shares, classes: int) -> tuple[Shares, Shares]:
    """The mean of two IoU, of the entries that are 0 and of those that are 1.

    A pixel has K entries, one of them 1; a wrong pixel has one 1 and one 0 where truth has the other. So, per pixel,
    K - 1 - e entries are 0 in both masks and K - 1 + e in either, 1 - e are 1 in both and 1 + e in either.
    """
    value = ((classes - 1 - e) / (classes - 1 + e) + (1 - e) / (1 + e)) / 2
    return value, value


def _truncated_iou(e: Shares, t: Shares, u: Shares, classes: int) -> tuple[Shares, Shares]:
    """As `_one_hot_iou`, where every probability below 1 is cut to 0.

    Let r be the pixels that are right, and w those that are wrong, with a probability of exactly 1. The two IoU are
    (K - 1 - w) / (K - r) and r / (1 + w): they rise with r, which is 1 - e at most, and fall with w, at most e.
    """
    return (classes - 1 - e) / classes / 2, (1 - e + (classes - 1) / (classes - 1 + e)) / 2


def _entries_iou(e: Shares, t: Shares, u: Shares, classes: int) -> tuple[Shares, Shares]:
    """Of the entries that are 1, 1 - e per pixel are so in both masks and 1 + e in either."""
    value = (1 - e) / (1 + e)
    return value, value


def _class_iou(e: Shares, t: Shares, u: Shares, classes: int) -> tuple[Shares, Shares]:
    return _class_mean(e, t, u, classes, 1)


def _class_dice(e: Shares, t: Shares, u: Shares, classes: int) -> tuple[Shares, Shares]:
    return _class_mean(e, t, u, classes, 2)


def _all_iou(e: Shares, t: Shares, u: Shares, classes: int) -> tuple[Shares, Shares]:
    return _with_background(_background(t, u, "iou"), _class_iou(e, t, u, classes), classes)


def _all_dice(e: Shares, t: Shares, u: Shares, classes: int) -> tuple[Shares, Shares]:
    return _with_background(_background(t, u, "dice"), _class_dice(e, t, u, classes), classes)


def _soft_dice(e: Shares, t: Shares, u: Shares, classes: int) -> tuple[Shares, Shares]:
    """From 0 to 1 - x / (2 t + x) / K, where x = e / 2.

    A wrong pixel gives its true class a probability of 1 / 2 at most, so x at least goes to wrong classes. Each part of
    it is missing from one class and too much in another, and one of the two is of the foreground. A class with the
    share p of the pixels that misses m and has l too much has the Dice 1 - (m + l) / (2 p - m + l). What it loses is at
    least (m + l) / (2 t + x), so all of them lose x / (2 t + x) at least.
    """
    return np.zeros_like(e), 1 - e / 2 / (2 * t + e / 2) / classes


def _entries_soft_dice(e: Shares, t: Shares, u: Shares, classes: int) -> tuple[Shares, Shares]:
    """The mean probability of the true class, since probabilities sum to 1 as one-hot entries do.

    It is at least 1 / K where a pixel is right, and at most 1 / 2 where it is wrong.
    """
    return (1 - e) / classes, 1 - e / 2


def _background(t: Shares, u: Shares, metric: str) -> Shares:
    """IoU of the background, (1 - t) / (1 - t + u), or its Dice."""
    both = (2 if metric == "dice" else 1) * (1 - t)
    return both / (both + u)


def _with_background(background: Shares, foreground: tuple[Shares, Shares], classes: int) -> tuple[Shares, Shares]:
    low, high = ((background + (classes - 1) * mean) / classes for mean in foreground)
    return low, high


def _class_mean(e: Shares, t: Shares, u: Shares, classes: int, times: int) -> tuple[Shares, Shares]:
    """The least and the largest mean of c / (c + d) over the n foreground classes, or of 2 c / (2 c + d).

    Each is convex in d and concave in c, so the extremes lie in corners. Least: one class has all that is right, and e
    of the errors, and no other has anything right. Largest: two classes have all errors, e and e - u of them, and
    divide what is right so that d / (c + d)^2 is the same in both.

    Args:
        e: error, (points,).
        t: union, (points,).
        u: disagreement, (points,).
        classes: number of classes, background among them.
        times: how often c is counted, 1 for IoU and 2 for Dice.
    """
    right = times * np.maximum(t - e, 0)
    alone = right / (right + e + _TINY)
    if classes == 2:
        return alone, alone
    rest = np.maximum(e - u, 0)
    roots = np.sqrt(e) + np.sqrt(rest)
    divided = 2 - roots**2 / (right + e + rest + _TINY)
    second_alone = right / (right + rest + _TINY)  # where the first class would get less than nothing
    two = np.where(right + e + rest >= np.sqrt(e) * roots, divided, second_alone)
    return alone / (classes - 1), (classes - 3 + two) / (classes - 1)


def _foreground_dice(t: Shares, u: Shares) -> Shares:
    """Dice of all foreground, 2 (t - u) / (2 t - u)."""
    return 2 * (t - u) / (2 * t - u)


DEFINITIONS = (
    Definition("accuracy", "share of right pixels", "1 - e", "keras.metrics.CategoricalAccuracy", _accuracy),
    Definition(
        "iou",
        "MeanIoU of Keras on one-hot masks",
        "((K-1-e)/(K-1+e) + (1-e)/(1+e)) / 2",
        "keras.metrics.MeanIoU without argmax, for masks of 0 and 1 (TensorFlow issues 32875, 39173)",
        _one_hot_iou,
    ),
    Definition(
        "iou",
        "pooled over one-hot entries",
        "(1-e)/(1+e)",
        "micro average; torchmetrics, scikit-learn",
        _entries_iou,
    ),
    Definition(
        "iou",
        "mean of the foreground's classes",
        "between (1-e/t)/(K-1) and its largest; with two classes 1-e/t",
        "Everingham et al. 2010, without background",
        _class_iou,
        "foreground",
    ),
    Definition(
        "iou",
        "mean of all classes, background too",
        "((1-t)/(1-t+u) + (K-1) times that of the foreground's classes) / K",
        "keras.metrics.OneHotMeanIoU; Everingham et al. 2010",
        _all_iou,
        "all",
    ),
    Definition(
        "iou",
        "MeanIoU of Keras on probabilities",
        "between (K-1-e)/(2K) and (1-e + (K-1)/(K-1+e)) / 2",
        "keras.metrics.MeanIoU without argmax, which cuts a probability below 1 to 0",
        _truncated_iou,
    ),
    Definition(
        "dice",
        "mean of the foreground's classes",
        "between (2t-2e)/(2t-e)/(K-1) and its largest; with two classes (2t-2e)/(2t-e)",
        "Dice 1945; Menze et al. 2015",
        _class_dice,
        "foreground",
    ),
    Definition(
        "dice",
        "mean of all classes, background too",
        "(2(1-t)/(2(1-t)+u) + (K-1) times that of the foreground's classes) / K",
        "dice_coef of the public kernel, after argmax",
        _all_dice,
        "all",
    ),
    Definition(
        "dice",
        "pooled over one-hot entries",
        "1 - e",
        "micro average (F1 score), the same as the accuracy",
        _accuracy,
    ),
    Definition(
        "dice",
        "soft, mean of all classes",
        "between 0 and 1 - e/(4t+e)/K",
        "dice_coef of the public kernel, on probabilities",
        _soft_dice,
    ),
    Definition(
        "dice",
        "soft, pooled over one-hot entries",
        "mean probability of the true class, between (1-e)/K and 1-e/2",
        "keras.losses.Dice with axis=None",
        _entries_soft_dice,
    ),
)
"""The known definitions. Those that follow from e alone come first, those that allow nearly everything last."""
