"""Descriptions cleaned word by word: what no radiographer's vocabulary holds goes, whatever it is.

A list of names will lack one; a list of words that may stay cannot let one through that it does not hold (the Clean
Descriptors Option of PS3.15 Annex E). Long numbers go as well: they are dates, telephone numbers and record numbers.
"""

import re
from functools import cache
from importlib.resources import files

import yaml

_PARTS = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)?|[\W_]+")
_SEPARATORS = " _-*/+()[]"


@cache
def vocabulary() -> frozenset[str]:
    """The words that may stay, in lower case."""
    lists = yaml.safe_load(files(__package__).joinpath("words.yml").read_text(encoding="utf-8"))
    return frozenset(word for words in lists.values() for word in words.split())


def clean(text: str, names: frozenset[str] = frozenset()) -> str:
    """A description without whatever is neither in the vocabulary nor a short number.

    Args:
        text: such as a series description.
        names: words, in lower case, that go although the vocabulary has them: they are this patient's name.

    Returns:
        What stays, perhaps nothing.

    Examples:
        >>> clean("t1_mprage_sag 1x1x1mm MUELLER 19540312")
        't1_mprage_sag 1x1x1mm'
    """
    kept, parts, after_number = [], _PARTS.findall(text), False
    for before, part, after in zip(["", *parts], parts, [*parts[1:], ""], strict=False):
        if part[0].isalpha():
            letter = len(part) == 1 and (before[-1:].isdigit() or after[:1].isdigit())  # 3d, t2, b0, 1x1
            stays = (letter and part.isascii()) or (part.lower() in vocabulary() and part.lower() not in names)
            after_number = after_number and not stays
        elif part[0].isdigit():
            # Two numbers in a row may be one that is longer.
            stays = (
                part.isascii()
                and len(part.replace(",", ".").split(".")[0]) <= 3
                and len(part) <= 6
                and not after_number
            )
            after_number = True
        else:
            part = "".join(letter for letter in part if letter in _SEPARATORS) or " "
            stays = True
        kept.append(part if stays else " ")
    return re.sub(r"\s+", " ", "".join(kept)).strip(" _-/+")


def words_of(text: str) -> set[str]:
    """The words of a text, in lower case, for a look whether one of them is found elsewhere.

    Args:
        text: such as a name, whose parts `^` and `=` separate.
    """
    return {word.lower() for word in re.findall(r"[^\W\d_]+", text)}
