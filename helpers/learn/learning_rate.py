"""The learning rate: its height, its warm-up, and its way down as the budget is spent."""

import math

import keras

from helpers.learn.budget import Budget

LEARNING_RATE = 1e-3
"""Adam's, as the paper has it (section 5.3.2)."""

WARM_UP = 20
"""Steps over which the learning rate rises to its value: Adam has no estimate yet of how large gradients are."""


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
