"""From probabilities to a mask: the one with the highest expected Dice, beside the most probable label (argmax).

If every voxel is foreground with its own probability p, independently of the others, the expected Dice of a mask has a
maximum among the masks that hold the most probable voxels (Dai and Li 2023, JMLR 24, RankDice). In a large volume the
true number of voxels hardly leaves its mean m, the sum of all p; then the expected Dice is 2 s / (n + m) for n voxels
whose p sum to s, and its best mask holds what is above half of the best value (Lipton et al. 2014,
doi 10.1007/978-3-662-44851-9_15; Nordström et al. 2022, arXiv 2206.06484, and 2023, arXiv 2304.04116). Half of a Dice
is one half at most, so the mask is not smaller than by argmax; where a tumour is uncertain it is much larger.

The probabilities have to mean what they say: see `helpers.measure.calibration`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.measure.overlap import Mask

EXACT = 256
"""Up to so many voxels that may be foreground the expected Dice is computed exactly, above for the mean number."""

_NEGLIGIBLE = 1e-9
"""Voxels with less are taken for background."""

_ROUNDS = 50

_ROUNDING = 1e-2
"""So far a sum of probabilities may lie outside of [0, 1] by rounding in half precision."""

_CERTAIN = 30.0
"""Expected voxels from which on the chance that there is none, exp(-30) at most, is taken for 0."""

_UNLIKELY = 0.01
"""An empty mask is tried where it would score as much at least."""

_LABEL_OF_DEPTH = np.array([0, 2, 1, 3], np.uint8)
"""The network label of a voxel in none of the regions, in WT, in TC too, and in ET too."""


def argmax(probabilities: ArrayLike) -> NDArray[np.uint8]:
    """The most probable label of each voxel, which is best for the accuracy.

    Args:
        probabilities: (..., 4), the classes of the network, which sum to 1.

    Returns:
        Network labels 0 to 3, uint8, (...).
    """
    return np.argmax(probabilities, axis=-1).astype(np.uint8)


def expected_dice(probabilities: ArrayLike, mask: ArrayLike) -> float:
    """The expected Dice of a mask, if each voxel is foreground with its probability, independently of the others.

    Exact up to `EXACT` voxels that may be foreground; above, the number of foreground voxels is taken to be its mean.
    Two empty masks score 1 (`helpers.measure.overlap.empty_mask_score`).

    >>> expected_dice([0.5], [True]), expected_dice([0.5], [False])
    (0.5, 0.5)

    Args:
        probabilities: of foreground, any shape.
        mask: the same shape, bool.

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: the shapes differ, or the probabilities are none.
    """
    p, chosen = _as_probabilities(probabilities), np.asarray(mask, bool)
    if p.shape != chosen.shape:
        raise ValueError(f"probabilities have shape {p.shape} and mask {chosen.shape}; expected the same")
    p, chosen = p.ravel(), chosen.ravel()
    size = int(np.count_nonzero(chosen))
    if size == 0:
        return _chance_of_none(p)
    if np.count_nonzero(p > _NEGLIGIBLE) <= EXACT:
        possible = p > _NEGLIGIBLE
        # Voxels of the mask that cannot be foreground count for its size alone.
        return float(_gains(p[possible], np.array([size]))[chosen[possible], 0].sum())
    return float(2 * p[chosen].sum(dtype=np.float64) / (size + p.sum(dtype=np.float64)))


def dice_optimal(probabilities: ArrayLike) -> Mask:
    """The mask of one region with the highest expected Dice.

    Exact up to `EXACT` voxels that may be foreground; above, by the threshold at half of the best value.

    >>> dice_optimal([0.9, 0.45, 0.1]).tolist()  # by argmax the first alone
    [True, True, False]

    Args:
        probabilities: of foreground, any shape.

    Returns:
        The mask, the same shape.

    Raises:
        ValueError: values outside of [0, 1], or NaN.
    """
    p = _as_probabilities(probabilities)
    possible = p > _NEGLIGIBLE
    mask = np.zeros(p.shape, bool)
    if not possible.any():
        return mask
    if np.count_nonzero(possible) > EXACT:
        value, above = _best_ratio(p, p.sum(dtype=np.float64))
        return above if value >= _chance_of_none(p) else mask
    chances = p[possible]
    order = np.argsort(-chances, kind="stable")
    gains = _gains(chances, np.arange(1, chances.size + 1))[order]  # (voxels, sizes)
    values = np.array([_chance_of_none(p), *np.diagonal(gains.cumsum(axis=0))])  # by size, from 0
    best = np.zeros(chances.size, bool)
    best[order[: int(np.argmax(values))]] = True
    mask[possible] = best
    return mask


def dice_optimal_labels(probabilities: ArrayLike) -> NDArray[np.uint8]:
    """Labels whose three nested regions have the highest sum of expected Dice.

    The best masks of whole tumour, tumour core and enhancing tumour, each for itself, need not be nested. So the label
    of a voxel is chosen by what it adds to all three together: to a mask of n voxels, of which m are expected, with the
    Dice D it adds (2 p - D) / (n + m), which is positive above half of D. The masks follow from the D, and those from
    the masks; from the best masks for themselves this is repeated until the sum rises no more. Up to `EXACT` voxels
    that may be foreground, the exact sum is then raised by changing one label, or exchanging two, while that raises it.

    Args:
        probabilities: (..., 4), the classes of the network, which sum to 1.

    Returns:
        Network labels 0 to 3, uint8, (...).

    Raises:
        ValueError: there are not four classes, or the values are no probabilities.
    """
    p = np.asarray(probabilities)
    if p.ndim == 0 or p.shape[-1] != 4:
        raise ValueError(f"probabilities have shape {p.shape}; expected four classes along the last axis")
    p = p.astype(np.float32) if p.dtype == np.float16 else p
    enhancing = p[..., 3].ravel()
    core = enhancing + p[..., 1].ravel()
    regions = _as_probabilities(np.stack([core + p[..., 2].ravel(), core, enhancing]))  # (3, voxels): WT, TC, ET
    labels = np.zeros(enhancing.size, np.uint8)
    rows = np.flatnonzero(regions[0] > _NEGLIGIBLE)
    if rows.size <= EXACT:
        labels[rows] = _LABEL_OF_DEPTH[_nested_exact(regions[:, rows].astype(np.float64))]
    else:
        labels[:] = _LABEL_OF_DEPTH[_nested(regions)]
    return labels.reshape(p.shape[:-1])


def dice_thresholds(probabilities: ArrayLike) -> tuple[float, float, float]:
    """The thresholds of whole tumour, tumour core and enhancing tumour above which a voxel adds to the expected Dice.

    Each is half of the best expected Dice of its region alone, as in `dice_optimal`, for the mean number of voxels. It
    depends on the probabilities as a set: on another grid of the same volume it is the same but for rounding, so that a
    small grid decides for a large one.

    >>> [round(one, 2) for one in dice_thresholds([[0.05, 0, 0, 0.95]] * 3 + [[0.7, 0, 0.3, 0]] * 2)]
    [0.44, 0.49, 0.49]

    Args:
        probabilities: (..., 4), the classes of the network, which sum to 1.

    Returns:
        Three numbers up to one half; one half for a region that no voxel may belong to.
    """
    p = np.asarray(probabilities)
    p = (p.astype(np.float32) if p.dtype == np.float16 else p).reshape(-1, 4)
    core = p[:, 1] + p[:, 3]
    values = [_best_ratio(region, float(region.sum(dtype=np.float64)))[0] for region in (core + p[:, 2], core, p[:, 3])]
    return tuple(value / 2 if value else 0.5 for value in values)


def labels_above(tumour: ArrayLike, thresholds: Sequence[float]) -> NDArray[np.uint8]:
    """Labels of the regions whose probability is above a threshold each; a region lies within the one before.

    Args:
        tumour: (..., 3), the probabilities of the network's three tumour classes.
        thresholds: of whole tumour, tumour core and enhancing tumour.

    Returns:
        Network labels 0 to 3, uint8, (...).
    """
    tumour = np.asarray(tumour)
    core = tumour[..., 0] + tumour[..., 2]
    whole = core + tumour[..., 1] > thresholds[0]
    core = whole & (core > thresholds[1])
    depth = whole.astype(np.uint8) + core + (core & (tumour[..., 2] > thresholds[2]))
    return _LABEL_OF_DEPTH[depth]


def _nested(regions: NDArray) -> NDArray[np.intp]:
    """How many of the nested regions hold each voxel, (voxels,), for the mean number of voxels; see `_nested_exact`."""
    totals = regions.sum(axis=1, dtype=np.float64)
    none = np.array([_chance_of_none(p) if total < _CERTAIN else 0.0 for p, total in zip(regions, totals, strict=True)])
    best, most = np.zeros(regions.shape[1], np.intp), none.sum()
    for inner in range(1, 4):  # regions that are not left empty, from the outermost in
        if inner < 3 and none[inner] < _UNLIKELY:
            continue
        depth, dices = _ratio(regions[:inner], totals[:inner])
        if dices.sum() + none[inner:].sum() > most:
            best, most = depth, dices.sum() + none[inner:].sum()
    return best


def _ratio(regions: NDArray, totals: NDArray) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Depth of each voxel, (voxels,), and the Dice of each region, for the mean number of voxels.

    Args:
        regions: probability of each, the outermost first, (regions, voxels).
        totals: their sums, (regions,).
    """
    alone = [_best_ratio(p, total) for p, total in zip(regions, totals, strict=True)]
    dices = np.array([value for value, _ in alone])
    masks = np.stack([mask for _, mask in alone])
    best, most, reached = masks.sum(axis=0), dices.sum(), dices
    if not (masks[1:] > masks[:-1]).any():
        return best, dices
    # What lies below half of every Dice is in no mask; most of a volume does. A Dice that falls asks for more.
    rows = np.flatnonzero(regions[0] > dices.min() / 4)
    part, most, sizes = regions[:, rows], -1.0, masks.sum(axis=1)
    for _ in range(_ROUNDS):
        gains = ((2 * part - dices[:, None]) / (sizes + totals)[:, None]).cumsum(axis=0)
        depth = np.where(gains.max(axis=0) > 0, gains.argmax(axis=0) + 1, 0)
        masks = depth > np.arange(len(regions))[:, None]
        sizes = masks.sum(axis=1)
        dices = 2 * (part * masks).sum(axis=1, dtype=np.float64) / (sizes + totals)
        if dices.sum() <= most:
            break
        most, reached = dices.sum(), dices
        best = np.zeros(regions.shape[1], np.intp)
        best[rows] = depth
    return best, reached


def _best_ratio(p: NDArray, total: float) -> tuple[float, Mask]:
    """The best 2 s / (n + m) and its mask, by the iteration of Dinkelbach 1967, which only rises."""
    value, mask = 0.0, np.zeros(p.shape, bool)
    for _ in range(_ROUNDS):
        above = p > value / 2
        higher = 2 * p[above].sum(dtype=np.float64) / max(np.count_nonzero(above) + total, _NEGLIGIBLE)
        if higher <= value:
            break
        mask, value = above, float(higher)
    return value, mask


def _nested_exact(regions: NDArray[np.float64]) -> NDArray[np.intp]:
    """As `_nested`, by the exact expected Dice: for given sizes of the masks each voxel adds its own part to it."""
    voxels = regions.shape[1]
    if not voxels:
        return np.zeros(0, np.intp)
    sizes = np.arange(1, voxels + 1)
    tables = [np.pad(_gains(p, sizes), ((0, 0), (1, 1))) for p in regions]  # (voxels, 0 to voxels + 1) each
    none = [_chance_of_none(p) for p in regions]
    masks = np.stack([dice_optimal(p) for p in regions])
    starts = [masks.cumprod(axis=0).sum(axis=0), (masks * np.array([[1], [2], [3]])).max(axis=0), _nested(regions)]
    ends = [_climb(start.astype(np.intp), tables, none) for start in starts]
    return max(ends, key=lambda depth: _value(depth, tables, none))


def _value(depth: NDArray[np.intp], tables: Sequence[NDArray], none: Sequence[float]) -> float:
    """The sum of the expected Dice of the nested masks."""
    masks = [depth > region for region in range(len(tables))]
    return sum(
        float(table[mask, mask.sum()].sum()) if mask.any() else empty
        for mask, table, empty in zip(masks, tables, none, strict=True)
    )


def _climb(depth: NDArray[np.intp], tables: Sequence[NDArray], none: Sequence[float]) -> NDArray[np.intp]:
    """Change the depth of one voxel, or exchange those of two, for the largest gain, until there is none."""
    count = len(tables)
    while True:
        add, remove, inside = (np.zeros((depth.size, count)) for _ in range(3))
        for region, (table, empty) in enumerate(zip(tables, none, strict=True)):
            mask = depth > region
            size = int(mask.sum())
            less, now, more = table[mask][:, [max(size - 1, 0), size, size + 1]].sum(axis=0)
            value = now if size else empty
            add[:, region] = more + table[:, size + 1] - value
            remove[:, region] = (less - table[:, size - 1] if size > 1 else empty) - value
            inside[:, region] = table[:, size]
        rise, fall = (np.pad(part.cumsum(axis=1), ((0, 0), (1, 0))) for part in (add, remove))  # (voxels, count + 1)
        levels, rows = np.arange(count + 1), np.arange(depth.size)[:, None]
        gain = np.where(levels > depth[:, None], rise - rise[rows, depth[:, None]], fall[rows, depth[:, None]] - fall)
        one, level = np.unravel_index(int(gain.argmax()), gain.shape)
        best, change = gain[one, level], {one: level}
        sums = np.pad(inside.cumsum(axis=1), ((0, 0), (1, 0)))
        for low in range(count):
            for high in range(low + 1, count + 1):
                between = sums[:, high] - sums[:, low]
                outer, inner = np.flatnonzero(depth == low), np.flatnonzero(depth == high)
                if outer.size and inner.size:
                    i, j = outer[between[outer].argmax()], inner[between[inner].argmin()]
                    if between[i] - between[j] > best:
                        best, change = between[i] - between[j], {i: high, j: low}
        if best <= _NEGLIGIBLE:
            return depth
        depth = depth.copy()
        depth[list(change)] = list(change.values())


def _gains(p: NDArray[np.float64], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """What a voxel adds to the expected Dice of a mask that holds it: 2 p E[1 / (size + 1 + others)].

    The others that are foreground follow a Poisson binomial distribution, that of all but the voxel.

    Args:
        p: chance of each voxel, (voxels,).
        sizes: of the mask, (sizes,).

    Returns:
        (voxels, sizes).
    """
    before, after = [np.ones(1)], [np.ones(1)]  # distributions of the number among the first and the last voxels
    for first, last in zip(p, p[::-1], strict=True):
        before.append(np.convolve(before[-1], [1 - first, first]))
        after.append(np.convolve(after[-1], [1 - last, last]))
    others = np.stack([np.convolve(before[i], after[p.size - 1 - i]) for i in range(p.size)])  # (voxels, voxels)
    return 2 * p[:, None] * (others @ (1 / (np.arange(p.size)[:, None] + sizes + 1)))


def _chance_of_none(p: NDArray) -> float:
    """The chance that no voxel is foreground, for which an empty mask scores 1."""
    with np.errstate(divide="ignore"):
        return float(np.exp(np.log1p(-np.asarray(p, np.float64)).sum()))


def _as_probabilities(values: ArrayLike) -> NDArray[np.floating]:
    """The values as floats, within [0, 1] but for rounding.

    Raises:
        ValueError: values outside of [0, 1], or NaN.
    """
    array = np.asarray(values)
    array = array if array.dtype.kind == "f" and array.dtype.itemsize > 2 else array.astype(np.float64)
    if array.size and not (array.min() >= -_ROUNDING and array.max() <= 1 + _ROUNDING):
        raise ValueError(f"probabilities run from {array.min()} to {array.max()}; expected numbers from 0 to 1")
    return array.clip(0, 1)
