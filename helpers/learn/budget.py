"""How long a training lasts: epochs, or minutes on the wall clock."""

import time
from dataclasses import dataclass, field

from helpers.runtime.settings import check_positive, check_whole

MAX_MINUTES = 525_600
"""A year."""


@dataclass
class Budget:
    """How long to train: a number of epochs, or a wall time.

    An epoch is as many batches as it takes to show as many slices as the training set has.

    Attributes:
        epochs: how many; None where a time is given.
        seconds: of wall time; None where epochs are given.
        reserve: seconds of the wall time that are left to what follows the training, such as scoring.
        started: the moment from which seconds count, as `time.monotonic` gives it.

    Raises:
        ValueError: neither epochs nor seconds are given, or both.

    Examples:
        >>> budget = Budget(epochs=30)
        >>> budget.fraction_spent(epochs_done=12)
        0.4
        >>> Budget.of(minutes=15, epochs=30).seconds  # minutes, where there are any, come first
        900
    """

    epochs: int | None = None
    seconds: float | None = None
    reserve: float = 0.0
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.seconds is None):
            raise ValueError("Give either a number of epochs or a time; neither or both were given.")
        self._first = self.started, 0.0  # when this session's first batch began, and the epochs done before

    @classmethod
    def of(cls, minutes: float | None, epochs: int, started: float | None = None) -> "Budget":
        """The budget of a command: minutes where any are given, else epochs.

        Args:
            minutes: wall time until the folder is finished.
            epochs: how long to train without.
            started: the moment from which minutes count, as `time.monotonic` gives it; now without.

        Raises:
            DataError: either is not above 0, or no number.
        """
        if minutes is not None:
            check_positive("minutes", minutes, MAX_MINUTES, 15)
        check_whole("epochs", epochs, 1, example=30)
        length = {"epochs": epochs} if minutes is None else {"seconds": 60 * minutes}
        return cls(**length, started=time.monotonic() if started is None else started)

    def resume(self, seconds: float, epochs_done: float) -> None:
        """Training begins, or begins again.

        Args:
            seconds: that were spent before this session.
            epochs_done: epochs, and a fraction, that were done before this session.
        """
        self.started -= seconds
        self._first = time.monotonic(), epochs_done

    def fraction_spent(self, epochs_done: float) -> float:
        """The fraction of the budget that is spent, 1 at its end.

        Args:
            epochs_done: epochs done so far, and a fraction.
        """
        if self.epochs is not None:
            return epochs_done / self.epochs
        return (time.monotonic() - self.started) / max(1.0, self.seconds - self.reserve)

    def left(self, epochs_done: float) -> float:
        """Seconds that are left: of the time that was given, or, for epochs, estimated from this session so far.

        Args:
            epochs_done: epochs done so far, and a fraction.
        """
        if self.seconds is not None:
            return max(0.0, self.seconds - (time.monotonic() - self.started))
        moment, before = self._first
        return (time.monotonic() - moment) / (epochs_done - before) * (self.epochs - epochs_done)

    def progress(self, epochs_done: float) -> str:
        """The end of an epoch's log line: "95 s (40% of the budget, 2 min left)".

        Args:
            epochs_done: epochs done so far, and a fraction.
        """
        fraction_spent = min(1.0, self.fraction_spent(epochs_done))
        left = f", {_duration(self.left(epochs_done))} left" if fraction_spent < 1 else ""
        return f"{time.monotonic() - self.started:.0f} s ({fraction_spent:.0%} of the budget{left})"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
