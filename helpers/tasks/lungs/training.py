"""Training a network to outline lungs: Adam, steps in rounds, and the curves of figure 14."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import keras
import numpy as np
import pandas as pd
from keras import ops

from helpers.data.splits import Split
from helpers.data.store import Store
from helpers.learn.augmented_model import AugmentedModel, with_background
from helpers.learn.batches import training_batches
from helpers.learn.budget import LEARNING_RATE, Budget, WarmupCosine, current_learning_rate
from helpers.learn.checkpoint import Checkpoint
from helpers.learn.devices import check_divisible, scope
from helpers.learn.losses import LOSSES
from helpers.learn.predict_batches import predict_batches

BATCH = 16
"""Radiographs in a batch."""

STEPS_PER_EPOCH = 20
"""Steps between two rows of the history. A hospital has 50 or 400 radiographs, so an epoch would be 3 steps or 25."""


def fit_lungs(
    network: keras.Model,
    store: Store,
    split: Split,
    budget: Budget,
    augmentation: str = "xray",
    loss: str = "dice+cross-entropy",
    learning_rate: float = LEARNING_RATE,
    seed: int = 0,
    log: Callable[[str], None] = print,
    checkpoint: Checkpoint | None = None,
    steps: int = STEPS_PER_EPOCH,
) -> pd.DataFrame:
    """Train with Adam until the budget is spent; the learning rate warms up, then falls along a cosine to zero.

    The last weights are kept. With the learning rate at zero the last rounds hardly differ, and the best of many by a
    dozen validation radiographs would be the luckiest; besides, who tunes on five radiographs has none to choose by.

    Args:
        network: (batch, size, size, 1) to the probability of lung, (batch, size, size, 1).
        store: of the radiographs in `split`, see `helpers.data.radiographs.open_radiographs`.
        split: trains on `train`; `validation` is only looked at, and may be empty.
        budget: of rounds (its epochs), or of seconds.
        augmentation: a name in `helpers.prepare.augment.AUGMENTATIONS`. loss: one in `helpers.learn.losses.LOSSES`.
        learning_rate: the highest.
        seed: of the order of radiographs and of their variation.
        log: told one line a round.
        checkpoint: keeps the training, and goes on with the one it holds; nothing is kept without.
        steps: batches in a round.

    Returns:
        One row a round: epoch, step, loss, accuracy, dice, jaccard of the radiographs as varied, learning_rate,
        seconds, and with val_ before, loss, accuracy, dice and jaccard of the validation radiographs. Scores are means
        over radiographs.
    """
    batches = partial(training_batches, store, split.train, BATCH, seed, augmentation, focus=0.0)
    criterion = LOSSES[loss]()
    check_divisible(network, BATCH)
    with scope(network):
        varied = AugmentedModel(network)
        varied.compile(keras.optimizers.Adam(learning_rate), criterion, metrics=[accuracy, dice, jaccard])
    checkpoint = checkpoint or Checkpoint()

    def after_round(epoch: int, logs: Mapping[str, float]) -> None:
        row = {
            "epoch": epoch + 1,
            "step": int(varied.optimizer.iterations),  # the last round may be a short one
            **{name: float(logs[name]) for name in ("loss", "accuracy", "dice", "jaccard")},
            "learning_rate": current_learning_rate(varied),
            **validation_scores(network, store, split.validation, criterion),
            "seconds": time.monotonic() - budget.started,
        }
        checkpoint.history.append(row)
        seen = f", validation Dice {row['val_dice']:.3f}" if split.validation else ""
        log(f"{row['step']} steps: loss {row['loss']:.3f}, Dice {row['dice']:.3f}{seen}, {budget.progress(epoch + 1)}")

    tell = keras.callbacks.LambdaCallback(on_epoch_end=after_round)
    checkpoint.fit(varied, batches, steps, budget, [WarmupCosine(budget, steps, learning_rate), tell])
    return pd.DataFrame(checkpoint.history)


def validation_scores(
    network: keras.Model, store: Store, ids: Sequence[str], loss: keras.losses.Loss
) -> dict[str, float]:
    """Means over radiographs of loss, accuracy, Dice and Jaccard, on the network's grid; nothing where there are no
    radiographs."""
    if not ids:
        return {}
    rows = store.rows(ids)
    truth = store.soft_labels[rows] / np.float32(255)
    said = ops.convert_to_numpy(with_background(predict_batches(network, store.images[rows])))
    each = {"loss": loss.call, "accuracy": accuracy, "dice": dice, "jaccard": jaccard}
    return {f"val_{name}": float(ops.mean(function(truth, said))) for name, function in each.items()}


def accuracy(y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
    """Share of pixels on the right side of one half: (batch, size, size, 2) twice to (batch,)."""
    truth, said = _masks(y_true, y_pred)
    return ops.mean(ops.cast(ops.equal(truth, said), "float32"), axis=(1, 2))


def dice(y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
    """Dice of the lungs of each radiograph, cut at one half: (batch, size, size, 2) twice to (batch,)."""
    truth, said = _masks(y_true, y_pred)
    hit, both = ops.sum(truth * said, axis=(1, 2)), ops.sum(truth + said, axis=(1, 2))
    return ops.where(both > 0, 2 * hit / ops.maximum(both, 1), 1.0)


def jaccard(y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
    """Jaccard index of the lungs of each radiograph; J = D / (2 - D)."""
    d = dice(y_true, y_pred)
    return d / (2 - d)


def _masks(y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    return ops.cast(y_true[..., 1] > 0.5, "float32"), ops.cast(y_pred[..., 1] > 0.5, "float32")
