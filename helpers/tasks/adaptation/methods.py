"""How each method of adaptation trains, and how the checkpoint to keep is found."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import keras

from helpers.learn.budget import Budget, current_learning_rate
from helpers.learn.checkpoint import Checkpoint
from helpers.learn.devices import scope
from helpers.learn.losses import PrecomputedLoss
from helpers.runtime.disk import atomic_path
from helpers.tasks.adaptation.adversarial import ADDA, GradientReversal, OutputAlignment
from helpers.tasks.adaptation.base import AdaptationModel, AdaptationSchedule, LayerwiseAdam
from helpers.tasks.adaptation.mean_teacher import MeanTeacher

STEPS_PER_EPOCH = 20
"""Steps between two looks at the network: an epoch here, whatever the size of the two hospitals."""

CHECKPOINTS = 10
"""Checkpoints along the way, of which one is chosen. The model as it came is none of them: whether it had better been
left alone is for the table to show, and a model that is never moved is never hurt."""


@dataclass(frozen=True)
class Method:
    """How a method trains.

    Attributes:
        build: from the network and settings of its own to the step that adapts it.
        rate: Adam's highest learning rate. factors: of it, by a piece of a variable's path.
        augmentation: how radiographs of both hospitals are varied.
        momentum: Adam's first; 0.5 for an adversary, whose gradients turn (Radford et al. 2015).
    """

    build: Callable[..., AdaptationModel]
    rate: float
    factors: Mapping[str, float] = field(default_factory=dict)
    augmentation: str = "none"
    momentum: float = 0.9


TRAINED = {
    "reversal": Method(GradientReversal, 3e-4, momentum=0.5),
    "adda": Method(ADDA, 3e-5, {"discriminator": 10}, momentum=0.5),  # nothing holds the encoder but that it is slow
    "adda+anchor": Method(partial(ADDA, anchor=1.0, strength=0.1), 3e-4, momentum=0.5),
    "output": Method(OutputAlignment, 3e-4, momentum=0.5),
    "mean-teacher": Method(MeanTeacher, 3e-4, augmentation="xray"),
}
"""Methods that learn, by name. Their settings, and the way to choose a checkpoint, were tried on training and
validation radiographs of both hospitals with all masks: whoever adapts without any cannot choose so well."""

METHODS = ("histogram", "statistics", *TRAINED)
"""All methods, from the plainest on."""

ADVERSARIAL = ("reversal", "adda", "adda+anchor", "output")
"""Those with a discriminator."""


def fit_adaptation(
    step: AdaptationModel,
    batches: Callable,
    recipe: Method,
    budget: Budget,
    judge: Callable[[keras.Model], dict[str, float]],
    folder: Path,
    log: Callable[[str], None],
    checkpoint: Checkpoint,
) -> list[dict]:
    """Train until the budget is spent, and leave in `step.ema_network` the checkpoint that the judge likes best.

    Args:
        step: what learns.
        batches: with `first_step`, see `helpers.learn.checkpoint`.
        judge: looks at the network after each epoch of `STEPS_PER_EPOCH` steps; the highest `choice` wins.
        folder: receives `checkpoints/`, about `CHECKPOINTS` of them.

    Returns:
        One row an epoch, the first before any step: what the step reports (its terms; a discriminator's accuracy), what
        the judge sees, learning_rate, seconds, and `saved`: the tenth of the budget that was then reached, 0 where no
        weights were saved.
    """
    ema_network = step.ema_network
    with scope(ema_network):
        step.compile(LayerwiseAdam(recipe.rate, recipe.factors, beta_1=recipe.momentum), PrecomputedLoss())
    folder = folder / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    rows = checkpoint.history

    def look(epoch: int, logs: Mapping[str, float]) -> None:
        row = {**{name: float(value) for name, value in logs.items()}, **judge(ema_network)}
        row |= {"learning_rate": current_learning_rate(step), "seconds": time.monotonic() - budget.started}
        tenth = math.floor(CHECKPOINTS * min(1.0, budget.fraction_spent(epoch))) if epoch else 0
        row["saved"] = tenth if tenth > max((past["saved"] for past in rows), default=0) else 0
        if row["saved"]:
            with atomic_path(_weights(folder, epoch)) as scratch:
                ema_network.save_weights(scratch)
        rows.append(row)
        told = {
            name: row[name]
            for name in (*step.reported(), "val_dice", "relative_entropy_gap", "implausible_fraction")
            if name in row
        }
        said = ", ".join(f"{name} {value:.3f}" for name, value in told.items())
        log(f"epoch {epoch}: {said}, {budget.progress(epoch)}" if epoch else f"as it came: {said}")

    watch = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: None if rows else look(0, {}),
        on_epoch_end=lambda epoch, logs: look(epoch + 1, logs),
    )
    checkpoint.fit(
        step, batches, STEPS_PER_EPOCH, budget, [watch, AdaptationSchedule(budget, STEPS_PER_EPOCH, recipe.rate)]
    )
    best = max(
        (epoch for epoch, row in enumerate(rows) if row["saved"]), key=lambda epoch: rows[epoch]["selection_score"]
    )
    ema_network.load_weights(_weights(folder, best))
    log(f"Kept the weights of epoch {best}.")
    return rows


def _weights(folder: Path, epoch: int) -> Path:
    return folder / f"epoch_{epoch:04d}.weights.h5"
