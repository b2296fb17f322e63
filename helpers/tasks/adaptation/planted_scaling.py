"""A planted fault: one hospital's radiographs come to the adversary as 0 to 1, the other's as 0 to 255.

Users of a public ADDA were stranded at 10 to 15 % accuracy for this alone; scaled alike, its source model has 88.0 %
and ADDA 97.4 % (corenel/pytorch-adda, pull request 29). The network hardly minds a factor; a discriminator needs
nothing else to tell two hospitals apart, and the encoder learns to hide it instead of what differs between them.

The radiographs are phantoms of one hospital, half of them seen through a second detector that is fogged and flat. So
the right answer is known: what was planted is a shift of greys, and an adversary can undo it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd
from PIL import Image

from helpers.data.phantoms.radiograph import plan_radiograph
from helpers.data.phantoms.thorax import take_xray
from helpers.learn.augmented_model import AugmentedModel
from helpers.learn.losses import DiceCrossEntropy, PrecomputedLoss
from helpers.learn.predict_batches import predict_batches
from helpers.measure.overlap import dice
from helpers.models.unet import unet
from helpers.runtime.threads import map_threads
from helpers.tasks.adaptation.adversarial import ADDA
from helpers.tasks.adaptation.base import LayerwiseAdam

SIZE = 32
"""Pixels along each side of the radiographs."""

BATCH = 16
"""Radiographs in a batch, of each hospital."""

FORGOTTEN = 255.0
"""The factor that a loader forgot to divide by."""


@dataclass(frozen=True)
class Radiographs:
    """Radiographs with their masks; the masks of the target are used for scores alone.

    Attributes:
        images: (radiographs, size, size, 1) float32, from 0 to 1.
        masks: (radiographs, size, size) bool.
    """

    images: np.ndarray
    masks: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def phantom_radiographs(count: int, seed: int = 0, size: int = SIZE) -> Radiographs:
    """Phantom radiographs of one hospital, with greys from 0 to 1: no radiograph is z-scored.

    Args:
        count: of radiographs.
        seed: another one draws other patients.
        size: pixels along each side.
    """

    def take(number: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([seed, number])
        radiograph, lungs = take_xray(
            rng, plan_radiograph(rng, "shenzhen", 2 * size), number % 2 == 1, bool(number % 4 > 1)
        )
        return tuple(
            np.asarray(Image.fromarray(array).resize((size, size), Image.Resampling.BOX))
            for array in (radiograph, np.uint8(255) * lungs)
        )

    radiographs, masks = map(np.stack, zip(*map_threads(take, range(count)), strict=True))
    return Radiographs(np.float32(radiographs[..., None] / 255), masks > 127)


def fogged(radiographs: Radiographs) -> Radiographs:
    """The same radiographs from a second detector: a third of the contrast, above a fog. Still from 0 to 1.

    Args:
        radiographs: from 0 to 1.
    """
    return Radiographs(np.float32(0.6 + 0.3 * radiographs.images), radiographs.masks)


def trained_source(radiographs: Radiographs, steps: int = 120, filters: int = 4, seed: int = 0) -> keras.Model:
    """A small U-Net that has learned the masks of some radiographs.

    Args:
        radiographs: of the source.
        steps: of Adam.
        filters: features of its first level.
        seed: of the weights and of the order.
    """
    keras.utils.set_random_seed(seed)
    network = unet(radiographs.images.shape[1], 1, 1, filters=filters, dropout=0.0)
    trainer = AugmentedModel(network)
    trainer.compile(keras.optimizers.Adam(3e-3), DiceCrossEntropy())
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        trainer.train_on_batch(_labelled(radiographs, rng))
    return network


def adapted(
    network: keras.Model, source: Radiographs, target: Radiographs, factor: float = 1.0, steps: int = 80, seed: int = 0
) -> tuple[keras.Model, pd.DataFrame]:
    """ADDA with an anchor between radiographs of two hospitals, whose target comes times a factor.

    Args:
        network: trained at the source; it is left as it is.
        source: with masks.
        target: of which the images alone are used.
        factor: 1, or `FORGOTTEN`.
        steps: of the game.
        seed: of the discriminator and of the order.

    Returns:
        The adapted network; and for each step `accuracy`, of the discriminator over patches.
    """
    keras.utils.set_random_seed(seed)
    moving = keras.models.clone_model(network)
    moving.set_weights(network.get_weights())
    step = ADDA(moving, levels=range(5), anchor=1.0)
    step.compile(LayerwiseAdam(1e-3, beta_1=0.5), PrecomputedLoss())
    rng, rows = np.random.default_rng(seed), []
    for _ in range(steps):
        batch = _labelled(source, rng) | {
            "domain": np.ones(BATCH, np.float32),
            "target_images": np.float32(factor) * target.images[rng.choice(len(target), BATCH)],
            "target_domain": np.zeros(BATCH, np.float32),
        }
        step.train_on_batch(batch)
        rows.append({name: float(mean.result()) for name, mean in step.means.items()})
        step.reset_metrics()
    return moving, pd.DataFrame(rows)


def mean_dice(network: keras.Model, radiographs: Radiographs, factor: float = 1.0) -> float:
    """Mean Dice of a network on radiographs, which come times a factor.

    Args:
        network: (batch, size, size, 1) to the probability of lung.
        radiographs: with masks.
        factor: of their greys.
    """
    drawn = predict_batches(network, np.float32(factor) * radiographs.images)[..., 0] > 0.5
    return float(np.mean([dice(truth, one) for truth, one in zip(radiographs.masks, drawn, strict=True)]))


def play(radiographs: int = 48, source_steps: int = 120, steps: int = 80, seed: int = 0) -> pd.DataFrame:
    """The game with the fault and without it, between phantoms whose target is fogged.

    Args:
        radiographs: of each hospital, to learn from; half as many of the target are scored.
        source_steps: of the training at the source.
        steps: of each game.
        seed: of everything.

    Returns:
        A row for the source model and for each game: `Dice, target`, and of the games the discriminator's accuracy over
        the first and the last fifth of the steps.
    """
    source = phantom_radiographs(radiographs, seed)
    target, tested = (
        fogged(phantom_radiographs(radiographs, seed + 1)),
        fogged(phantom_radiographs(radiographs // 2, seed + 2)),
    )
    network = trained_source(source, source_steps, seed=seed)
    rows = {"source": {"Dice, target": mean_dice(network, tested)}}
    for name, factor in {"ADDA, both from 0 to 1": 1.0, "ADDA, the target from 0 to 255": FORGOTTEN}.items():
        moved, game = adapted(network, source, target, factor, steps, seed)
        fifth = max(1, steps // 5)
        rows[name] = {
            "Dice, target": mean_dice(moved, tested, factor),
            "discriminator right, at first": game["accuracy"].head(fifth).mean(),
            "discriminator right, at last": game["accuracy"].tail(fifth).mean(),
        }
    return pd.DataFrame(rows).T


def _labelled(radiographs: Radiographs, rng: np.random.Generator) -> Mapping[str, np.ndarray]:
    """A batch of radiographs with masks, as `helpers.learn.augmented_model.augment` takes it."""
    some = rng.choice(len(radiographs), BATCH)
    return {"images": radiographs.images[some], "foreground": np.uint8(255) * radiographs.masks[some][:, None]}
