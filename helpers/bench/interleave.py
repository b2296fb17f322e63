"""Interleaved measurement: candidates take turns, so that a slow phase of the machine affects all of them."""

from collections.abc import Callable, Hashable, Mapping

GROWTH = 8
"""How many times as many steps the next trial has at most, while `timed` looks for their number."""


def interleave(turns: Mapping[Hashable, Callable[[], float]], rounds: int) -> dict[Hashable, list[float]]:
    """Measure all candidates in turns; a first round, for warm-up, is discarded.

    Args:
        turns: name of each candidate, and a function that measures it once.
        rounds: number of measurements of each.

    Returns:
        The measurements of each candidate, one per round.
    """
    measured: dict[Hashable, list[float]] = {name: [] for name in turns}
    for _ in range(1 + rounds):
        for name, turn in turns.items():
            measured[name].append(turn())
    return {name: values[1:] for name, values in measured.items()}


def timed(run: Callable[[int], float], amount: float, seconds: float) -> Callable[[], float]:
    """A turn for `interleave` that measures a rate, the amount done per second.

    Args:
        run: repeats a step the given number of times and returns the seconds that it took.
        amount: how much one step does.
        seconds: approximate duration of a turn; it has at least one step.
    """
    count = 0

    def turn() -> float:
        nonlocal count
        if not count:
            run(1)  # warm-up: builds graphs, allocates memory
            wanted = 1
            while 1.2 * count < wanted:  # by and by: of one short step, most is what a run costs beside its steps
                count = min(wanted, max(1, GROWTH * count))
                seconds_taken = run(count)
                wanted = round(count * seconds / seconds_taken)
            return amount * count / seconds_taken
        return amount * count / run(count)

    return turn
