"""Tests of interleaved measurement."""

import pytest

from helpers.bench.interleave import interleave, timed


def test_turns_are_taken_round_by_round_and_the_first_round_is_left_out():
    calls = []

    def turn(name, values):
        values = iter(values)
        return lambda: calls.append(name) or next(values)

    measured = interleave({"a": turn("a", [9, 1, 2]), "b": turn("b", [8, 3, 4])}, rounds=2)
    assert calls == ["a", "b"] * 3
    assert measured == {"a": [1, 2], "b": [3, 4]}


def test_a_turn_lasts_about_as_long_as_requested_and_gives_the_rate_per_second():
    counts = []

    def run(count):
        counts.append(count)
        return 0.5 * count

    turn = timed(run, amount=16, seconds=3)
    assert turn() == turn() == 32
    assert counts == [1, 1, 6, 6]


def test_what_a_run_costs_beside_its_steps_hardly_lowers_the_rate():
    turn = timed(lambda count: 0.05 + 0.001 * count, amount=16, seconds=1)
    assert turn() == turn() == pytest.approx(16_000, rel=0.06)
