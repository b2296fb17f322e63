import pytest

from helpers.lessons.guess import compare_guess


@pytest.mark.parametrize(
    ("guess", "words"),
    [
        (None, "nobody had guessed"),
        (..., "nobody had guessed"),
        (0.9, "0.26 too high"),
        (0.1, "0.54 too low"),
        (0.65, "close"),
        ("much", "should be a number"),
        (True, "should be a number"),
    ],
)
def test_a_guess_is_told_how_far_it_was_off(guess, words):
    assert words in compare_guess("WT Dice", guess, 0.64)


@pytest.mark.parametrize(("guess", "words"), [("FLAIR", "as you guessed"), ("T2", "you guessed T2"), (3, "guessed 3")])
def test_a_word_is_guessed_in_any_case(guess, words):
    assert words in compare_guess("The modality", guess, "flair")


def test_a_guess_of_nothing_is_off_by_all_of_it():
    assert compare_guess("Dice", 0.2, 0.0) == "Dice is 0; you guessed 0.2, which is 0.2 too high."
