"""Training: a model, a slice store, a split, and as many minutes or epochs as there are."""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from helpers.data.splits import Split
from helpers.data.store import Store
from helpers.learn.batches import training_batches
from helpers.learn.losses import LOSSES
from helpers.learn.predict import Segmenter
from helpers.learn.trained import save_model, write_whole
from helpers.learn.varied import Varied
from helpers.measure.overlap import dice
from helpers.measure.regions import REGIONS, mask
from helpers.prepare.augment import AUGMENTATIONS

LEARNING_RATE = 1e-3
"""Adam's, as the paper has it (section 5.3.2)."""

WARM_UP = 20
"""Steps over which the learning rate rises to its value: Adam knows nothing yet of how large gradients are."""


@dataclass
class Budget:
    """How long to train: a number of epochs, or seconds on the wall clock, of which `reserve` are kept for what
    follows.

    An epoch is as many batches as it takes to show as many slices as the training set has.
    """

    epochs: int | None = None
    seconds: float | None = None
    reserve: float = 0.0
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.seconds is None):
            raise ValueError("Give either a number of epochs or a time; neither or both were given.")

    def spent(self, epochs_done: float) -> float:
        """The share of the budget that is used up, 1 at its end."""
        if self.epochs is not None:
            return epochs_done / self.epochs
        return (time.monotonic() - self.started) / max(1.0, self.seconds - self.reserve)


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


def fit(
    model: keras.Model,
    store: Store,
    split: Split,
    folder: str | os.PathLike,
    budget: Budget,
    recipe: Recipe | None = None,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Train with Adam and keep the model that is best for the validation patients.

    The learning rate warms up, then falls along a cosine to zero as the budget is spent. After every epoch the
    validation patients are segmented whole; the model with the highest mean Dice over patients and regions is kept,
    whatever its accuracy: a model that finds nothing is 98 % accurate.

    Args:
        model: from (batch, size, size, modalities) to class probabilities, as `helpers.models.unet` builds it.
        folder: receives `model.keras` (the best), `history.csv`.
        recipe: loss, variation, choice of slices and batch size; the default one if none is given.
        seed: of the order of slices and of their variation.
        say: told one line an epoch.

    Returns:
        One row an epoch: loss, accuracy, learning_rate, seconds, and for the validation patients val_loss,
        val_accuracy, val_dice_wt, val_dice_tc, val_dice_et and their mean, val_dice. `model` holds the best weights
        afterwards.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    recipe = recipe or Recipe()
    batches = training_batches(store, split.train, recipe.batch_size, seed, recipe.augmentation, recipe.focus)
    slices = int(store.has_brain[store.rows(split.train)].sum())
    steps = math.ceil(slices / recipe.batch_size)
    varied = Varied(model)
    varied.compile(keras.optimizers.Adam(LEARNING_RATE), LOSSES[recipe.loss](), metrics=["accuracy"])
    validate = _ValidateByPatient(store, split.validation, folder, budget, say)
    varied.fit(
        batches,
        epochs=budget.epochs or 10_000,
        steps_per_epoch=steps,
        callbacks=[Schedule(budget, steps), validate],
        shuffle=False,  # the batches come shuffled
        verbose=0,
    )
    model.load_weights(folder / "model.keras")
    return pd.DataFrame(validate.history)


def validation_scores(
    segmenter: Segmenter, store: Store, ids: tuple[str, ...], loss: keras.losses.Loss
) -> dict[str, float]:
    """Mean over patients of loss, accuracy and Dice per region, on the network's grid, a patient's slices at once."""
    rows = []
    for identity in ids:
        images, shares = store.volume(identity)
        probabilities = segmenter.network_probabilities(images)
        truth, labels = shares.argmax(axis=-1), probabilities.argmax(axis=-1)
        row = {
            "val_loss": float(loss(shares / np.float32(255), probabilities)),
            "val_accuracy": float((truth == labels).mean()),
        }
        for region in REGIONS:
            row[f"val_dice_{region.lower()}"] = dice(mask(truth, region), mask(labels, region))
        rows.append(row)
    scores = pd.DataFrame(rows).mean().to_dict()
    scores["val_dice"] = float(np.mean([scores[f"val_dice_{region.lower()}"] for region in REGIONS]))
    return scores


class Schedule(keras.callbacks.Callback):
    """Warm-up over the first steps, then a cosine to zero; stops when the budget is spent."""

    def __init__(self, budget: Budget, steps: int, peak: float = LEARNING_RATE) -> None:
        super().__init__()
        self.budget, self.steps, self.peak, self.done = budget, steps, peak, 0

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        spent = min(1.0, self.budget.spent(self.done / self.steps))
        warm = min(1.0, (self.done + 1) / WARM_UP)
        self.model.optimizer.learning_rate = self.peak * warm * 0.5 * (1 + math.cos(math.pi * spent))

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.done += 1
        if self.budget.spent(self.done / self.steps) >= 1:
            self.model.stop_training = True


class _ValidateByPatient(keras.callbacks.Callback):
    """Scores the validation patients after each epoch, keeps the best model and the history."""

    def __init__(
        self, store: Store, ids: tuple[str, ...], folder: Path, budget: Budget, say: Callable[[str], None]
    ) -> None:
        super().__init__()
        self.store, self.ids, self.folder, self.budget, self.say = store, ids, folder, budget, say
        self.history: list[dict] = []

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        segmenter = Segmenter(
            self.model.network, tuple(self.store.manifest["parameters"]["modalities"]), self.store.grid, False
        )
        row = {
            "epoch": epoch + 1,
            "loss": logs["loss"],
            "accuracy": logs["accuracy"],
            "learning_rate": float(self.model.optimizer.learning_rate),
            **validation_scores(segmenter, self.store, self.ids, self.model.loss),
            "seconds": time.monotonic() - self.budget.started,
        }
        if row["val_dice"] > max((past["val_dice"] for past in self.history), default=-1.0):
            save_model(self.model.network, self.folder / "model.keras")
        self.history.append(row)
        write_whole(pd.DataFrame(self.history).to_csv(index=False), self.folder / "history.csv")
        self.say(
            f"epoch {row['epoch']}: loss {row['loss']:.3f}, validation Dice "
            + ", ".join(f"{region} {row[f'val_dice_{region.lower()}']:.3f}" for region in REGIONS)
            + f", {row['seconds']:.0f} s ({min(1.0, self.budget.spent(row['epoch'])):.0%} of the budget)"
        )
