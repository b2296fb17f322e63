"""Lesson 07: the gain of a faster device, soft Dice, a scalar loss mended, hours on a card, the epoch to keep."""

import pytest

from tests.lessons.exercises import SOLUTION, answer

DICE = """def my_soft_dice_loss(truth, probabilities):
    y, p = truth[..., 1:], probabilities[..., 1:]
    shared = ops.sum(y * p, axis=(1, 2))
    total = ops.sum(y, axis=(1, 2)) + ops.sum(p, axis=(1, 2))
    return 1 - ops.mean((2 * shared + 1) / (total + 1), axis=-1)
"""
HOURS = """def hours(slices, epochs, gflop, tflops, reached, cards, loader):
    a_second = cards * reached * tflops * 1e12 / (gflop * 1e9)
    return slices * epochs / min(a_second, loader) / 3600
"""


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_the_solution_is_solved(number):
    assert answer("07", number, SOLUTION) == f"Exercise {number}: solved.\n"


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("factor", "you still load"),
        ("(load + train / factor) / (load + train)", "what is left of the time"),
        ("load + train / factor", "say how many times less that is than 10 s"),
        ("factor * train / (load + train)", "only training gets faster"),
        ("load + train", "it was 10 s and is 2 s"),
        ("5", "with 3 s to load and 3 to train"),
        ("'twice'", "your code stopped with"),
        ("...", "there is nothing here yet"),
    ],
)
def test_a_wrong_speedup_hears_what_is_wrong(formula, said):
    assert said in answer("07", 1, f"def speedup(load, train, factor):\n    return {formula}")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (DICE.replace(", axis=-1)", ")"), "one value a slice"),
        (DICE.replace("return 1 - ", "return "), "that is the Dice"),
        (DICE.replace("[..., 1:]", ""), "the background is among your classes"),
        (DICE.replace("axis=(1, 2)", "axis=(1, 2, 3)").replace(", axis=-1)", ", axis=())"), "in one pot"),
        (DICE.replace(" + 1) /", ") /").replace("(total + 1)", "(total + 1e-9)"), "the ones are missing"),
        (DICE.replace("(total + 1)", "total"), "a one stands above the line and none below it"),
        (DICE.replace("axis=(1, 2)", "axis=(0, 1, 2)").replace("axis=-1", "axis=()"), "your loss has shape (3,) for a"),
        (DICE.replace("2 * shared", "shared"), "you get"),
        ("def my_soft_dice_loss(truth, probabilities):\n    return ...", "there is nothing here yet"),
        ("def my_soft_dice_loss(truth, probabilities):\n    return 'low'", "your code stopped with ValueError"),
        ("def my_soft_dice_loss(truth):\n    return truth", "your code stopped with TypeError"),
    ],
)
def test_a_wrong_dice_loss_hears_what_is_wrong(wrong, said):
    assert said in answer("07", 2, wrong)


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("ops.mean((truth - probabilities) ** 2)", "it is still one number"),
        ("ops.mean((truth - probabilities) ** 2, axis=0)", "your loss has shape (6, 5, 4)"),
        ("ops.mean((truth - probabilities) ** 2) * np.ones(3)", "all slices have the same loss"),
        ("ops.sum((truth - probabilities) ** 2, axis=(1, 2, 3))", "you sum where the tutorial takes the mean"),
        ("ops.mean((truth - probabilities) ** 2, axis=(1, 2, 3)) / 2", "divided by two"),
        ("ops.mean(abs(truth - probabilities), axis=(1, 2, 3))", "you get"),
        ("'mended'", "it is still one number"),
        ("...", "there is nothing here yet"),
    ],
)
def test_a_loss_that_is_not_mended_hears_why(formula, said):
    assert said in answer("07", 3, f"def mended(truth, probabilities):\n    return {formula}")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (HOURS.replace(" / 3600", ""), "these are seconds"),
        (HOURS.replace("3600", "60"), "these are minutes"),
        (HOURS.replace("reached * ", ""), "you take all of it"),
        (HOURS.replace("slices * epochs", "slices"), "that is one epoch"),
        (HOURS.replace("1e9", "1"), "GFLOP are 1e9"),
        (HOURS.replace("cards * reached", "reached"), "two cards take half"),
        (HOURS.replace("min(a_second, loader)", "a_second"), "behind a loader of 50 slices/s"),
        (HOURS.replace("/ min(a_second, loader)", "* (1 / a_second + 1 / loader)"), "times do not add up"),
        (HOURS.replace("min(a_second, loader)", "min(a_second, cards * loader)"), "one loader feeds both cards"),
        (HOURS.replace("slices * epochs", "1.3 * slices * epochs"), "take 1 hour; you say 1.3"),
        ("def hours(*_):\n    ...", "there is nothing here yet"),
        ("def hours(*_):\n    return 'long'", "your code stopped with"),
        ("def hours(slices):\n    return 1", "your code stopped with TypeError"),
    ],
)
def test_wrong_hours_hear_what_is_wrong(wrong, said):
    assert said in answer("07", 4, wrong)


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("history.val_dice.idxmax()", "epochs count from 1, rows from 0"),
        ("history.epoch[history.val_loss.idxmin()]", "the one with the least loss"),
        ("history.epoch[history.val_accuracy.idxmax()]", "the most accurate one"),
        ("history.epoch.iloc[-1]", "the last one"),
        ("0", "none of them"),
        ("history.epoch", "none of them"),
        ("'the best'", "none of them"),
        ("...", "there is nothing here yet"),
    ],
)
def test_a_wrong_epoch_hears_what_is_wrong(formula, said):
    assert said in answer("07", 5, f"def epoch_to_keep(history):\n    return {formula}")
