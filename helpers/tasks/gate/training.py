"""Training the gate, a classifier of slices with tumour.

The mask of a slice has more information than the slice's label. So a transformer's patches are classified as well, each
by the tissue it covers: an auxiliary head, which is dropped afterwards, and from which a network of a million
parameters learns the tumour's location with a dozen patients.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import layers, ops

from helpers.data.splits import Split
from helpers.data.store import Store
from helpers.learn.augmented_model import AugmentedModel, augment
from helpers.learn.batches import training_batches
from helpers.learn.budget import Budget
from helpers.learn.checkpoint import Checkpoint
from helpers.learn.devices import check_divisible, scope
from helpers.learn.layer_rates import adam
from helpers.learn.losses import PrecomputedLoss
from helpers.learn.training_loop import fit
from helpers.measure.classification import SlicePredictions, threshold_for
from helpers.tasks.gate.recipe import SENSITIVITY

BATCH = 32
"""Slices in a batch."""

WEIGHT_DECAY = 0.05
"""Weight decay of AdamW, as transformers are trained from scratch (Touvron et al. 2021, DeiT, table 9)."""

TISSUE = 10.0
"""Weight of the patches' loss: most patches are plain background, which makes its mean small."""

_MIN_PIXELS = 0.1
"""Pixels of tumour from which a slice is positive: less is what resampling leaves of a tumour that augmentation moved
out of the window."""


def fit_gate(
    network: keras.Model,
    store: Store,
    split: Split,
    budget: Budget,
    validate: Callable[[keras.Model], dict[str, float]],
    augmentation: str = "usual",
    optional: tuple[int, ...] = (),
    learning_rate: float = 1e-3,
    seed: int = 0,
    log: Callable[[str], None] = print,
    checkpoint: Checkpoint | None = None,
    steps: int | None = None,
    encoder_rate: float = 1.0,
    rehearsed: tuple[str, ...] = (),
) -> pd.DataFrame:
    """Train with AdamW until the budget is spent.

    The result is the last weights. With two or three validation patients, the best epoch would be the best by chance.

    Args:
        network: (batch, size, size, modalities) to (batch, 2), the probabilities of no tumour and tumour. Where it has
            a layer called `norm`, that layer's tokens, less the first, are taken for the patches, row by row.
        store: the slices of all patients in the split.
        split: training and validation patients.
        budget: how long.
        validate: scores the network after each epoch.
        augmentation: a name in `helpers.runtime.options.AUGMENTATIONS`.
        optional: channels that are set to 0 in half of the slices, so that their absence carries no information.
        learning_rate: the highest.
        seed: of the order of slices and of their augmentation.
        log: called with one line an epoch.
        checkpoint: saves the training, and resumes the one in its file; nothing is saved without.
        steps: batches in an epoch; without, as many as show as many slices as the training patients have.
        encoder_rate: the learning rate of all but the head, as a share, see `helpers.learn.layer_rates`.
        rehearsed: further patients in the store, from whom half of each batch is drawn.

    Returns:
        The history, see `helpers.learn.training_loop.fit`: loss and what `validate` gives.
    """
    check_divisible(network, BATCH)
    with scope(network):
        trainer = GateTrainer(network, optional, seed)
        trainer.compile(adam(network, learning_rate, encoder_rate, WEIGHT_DECAY))
    return fit(
        trainer,
        partial(training_batches, store, split.train, BATCH, seed, augmentation, focus=0.0, rehearsed=rehearsed),
        steps or math.ceil(int(store.has_brain[store.rows(split.train)].sum()) / BATCH),
        budget,
        lambda epoch, logs: validate(network),
        learning_rate,
        checkpoint=checkpoint,
        columns=("loss", "val_loss", "val_auc"),
        log=log,
    )


def choose_threshold(patients: Sequence[SlicePredictions]) -> float:
    """The highest threshold with a sensitivity of at least 98 % (`SENSITIVITY`) over these patients' slices.

    Args:
        patients: the predictions for validation patients.
    """
    truth = np.concatenate([patient.truth for patient in patients])
    return threshold_for(truth, np.concatenate([patient.probabilities for patient in patients]), SENSITIVITY)


class GateTrainer(AugmentedModel):
    """Trains a network on augmented slices; the ground truth comes from their masks.

    Args:
        network: as in `fit_gate`.
        optional: as in `fit_gate`.
        seed: of which slices lose an optional channel.
    """

    def __init__(self, network: keras.Model, optional: tuple[int, ...] = (), seed: int = 0) -> None:
        super().__init__(keras.Model(network.input, {"prediction": network.output, **_patch_tissue_head(network)}))
        self.optional, self.seeds = optional, keras.random.SeedGenerator(seed)

    def call(self, batch: Mapping[str, keras.KerasTensor], training: bool = False) -> dict[str, keras.KerasTensor]:
        """Probabilities of the slices and of their patches, and the soft labels: the arguments of `slice_loss`.

        Args:
            batch: as `helpers.learn.batches.training_batches` yields it, each array of shape (batch, ...).
            training: whether dropout is on, and optional channels are removed.
        """
        images, soft_labels = augment(batch)
        for channel in self.optional if training else ():
            present = keras.random.uniform((ops.shape(images)[0], 1, 1, 1), seed=self.seeds) < 0.5
            others = np.arange(images.shape[-1]) != channel
            images = images * ops.cast(ops.logical_or(present, others), images.dtype)
        return {**self.network(images, training=training), "soft_labels": soft_labels}

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> keras.KerasTensor:
        """The mean of `slice_loss`."""
        losses = slice_loss(**y_pred)  # (batch,)
        return PrecomputedLoss()(ops.zeros_like(losses), losses)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict:
        """The loss alone; scores are computed on validation patients."""
        return self.get_metrics_result()


def slice_loss(
    soft_labels: keras.KerasTensor, prediction: keras.KerasTensor, tissue: keras.KerasTensor | None = None
) -> keras.KerasTensor:
    """Cross-entropy of the slice's label, and of the tissue in its patches.

    Args:
        soft_labels: (batch, size, size, 4), ground truth, see `helpers.data.store`.
        prediction: (batch, 2), probabilities of no tumour and tumour.
        tissue: (batch, rows, columns, 4), probabilities of each class in each patch; without it the slice's label alone
            counts.

    Returns:
        (batch,), one value a slice.
    """
    positive = ops.cast(ops.sum(soft_labels[..., 1:], axis=(1, 2, 3)) > _MIN_PIXELS, "int32")  # (batch,)
    loss = keras.losses.sparse_categorical_crossentropy(positive, prediction)
    if tissue is None:
        return loss
    patch = soft_labels.shape[1] // tissue.shape[1]
    covered = ops.average_pool(soft_labels, patch, patch)  # (batch, rows, columns, 4)
    divergence = keras.losses.categorical_crossentropy(covered, tissue) - keras.losses.categorical_crossentropy(
        covered, covered
    )  # less the entropy of mixed patches, the least that the cross-entropy can be
    return loss + TISSUE * ops.mean(divergence, axis=(1, 2))


def _patch_tissue_head(network: keras.Model) -> dict[str, keras.KerasTensor]:
    """`tissue`, (batch, rows, columns, 4), the classes in each patch, by a head on its token; empty without tokens."""
    if "norm" not in {layer.name for layer in network.layers}:
        return {}
    tokens = network.get_layer("norm").output[:, 1:]  # (batch, patches, width), without the class token
    side = math.isqrt(tokens.shape[1])
    tissue = layers.Dense(4, activation="softmax", dtype="float32")(tokens)
    return {"tissue": layers.Reshape((side, side, 4), dtype="float32")(tissue)}  # its dtype is not its input's
