"""Laws of the ledger: rows pair with the row above, verdicts turn round with the scores, nothing is typed in."""

import numpy as np
import pytest

from helpers.lessons.ledger import SAME, Ledger

RNG = np.random.default_rng(0)
PLAIN = RNG.uniform(0.3, 0.6, 12)
NOISE = RNG.normal(0, 0.01, 12)


def book(*honest):
    made = Ledger(np.zeros(12))
    for number, values in enumerate(honest):
        made.add(f"row {number}", values)
    return made


@pytest.mark.parametrize(("gain", "word"), [(0.1, "helped"), (-0.1, "hurt")])
def test_a_row_is_compared_with_the_one_above_and_turns_round_with_it(gain, word):
    made = book(PLAIN, PLAIN + gain + NOISE)
    assert made.table()["against the row above"].iloc[1].endswith(word)
    assert f"{gain + NOISE.mean():+.3f}" in made.table()["against the row above"].iloc[1]


def test_what_cannot_be_told_is_not_told():
    assert book(PLAIN, PLAIN + NOISE - NOISE.mean()).table()["against the row above"].iloc[1].endswith("not told")


def test_a_fault_of_scoring_leaves_the_honest_dice_as_it_is():
    made = book(PLAIN)
    table = made.add("another score", None, 0.99, 0.98)
    assert table["against the row above"].iloc[1] == SAME
    assert table["honest Dice"].nunique() == 1
    assert tuple(table.loc["another score", ["reports", "all background"]]) == (0.99, 0.98)
    assert table.columns[-1] == "honest Dice"


def test_masks_that_score_the_same_are_no_improvement():
    assert book(PLAIN, PLAIN).table()["against the row above"].iloc[1] == "no mask changed its score"


def test_seeds_are_averaged_before_patients_are_paired():
    made = book([PLAIN, PLAIN + 0.02], [PLAIN + 0.1 + NOISE, PLAIN + 0.12 - NOISE])
    [said] = made.verdicts()
    assert said.comparisons["row 1"].difference == pytest.approx(0.1)


def test_the_summary_says_what_one_set_of_masks_reports_and_what_helped():
    made = book(PLAIN)
    made.add("accuracy", None, 0.99, 0.99)
    made.add("iou", None, 0.35, 0.1)
    made.add("loss mended", PLAIN + 0.2 + NOISE)
    made.add("nothing mended", PLAIN + 0.2 + NOISE)
    said = made.summary()
    assert "from 0.350 to 0.990" in said
    assert "Of 2 mends 1 changed a score, and 1 helped: loss mended" in said
    assert f"from {PLAIN.mean():.3f} to {(PLAIN + 0.2 + NOISE).mean():.3f}" in said


def test_a_row_that_cannot_be_paired_is_refused():
    with pytest.raises(ValueError, match="first row needs"):
        Ledger(np.zeros(12)).add("accuracy", None, 0.99)
    with pytest.raises(ValueError, match="a row 'row 0' already"):
        book(PLAIN).add("row 0", PLAIN)
    with pytest.raises(ValueError, match="11 patients in a ledger of 12"):
        book(PLAIN).add("loss", PLAIN[:11])


@pytest.mark.parametrize(("gain", "word"), [(0.1, "helped"), (-0.1, "hurt"), (0.0, "cannot tell")])
def test_the_closing_table_has_each_mend_with_its_verdict_and_the_score_in_one_row(gain, word):
    made = book(PLAIN)
    for reported in (0.9, 0.5):
        made.add(f"score {reported}", None, reported, 0.0)
    made.add("loss mended", PLAIN + gain + NOISE - NOISE.mean())
    mend, score = made.tried({"loss mended": "a training"})
    assert (mend[0], mend[2]) == ("loss mended", "a training")
    assert float(mend[1].removeprefix("honest Dice ")) == pytest.approx(gain, abs=1e-3)
    assert word in mend[3]
    assert score == (
        "the score, 2 times", "honest Dice +0.000", "no training",
        f"the same masks report {PLAIN.mean():.3f} before and 0.500 after",
    )  # fmt: skip
    made.add("the same again", made.rows[-1].honest)
    assert made.tried({})[1][1:] == ("honest Dice +0.000", "no training", "no mask changed its score")
