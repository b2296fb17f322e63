"""Training a network to segment lungs: Adam, short epochs, and the curves of the paper's figure 14."""

from collections.abc import Callable, Sequence
from functools import partial

import keras
import numpy as np
import pandas as pd
from keras import ops

from helpers.data.splits import Split
from helpers.data.store import Store
from helpers.learn.augmented_model import AugmentedModel, with_background
from helpers.learn.batches import training_batches
from helpers.learn.budget import Budget
from helpers.learn.checkpoint import Checkpoint
from helpers.learn.devices import check_divisible, scope
from helpers.learn.layer_rates import adam
from helpers.learn.learning_rate import LEARNING_RATE
from helpers.learn.predict_batches import predict_batches
from helpers.learn.training_loop import fit
from helpers.runtime import options

BATCH = 16
"""Radiographs in a batch."""

STEPS_PER_EPOCH = 20
"""A hospital has 50 or 400 radiographs, so that a pass over them would be 3 steps or 25."""


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
    encoder_rate: float = 1.0,
    rehearsed: Sequence[str] = (),
    steps: int = STEPS_PER_EPOCH,
) -> pd.DataFrame:
    """Train with Adam until the budget is spent.

    The result is the last weights. With the learning rate at zero the last epochs hardly differ, and the best of many
    on a dozen validation radiographs would be the best by chance; besides, fine-tuning on five leaves none to validate
    on.

    Args:
        network: (batch, size, size, 1) to the probability of lung, (batch, size, size, 1).
        store: of the radiographs in `split`, see `helpers.data.radiographs.open_radiographs`.
        split: trains on `train`; `validation` is only scored, and may be empty.
        budget: how long; an epoch is `steps` batches.
        augmentation: a name in `helpers.runtime.options.AUGMENTATIONS`.
        loss: a name in `helpers.runtime.options.LOSSES`.
        learning_rate: the highest.
        seed: of the order of radiographs and of their augmentation.
        log: called with one line an epoch.
        checkpoint: saves the training, and resumes the one in its file; nothing is saved without.
        encoder_rate: that of the encoder, as a share of it, see `helpers.learn.layer_rates`.
        rehearsed: further radiographs in the store, from which half of each batch is drawn.
        steps: batches in an epoch.

    Returns:
        The history, see `helpers.learn.training_loop.fit`: loss, accuracy, dice, jaccard of the augmented training
        radiographs, and with the prefix val_ the same of the validation radiographs. Scores are means over radiographs.
    """
    check_divisible(network, BATCH)
    criterion = options.load(options.LOSSES, loss, "loss")()
    with scope(network):
        trainer = AugmentedModel(network)
        metrics = [keras.metrics.MeanMetricWrapper(score, score.__name__) for score in (accuracy, dice, jaccard)]
        trainer.compile(adam(network, learning_rate, encoder_rate), criterion, metrics=metrics)
    return fit(
        trainer,
        partial(training_batches, store, split.train, BATCH, seed, augmentation, focus=0.0, rehearsed=rehearsed),
        steps,
        budget,
        lambda epoch, logs: validation_scores(network, store, split.validation, criterion),
        learning_rate,
        checkpoint=checkpoint,
        columns=("loss", "dice", "val_dice"),
        log=log,
    )


def validation_scores(
    network: keras.Model, store: Store, ids: Sequence[str], loss: keras.losses.Loss
) -> dict[str, float]:
    """Means over radiographs of loss, accuracy, Dice and Jaccard, on the network's grid.

    Args:
        network: (batch, size, size, 1) to the probability of lung.
        store: of the radiographs.
        ids: the radiographs; may be empty.
        loss: gives one value a sample.

    Returns:
        val_loss, val_accuracy, val_dice and val_jaccard; an empty dict without radiographs.
    """
    if not ids:
        return {}
    rows = store.rows(ids)
    truth = store.soft_labels[rows] / np.float32(255)
    predicted = ops.convert_to_numpy(with_background(predict_batches(network, store.images[rows])))
    functions = {"loss": loss.call, "accuracy": accuracy, "dice": dice, "jaccard": jaccard}
    return {f"val_{name}": float(ops.mean(function(truth, predicted))) for name, function in functions.items()}


def accuracy(y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
    """Pixel accuracy of each radiograph's lung mask, thresholded at one half.

    Args:
        y_true: (batch, size, size, 2), soft labels, lung the last.
        y_pred: (batch, size, size, 2), probabilities.

    Returns:
        (batch,).
    """
    truth, predicted = _masks(y_true, y_pred)
    return ops.mean(ops.cast(ops.equal(truth, predicted), "float32"), axis=(1, 2))


def dice(y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
    """Dice of each radiograph's lung mask, thresholded at one half; 1 where both masks are empty.

    Args:
        y_true: (batch, size, size, 2), soft labels, lung the last.
        y_pred: (batch, size, size, 2), probabilities.

    Returns:
        (batch,).
    """
    truth, predicted = _masks(y_true, y_pred)
    true_positive, total = ops.sum(truth * predicted, axis=(1, 2)), ops.sum(truth + predicted, axis=(1, 2))
    return ops.where(total > 0, 2 * true_positive / ops.maximum(total, 1), 1.0)


def jaccard(y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
    """Jaccard index of each radiograph's lung mask, J = D / (2 - D).

    Args:
        y_true: (batch, size, size, 2), soft labels, lung the last.
        y_pred: (batch, size, size, 2), probabilities.

    Returns:
        (batch,).
    """
    d = dice(y_true, y_pred)
    return d / (2 - d)


def _masks(y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    return ops.cast(y_true[..., 1] > 0.5, "float32"), ops.cast(y_pred[..., 1] > 0.5, "float32")
