"""Checks of lesson 11: the right answer, the usual wrong ones, each by its own message, and nonsense."""

from types import SimpleNamespace

import numpy as np
import pytest

from helpers.data.volumes import Scan

from . import SOLUTION, answer
from .nonsense import each_nonsense, refused

LOST = "def thrown_away(seg, passed, spacing):\n    return {}"
PARTS = "def missed_and_added(seg, labels, spacing):\n    ml = np.prod(spacing) / 1000\n    return {}"
REFER = "def refer(confidence, share):\n    {}"
FAULT = "def fault(images):\n    return {}"


def test_exercise_1_knows_the_right_answer():
    assert answer("11", 1, SOLUTION) == "Exercise 1: solved.\n"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("(seg[..., ~passed] > 0).sum()", "that is voxels"),
        ("(seg[..., ~passed] > 0).sum() * np.prod(spacing)", "that is mm³"),
        ("(seg[..., passed] > 0).sum() * np.prod(spacing) / 1000", "that is what passed"),
        ("(seg > 0).sum() * np.prod(spacing) / 1000", "that is all of the tumour"),
        ("seg[..., ~passed].sum() * np.prod(spacing) / 1000", "you add up labels"),
        ("3.0", "nothing was held back, and you count 3.0 ml"),
        ("7", "give 7; it should be 3 ml"),
        ("[1, 2]", "you return list; return one number"),
    ],
)
def test_exercise_1_names_the_usual_mistake(body, words):
    assert words in answer("11", 1, LOST.format(body))


@each_nonsense("thrown_away")
def test_exercise_1_survives_nonsense(code):
    assert refused(answer("11", 1, code), 1)


def test_exercise_2_knows_the_right_answer():
    assert answer("11", 2, SOLUTION) == "Exercise 2: solved.\n"


A, B = "((seg > 0) & (labels == 0)).sum()", "((labels > 0) & (seg == 0)).sum()"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (f"{B} * ml, {A} * ml", "the other way round"),
        (f"{A}, {B}", "these are voxels"),
        (f"{A} * np.prod(spacing), {B} * np.prod(spacing)", "these are mm³"),
        (
            "((seg > 0) & (seg != labels)).sum() * ml, ((labels > 0) & (seg != labels)).sum() * ml",
            "two labels that differ",
        ),
        ("(seg > 0).sum() * ml, (labels > 0).sum() * ml", "these are the volumes"),
        ("((labels > 0).sum() - (seg > 0).sum()) * ml", "return two numbers"),
        ("(9, 9)", "6 voxels are missed and 3 added"),
    ],
)
def test_exercise_2_names_the_usual_mistake(body, words):
    assert words in answer("11", 2, PARTS.format(body))


@each_nonsense("missed_and_added")
def test_exercise_2_survives_nonsense(code):
    assert refused(answer("11", 2, code), 2)


def test_exercise_3_knows_the_right_answer():
    assert answer("11", 3, SOLUTION) == "Exercise 3: solved.\n"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return np.argsort(np.argsort(-confidence)) < round(share * len(confidence))", "the three that are most sure"),
        ("return confidence < share", "no bound on confidence"),
        ("return np.argsort(confidence)[: round(share * len(confidence))]", "return one boolean for each patient"),
        ("return np.ones(6, bool)", "you chose 6 of six"),
        ("return np.arange(6) < 3", "you left one out"),
        ("return np.argsort(np.argsort(confidence)) < 3", "at a share of 0 nobody"),
    ],
)
def test_exercise_3_names_the_usual_mistake(body, words):
    assert words in answer("11", 3, REFER.format(body))


@each_nonsense("refer")
def test_exercise_3_survives_nonsense(code):
    assert refused(answer("11", 3, code), 3)


@pytest.fixture(scope="module")
def clinic():
    """A head with a tumour on one side, a system that outlines what is bright, a warning of what is too bright."""
    seg = np.zeros((8, 6, 4), np.uint8)
    seg[1:3, 2:4] = 2
    scan = Scan(
        "P", np.repeat(5.0 * (seg > 0)[..., None] + 1, 2, axis=-1).astype(np.float32), ("flair", "t1ce"), seg, np.eye(4)
    )
    bright = SimpleNamespace(predict=lambda one: SimpleNamespace(labels=one.images[..., 0] > 3))
    warn = lambda one, change: ["too bright"] if change(one.images).max() > 6 else []  # noqa: E731
    return {"scan": scan, "system": bright, "warnings_of": warn}


def test_exercise_4_knows_the_right_answer(clinic):
    assert answer("11", 4, SOLUTION, **clinic) == "Exercise 4: solved.\n"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("images[:4]", "the shape is (4, 6, 4, 2); keep (8, 6, 4, 2)"),
        ("images", "nothing has changed"),
        ("10 * images", "it was noticed: too bright"),
        ("0.99 * images", "the outline still has a Dice of 1.00"),
    ],
)
def test_exercise_4_names_the_usual_mistake(body, words, clinic):
    assert words in answer("11", 4, FAULT.format(body), **clinic)


@each_nonsense("fault")
def test_exercise_4_survives_nonsense(code, clinic):
    assert refused(answer("11", 4, code, **clinic), 4)
