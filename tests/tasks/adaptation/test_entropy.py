"""Laws of Tent: only normalisations learn, from radiographs alone, and they grow surer."""

import keras
import numpy as np
import pytest

from helpers.learn.losses import PrecomputedLoss
from helpers.models.unet import unet
from helpers.tasks.adaptation.base import LayerwiseAdam
from helpers.tasks.adaptation.entropy import NORMALISATIONS, Tent, pixel_entropy
from tests.tasks.adaptation.both_hospitals import SIZE, radiographs, start


def network(normalisation):
    keras.utils.set_random_seed(0)
    return unet(SIZE, 1, 1, filters=2, depth=1, dropout=0.0, normalisation=normalisation)


def test_entropy_is_its_formula():
    p = np.array([0.5, 0.9, 0.1, 0.999], np.float32).reshape(4, 1, 1, 1) * np.ones((4, 3, 3, 1), np.float32)
    expected = [-(q * np.log(q) + (1 - q) * np.log(1 - q)) for q in (0.5, 0.9, 0.1, 0.999)]
    np.testing.assert_allclose(pixel_entropy(p), expected, rtol=1e-3)


@pytest.mark.parametrize("normalisation", ["batch", "instance", "group"])
def test_only_normalisations_learn_and_the_entropy_falls(normalisation):
    step = Tent(network(normalisation))
    norms = [layer for layer in step.network.layers if isinstance(layer, NORMALISATIONS)]
    learned = {id(variable) for layer in norms for variable in layer.trainable_variables}
    assert {id(variable) for variable in step.trainable_variables} == learned
    step.compile(LayerwiseAdam(1e-2), PrecomputedLoss())
    batch = radiographs(0)
    before = float(np.mean(step(batch, training=False)["entropy"]))
    for _ in range(8):
        step.train_on_batch(batch)
    assert float(np.mean(step(batch, training=False)["entropy"])) < before


def test_the_sources_masks_play_no_part():
    step, batch = Tent(network("instance")), radiographs(0)
    terms = step(batch, training=False)["entropy"]
    other = step(batch | {"foreground": 255 - batch["foreground"], "images": 0 * batch["images"]}, training=False)
    np.testing.assert_array_equal(terms, other["entropy"])


def test_without_normalisation_there_is_nothing_to_move():
    with pytest.raises(ValueError, match="--normalisation batch"):
        Tent(start())
