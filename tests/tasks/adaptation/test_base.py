"""Laws of the step that sees two hospitals, whatever its method."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers.learn.budget import Budget
from helpers.learn.losses import PrecomputedLoss
from helpers.learn.precision import policy_scope
from helpers.tasks.adaptation.base import AdaptationSchedule, LayerwiseAdam
from helpers.tasks.adaptation.ema import EMA_DECAY
from tests.tasks.adaptation.both_hospitals import STEPS, radiographs, ready, start


class Recorder(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.progress, self.rates = [], []

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self.progress.append(float(self.model.fraction_spent.numpy()))
        self.rates.append(float(self.model.optimizer.learning_rate.numpy()))


@pytest.mark.parametrize(("steps", "epochs", "expected"), [(4, 2, np.arange(8) / 8), (1, 1, [3 / 8])])
def test_fraction_spent_is_set_before_each_step(steps, epochs, expected):
    """Also where an epoch is resumed, of which the last step is left."""
    step, recorder = ready("output"), Recorder()
    data = tf.data.Dataset.from_tensors(radiographs(0)).repeat()
    schedule = AdaptationSchedule(Budget(epochs=2), 4, peak=1e-3)
    step.fit(data, epochs=epochs, steps_per_epoch=steps, callbacks=[schedule, recorder], shuffle=False, verbose=0)
    np.testing.assert_allclose(recorder.progress, expected, atol=1e-6)
    first = round(8 * expected[0])
    warm = (np.arange(first, first + len(expected)) + 1) / 20
    np.testing.assert_allclose(
        recorder.rates, 1e-3 * warm * 0.5 * (1 + np.cos(np.pi * np.asarray(expected))), rtol=1e-5
    )


@pytest.mark.parametrize("name", STEPS)
def test_ema_network_is_the_running_mean_of_the_network(name):
    """In half precision too it is whole: rounded at each step it would hardly move, and would lose what it was."""
    with policy_scope("mixed_bfloat16"):
        network = start()
        step = STEPS[name](network)
        step.compile(LayerwiseAdam(1e-2), PrecomputedLoss())
        mean, momentum = network.get_weights(), 0.9 if name.endswith("teacher") else EMA_DECAY
        for seed in range(3):
            mean = [momentum * old + (1 - momentum) * new for old, new in zip(mean, network.get_weights(), strict=True)]
            step.train_on_batch(radiographs(seed))
    for found, expected in zip(step.ema_network.get_weights(), mean, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(mean, network.get_weights(), strict=True))


def test_inference_does_not_move_the_ema():
    network = start()
    step = STEPS["mean-teacher"](network)
    before = step.ema_network.get_weights()
    network.set_weights([weight + 1 for weight in before])
    step(radiographs(0), training=False)
    for found, was in zip(step.ema_network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, was)
