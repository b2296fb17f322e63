"""Laws of taking turns."""

from helpers.bench.interleave import interleave, timed


def test_turns_are_taken_round_by_round_and_the_first_round_is_left_out():
    told = []

    def turn(name, values):
        values = iter(values)
        return lambda: told.append(name) or next(values)

    measured = interleave({"a": turn("a", [9, 1, 2]), "b": turn("b", [8, 3, 4])}, rounds=2)
    assert told == ["a", "b"] * 3
    assert measured == {"a": [1, 2], "b": [3, 4]}


def test_a_turn_lasts_about_as_long_as_asked_and_gives_what_was_done_in_a_second():
    asked = []

    def run(count):
        asked.append(count)
        return 0.5 * count

    turn = timed(run, amount=16, seconds=3)
    assert turn() == turn() == 32
    assert asked == [1, 1, 6, 6]
