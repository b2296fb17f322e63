"""How long a training lasts, and its learning rate schedule."""

import math
import time
from dataclasses import dataclass, field

import keras

from helpers.runtime.settings import check_positive, check_whole

MAX_MINUTES = 525_600
"""A year."""

LEARNING_RATE = 1e-3
"""Adam's, as the paper has it (section 5.3.2)."""

WARM_UP = 20
"""Steps over which the learning rate rises to its value: Adam has no estimate yet of how large gradients are."""


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


def current_learning_rate(trainer: keras.Model) -> float:
    """The learning rate; where there are replicas each has its own copy of it.

    Args:
        trainer: compiled.
    """
    return float(keras.ops.convert_to_numpy(trainer.optimizer.learning_rate))


class WarmupCosine(keras.callbacks.Callback):
    """Warm-up over the first steps, then a cosine to zero; stops when the budget is spent.

    Args:
        budget: how long to train.
        steps: batches in an epoch. A first epoch that is resumed (see `helpers.learn.checkpoint`) has fewer.
        peak: the highest learning rate.
    """

    def __init__(self, budget: Budget, steps: int, peak: float = LEARNING_RATE) -> None:
        super().__init__()
        self.budget, self.steps, self.peak, self.done = budget, steps, peak, 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Set the number of batches done, which a resumed epoch does not begin at 0."""
        self.done = (epoch + 1) * self.steps - self.params["steps"]

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Set the learning rate of the step."""
        fraction_spent = min(1.0, self.budget.fraction_spent(self.done / self.steps))
        warm = min(1.0, (self.done + 1) / WARM_UP)
        self.model.optimizer.learning_rate = self.peak * warm * 0.5 * (1 + math.cos(math.pi * fraction_spent))

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Count the batch, and stop the training if the budget is spent."""
        self.done += 1
        if self.budget.fraction_spent(self.done / self.steps) >= 1:
            self.model.stop_training = True


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
