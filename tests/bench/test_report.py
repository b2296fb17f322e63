"""Tests of the results of a benchmark."""

import pytest

from helpers.bench import report


def test_a_row_is_median_and_spread_of_what_was_measured():
    found = report.spread([30.0, 10.0, 20.0, 90.0, 15.0])
    assert found == {"median": 20, "low": 10, "high": 90, "n": 5}
    assert report.cells(found) == ("20", "10 to 90")
    assert report.cells(report.spread([1234.56]), 1) == ("1,234.6", "1,234.6 to 1,234.6")


def test_a_ratio_is_taken_round_by_round():
    # In the second round the machine was three times as slow, for both.
    assert report.ratio([300, 100, 320], [30, 10, 20]) == {"median": 10, "low": 10, "high": 16, "n": 3}


def test_rounds_without_a_partner_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        report.ratio([1, 2, 3], [1, 2])
