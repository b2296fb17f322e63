"""Whether a radiograph or a mask means what it should: cheap tests, with limits set by real X-rays."""

from collections.abc import Iterable

import numpy as np
import scipy

INVERTED, FEW_LEVELS, MISPLACED = "inverted", "few grey levels", "misplaced mask"

_MESSAGES = {
    INVERTED: "look inverted (lungs brighter than the middle of the chest); a model that learned from X-rays with "
    "white bones is wrong on them. Invert them, unless they are meant so",
    MISPLACED: "are not darker under their mask than around it; see whether it is the mask of another X-ray, or turned",
    FEW_LEVELS: "have fewer than 64 grey levels; export them again with the full depth of the detector",
}

_OF_ONE = {
    INVERTED: "It looks inverted: the lungs are brighter than the middle of the chest, and the model learned from "
    "X-rays with white bones. Invert it, unless it is meant so.",
    MISPLACED: "It is not darker under its mask than around it: is it the mask of another X-ray, or turned?",
    FEW_LEVELS: "It has fewer than 64 grey levels: export it again with the full depth of the detector.",
}

# Measured on 514 real masks: the lungs are 0.083 to 0.406 of the picture and cover at most 0.006 of its border; on 128
# phantoms 0.17 to 0.32 and at most 0.064. An inverted mask has 0.59 and more, and covers nearly all of the border.
_SMALLEST, _LARGEST, _BORDER = 0.01, 0.7, 0.5

# Measured on 610 real X-rays: the middle of the chest is brighter than the lungs by 0.27 to 2.36 standard deviations
# of the picture (140 phantoms: 0.94 to 1.98), so an inverted one has -0.27 and less.
_MIDDLE = -0.1

# The same as medians of a ring around the mask and of the mask: 0.07 to 1.64 on 514 real X-rays, 0.53 to 1.46 on 128
# phantoms. With masks upside down 23 % of the real ones are below 0, transposed 37 %, inverted X-rays all.
_AROUND = -0.05

_FEWEST = 64  # the real X-rays have 237 to 256 grey levels, phantoms of 64 pixels 218 and more


def implausible_mask(lungs: np.ndarray) -> str | None:
    """What is wrong with a mask, and how to mend it; None for one that may be of lungs.

    Args:
        lungs: (rows, columns) bool.
    """
    share = float(lungs.mean())
    border = float(np.concatenate([lungs[0], lungs[-1], lungs[:, 0], lungs[:, -1]]).mean())
    if border > _BORDER or share > _LARGEST:
        return (
            f"the mask covers {share:.0%} of the picture and {border:.0%} of its border, which lungs do not: are they "
            "black on white? Invert it, so that lungs are white and the rest is 0."
        )
    if share < _SMALLEST:
        return (
            f"the mask covers {share:.2%} of the picture; lungs are at least {_SMALLEST:.0%}. Draw it again, or remove "
            "it."
        )
    return None


def radiograph_notes(radiograph: np.ndarray, mask: np.ndarray | None = None) -> tuple[str, ...]:
    """What is unusual about a radiograph: `INVERTED` or `MISPLACED`, `FEW_LEVELS`; nothing, as a rule.

    Args:
        radiograph: (rows, columns) uint8.
        mask: (rows, columns) bool; None where there is none.
    """
    notes = (INVERTED,) if _looks_inverted(radiograph) else ()
    if mask is not None and not notes and _darkness(radiograph, mask) < _AROUND:
        notes = (MISPLACED,)
    step = max(1, min(radiograph.shape) // 512)
    few = grey_levels(radiograph[::step, ::step]) < _FEWEST and grey_levels(radiograph) < _FEWEST
    return (*notes, FEW_LEVELS) if few else notes


def grey_levels(pixels: np.ndarray) -> int:
    """How many grey levels occur.

    Args:
        pixels: (rows, columns) uint8.
    """
    return np.count_nonzero(np.bincount(pixels.ravel(), minlength=256))


def summarise(notes: Iterable[tuple[str, Iterable[str]]]) -> list[tuple[str, str, tuple[str, ...]]]:
    """One sentence for each kind of note.

    Args:
        notes: the id of a radiograph, and what `radiograph_notes` says of it.

    Returns:
        (kind, sentence, ids) for each kind that occurs.
    """
    notes = [(identity, set(kinds)) for identity, kinds in notes]
    found = []
    for kind, message in _MESSAGES.items():
        if ids := tuple(identity for identity, kinds in notes if kind in kinds):
            found.append((kind, f"{len(ids)} of {len(notes)} X-rays {message}", ids))
    return found


def sentences(notes: Iterable[tuple[str, Iterable[str]]], most: int = 5) -> list[str]:
    """What `summarise` finds, as lines for a log, each with the first ids.

    Args:
        notes: as `summarise` takes them.
        most: ids in a line; the rest is counted.
    """
    return [
        f"Note: {sentence}: {', '.join(ids[:most])}{f' and {len(ids) - most} more' if len(ids) > most else ''}"
        for _, sentence, ids in summarise(notes)
    ]


def explain(kind: str) -> str:
    """What a note says of a single radiograph, and what to do about it.

    Args:
        kind: as `radiograph_notes` gives it.
    """
    return _OF_ONE[kind]


def _darkness(radiograph: np.ndarray, mask: np.ndarray) -> float:
    """By how many standard deviations a radiograph is darker under a mask than around it."""
    step = max(1, min(radiograph.shape) // 128)
    levels, lungs = radiograph[::step, ::step].astype(np.float32), mask[::step, ::step]
    around = scipy.ndimage.binary_dilation(lungs, np.ones((3, 3), bool), max(1, min(lungs.shape) // 12)) & ~lungs
    if not (lungs.any() and around.any() and levels.std()):
        return 0.0
    return float((np.median(levels[around]) - np.median(levels[lungs])) / levels.std())


def _looks_inverted(radiograph: np.ndarray) -> bool:
    """Whether the middle of the chest (spine and heart) is darker than both sides of it (lungs)."""
    step = max(1, min(radiograph.shape) // 128)
    levels = radiograph[::step, ::step].astype(np.float32)
    (rows, columns), spread = levels.shape, float(levels.std())

    def box(top: float, bottom: float, left: float, right: float) -> np.ndarray:
        return levels[int(top * rows) : int(bottom * rows), int(left * columns) : int(right * columns)]

    middle, one, other = box(0.25, 0.85, 0.45, 0.55), box(0.25, 0.55, 0.2, 0.38), box(0.25, 0.55, 0.62, 0.8)
    if not (middle.size and one.size and other.size and spread):
        return False  # a few pixels
    return float(middle.mean() - (one.mean() + other.mean()) / 2) < _MIDDLE * spread
