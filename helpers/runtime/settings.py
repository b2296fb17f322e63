"""Settings of a training, checked before anything is read: a wrong one is found at once, not after the slice store.

The functions of the tasks call these first, so that a notebook is told the same as the command line.
"""

import math
import operator
import os
from collections.abc import Sequence
from numbers import Real
from pathlib import Path

from helpers.runtime.errors import DataError

MAX_SIZE = 2048
"""Pixels along each side of a network's input, at most: one feature map of a batch takes gigabytes beyond."""

MAX_FILTERS = 512
"""Features of a U-Net's first level, at most; the paper has 32."""

MAX_SEED = 2**32 - 1
"""NumPy's legacy generator, which Keras seeds, takes 32 bits."""


def check_whole(name: str, value: object, low: int, high: int | None = None, example: object = None) -> None:
    """Refuse what is no whole number in a range.

    Args:
        name: of the setting, for the message.
        value: that was given.
        low: the lowest that is allowed.
        high: the highest; none without.
        example: a value that would do.

    Raises:
        DataError: the value is no whole number, or out of range.
    """
    try:
        whole = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        whole = None
    if whole is None or whole < low or (high is not None and whole > high):
        limits = f"of at least {low}" if high is None else f"from {low} to {high}"
        hint = "" if example is None else f", for example {example}"
        raise DataError(f"{name} is {value!r}; expected a whole number {limits}{hint}.")


def check_size(size: object, multiple: int = 16) -> None:
    """Refuse a side of the network's input that its poolings, or its patches, do not divide.

    Args:
        size: pixels.
        multiple: 16 for a U-Net, which halves it four times.

    Raises:
        DataError: it is no multiple, or out of range.
    """
    check_whole("size", size, multiple, MAX_SIZE, f"{-(-96 // multiple) * multiple} pixels")
    if size % multiple:
        below = size // multiple * multiple
        why = "cannot be halved four times" if multiple == 16 else f"cannot be cut into patches of {multiple}"
        raise DataError(
            f"size is {size}, which {why}; expected a multiple of {multiple}, such as {max(below, multiple)} or "
            f"{below + multiple}."
        )


def check_filters(filters: object) -> None:
    """Refuse a number of features that a U-Net's first level cannot have.

    Args:
        filters: features.

    Raises:
        DataError: it is no whole number, or out of range.
    """
    check_whole("filters", filters, 1, MAX_FILTERS, 16)


def check_seed(seed: object) -> None:
    """Refuse a seed that the random generators do not take.

    Args:
        seed: of a training, or of a split.

    Raises:
        DataError: it is no whole number, or out of range.
    """
    check_whole("seed", seed, 0, MAX_SEED)


def check_names(names: Sequence[str], known: Sequence[str], what: str) -> None:
    """Refuse names that are unknown, given twice, or none at all.

    Args:
        names: that were given.
        known: that there are.
        what: one of them is, for the message: "modality".

    Raises:
        DataError: a name is unknown or there twice, or there are none.
    """
    unknown = [name for name in names if name not in known]
    if unknown or not names or isinstance(names, str):
        given = repr(names) if isinstance(names, str) else ", ".join(map(repr, unknown)) or "nothing"
        raise DataError(f"{given} is no {what}; there are {', '.join(known)}.")
    if twice := sorted({name for name in names if list(names).count(name) > 1}):
        raise DataError(f"{what} {', '.join(twice)} is given twice; name each once.")


def check_share(name: str, value: object, low: float = 0.0, high: float = 1.0) -> None:
    """Refuse what is no number in a range.

    Args:
        name: of the setting, for the message.
        value: that was given.
        low: the lowest that is allowed.
        high: the highest.

    Raises:
        DataError: the value is no number, not finite, or out of range.
    """
    if not (_is_number(value) and low <= value <= high):
        raise DataError(f"{name} is {value!r}; expected a number from {low:g} to {high:g}.")


def check_positive(name: str, value: object, high: float, example: float) -> None:
    """Refuse what is no number above 0.

    Args:
        name: of the setting, for the message.
        value: that was given.
        high: the highest that is allowed.
        example: a value that would do.

    Raises:
        DataError: the value is no number, not finite, or out of range.
    """
    if not (_is_number(value) and 0 < value <= high):
        raise DataError(
            f"{name} is {value!r}; expected a number of more than 0 and at most {high:,.0f}, for example {example:g}."
        )


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def expanded(path: str | os.PathLike) -> Path:
    """A path whose leading `~` is the user's folder: a shell leaves that of `--out=~/runs` as it is.

    Args:
        path: any.
    """
    return Path(os.path.expanduser(path))
