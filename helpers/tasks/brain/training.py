"""Training a U-Net to segment brain tumours; the epoch with the best validation Dice is selected."""

import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from helpers.data.slabs import slabs
from helpers.data.splits import Split
from helpers.data.store import Store
from helpers.learn.augmented_model import AugmentedModel
from helpers.learn.batches import training_batches
from helpers.learn.budget import Budget
from helpers.learn.checkpoint import Checkpoint
from helpers.learn.devices import check_divisible, scope
from helpers.learn.layer_rates import adam
from helpers.learn.learning_rate import LEARNING_RATE
from helpers.learn.run_folder import save_model
from helpers.learn.training_loop import fit
from helpers.measure.overlap import dice
from helpers.measure.regions import REGIONS, mask
from helpers.models.parts import resized
from helpers.runtime import options
from helpers.tasks.brain.inference import Segmenter
from helpers.tasks.brain.recipe import Recipe


def fit_brain(
    network: keras.Model,
    store: Store,
    split: Split,
    folder: str | os.PathLike,
    budget: Budget,
    recipe: Recipe | None = None,
    seed: int = 0,
    log: Callable[[str], None] = print,
    checkpoint: Checkpoint | None = None,
    steps: int | None = None,
    learning_rate: float = LEARNING_RATE,
    encoder_rate: float = 1.0,
    rehearsed: tuple[str, ...] = (),
) -> pd.DataFrame:
    """Train with Adam and select the epoch with the highest validation Dice.

    After every epoch the validation patients are segmented whole; the network with the highest mean Dice over patients
    and regions is saved. Accuracy would be no criterion: a network that finds nothing is 98 % accurate. Where there is
    no validation patient, the last epoch is the one: whoever has eight patients with masks has none left to validate
    on, and as the learning rate falls to zero the last epochs hardly differ.

    Args:
        network: from (batch, size, size, modalities) to class probabilities, as `helpers.models.unet` builds it. It
            trains where it was built, see `helpers.learn.devices`.
        store: the slices of all patients in the split.
        split: training and validation patients; of the latter there may be none.
        folder: receives `model.keras` (the best), `history.csv`.
        budget: how long.
        recipe: loss, augmentation, sampling of slices and batch size; the default one if none is given.
        seed: of the order of slices and of their augmentation.
        log: called with one line an epoch.
        checkpoint: saves the training, and resumes the one in its file; nothing is saved without.
        steps: batches in an epoch; without, as many as show as many slices as the training patients have.
        learning_rate: the highest.
        encoder_rate: that of the encoder, as a share of it, see `helpers.learn.layer_rates`.
        rehearsed: further patients in the store, from whom half of each batch is drawn.

    Returns:
        The history, see `helpers.learn.training_loop.fit`: loss and accuracy, and for the validation patients val_loss,
        val_accuracy, val_dice_wt, val_dice_tc, val_dice_et and their mean, val_dice. `network` holds the selected
        weights afterwards.
    """
    folder, recipe, checkpoint = Path(folder), recipe or Recipe(), checkpoint or Checkpoint()
    folder.mkdir(parents=True, exist_ok=True)
    side = recipe.crop_side(store.grid.size)
    sampling = (recipe.augmentation, recipe.focus, recipe.reach, recipe.modality_dropout, side)
    batches = partial(training_batches, store, split.train, recipe.batch_size, seed, *sampling, rehearsed=rehearsed)
    slices = int(store.has_brain[store.rows(split.train)].sum())
    check_divisible(network, recipe.batch_size)
    with scope(network):
        student = network if side == store.grid.size else resized(network, side)
        trainer = AugmentedModel(student)
        loss = options.load(options.LOSSES, recipe.loss, "loss")()
        accuracy = keras.metrics.CategoricalAccuracy("accuracy")
        trainer.compile(adam(student, learning_rate, encoder_rate), loss, metrics=[accuracy])
    modalities = tuple(store.manifest["parameters"]["modalities"])
    # Without the mirrored head it takes half the time, and it only selects.
    segmenter = Segmenter(network, modalities, store.grid, flip=False, reach=recipe.reach)

    def evaluate(epoch: int, logs: Mapping[str, float]) -> dict[str, float]:
        if student is not network:
            network.set_weights(student.get_weights())
        if not split.validation:
            save_model(network, folder / "model.keras")
            return {}
        scores = validation_scores(segmenter, store, split.validation, trainer.loss)
        if scores["val_dice"] > max((past["val_dice"] for past in checkpoint.history), default=-1.0):
            save_model(network, folder / "model.keras")
        return scores

    history = fit(
        trainer,
        batches,
        steps or math.ceil(slices / recipe.batch_size),
        budget,
        evaluate,
        learning_rate,
        checkpoint=checkpoint,
        folder=folder,
        columns=("loss", *(f"val_dice_{region.lower()}" for region in REGIONS)),
        log=log,
    )
    network.load_weights(folder / "model.keras")
    return history


def validation_scores(
    segmenter: Segmenter, store: Store, ids: tuple[str, ...], loss: keras.losses.Loss
) -> dict[str, float]:
    """Mean over patients of loss, accuracy and Dice per region, on the network's grid, each over a patient's slices.

    Args:
        segmenter: the model to score.
        store: the slices of the patients.
        ids: the patients.
        loss: gives one value a sample.

    Returns:
        val_loss, val_accuracy, val_dice_wt, val_dice_tc, val_dice_et, and val_dice, the mean of the three.
    """
    rows = []
    for identity in ids:
        images, soft_labels = store.volume(identity)
        probabilities = segmenter.network_probabilities(slabs(images, segmenter.reach))
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
