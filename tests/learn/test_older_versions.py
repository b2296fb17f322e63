"""Laws of older names: each becomes the one of today, everywhere in the parameters, and nothing else changes."""

import copy

import pytest

from helpers.learn.older_versions import current_parameters

TODAY = {"site": "montgomery", "normalisation": "batch", "augmentation": "xray"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"normalise": True}, {"normalisation": "batch"}),
        ({"normalise": False}, {"normalisation": "none"}),
        ({"augmentation": "films"}, {"augmentation": "xray"}),
        ({"normalise": "no"}, {"normalise": "no"}),
        ({"adapted": 3}, {"adapted": 3}),
        (TODAY, TODAY),
    ],
)
def test_each_old_name_becomes_that_of_today(old, new):
    assert current_parameters(old) == new
    assert current_parameters({"adapted": {"model": old}}) == {"adapted": {"model": new}}


def test_what_was_read_stays_as_it_is():
    old = {"normalise": True, "adapted": {"model": {"normalise": True}}}
    before = copy.deepcopy(old)
    current_parameters(old)
    assert old == before
