"""The methods of adaptation, their hyperparameters, and the training that selects a checkpoint without labels."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from helpers.learn.budget import Budget
from helpers.learn.checkpoint import Checkpoint
from helpers.learn.devices import scope
from helpers.learn.losses import PrecomputedLoss
from helpers.learn.training_loop import fit
from helpers.runtime.disk import atomic_path
from helpers.tasks.adaptation.adversarial import ADDA, GradientReversal, OutputAlignment
from helpers.tasks.adaptation.base import AdaptationModel, AdaptationSchedule, LayerwiseAdam
from helpers.tasks.adaptation.entropy import Tent
from helpers.tasks.adaptation.fourier import FourierStyle
from helpers.tasks.adaptation.mean_teacher import MeanTeacher

STEPS_PER_EPOCH = 20
"""Steps between two evaluations of the network: an epoch here, whatever the size of the two hospitals."""

CHECKPOINTS = 10
"""Checkpoints of a training, of which one is selected. The source model is none of them: the table of results is to
show whether adaptation does harm, and a selection that may fall back on the source model would hide it."""


@dataclass(frozen=True)
class Method:
    """The hyperparameters of a method.

    These of the methods below, and the criterion that selects a checkpoint, were tuned on training and validation
    radiographs of both hospitals with all masks: without target masks nobody can tune so well.

    Attributes:
        build: from the network and the method's own settings to the training step.
        rate: Adam's highest learning rate.
        factors: of the learning rate, by a piece of a variable's path.
        augmentation: a name in `helpers.runtime.options.AUGMENTATIONS`, for the radiographs of both hospitals.
        momentum: Adam's beta_1; 0.5 for adversarial training, whose gradients change direction (Radford et al. 2015).
        adversarial: whether it has a discriminator.
        plausible: whether it learns only from radiographs of the target of which the first model's outlines are
            plausible, see `helpers.tasks.lungs.shape`.
    """

    build: Callable[..., AdaptationModel]
    rate: float
    factors: Mapping[str, float] = field(default_factory=dict)
    augmentation: str = "none"
    momentum: float = 0.5
    adversarial: bool = True
    plausible: bool = False


REVERSAL = Method(GradientReversal, 3e-4)
ADDA_FREE = Method(ADDA, 3e-5, {"discriminator": 10})  # a low rate is all that limits the encoder's drift
ADDA_ANCHORED = Method(partial(ADDA, anchor=1.0, strength=0.1), 3e-4)
OUTPUT = Method(OutputAlignment, 3e-4)
FOURIER = Method(FourierStyle, 3e-4, augmentation="xray", momentum=0.9, adversarial=False)
TENT = Method(Tent, 1e-3, momentum=0.9, adversarial=False)
MEAN_TEACHER = Method(MeanTeacher, 3e-4, augmentation="xray", momentum=0.9, adversarial=False)
SURE_TEACHER = Method(
    partial(MeanTeacher, sure=0.9), 3e-4, augmentation="xray", momentum=0.9, adversarial=False, plausible=True
)


def fit_adaptation(
    step: AdaptationModel,
    batches: Callable[..., Any],
    method: Method,
    budget: Budget,
    selector: Callable[[keras.Model], dict[str, float]],
    folder: Path,
    log: Callable[[str], None],
    checkpoint: Checkpoint,
) -> pd.DataFrame:
    """Train until the budget is spent, and leave the selected checkpoint in `step.ema_network`.

    Args:
        step: the training step, with the network to adapt.
        batches: called with `first_step`, see `helpers.learn.training_loop.fit`.
        method: its hyperparameters.
        budget: how long.
        selector: scores the network after each epoch of `STEPS_PER_EPOCH` steps; the highest `selection_score` wins.
        folder: receives `checkpoints/`, about `CHECKPOINTS` of them.
        log: called with one line an epoch.
        checkpoint: saves the training, and resumes the one in its file.

    Returns:
        The history, see `helpers.learn.training_loop.fit`, from epoch 0 on, before any step: the terms that the step
        reports, a discriminator's accuracy, what the selector returns, and `saved`: the tenth of the budget that was
        reached, 0 where no weights were saved.
    """
    network = step.ema_network
    with scope(network):
        step.compile(LayerwiseAdam(method.rate, method.factors, beta_1=method.momentum), PrecomputedLoss())
    folder = folder / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)

    def evaluate(epoch: int, logs: Mapping[str, float]) -> dict[str, float]:
        tenth = math.floor(CHECKPOINTS * min(1.0, budget.fraction_spent(epoch))) if epoch else 0
        saved = tenth if tenth > max((past["saved"] for past in checkpoint.history), default=0) else 0
        if saved:
            with atomic_path(_weights(folder, epoch)) as scratch:
                network.save_weights(scratch)
        return {**selector(network), "saved": saved}

    history = fit(
        step,
        batches,
        STEPS_PER_EPOCH,
        budget,
        evaluate,
        method.rate,
        AdaptationSchedule,
        checkpoint,
        columns=(*step.reported(), "val_dice", "relative_entropy_gap", "implausible_fraction"),
        before_training=True,
        log=log,
    )
    saved = history[history["saved"] > 0]
    best = int(saved["epoch"][saved["selection_score"].idxmax()])
    network.load_weights(_weights(folder, best))
    log(f"Selected the weights of epoch {best}.")
    return history


def _weights(folder: Path, epoch: int) -> Path:
    return folder / f"epoch_{epoch:04d}.weights.h5"
