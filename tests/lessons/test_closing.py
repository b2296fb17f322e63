import numpy as np
import pytest

from helpers.lessons.closing import COLUMNS, closing_table


def test_each_row_stands_under_what_was_tried():
    table = closing_table([("skips", "+0.2", "none", "helped"), ("sharpening", "+0.0", "none", "cannot be told")])
    assert [table.index.name, *table.columns] == list(COLUMNS)
    assert table.loc["skips", "verdict"] == "helped"


@pytest.mark.parametrize("row", [("skips", "+0.2", "none"), ("skips", 0.2, "none", "helped"), ("skips", " ", "-", "x")])
def test_a_row_that_lacks_a_text_is_refused(row):
    with pytest.raises(ValueError, match="what we tried, gain, cost, verdict"):
        closing_table([row])


def test_a_text_that_an_array_got_into_is_refused():
    still = f"{241 - np.zeros((2, 3))} of 241 files"
    with pytest.raises(ValueError, match="of 'emptying' the gain has several lines"):
        closing_table([("emptying", still, "a line", "helped")])
