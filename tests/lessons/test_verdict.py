"""Laws of verdicts: each outcome is found where it is planted, turns round when the scores do, counts patients."""

import re

import numpy as np
import pytest

from helpers.lessons.verdict import HELPED, HURT, NOBODY, UNDECIDED, order_verdict, trend, verdict, volume_verdict

RNG = np.random.default_rng(0)
PLAIN = RNG.uniform(0.5, 0.9, 20)
NOISE = RNG.normal(0, 0.02, 20)
NOTHING = np.zeros(20)


def gate(with_gate, without=PLAIN, **settings):
    return verdict({"no gate": without, "the gate": with_gate}, against="no gate", **settings)


def test_each_outcome_is_found_where_it_is_planted():
    assert gate(PLAIN + 0.03 + NOISE).outcome == HELPED
    assert gate(PLAIN - 0.03 + NOISE).outcome == HURT
    assert gate(PLAIN + NOISE - NOISE.mean()).outcome == UNDECIDED
    empty = {"all background": NOTHING, "one": NOTHING, "other": NOTHING - 0.0}
    assert verdict(empty, against="one", trivial="all background").outcome == NOBODY


@pytest.mark.parametrize("lower_is_better", [False, True])
def test_exchanged_scores_turn_the_verdict_round(lower_is_better):
    better = PLAIN + 0.03 + NOISE
    outcomes = [gate(*pair, lower_is_better=lower_is_better).outcome for pair in ((better, PLAIN), (PLAIN, better))]
    assert outcomes == ([HURT, HELPED] if lower_is_better else [HELPED, HURT])


def test_a_sentence_has_the_difference_its_interval_and_the_number_of_patients():
    said = gate(PLAIN + 0.03 + NOISE, score="WT Dice")
    mean = (0.03 + NOISE).mean()
    found = re.fullmatch(
        r"The gate helped: WT Dice (\S+) against no gate, between (\S+) and (\S+) over 20 patients\.", str(said)
    )
    difference, low, high = map(float, found.groups())
    assert difference == pytest.approx(mean, abs=5e-4)
    assert 0 < low < difference < high
    assert said.title == "The gate helped (20 patients)"


def test_a_distance_that_falls_is_told_with_its_minus():
    said = verdict({"no gate": PLAIN, "the gate": PLAIN - 0.1}, "no gate", score="HD95", lower_is_better=True)
    assert str(said).startswith("The gate helped: HD95 -0.100 against no gate, between -0.100 and -0.100")


@pytest.mark.parametrize("n", [1, 3, 7])
def test_below_eight_patients_nothing_is_told_and_the_patients_are_counted(n):
    said = gate(PLAIN[:n] + 0.3, PLAIN[:n])
    assert said.outcome == UNDECIDED
    assert f"{n} patients are too few" in str(said)
    assert f"better in {n} and worse in 0 of them" in str(said)
    assert "between" not in str(said)


def test_equal_scores_are_called_the_same():
    said = gate(PLAIN)
    assert said.outcome == UNDECIDED
    assert str(said) == "The gate and no gate have the same Dice in all 20 patients."


def test_what_cannot_be_told_says_how_many_patients_it_takes():
    said = gate(PLAIN + NOISE)
    needed, about = (
        said.comparisons["the gate"].patients_needed,
        re.search(r"it takes about ([\d,]+) patients", str(said)),
    )
    rounded = int(about[1].replace(",", ""))
    assert needed <= rounded < 1.1 * needed
    assert len(str(rounded).rstrip("0")) <= 2


def test_what_the_interval_alone_would_tell_is_said_to_fail_the_test():
    without = np.full(8, 0.8)
    said = gate(without - [0.001, 0, 0, 0.02, 0.02, 0, 0.03, 0.001], without)
    low, high = said.comparisons["the gate"].interval
    assert said.outcome == UNDECIDED
    assert low < high < 0
    assert "(the interval alone would tell; the test does not follow, p = 0.062)" in str(said)
    assert "the test does not follow" not in str(gate(PLAIN + NOISE - NOISE.mean()))
    order = order_verdict(np.arange(9), [1, 2, 6, 0, 3, 7, 4, 8, 5])
    assert order.outcome == UNDECIDED
    assert "between 52% and 97%" in str(order)
    assert "the test does not follow, p = 0.075" in str(order)


def test_a_difference_that_is_shown_as_nothing_has_no_minus_and_asks_for_no_patients():
    said = gate(PLAIN - 1e-5 + 1e-4 * NOISE)
    assert said.outcome == UNDECIDED
    assert str(said) == "The gate and no gate have the same Dice to three digits, over 20 patients."
    wide = gate(PLAIN + NOISE - NOISE.mean() - 1e-4)
    assert "Dice +0.000, between -0." in str(wide)
    assert "it takes about" not in str(wide)


@pytest.mark.parametrize("n", [4, 20])
def test_nobody_beats_doing_nothing_where_scores_are_those_of_patients_without_tumour(n):
    without = (np.arange(n) % 3 == 0).astype(float)  # patients without enhancing tumour count 1 for who draws none
    sets = {"all background": without, "the network": without}
    said = verdict(sets, against="all background", trivial="all background", score="ET Dice")
    assert said.outcome == NOBODY
    assert "to its ET Dice the network adds +0.000" in str(said)
    assert f"{n} patients" in str(said)
    found = verdict(
        {**sets, "the network": np.maximum(without, 0.6)}, against="all background", trivial="all background"
    )
    assert found.outcome == (HELPED if n >= 8 else UNDECIDED)


def test_the_best_of_several_is_named_and_held_to_holm():
    rng = np.random.default_rng(3)
    base = rng.uniform(0.4, 0.8, 10)
    sets = {"cross-entropy": base, "dice": base + 0.2 + rng.normal(0, 0.02, 10), "sum": base + rng.normal(0, 0.02, 10)}
    said = verdict(sets, against="cross-entropy")
    assert (said.outcome, said.name) == (HELPED, "dice")
    assert str(said).startswith("The best of 2, dice, helped")
    assert said.comparisons["dice"].p_adjusted == pytest.approx(2 * said.comparisons["dice"].p)
    worse = verdict({"dice": sets["dice"], "sum": sets["sum"]}, against="dice")
    assert (worse.outcome, worse.name) == (HURT, "sum")


def test_nothing_is_told_more_often_than_the_level_where_there_is_no_difference():
    rng = np.random.default_rng(1)
    told = [gate(rng.normal(0.7, 0.1, 12), rng.normal(0.7, 0.1, 12)).outcome != UNDECIDED for _ in range(80)]
    assert np.mean(told) <= 0.1


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="no scores of 'gate'"):
        verdict({"a": PLAIN, "b": PLAIN}, against="gate")
    with pytest.raises(ValueError, match="nothing to compare"):
        verdict({"a": PLAIN}, against="a")


def test_confidence_is_told_to_know_to_mislead_or_neither():
    assert order_verdict(PLAIN, PLAIN + NOISE).outcome == HELPED
    assert order_verdict(-PLAIN, PLAIN + NOISE).outcome == HURT
    assert order_verdict(RNG.permutation(PLAIN), PLAIN).outcome == UNDECIDED
    few = order_verdict(PLAIN[:7], PLAIN[:7])
    assert few.outcome == UNDECIDED
    assert "21 of 21 pairs" in str(few)


def test_equal_confidence_knows_nothing():
    assert order_verdict(np.ones(10), PLAIN[:10]).outcome == UNDECIDED


def test_confidence_without_content_is_rarely_told():
    rng = np.random.default_rng(2)
    told = [order_verdict(rng.random(10), rng.random(10)).outcome != UNDECIDED for _ in range(40)]
    assert np.mean(told) <= 0.1


@pytest.mark.parametrize(
    ("curve", "words"),
    [
        ([0.797, 0.681, 0.637, 0.7, 0.759], "goes up and down, from 0.80 to 0.76"),
        ([0.2, 0.4, 0.7], "rises from 0.20 to 0.70"),
        ([0.7, 0.4, 0.2], "falls from 0.70 to 0.20"),
        ([0.5, 0.501], "stays at 0.50"),
        ([0.4], "stays at 0.40"),
    ],
)
def test_a_curve_is_said_to_do_what_it_does(curve, words):
    assert trend(curve) == words


def test_a_curve_of_no_points_is_refused():
    with pytest.raises(ValueError, match="one number per epoch"):
        trend([])


@pytest.mark.parametrize(("off", "outcome"), [(-0.3, "hurt"), (0.3, "hurt"), (0.0, "cannot be told")])
def test_too_little_too_much_and_neither_are_told_apart(off, outcome):
    rng = np.random.default_rng(3)
    true = rng.uniform(10, 60, 12)
    noise = rng.normal(0, 0.2, 12)
    said = volume_verdict(true * (1 + off) + noise - noise.mean(), true, "ET")
    assert said.outcome == outcome
    [one] = said.comparisons.values()
    assert f"{one.difference:+.1f} ml" in str(said)
    assert ("cannot be told" in str(said)) == (outcome != "hurt")
    words = {-0.3: "too little in 12 and too much in 0", 0.3: "too little in 0 and too much in 12"}
    assert words.get(off, "") in str(said)
    assert "of 12 patients" in str(said)


def test_a_region_without_any_is_no_fault():
    assert volume_verdict([0.0] * 9, [0.0] * 9).outcome == "cannot be told"
    assert volume_verdict([0.0] * 9, [1.0] * 9).outcome == "hurt"
