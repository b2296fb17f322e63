"""Training a network to say whether a slice holds tumour.

The mask of a slice says more than yes or no. So a transformer's patches are asked as well, each for the tissue it
covers: a head that is thrown away afterwards, from which a network of a million parameters learns where to look with
a dozen patients.
"""

import math
import time
from collections.abc import Callable, Mapping
from functools import partial

import keras
import numpy as np
import pandas as pd
from keras import layers, ops

from helpers.data.splits import Split
from helpers.data.store import Store
from helpers.learn.augmented_model import AugmentedModel, augment
from helpers.learn.batches import training_batches
from helpers.learn.budget import Budget, WarmupCosine, current_learning_rate
from helpers.learn.checkpoint import Checkpoint
from helpers.learn.devices import check_divisible, scope
from helpers.learn.losses import PrecomputedLoss

BATCH = 32
"""Slices in a batch."""

WEIGHT_DECAY = 0.05
"""Of AdamW, as transformers are trained from scratch (Touvron et al. 2021, DeiT, table 9)."""

TISSUE = 10.0
"""Weight of the patches' loss: most patches are plain background, which makes its mean small."""

_MIN_PIXELS = 0.1
"""Pixels of tumour from which a slice holds some: less is what resampling leaves of a tumour that was moved away."""


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
) -> pd.DataFrame:
    """Train with AdamW until the budget is spent; the learning rate warms up, then falls along a cosine to zero.

    The last weights are kept. With two or three patients to choose by, the best epoch is the luckiest one.

    Args:
        network: (batch, size, size, modalities) to (batch, 2), the probabilities of no and yes. Where it has a layer
            called `norm`, the tokens that layer gives, less the first, are taken for the patches, row by row.
        validate: scores the network after each epoch.
        augmentation: a name in `helpers.prepare.augment.AUGMENTATIONS`.
        optional: channels that are set to 0 in half of the slices, so that their absence says nothing.
        learning_rate: the highest.
        seed: of the order of slices and of their variation.
        log: told one line an epoch.
        checkpoint: keeps the training, and goes on with the one it holds; nothing is kept without.

    Returns:
        One row an epoch: loss, learning_rate, what `validate` gives, seconds.
    """
    batches = partial(training_batches, store, split.train, BATCH, seed, augmentation, focus=0.0)
    steps = math.ceil(int(store.has_brain[store.rows(split.train)].sum()) / BATCH)
    check_divisible(network, BATCH)
    with scope(network):
        examined = GateTrainer(network, optional, seed)
        examined.compile(keras.optimizers.AdamW(learning_rate, weight_decay=WEIGHT_DECAY))
    checkpoint = checkpoint or Checkpoint()

    def after_epoch(epoch: int, logs: Mapping[str, float]) -> None:
        row = {
            "epoch": epoch + 1,
            "loss": logs["loss"],
            "learning_rate": current_learning_rate(examined),
            **validate(network),
            "seconds": time.monotonic() - budget.started,
        }
        checkpoint.history.append(row)
        said = ", ".join(f"{name} {row[name]:.3f}" for name in row if name == "loss" or name.startswith("val_"))
        log(f"epoch {row['epoch']}: {said}, {budget.progress(epoch + 1)}")

    tell = keras.callbacks.LambdaCallback(on_epoch_end=after_epoch)
    checkpoint.fit(examined, batches, steps, budget, [WarmupCosine(budget, steps, learning_rate), tell])
    return pd.DataFrame(checkpoint.history)


class GateTrainer(AugmentedModel):
    """Trains a network on slices that are varied first, with the truth taken from their masks.

    Args:
        network, optional: as in `fit_gate`.
        seed: of which slices lose an optional channel.
    """

    def __init__(self, network: keras.Model, optional: tuple[int, ...] = (), seed: int = 0) -> None:
        super().__init__(keras.Model(network.inputs, {"answer": network.output, **_patch_tissue_head(network)}))
        self.optional, self.seeds = optional, keras.random.SeedGenerator(seed)

    def call(self, batch: Mapping[str, keras.KerasTensor], training: bool = False) -> dict[str, keras.KerasTensor]:
        images, soft_labels = augment(batch)
        for channel in self.optional if training else ():
            kept = keras.random.uniform((ops.shape(images)[0], 1, 1, 1), seed=self.seeds) < 0.5
            others = np.arange(images.shape[-1]) != channel
            images = images * ops.cast(ops.logical_or(kept, others), images.dtype)
        return {**self.network(images, training=training), "soft_labels": soft_labels}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True) -> keras.KerasTensor:
        each = slice_loss(**y_pred)  # (batch,)
        return PrecomputedLoss()(ops.zeros_like(each), each)

    def compute_metrics(self, x, y, y_pred, sample_weight=None) -> dict:
        return self.get_metrics_result()


def slice_loss(
    soft_labels: keras.KerasTensor, answer: keras.KerasTensor, tissue: keras.KerasTensor | None = None
) -> keras.KerasTensor:
    """Cross-entropy of the answer, and of the tissue in the patches: one value for each slice, (batch,).

    Args:
        soft_labels: (batch, size, size, 4), the truth, see `helpers.data.store`.
        answer: (batch, 2), probabilities of no and yes.
        tissue: (batch, rows, columns, 4), probabilities of each class in each patch.
    """
    holds = ops.cast(ops.sum(soft_labels[..., 1:], axis=(1, 2, 3)) > _MIN_PIXELS, "int32")  # (batch,)
    loss = keras.losses.sparse_categorical_crossentropy(holds, answer)
    if tissue is None:
        return loss
    patch = soft_labels.shape[1] // tissue.shape[1]
    covered = ops.average_pool(soft_labels, patch, patch)  # (batch, rows, columns, 4)
    surprise = keras.losses.categorical_crossentropy(covered, tissue) - keras.losses.categorical_crossentropy(
        covered, covered
    )  # less the entropy of mixed patches, which nobody could know better
    return loss + TISSUE * ops.mean(surprise, axis=(1, 2))


def _patch_tissue_head(network: keras.Model) -> dict[str, keras.KerasTensor]:
    """`tissue`, (batch, rows, columns, 4), what each patch holds, told by a head on its token; empty without tokens."""
    if "norm" not in {layer.name for layer in network.layers}:
        return {}
    tokens = network.get_layer("norm").output[:, 1:]  # (batch, patches, width), without the class token
    side = math.isqrt(tokens.shape[1])
    tissue = layers.Dense(4, activation="softmax", dtype="float32")(tokens)
    return {"tissue": layers.Reshape((side, side, 4))(tissue)}
