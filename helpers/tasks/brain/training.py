"""Training: a model, a slice store, a split, and as many minutes or epochs as there are."""

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from helpers.data.splits import Split
from helpers.data.store import Store
from helpers.learn.augmented_model import AugmentedModel
from helpers.learn.batches import training_batches
from helpers.learn.budget import LEARNING_RATE, Budget, WarmupCosine, current_learning_rate
from helpers.learn.checkpoint import Checkpoint
from helpers.learn.devices import check_divisible, scope
from helpers.learn.losses import LOSSES
from helpers.learn.run_folder import save_model
from helpers.measure.overlap import dice
from helpers.measure.regions import REGIONS, mask
from helpers.prepare.augment import AUGMENTATIONS
from helpers.runtime.disk import write_text
from helpers.tasks.brain.inference import Segmenter


@dataclass(frozen=True)
class Recipe:
    """What a model is shown, and what its training makes small; lesson 03 measures what each of these is worth.

    Attributes:
        loss: a name in `helpers.learn.losses.LOSSES`.
        augmentation: a name in `helpers.prepare.augment.AUGMENTATIONS`: how slices are varied.
        focus: share of a batch that is drawn from slices with tumour, half of it from slices with enhancing tumour.
        batch_size: slices in a batch.
    """

    loss: str = "dice+cross-entropy"
    augmentation: str = "usual"
    focus: float = 0.5
    batch_size: int = 16

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"loss {self.loss!r} is not known; there are {', '.join(LOSSES)}.")
        if self.augmentation not in AUGMENTATIONS:
            raise ValueError(f"augmentation {self.augmentation!r} is not known; there are {', '.join(AUGMENTATIONS)}.")
        if not 0 <= self.focus <= 1:
            raise ValueError(f"focus {self.focus}; expected a share of the batch, from 0 to 1.")


def fit_brain(
    model: keras.Model,
    store: Store,
    split: Split,
    folder: str | os.PathLike,
    budget: Budget,
    recipe: Recipe | None = None,
    seed: int = 0,
    log: Callable[[str], None] = print,
    checkpoint: Checkpoint | None = None,
) -> pd.DataFrame:
    """Train with Adam and keep the model that is best for the validation patients.

    The learning rate warms up, then falls along a cosine to zero as the budget is spent. After every epoch the
    validation patients are segmented whole; the model with the highest mean Dice over patients and regions is kept,
    whatever its accuracy: a model that finds nothing is 98 % accurate.

    Args:
        model: from (batch, size, size, modalities) to class probabilities, as `helpers.models.unet` builds it. It
            trains where it was built, see `helpers.learn.devices`.
        folder: receives `model.keras` (the best), `history.csv`.
        recipe: loss, variation, choice of slices and batch size; the default one if none is given.
        seed: of the order of slices and of their variation.
        log: told one line an epoch.
        checkpoint: keeps the training, and goes on with the one it holds; nothing is kept without.

    Returns:
        One row an epoch: loss, accuracy, learning_rate, seconds, and for the validation patients val_loss,
        val_accuracy, val_dice_wt, val_dice_tc, val_dice_et and their mean, val_dice. `model` holds the best weights
        afterwards.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    recipe = recipe or Recipe()
    batches = partial(training_batches, store, split.train, recipe.batch_size, seed, recipe.augmentation, recipe.focus)
    slices = int(store.has_brain[store.rows(split.train)].sum())
    steps = math.ceil(slices / recipe.batch_size)
    check_divisible(model, recipe.batch_size)
    with scope(model):
        varied = AugmentedModel(model)
        varied.compile(keras.optimizers.Adam(LEARNING_RATE), LOSSES[recipe.loss](), metrics=["accuracy"])
    checkpoint = checkpoint or Checkpoint()
    history = checkpoint.history

    def after_epoch(epoch: int, logs: Mapping[str, float]) -> None:
        modalities = tuple(store.manifest["parameters"]["modalities"])
        segmenter = Segmenter(model, modalities, store.grid, flip=False)  # half the time, and it is only to choose
        row = {
            "epoch": epoch + 1,
            "loss": logs["loss"],
            "accuracy": logs["accuracy"],
            "learning_rate": current_learning_rate(varied),
            **validation_scores(segmenter, store, split.validation, varied.loss),
            "seconds": time.monotonic() - budget.started,
        }
        if row["val_dice"] > max((past["val_dice"] for past in history), default=-1.0):
            save_model(model, folder / "model.keras")
        history.append(row)
        write_text(pd.DataFrame(history).to_csv(index=False), folder / "history.csv")
        scores = ", ".join(f"{region} {row[f'val_dice_{region.lower()}']:.3f}" for region in REGIONS)
        log(f"epoch {epoch + 1}: loss {row['loss']:.3f}, validation Dice {scores}, {budget.progress(epoch + 1)}")

    validate = keras.callbacks.LambdaCallback(on_epoch_end=after_epoch)
    checkpoint.fit(varied, batches, steps, budget, [WarmupCosine(budget, steps), validate])
    model.load_weights(folder / "model.keras")
    return pd.DataFrame(history)


def validation_scores(
    segmenter: Segmenter, store: Store, ids: tuple[str, ...], loss: keras.losses.Loss
) -> dict[str, float]:
    """Mean over patients of loss, accuracy and Dice per region, on the network's grid, a patient's slices at once."""
    rows = []
    for identity in ids:
        images, soft_labels = store.volume(identity)
        probabilities = segmenter.network_probabilities(images)
        truth, labels = soft_labels.argmax(axis=-1), probabilities.argmax(axis=-1)
        row = {
            "val_loss": float(loss(soft_labels / np.float32(255), probabilities)),
            "val_accuracy": float((truth == labels).mean()),
        }
        for region in REGIONS:
            row[f"val_dice_{region.lower()}"] = dice(mask(truth, region), mask(labels, region))
        rows.append(row)
    scores = pd.DataFrame(rows).mean().to_dict()
    scores["val_dice"] = float(np.mean([scores[f"val_dice_{region.lower()}"] for region in REGIONS]))
    return scores
