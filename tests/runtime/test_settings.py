"""Laws of settings: what is out of range is refused by name, with what was expected."""

import numpy as np
import pytest

from helpers.runtime.errors import DataError
from helpers.runtime.settings import (
    check_filters,
    check_names,
    check_positive,
    check_seed,
    check_share,
    check_size,
    check_whole,
    expanded,
)


@pytest.mark.parametrize("value", [0, -1, 1.0, 2.5, "3", None, True, 11])
def test_what_is_no_whole_number_in_range_is_refused(value):
    with pytest.raises(DataError, match=f"seeds is {value!r}; expected a whole number from 1 to 10"):
        check_whole("seeds", value, 1, 10)


def test_numbers_of_numpy_are_numbers():
    check_whole("seeds", np.int64(3), 1, 10)
    check_share("focus", np.float32(0.5))


def test_sizes_are_multiples_and_two_that_would_do_are_named():
    check_size(96)
    check_size(56, multiple=8)
    with pytest.raises(DataError, match=r"size is 90, which cannot be halved four times.*such as 80 or 96"):
        check_size(90)
    with pytest.raises(DataError, match=r"patches of 8.*such as 88 or 96"):
        check_size(90, multiple=8)


@pytest.mark.parametrize("size", [0, -16, 10_000_000, 32.0, "32"])
def test_sizes_that_no_memory_holds_are_refused(size):
    with pytest.raises(DataError, match=r"size is .*expected a whole number from 16 to 2048"):
        check_size(size)


@pytest.mark.parametrize(
    ("check", "value"), [(check_filters, 0), (check_filters, 10**6), (check_seed, -1), (check_seed, 2**32)]
)
def test_filters_and_seeds_have_a_range(check, value):
    with pytest.raises(DataError, match=f"is {value}; expected a whole number"):
        check(value)


def test_names_are_known_and_given_once():
    check_names(("flair", "t2"), ("flair", "t1", "t2"), "modality")
    for wrong, message in (
        (("flair", "pet"), "'pet' is no modality; there are flair, t1, t2"),
        (("flair", "flair"), "modality flair is given twice"),
        ((), "nothing is no modality"),
        ("flair", "'flair' is no modality"),
    ):
        with pytest.raises(DataError, match=message):
            check_names(wrong, ("flair", "t1", "t2"), "modality")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1, "1", None, True])
def test_shares_are_numbers_from_0_to_1(value):
    with pytest.raises(DataError, match=r"focus is .*expected a number from 0 to 1"):
        check_share("focus", value)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "15"])
def test_minutes_are_above_0(value):
    with pytest.raises(DataError, match=r"minutes is .*more than 0 and at most 60, for example 15"):
        check_positive("minutes", value, 60, 15)


def test_a_tilde_is_the_users_folder_unless_there_is_no_such_user(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/runs") == tmp_path / "runs"
    assert str(expanded("~nobody-at-all/runs")) == "~nobody-at-all/runs"
