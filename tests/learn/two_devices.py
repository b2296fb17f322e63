"""What two devices do that one does, found in one process with two CPUs made of one; `test_devices.py` reads it.

`python -m tests.learn.two_devices SLICES SPLIT FOLDER` writes `FOLDER/found.json`.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from helpers.data.array_cache import read_manifest
from helpers.data.splits import load_split
from helpers.data.store import opened
from helpers.learn.augmented_model import AugmentedModel
from helpers.learn.budget import Budget
from helpers.learn.checkpoint import Checkpoint
from helpers.learn.devices import check_divisible, configure, predict_distributed, replicas, scope
from helpers.learn.losses import DiceCrossEntropy
from helpers.learn.precision import LossScale
from helpers.models.convnet import convnet
from helpers.models.transformer import Shape, transformer
from helpers.models.unet import sharp_unet, unet
from helpers.prepare.augment import draw
from helpers.runtime.options import LOSSES
from helpers.tasks.brain.training import Recipe, fit_brain
from helpers.tasks.gate.training import GateTrainer

SIZE, BATCH = 16, 8
TINY = Shape(patch=4, width=8, depth=1, heads=2, mlp=2, stem=True)
NETWORKS = {
    "unet": lambda: unet(SIZE, 2, filters=2, depth=2, dropout=0.0),
    "unet, normalised": lambda: unet(SIZE, 2, filters=2, depth=1, dropout=0.0, normalisation="batch"),
    "unet, one class": lambda: unet(SIZE, 2, 1, filters=2, depth=1, dropout=0.0),
    "sharp_unet": lambda: sharp_unet(SIZE, 2, filters=2, depth=1, dropout=0.0),
    "transformer": lambda: transformer(SIZE, 2, shape=TINY, dropout=0.0),
    "convnet": lambda: convnet(SIZE, 2, filters=2, dropout=0.0),
}
CLASSIFIERS = ("transformer", "convnet")  # of a slice, not of its pixels


def slices(classes: int = 4, augmented: bool = False) -> tf.data.Dataset:
    """Batches as `training_batches` yields them, of noise."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, (5 * BATCH, SIZE, SIZE))
    arrays = {
        "images": rng.normal(labels[..., None] / 2, 1, (5 * BATCH, SIZE, SIZE, 2)).astype(np.float16),
        "foreground": np.stack([labels == number for number in range(1, classes)], axis=1) * np.uint8(255),
    }
    arrays["foreground"][::2] = 0  # every second slice shows nothing
    if augmented:
        arrays |= draw(rng, len(labels), SIZE, 2).arrays()
    return tf.data.Dataset.from_tensor_slices(arrays).batch(BATCH).repeat()


def two_layers() -> keras.Model:
    """What a law takes that does not depend on the network: it is traced several times as fast as a U-Net."""
    images = keras.Input((SIZE, SIZE, 2))
    features = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(images)
    return keras.Model(images, keras.layers.Conv2D(4, 1, activation="softmax")(features))


def descend(devices: str, build: Callable[[], keras.Model], compiled: Callable, data: tf.data.Dataset, steps=10):
    """All weights before and after some steps, and the loss that was reported."""
    configure(devices)
    keras.utils.set_random_seed(0)
    with scope():
        network = build()
        step = compiled(network)
    before = network.get_weights()
    history = step.fit(data, steps_per_epoch=steps, verbose=0, shuffle=False).history
    return before, network.get_weights(), history["loss"][0], network


def compared(build: Callable[[], keras.Model], compiled: Callable, data: tf.data.Dataset, steps: int = 10) -> dict:
    """How far two devices end from one, beside how far one has come."""
    start, one, loss, _ = descend("1", build, compiled, data, steps)
    _, two, also, _ = descend("2", build, compiled, data, steps)
    return {"apart": _far(one, two), "moved": _far(start, one), "came": _far(start, two), "losses": [loss, also]}


def with_loss(loss: keras.losses.Loss, rate: float = 0.05) -> Callable[[keras.Model], keras.Model]:
    def compiled(network: keras.Model) -> keras.Model:
        step = AugmentedModel(network)
        step.compile(keras.optimizers.SGD(rate), loss)
        return step

    return compiled


def examined(network: keras.Model) -> keras.Model:
    step = GateTrainer(network)
    step.compile(keras.optimizers.SGD(0.05))
    return step


class OneNumber(keras.losses.Loss):
    """What a loss must not be."""

    def call(self, y_true, y_pred):
        return keras.ops.mean(DiceCrossEntropy().call(y_true, y_pred))


def predictions() -> dict:
    """Inference on two devices, by `predict_distributed` and the obvious way."""
    _, _, _, network = descend("2", NETWORKS["unet"], with_loss(DiceCrossEntropy()), slices(), 1)
    configure("1")
    alone = NETWORKS["unet"]()
    alone.set_weights(network.get_weights())
    batch = np.random.default_rng(1).normal(size=(5, SIZE, SIZE, 2)).astype(np.float32)
    expected, predicted = alone.predict_on_batch(batch), predict_distributed(network, batch)
    return {
        "shape": predicted.shape,
        "apart": float(np.abs(predicted - expected).max()),
        "obvious": network.predict_on_batch(batch).shape,
        "few": predict_distributed(network, batch[:1]).shape,
        "replicas": [replicas(network), replicas(alone)],
    }


def overflow(optimizer: type) -> dict:
    """One step in which the gradients of the second device's slices overflow."""
    configure("2")
    with scope():
        network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
        network.compile(optimizer(keras.optimizers.SGD(0.1), initial_scale=2.0), "mse")
    x = np.array([[1.0], [np.inf]], np.float32)
    data = tf.data.Dataset.from_tensor_slices((x, x * 0 + 1)).batch(2).repeat()
    before = network.get_weights()
    network.fit(data, steps_per_epoch=1, verbose=0)
    after = network.get_weights()
    scale = float(keras.ops.convert_to_numpy(network.optimizer.dynamic_scale))
    return {"finite": bool(np.isfinite(after[0]).all()), "moved": _far(before, after), "scale": scale}


def trained(devices: str, store, split, folder: Path, stops: bool = False) -> tuple[list, list]:
    """A whole training as `train brain` does it; `stops` breaks it off after an epoch, and goes on."""
    configure(devices)
    for attempt in range(1 + stops):
        keras.utils.set_random_seed(0)
        with scope():
            network = unet(32, 2, filters=2, depth=1, dropout=0.0)
        try:
            with Checkpoint(folder, {}, lambda line: None, seconds=0) as checkpoint:
                recipe = Recipe(augmentation="usual", batch_size=16)
                history = fit_brain(network, store, split, folder, Budget(2), recipe, 0, _stop if stops and not attempt
                              else lambda line: None, checkpoint)  # fmt: skip
        except KeyboardInterrupt:
            continue
    return network.get_weights(), history.drop(columns="seconds").to_dict("list")


def _stop(line: str) -> None:
    raise KeyboardInterrupt


def _refused(function: Callable, *arguments: object) -> str:
    try:
        function(*arguments)
    except ValueError as error:
        return str(error)
    return ""


def _far(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))


def main(slices_at: str, split_at: str, folder: Path) -> None:
    configure("cpu:2")
    found = {
        "losses": {
            name: compared(two_layers, with_loss(option.load()()), slices(), 10) for name, option in LOSSES.items()
        }
    }
    found["networks"] = {
        name: compared(
            build,
            examined if name in CLASSIFIERS else with_loss(DiceCrossEntropy()),
            slices(2 if name == "unet, one class" else 4, augmented=name == "unet"),
        )
        for name, build in NETWORKS.items()
    }
    found["one number"] = compared(two_layers, with_loss(OneNumber()), slices(), 1)
    found["predictions"] = predictions()
    found["overflow"] = {"ours": overflow(LossScale), "keras": overflow(keras.optimizers.LossScaleOptimizer)}
    configure("1")
    outside = two_layers()
    configure("2")
    found["built outside"] = replicas(outside)
    with_loss(DiceCrossEntropy())(outside).fit(slices(), steps_per_epoch=1, verbose=0)
    with scope():
        inside = two_layers()
    found["refused"] = {
        "uneven batch": _refused(check_divisible, inside, 9),
        "too many": _refused(configure, "3"),
        "too late": _refused(configure, "cpu:3"),
    }
    store, split = opened(Path(slices_at), read_manifest(Path(slices_at))), load_split(split_at)
    (one, rows), (two, also), (again, same) = (
        trained(devices, store, split, folder / name, name == "stopped")
        for name, devices in {"one": "1", "two": "2", "stopped": "2"}.items()
    )
    found["training"] = {"apart": _far(one, two), "histories": [rows, also]}
    found["stopped"] = {"apart": _far(two, again), "histories": [also, same]}
    (folder / "found.json").write_text(json.dumps(found, default=float))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
