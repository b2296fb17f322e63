"""Guess before you run: a guess that is kept, and compared with what came out."""

from numbers import Real


def compare_guess(what: str, guess: float | str | None, outcome: float | str) -> str:
    """Say how a guess compares with what came out.

    >>> print(compare_guess("WT Dice", 0.5, 0.64))
    WT Dice is 0.64; you guessed 0.5, which is 0.14 too low.
    >>> print(compare_guess("The modality that shows the rim", "T2", "T1ce"))
    The modality that shows the rim is T1ce; you guessed T2.
    >>> print(compare_guess("WT Dice", None, 0.64))
    WT Dice is 0.64; nobody had guessed.

    Args:
        what: was to be guessed, as the beginning of a sentence.
        guess: the learner's, a number or a word; None where nobody guessed.
        outcome: what the run gave, of the same kind.

    Returns:
        A sentence; of a guess that is not of the outcome's kind it says so.
    """
    shown = f"{what} is {_short(outcome)}"
    if guess is None or guess is ...:
        return f"{shown}; nobody had guessed."
    if isinstance(outcome, str):
        same = isinstance(guess, str) and guess.strip().casefold() == outcome.casefold()
        return f"{shown}, as you guessed." if same else f"{shown}; you guessed {guess}."
    if not isinstance(guess, Real) or isinstance(guess, bool):
        return f"{shown}; you guessed {guess!r}, and it should be a number."
    off = abs(guess - outcome)
    if off <= 0.05 * abs(outcome):
        return f"{shown}; you guessed {_short(guess)}, which is close."
    return f"{shown}; you guessed {_short(guess)}, which is {_short(off)} too {'high' if guess > outcome else 'low'}."


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"
