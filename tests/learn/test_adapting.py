"""Laws of the step that sees two hospitals, whatever its method."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers.learn.adapting import Pace
from helpers.learn.budget import Budget
from tests.learn.both_hospitals import films, ready


class Look(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.spent, self.rates = [], []

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self.spent.append(float(self.model.spent.numpy()))
        self.rates.append(float(self.model.optimizer.learning_rate.numpy()))


@pytest.mark.parametrize(("steps", "epochs", "expected"), [(4, 2, np.arange(8) / 8), (1, 1, [3 / 8])])
def test_before_each_step_it_is_told_how_much_is_spent(steps, epochs, expected):
    """Also where an epoch is gone on with, of which the last step is left."""
    step, look = ready("output"), Look()
    data = tf.data.Dataset.from_tensors(films(0)).repeat()
    paced = Pace(Budget(epochs=2), 4, peak=1e-3)
    step.fit(data, epochs=epochs, steps_per_epoch=steps, callbacks=[paced, look], shuffle=False, verbose=0)
    np.testing.assert_allclose(look.spent, expected, atol=1e-6)
    first = round(8 * expected[0])
    warm = (np.arange(first, first + len(expected)) + 1) / 20
    np.testing.assert_allclose(look.rates, 1e-3 * warm * 0.5 * (1 + np.cos(np.pi * np.asarray(expected))), rtol=1e-5)
