"""Verdicts: what the scores of this run say, in words for a title or a take-away, so that no lesson states a hope.

    said = verdict({"no gate": without, "the gate": gated}, against="no gate", score="WT Dice")
    figure.suptitle(said.title)     # The gate helped (20 patients)
    print(said)                     # The gate helped: WT Dice +0.021 against no gate, between +0.009 and +0.034 ...

An interval and a permutation test over patients decide (`helpers.measure.statistics.PairedComparison.is_told`). Below
eight patients nothing is decided; the sentence counts who went which way.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from helpers.measure.statistics import (
    ALPHA,
    MIN_PATIENTS,
    PairedComparison,
    compare_paired,
    percentile_interval,
    resample,
    with_holm,
)

HELPED, HURT, UNDECIDED, NOBODY = "helped", "hurt", "cannot be told", "nobody beats doing nothing"
"""The outcomes."""

_STEADY = 0.5
"""A curve rises or falls if its ends are apart by this part of the distance between its extremes at least."""

_SHOWN = 0.0005
"""A difference below this is 0 at the three digits that are shown."""


@dataclass(frozen=True)
class Verdict:
    """What a comparison came to.

    Attributes:
        outcome: "helped", "hurt", "cannot be told" or "nobody beats doing nothing".
        name: whom the outcome is about, the best of those compared.
        title: the outcome in a few words, with the number of patients.
        sentence: the outcome in a sentence, with the number of patients, the difference and its interval; below eight
            patients with the number of those who went either way.
        comparisons: of each one compared, by its name; positive is better.
    """

    outcome: str
    name: str
    title: str
    sentence: str
    comparisons: dict[str, PairedComparison]

    def __str__(self) -> str:
        return self.sentence


def verdict(
    scores: Mapping[str, ArrayLike],
    against: str,
    trivial: str | None = None,
    score: str = "Dice",
    lower_is_better: bool = False,
    cases: str = "patients",
) -> Verdict:
    """Whether something helped, over patients who were scored with it and without.

    >>> without = [0.70, 0.72, 0.65, 0.80, 0.77, 0.69, 0.74, 0.71]
    >>> more = [0.75, 0.76, 0.71, 0.84, 0.83, 0.72, 0.80, 0.75]
    >>> print(verdict({"no gate": without, "the gate": more}, against="no gate"))
    The gate helped: Dice +0.048 against no gate, between +0.040 and +0.055 over 8 patients.
    >>> print(verdict({"no gate": without[:3], "the gate": more[:3]}, against="no gate"))
    3 patients are too few to tell the gate from no gate: Dice is better in 3 and worse in 0 of them.

    Args:
        scores: of each one compared, by a name that fits into a sentence: (patients,), or (seeds, patients); the same
            patients in the same order.
        against: the name of what the others are compared with. If it is the trivial predictor, the question is whether
            anybody beats doing nothing.
        trivial: the name of the trivial predictor among the scores, if it is there. Where none of the others beats it,
            that is the verdict.
        score: what the scores are, for the sentence.
        lower_is_better: as it is with distances.
        cases: what the scores are of, for the sentence.

    Returns:
        The verdict on the one with the best mean. With several, p values are corrected for their number (Holm). What
        cannot be seen at the three digits that are shown is not told.

    Raises:
        ValueError: a name that is not among the scores, nothing to compare, or scores as `compare_paired` refuses them.
    """
    for name in filter(None, (against, trivial)):
        if name not in scores:
            raise ValueError(f"there are no scores of {name!r}; there are those of {', '.join(scores)}")
    others = [name for name in scores if name not in (against, trivial)]
    if not others:
        raise ValueError(f"there is nothing to compare with {against!r}; give the scores of another one as well")
    compared = _compare(scores, others, against, lower_is_better)
    best = max(others, key=lambda name: compared[name].difference)
    one, sign = compared[best], -1 if lower_is_better else 1
    subject = best if len(others) == 1 else f"the best of {len(others)}, {best},"
    number = f"{one.n} {cases}"
    if trivial is not None:
        candidates = others if against == trivial else [against, *others]
        over = _compare(scores, candidates, trivial, lower_is_better)
        if not any(map(_beats, over.values())):
            top = max(candidates, key=lambda name: over[name].difference)
            sentence = f"Nobody beats {trivial}: to its {score} {top} adds {_difference(over[top], sign)}"
            sentence += f", over {number}." if over[top].interval else f" and {_counts(over[top])} of {number}."
            return Verdict(NOBODY, top, f"Nobody beats {trivial} ({number})", sentence, compared)
    same = f"{_upper(subject)} and {against} have the same {score}"
    unseen = one.interval is not None and max(map(abs, (one.difference, *one.interval))) < _SHOWN
    if one.is_told and not unseen:
        outcome = HELPED if one.difference > 0 else HURT
        sentence = (
            f"{_upper(subject)} {outcome}: {score} {_difference(one, sign, f' against {against}')} over {number}."
        )
        return Verdict(outcome, best, f"{_upper(best)} {outcome} ({number})", sentence, compared)
    title = f"{_upper(number)} cannot tell {best} from {against}"
    if not any(one.differences):
        sentence = f"{same} in all {number}."
    elif unseen:
        sentence = f"{same} to three digits, over {number}."
    elif one.interval is None:
        sentence = f"{number} are too few to tell {subject} from {against}: {score} {_counts(one)} of them."
    else:
        sentence = f"These {number} cannot tell {subject} from {against}: {score} {_difference(one, sign)}"
        sentence += f"{_only_the_interval(one.interval, 0, one.p_adjusted)}."
        if (needed := one.patients_needed) and abs(one.difference) >= _SHOWN:
            sentence += f" If that is the truth, it takes about {_about(needed):,} {cases} to tell."
    return Verdict(UNDECIDED, best, title, sentence, compared)


def order_verdict(
    confidence: ArrayLike, scores: ArrayLike, name: str = "confidence", score: str = "Dice", cases: str = "patients"
) -> Verdict:
    """Whether confidence knows who scores well: the patients' order by one against their order by the other.

    Of every two patients with different numbers one asks whether the surer one has the better score; half of them by
    chance (Kendall 1938). It is told where the share's bootstrap interval over patients excludes one half and Kendall's
    test is significant.

    >>> print(order_verdict([0.5, 0.7, 0.9], [0.6, 0.8, 0.7]))
    3 patients are too few to tell what confidence knows: the surer of two has the better Dice in 2 of 3 pairs.

    Args:
        confidence: (patients,), higher is surer.
        scores: (patients,), higher is better.
        name: of the confidence, for the sentence.
        score: what the scores are, for the sentence.
        cases: what the scores are of, for the sentence.

    Returns:
        "helped" where the surer ones score better, "hurt" where they score worse, else "cannot be told".

    Raises:
        ValueError: the shapes differ, or there are fewer than two patients.
    """
    sure, good = np.asarray(confidence, float), np.asarray(scores, float)
    if sure.ndim != 1 or sure.shape != good.shape or sure.size < 2:
        raise ValueError(
            f"confidence has shape {sure.shape} and scores {good.shape}; expected two patients or more, one number each"
        )
    number, agreeing = f"{sure.size} {cases}", _agreeing(sure, good, np.arange(sure.size))
    right, pairs = np.count_nonzero(agreeing > 0), np.count_nonzero(agreeing)
    counted = f"the surer of two has the better {score} in {right} of {pairs} pairs"
    title = f"{_upper(number)} cannot tell what {name} knows"
    if sure.size < MIN_PATIENTS or not pairs:
        few = "are too few to" if sure.size < MIN_PATIENTS else "cannot"
        return Verdict(UNDECIDED, name, title, f"{number} {few} tell what {name} knows: {counted}.", {})
    drawn = _agreeing(sure, good, resample(sure.size, 2000, seed=0))  # (samples, pairs)
    low, high = percentile_interval((drawn > 0).sum(axis=1) / np.maximum((drawn != 0).sum(axis=1), 1), 1 - ALPHA)
    counted += f", {right / pairs:.0%}, between {low:.0%} and {high:.0%}"
    test = float(stats.kendalltau(sure, good).pvalue)
    if test > ALPHA or low <= 0.5 <= high:
        doubt = _only_the_interval((low, high), 0.5, test)
        sentence = f"These {number} cannot tell whether {name} knows anything: {counted}, and chance gives 50%{doubt}."
        return Verdict(UNDECIDED, name, title, sentence, {})
    outcome, words = (HELPED, "knows something") if low > 0.5 else (HURT, "misleads")
    sentence = f"{_upper(name)} {words}: over {number} {counted}."
    return Verdict(outcome, name, f"{_upper(name)} {words} ({number})", sentence, {})


def volume_verdict(outlined: ArrayLike, true: ArrayLike, region: str = "WT", cases: str = "patients") -> Verdict:
    """Whether too little is outlined of a region, or too much: outlined minus true volume, patient by patient.

    >>> print(volume_verdict([0.0, 0.0, 0.0], [20.0, 11.0, 0.0], "ET"))
    ET: nothing is outlined in 3 patients; 2 of them have some, 31.0 ml in all.
    >>> print(volume_verdict([10.0, 9.0, 3.0], [20.0, 11.0, 2.0], "ET"))
    ET: 22.0 of 33.0 ml are outlined, too little in 2 and too much in 1 of 3 patients, who are too few to tell more.

    Args:
        outlined: millilitres, (patients,).
        true: millilitres of the same patients, (patients,).
        region: its name, for the sentence.
        cases: what the volumes are of, for the sentence.

    Returns:
        "hurt" where too little or too much can be told from none, else "cannot be told"; the title has what is
        outlined.

    Raises:
        ValueError: as `helpers.measure.statistics.compare_paired`.
    """
    one = compare_paired(true, outlined)
    found, wanted = float(np.sum(outlined)), float(np.sum(true))
    title = f"{region}: {found:.1f} of {wanted:.1f} ml are outlined"
    number = f"{one.n} {cases}"
    if not found:
        having = np.count_nonzero(np.asarray(true))
        sentence = f"{region}: nothing is outlined in {number}; {having} of them have some, {wanted:.1f} ml in all."
        return Verdict(HURT if having else UNDECIDED, region, title, sentence, {region: one})
    signs = np.sign(one.differences)
    counted = f"too little in {np.count_nonzero(signs < 0)} and too much in {np.count_nonzero(signs > 0)} of {number}"
    if one.interval is None:
        sentence = f"{title}, {counted}, who are too few to tell more."
        return Verdict(UNDECIDED, region, title, sentence, {region: one})
    mean = f"on average {one.difference:+.1f} ml, between {one.interval[0]:+.1f} and {one.interval[1]:+.1f}"
    if one.is_told:
        sentence = f"{title}, {counted}; {mean}."
        return Verdict(HURT, region, title, sentence, {region: one})
    sentence = f"{title}, {counted}; whether it is more or less than there is cannot be told: {mean}."
    return Verdict(UNDECIDED, region, title, sentence, {region: one})


def trend(values: ArrayLike, digits: int = 2) -> str:
    """What a curve does from its first point to its last, as the words after its name.

    >>> trend([0.2, 0.5, 0.7]), trend([0.8, 0.64, 0.76])
    ('rises from 0.20 to 0.70', 'goes up and down, from 0.80 to 0.76')

    Args:
        values: one number per epoch, (epochs,).
        digits: after the point.

    Raises:
        ValueError: no values, or more than one axis.
    """
    curve = np.asarray(values, float)
    if curve.ndim != 1 or not curve.size:
        raise ValueError(f"the curve has shape {curve.shape}; expected one number per epoch, (epochs,)")
    first, last = f"{curve[0]:.{digits}f}", f"{curve[-1]:.{digits}f}"
    net = curve[-1] - curve[0]
    if np.ptp(curve) < 10.0**-digits:
        return f"stays at {last}"
    if abs(net) < _STEADY * np.ptp(curve) or first == last:
        return f"goes up and down, from {first} to {last}"
    return f"{'rises' if net > 0 else 'falls'} from {first} to {last}"


def _compare(
    scores: Mapping[str, ArrayLike], names: list[str], against: str, lower_is_better: bool
) -> dict[str, PairedComparison]:
    pairs = [(scores[name], scores[against]) if lower_is_better else (scores[against], scores[name]) for name in names]
    return dict(zip(names, with_holm([compare_paired(*pair) for pair in pairs]), strict=True))


def _beats(one: PairedComparison) -> bool:
    """Whether a predictor beats the trivial one; below eight patients, in more of them than it loses in."""
    if one.interval is None:
        return np.sign(one.differences).sum() > 0
    return one.is_told and one.difference > 0


def _difference(one: PairedComparison, sign: int, against: str = "") -> str:
    """The difference in the direction of the score, and its interval."""
    text = f"{_signed(sign * one.difference)}{against}"
    if one.interval is None:
        return text
    low, high = sorted(sign * bound for bound in one.interval)
    return f"{text}, between {_signed(low)} and {_signed(high)}"


def _signed(number: float) -> str:
    """A number as it is shown, with its sign; what is shown as 0 has no minus."""
    return f"{0.0 if abs(number) < _SHOWN else number:+.3f}"


def _only_the_interval(interval: tuple[float, float], nothing: float, p: float) -> str:
    """Why it is not told although the interval leaves out `nothing`: the test does not follow. Else no words."""
    if interval[0] <= nothing <= interval[1]:
        return ""
    return f" (the interval alone would tell; the test does not follow, p = {p:.2g})"


def _counts(one: PairedComparison) -> str:
    signs = np.sign(one.differences)
    return f"is better in {np.count_nonzero(signs > 0)} and worse in {np.count_nonzero(signs < 0)}"


def _agreeing(confidence: NDArray, scores: NDArray, rows: NDArray) -> NDArray:
    """For every two of the patients in `rows`, (..., patients): 1 where both orders agree, -1 where not, 0 for ties."""
    first, second = np.triu_indices(rows.shape[-1], 1)
    a, b = rows[..., first], rows[..., second]
    return np.sign((confidence[a] - confidence[b]) * (scores[a] - scores[b]))


def _about(number: int) -> int:
    """The number, rounded up to two digits: an estimate from a few patients has no more."""
    step = 10 ** max(len(str(number)) - 2, 0)
    return math.ceil(number / step) * step


def _upper(words: str) -> str:
    return words[:1].upper() + words[1:]
