"""Whether an outline can be lungs: a shape check, learned from masks alone.

Five numbers describe a mask: how much of it lies in its two largest parts, how much of the picture these fill, how
alike the two are in area and in height, and how smooth they are. Their ranges over the masks of a training recognise an
outline that is no pair of lungs, at any hospital and without a mask of its own.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from helpers.learn.run_folder import member_folders, read_run

MIN_MASKS = 8
"""Masks below which no range is learned."""

TAIL = 0.02
"""The fraction of the masks beyond the quantile that a range begins with: outlines by hand have slips too."""

MARGIN = 0.5
"""How much wider a range is than that, as a share of the way from the median to the quantile: the next hospital frames
its radiographs otherwise, and lungs stay lungs. With both, 4 % of 416 real masks are outside the ranges of the other
hospital, and none of that hospital's 98 outside theirs."""

# The name of each number, what it says of a mask, the least way from the median to the end of its range, and whether
# too much of it is wrong as well: a grid of 48 pixels does not resolve less, and no outline is too smooth.
_NUMBERS = {
    "parts": ("the two largest parts, as a share of the outline", 0.02, False),
    "area": ("lungs, as a share of the square picture", 0.05, True),
    "balance": ("area of the smaller lung over that of the larger", 0.1, False),
    "level": ("height that the lungs have in common, as a share of their whole", 0.1, False),
    "smoothness": ("smoothness of the edges, of a disc 1", 0.05, False),
}

Ranges = Mapping[str, tuple[float, float]]
"""The lowest and the highest value of each number."""


def shape_numbers(mask: np.ndarray) -> dict[str, float]:
    """Describe the shape of a mask by numbers from 0 to 1.

    Args:
        mask: (size, size) bool, on the network's square grid, where every radiograph has its own proportions.

    Returns:
        parts: share of the mask in its two largest connected components;
        area: share of the picture that these fill;
        balance: the smaller one's area over the larger one's;
        level: the rows that both have, as a share of the rows that either has;
        smoothness: 4 pi area / perimeter ** 2 (the isoperimetric quotient), the mean of both.
        All are 0 for an empty mask, and balance and level where there is one part.
    """
    lungs = two_largest(mask)
    if not lungs:
        return dict.fromkeys(_NUMBERS, 0.0)
    areas = [float(lung.sum()) for lung in lungs]
    rows = [np.flatnonzero(lung.any(axis=1)) for lung in lungs]
    first, last = [line[0] for line in rows], [line[-1] for line in rows]
    common = max(0, min(last) - max(first) + 1) / (max(last) - min(first) + 1)
    pair = len(lungs) == 2
    return {
        "parts": sum(areas) / float(mask.sum()),
        "area": sum(areas) / mask.size,
        "balance": min(areas) / max(areas) if pair else 0.0,
        "level": float(common) if pair else 0.0,
        "smoothness": float(np.mean([_isoperimetric_quotient(lung) for lung in lungs])),
    }


def two_largest(mask: np.ndarray) -> list[np.ndarray]:
    """The two largest connected components of a mask, the one further left first; fewer where there are no two.

    Args:
        mask: (rows, columns) bool.

    Returns:
        Each (rows, columns) bool.
    """
    from scipy import ndimage

    components, found = ndimage.label(mask)
    sizes = np.bincount(components.ravel(), minlength=found + 1)[1:]
    parts = [components == number + 1 for number in np.argsort(-sizes, kind="stable")[:2]]
    return sorted(parts, key=lambda part: float(np.nonzero(part)[1].mean()))


@dataclass(frozen=True)
class ShapeCheck:
    """The ranges of the five numbers over the masks of a training.

    Attributes:
        ranges: by name of the number its lowest and highest value.
        masks: how many they were learned from.
    """

    ranges: Ranges
    masks: int

    @classmethod
    def fit(cls, masks: Iterable[np.ndarray]) -> "ShapeCheck | None":
        """Learn the ranges from masks.

        Args:
            masks: each (size, size) bool.

        Returns:
            The check; None for fewer than `MIN_MASKS`.
        """
        rows = [list(shape_numbers(mask).values()) for mask in masks]
        if len(rows) < MIN_MASKS:
            return None
        lower, middle, upper = np.quantile(rows, (TAIL, 0.5, 1 - TAIL), axis=0)  # each (5,)
        ranges = {}
        for index, (name, (_, least, both_ends)) in enumerate(_NUMBERS.items()):
            below, above = (
                max((1 + MARGIN) * abs(middle[index] - quantile[index]), least) for quantile in (lower, upper)
            )
            low, high = max(0.0, middle[index] - below), middle[index] + above if both_ends else 1.0
            ranges[name] = (round(float(low), 4), round(min(1.0, float(high)), 4))
        return cls(ranges, len(rows))

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "ShapeCheck | None":
        """The check of a trained model; of an ensemble the one that admits what a member's does.

        Args:
            folder: of a `train lungs`, or of an adaptation.

        Returns:
            The check; None where an older version of this package, or too few masks, left none.

        Raises:
            DataError: as `helpers.learn.run_folder.read_run`.
        """
        saved = [read_run(member, "lungs").get("shape") for member in member_folders(folder)]
        return united([cls.from_json(one) for one in saved if one]) if all(saved) else None

    @classmethod
    def from_json(cls, content: Mapping) -> "ShapeCheck":
        """The check from what `as_json` gives.

        Args:
            content: `ranges` and `masks`.
        """
        return cls({name: tuple(content["ranges"][name]) for name in _NUMBERS}, content["masks"])

    def as_json(self) -> dict:
        """What `run.json` has of it: `ranges` and `masks`."""
        return {"ranges": {name: list(ends) for name, ends in self.ranges.items()}, "masks": self.masks}

    def faults(self, mask: np.ndarray) -> list[str]:
        """What a mask has that those of the training had not, a line each; none for a plausible one.

        Args:
            mask: (size, size) bool.
        """
        if not mask.any():
            return ["no lungs were found"]
        found = shape_numbers(mask)
        return [
            f"{_NUMBERS[name][0]}: {found[name]:.2f}; in the masks that the model learned from {low:.2f} to {high:.2f}"
            for name, (low, high) in self.ranges.items()
            if not low <= found[name] <= high
        ]

    def is_plausible(self, mask: np.ndarray) -> bool:
        """Whether a mask may be lungs.

        Args:
            mask: (size, size) bool.
        """
        return not self.faults(mask)

    def implausible_fraction(self, masks: Sequence[np.ndarray]) -> float:
        """The fraction of masks that cannot be lungs.

        Args:
            masks: each (size, size) bool, one at least.
        """
        return float(np.mean([not self.is_plausible(mask) for mask in masks]))


def united(checks: Sequence[ShapeCheck]) -> ShapeCheck | None:
    """The check that admits whatever one of several does; None for none.

    Args:
        checks: of the members of an ensemble, or of a model and what it went on from.
    """
    if not checks:
        return None
    ends = {name: [check.ranges[name] for check in checks] for name in _NUMBERS}
    ranges = {name: (min(low for low, _ in pairs), max(high for _, high in pairs)) for name, pairs in ends.items()}
    return ShapeCheck(ranges, sum(check.masks for check in checks))


def _isoperimetric_quotient(lung: np.ndarray) -> float:
    from skimage.measure import perimeter_crofton

    around = perimeter_crofton(np.pad(lung, 1))  # by lines in four directions: unlike counting edges, it is of no grid
    return min(1.0, float(4 * np.pi * lung.sum() / around**2)) if around else 1.0
