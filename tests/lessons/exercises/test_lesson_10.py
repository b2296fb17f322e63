"""Checks of lesson 10: the right answer, the usual wrong ones, each by its own message, and nonsense."""

import pytest
from keras import ops

from . import SOLUTION, answer
from .nonsense import is_a_sentence, nonsense

INTERVAL = """
def share_interval(source, adapted, ceiling, rng):
    n = len(source)
    draw = lambda times=n, again=True: np.array([rng.choice(n, times, replace=again) for _ in range(2000)])
    rows = draw()
    s, a, c = (scores[rows].mean(axis=1) for scores in (source, adapted, ceiling))
    {}"""
LOSSES = """
def losses(z_s, z_t):
    mean = lambda z, label: ops.mean(cross_entropy(z, label))
    return {}"""
CHOOSE = """
def choose(history):
    h = history[history["saved"] > 0]
    score = h["val_dice"] - h["relative_entropy_gap"] - h["implausible_fraction"]
    return {}"""
TURN = "def turn_round(x, strength):\n    return {}"
ENDS = "return np.percentile({}, [{}])"
RIGHT = ENDS.format("(a - s) / (c - s)", "2.5, 97.5")
OF_EACH = ".mean(axis=1) for scores in (source, adapted, ceiling))"


def cross_entropy(z, label):
    return ops.softplus(z) - label * z


def said(number, code):
    return answer("10", number, code, cross_entropy=cross_entropy)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_right_answer_is_solved(number):
    assert said(number, SOLUTION) == f"Exercise {number}: solved.\n"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (f"s, a, c = (scores[draw()]{OF_EACH}\n    {RIGHT}", "draw radiographs once, for all three"),
        (f"rows = draw(n, False)\n    s, a, c = (scores[rows]{OF_EACH}\n    {RIGHT}",
         "without replacement every draw is the same"),
        (f"rows = draw(n // 2)\n    s, a, c = (scores[rows]{OF_EACH}\n    {RIGHT}", "draw as many radiographs"),
        (ENDS.format("(a - s) / (c - s)", "25, 75"), "take the 2.5th and the 97.5th percentile"),
        (ENDS.format("(a - s) / (c - s)", "97.5, 2.5"), "the lower end comes first"),
        (ENDS.format("(c - s) / (a - s)", "2.5, 97.5"), "(c - s) / (a - s) is upside down"),
        (ENDS.format("(c - a) / (c - s)", "2.5, 97.5"), "what is left is no share closed"),
        (ENDS.format("a - s", "2.5, 97.5"), "the planted share is 0.4; yours runs from 0.03 to 0.04"),
        ("each = (adapted - source) / (ceiling - source)\n"
         "    return np.percentile(each[draw()].mean(axis=1), [2.5, 97.5])", "you divide radiograph by radiograph"),
        ("return ((a - s) / (c - s)).mean()", "return two numbers, the lower and the upper end"),
    ],
)  # fmt: skip
def test_exercise_1_names_the_usual_mistake(body, words):
    assert words in said(1, INTERVAL.format(body))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("mean(z_s, 1.0) + mean(z_t, 0.0), mean(z_t, 0.0)", "the encoder helps the discriminator"),
        ("mean(z_s, 1.0) + mean(z_t, 0.0), -mean(z_t, 0.0)", "that is the loss turned round"),
        ("mean(z_s, 1.0) + mean(z_t, 0.0), mean(z_t, 1.0) + mean(z_s, 0.0)", "E_s is frozen"),
        ("mean(z_t, 1.0), mean(z_s, 1.0) + mean(z_t, 0.0)", "L_D comes first, then L_E"),
        ("mean(z_s, 0.0) + mean(z_t, 1.0), mean(z_t, 1.0)", "the discriminator's labels are exchanged"),
        ("(mean(z_s, 1.0) + mean(z_t, 0.0)) / 2, mean(z_t, 1.0)", "L_D is the sum of its two terms"),
        ("mean(z_s, 1.0), mean(z_t, 1.0)", "L_D has two terms"),
        ("cross_entropy(z_s, 1.0) + cross_entropy(z_t, 0.0), cross_entropy(z_t, 1.0)", "each loss is one number"),
        ("mean(z_s, 1.0) + mean(z_t, 0.0)", "return two numbers, L_D and L_E"),
        ("mean(z_s, 1.0) + mean(z_t, 0.0), 0.1", "L_E is 0.100; it should be 1.2"),
        ("0.1, mean(z_t, 1.0)", "L_D is 0.100; it should be 0."),
    ],
)
def test_exercise_2_names_the_usual_mistake(body, words):
    assert words in said(2, LOSSES.format(body))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("int(history.loc[(history.val_dice - history.relative_entropy_gap).idxmax(), 'epoch'])", "was not saved"),
        ("int(h.loc[h['target_dice'].idxmax(), 'epoch'])", "epoch 11 is best at the target"),
        ("int(h.loc[h['val_dice'].idxmax(), 'epoch'])", "epoch 12 is best at the source"),
        ("int(h.loc[(h.val_dice - 5 * h.relative_entropy_gap + h.implausible_fraction).idxmax(), 'epoch'])",
         "epoch 13 has a fifth of its outlines implausible"),
        ("int(h.loc[(h.val_dice + h.relative_entropy_gap + h.implausible_fraction).idxmax(), 'epoch'])",
         "are bad: subtract them"),
        ("int(score.idxmax())", "24 is the row"),
        ("4", "4 is the place in the table"),
        ("int(score.argmax())", "3 is the place among the saved"),
        ("float(h.loc[score.idxmax(), 'epoch'])", "return the epoch, an int; yours is float"),
        ("99", "you choose 99; the best score is that of epoch 14"),
    ],
)  # fmt: skip
def test_exercise_3_names_the_usual_mistake(body, words):
    assert words in said(3, CHOOSE.format(body))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("-strength * x", "a 3 comes out as -1.5"),
        ("ops.stop_gradient(x) - strength * x", "a 3 comes out as 1.5"),
        ("ops.stop_gradient((1 + strength) * x - strength * x)", "the weight stays where it is"),
        ("ops.stop_gradient((1 - strength) * x) + strength * x", "not turned round"),
        ("ops.stop_gradient(2 * x) - x", "the gradient is -1.0; at strength 0.5 it should be -0.5"),
        ("3.0", "the weight stays where it is"),
    ],
)
def test_exercise_4_names_the_usual_mistake(body, words):
    assert words in said(4, TURN.format(body))


@pytest.mark.parametrize(
    ("number", "code"),
    [
        *((1, code) for code in nonsense("share_interval", "source, adapted, ceiling, rng")),
        *((2, code) for code in nonsense("losses", "z_s, z_t")),
        *((3, code) for code in nonsense("choose", "history")),
        *((4, code) for code in nonsense("turn_round", "x, strength")),
    ],
)
def test_nonsense_gets_a_sentence(number, code):
    assert is_a_sentence(said(number, code), number)
