"""Checks of lesson 09: the right answer, the usual wrong ones, each by its own message, and nonsense."""

import pytest

from . import SOLUTION, answer
from .nonsense import is_a_sentence, nonsense

PADDED = "def padded(radiograph):\n    {}"
MIDDLE = """
    side = max(radiograph.shape)
    before = [(side - n{}) // 2 for n in radiograph.shape]
    pairs = [(b, side - n - b) for b, n in zip(before, radiograph.shape)]
    return np.pad(radiograph{}, pairs{})"""
ONE = "def one_channel(kernel, bias):\n    return {}"
SHARE = "def lung_share(accuracy, dice):\n    return {}"
LUCK = """
def luck(tries, radiographs, spread, rng):
    off = rng.normal(0, spread, ({}, tries, radiographs))
    return {}"""


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_right_answer_is_solved(number):
    assert answer("09", number, SOLUTION) == f"Exercise {number}: solved.\n"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (MIDDLE.format("", "", ", mode='edge'"), "beside the radiograph yours is not 0 everywhere"),
        (MIDDLE.format(" + 1", "", ""), "of one row left over, yours stands at the beginning"),
        (MIDDLE.format("", "[:, ::-1]", ""), "the columns are out of order"),
        ("n = min(radiograph.shape)\n    return radiograph[:n, :n]", "a radiograph of 3 x 4 is cut to 3 x 3"),
        ("return radiograph", "a radiograph of 3 x 4 comes out as (3, 4); it should be (4, 4)"),
        ("return np.pad(radiograph, [(0, max(0, radiograph.shape[1] - len(radiograph))), (0, 0)])",
         "a radiograph of 8 x 3 comes out as (8, 3)"),
        ("n = max(radiograph.shape)\n    return np.resize(radiograph.max(), (n, n))", "greys are lost"),
        ("a, b = radiograph.shape\n    return np.pad(radiograph, [(0, max(0, b - a)), (0, max(0, a - b))])",
         "three columns begin at column 0 of eight; in the middle that is 2"),
    ],
)  # fmt: skip
def test_exercise_1_names_the_usual_mistake(body, words):
    assert words in answer("09", 1, PADDED.format(body))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("kernel[..., :1] - kernel[..., 1:], bias[:1] - bias[1:]", "yours outlines what is no lung"),
        ("kernel[..., 1:], bias[1:]", "yours keeps the channel of lung alone"),
        ("kernel[..., 1] - kernel[..., 0], bias[1:] - bias[:1]", "`[..., 1]` loses the last axis"),
        ("kernel[..., 1:] - kernel[..., :1], bias[1] - bias[0]", "your bias has shape ()"),
        ("kernel[..., 1:] - kernel[..., :1], bias[1:]", "the kernel is right and the bias is [2.]"),
        ("kernel[..., 1:] + kernel[..., :1], bias[1:] + bias[:1]", "the two networks differ by 0."),
        ("kernel[..., 1:] - kernel[..., :1]", "return a kernel and a bias; yours is ndarray"),
    ],
)
def test_exercise_2_names_the_usual_mistake(body, words):
    assert words in answer("09", 2, ONE.format(body))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("(1 - accuracy) / (1 - dice)", "true and the outlined lungs together; take half"),
        ("(1 - dice) / (1 - accuracy)", "that is upside down"),
        ("(1 - dice) / (2 * (1 - accuracy))", "that is upside down"),
        ("1 - accuracy", "that is the share of wrong pixels"),
        ("1 - dice", "that is what Dice lacks"),
        ("accuracy / (2 * dice)", "you divide what is right"),
        ("accuracy / dice", "you divide what is right"),
        ("0.2", "for 0.9 and 0.8 you get 0.200; it should be 0.25"),
        ("0.7", "for 0.96 and 0.9 you get 0.700; it should be 0.2"),
    ],
)
def test_exercise_3_names_the_usual_mistake(body, words):
    assert words in answer("09", 3, SHARE.format(body))


@pytest.mark.parametrize(
    ("times", "body", "words"),
    [
        ("1", "off.mean(axis=2).max(axis=1).mean()", "another answer each time"),
        (2000, "off[:, :, 0].max(axis=1).mean()", "choose by the mean over radiographs, not by one"),
        (2000, "off.max(axis=2).max(axis=1).mean()", "that is the best radiograph"),
        (2000, "np.abs(off.mean(axis=2)).max(axis=1).mean()", "luck is as often bad: no `abs`"),
        (2000, "spread / np.sqrt(radiographs)", "luck is as often bad: no `abs`, no spread"),
        (2000, "off.mean(axis=2).mean(axis=1).mean()", "ten tries gain nothing by yours"),
        (2000, "0.0 if tries == 1 else 0.025", "10 tries on 16 radiographs gain 0.0250 by yours; it should be 0.0154"),
        (2000, "off.mean(axis=2).max(axis=1)", "return one number"),
    ],
)
def test_exercise_4_names_the_usual_mistake(times, body, words):
    assert words in answer("09", 4, LUCK.format(times, body))


@pytest.mark.parametrize(
    ("number", "code"),
    [
        *((1, code) for code in nonsense("padded", "radiograph")),
        *((2, code) for code in nonsense("one_channel", "kernel, bias")),
        *((3, code) for code in nonsense("lung_share", "accuracy, dice")),
        *((4, code) for code in nonsense("luck", "tries, radiographs, spread, rng")),
    ],
)
def test_nonsense_gets_a_sentence(number, code):
    assert is_a_sentence(answer("09", number, code), number)
