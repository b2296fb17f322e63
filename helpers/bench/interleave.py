"""Taking turns: what is compared is measured round by round, so that a busy machine slows all alike."""

from collections.abc import Callable, Hashable, Mapping


def interleave(turns: Mapping[Hashable, Callable[[], float]], rounds: int) -> dict[Hashable, list[float]]:
    """Each one's figures, round by round; a first round, in which things get ready, is left out."""
    measured: dict[Hashable, list[float]] = {name: [] for name in turns}
    for _ in range(1 + rounds):
        for name, turn in turns.items():
            measured[name].append(turn())
    return {name: values[1:] for name, values in measured.items()}


def timed(run: Callable[[int], float], amount: float, seconds: float) -> Callable[[], float]:
    """A turn that runs for about so many seconds and gives the amount done in one of them.

    Args:
        run: does something so many times and gives the seconds that took.
        amount: what is done at one time.
    """
    count = 0

    def turn() -> float:
        nonlocal count
        if not count:
            run(1)  # graphs are built, memory is taken
            count = max(1, round(seconds / run(1)))
        return amount * count / run(count)

    return turn
