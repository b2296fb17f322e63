"""How each method of adaptation trains, and how the checkpoint to keep is found."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import keras

from helpers.data.disk import replacing
from helpers.learn.adapting import Adapting, Pace, Paced
from helpers.learn.adversary import Adda, Output, Reversal
from helpers.learn.budget import Budget, pace
from helpers.learn.checkpoint import Checkpoint
from helpers.learn.devices import scope
from helpers.learn.losses import AsTold
from helpers.learn.teacher import MeanTeacher

ROUND = 20
"""Steps between two looks at the network: an epoch here, whatever the size of the two hospitals."""

KEPT = 10
"""Checkpoints along the way, of which one is chosen. The model as it came is none of them: whether it had better been
left alone is for the table to show, and a model that is never moved is never hurt."""


@dataclass(frozen=True)
class Method:
    """How a method trains.

    Attributes:
        build: from the network and settings of its own to the step that adapts it.
        rate: Adam's highest learning rate. factors: of it, by a piece of a variable's path.
        augmentation: how films of both hospitals are varied.
        momentum: Adam's first; 0.5 for an adversary, whose gradients turn (Radford et al. 2015).
    """

    build: Callable[..., Adapting]
    rate: float
    factors: Mapping[str, float] = field(default_factory=dict)
    augmentation: str = "none"
    momentum: float = 0.9


TRAINED = {
    "reversal": Method(Reversal, 3e-4, momentum=0.5),
    "adda": Method(Adda, 3e-5, {"discriminator": 10}, momentum=0.5),  # nothing holds the encoder but that it is slow
    "adda+anchor": Method(partial(Adda, anchor=1.0, strength=0.1), 3e-4, momentum=0.5),
    "output": Method(Output, 3e-4, momentum=0.5),
    "mean-teacher": Method(MeanTeacher, 3e-4, augmentation="films"),
}
"""Methods that learn, by name. Their settings, and the way to choose a checkpoint, were tried on training and
validation films of both hospitals with all masks: whoever adapts without any cannot choose so well."""

METHODS = ("histogram", "statistics", *TRAINED)
"""All methods, from the plainest on."""

ADVERSARIAL = ("reversal", "adda", "adda+anchor", "output")
"""Those with a discriminator."""


def fit_adapting(
    step: Adapting,
    batches: Callable,
    recipe: Method,
    budget: Budget,
    judge: Callable[[keras.Model], dict[str, float]],
    folder: Path,
    say: Callable[[str], None],
    checkpoint: Checkpoint,
) -> list[dict]:
    """Train until the budget is spent, and leave in `step.kept` the checkpoint that the judge likes best.

    Args:
        step: what learns.
        batches: with `first_step`, see `helpers.learn.checkpoint`.
        judge: looks at the network after each epoch of `ROUND` steps; the highest `choice` wins.
        folder: receives `checkpoints/`, about `KEPT` of them.

    Returns:
        One row an epoch, the first before any step: what the step reports (its terms; a discriminator's accuracy), what
        the judge sees, learning_rate, seconds, and `saved`: the tenth of the budget that was then reached, 0 where no
        weights were saved.
    """
    kept = step.kept
    with scope(kept):
        step.compile(Paced(recipe.rate, recipe.factors, beta_1=recipe.momentum), AsTold())
    folder = folder / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    rows = checkpoint.history

    def look(epoch: int, logs: Mapping[str, float]) -> None:
        row = {**{name: float(value) for name, value in logs.items()}, **judge(kept)}
        row |= {"learning_rate": pace(step), "seconds": time.monotonic() - budget.started}
        tenth = math.floor(KEPT * min(1.0, budget.spent(epoch))) if epoch else 0
        row["saved"] = tenth if tenth > max((past["saved"] for past in rows), default=0) else 0
        if row["saved"]:
            with replacing(_weights(folder, epoch)) as scratch:
                kept.save_weights(scratch)
        rows.append(row)
        told = {name: row[name] for name in (*step.reported(), "val_dice", "doubt", "odd") if name in row}
        said = ", ".join(f"{name} {value:.3f}" for name, value in told.items())
        say(f"epoch {epoch}: {said}, {budget.progress(epoch)}" if epoch else f"as it came: {said}")

    watch = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: None if rows else look(0, {}),
        on_epoch_end=lambda epoch, logs: look(epoch + 1, logs),
    )
    checkpoint.fit(step, batches, ROUND, budget, [watch, Pace(budget, ROUND, recipe.rate)])
    best = max((epoch for epoch, row in enumerate(rows) if row["saved"]), key=lambda epoch: rows[epoch]["choice"])
    kept.load_weights(_weights(folder, best))
    say(f"Kept the weights of epoch {best}.")
    return rows


def _weights(folder: Path, epoch: int) -> Path:
    return folder / f"epoch_{epoch:04d}.weights.h5"
