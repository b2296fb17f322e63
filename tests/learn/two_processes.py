"""A training on JAX: on one device, on two made of a CPU, or as one of two processes; `test_devices.py` starts it.

`python -m tests.learn.two_processes SLICES SPLIT FOLDER DEVICES`, with KERAS_BACKEND=jax and, for two processes, the
variables of `helpers.learn.devices`. It leaves the weights as `FOLDER/weights.npz`, and `FOLDER/history.json`.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np

from helpers.data.array_cache import read_manifest
from helpers.data.splits import load_split
from helpers.data.store import opened
from helpers.learn.budget import Budget
from helpers.learn.checkpoint import Checkpoint
from helpers.learn.devices import configure, replicas, scope
from helpers.models.unet import unet
from helpers.tasks.brain.training import Recipe, fit_brain


def main(slices: str, split: str, folder: Path, devices: str) -> None:
    configure(devices)
    keras.utils.set_random_seed(0)
    with scope():
        network = unet(32, 2, filters=2, depth=2, dropout=0.0)
    rng = np.random.default_rng(0)
    network.set_weights([rng.normal(0, 0.2, weight.shape) for weight in network.get_weights()])
    start = network.get_weights()
    with Checkpoint(folder, {}, seconds=0) as checkpoint:
        recipe = Recipe(augmentation="usual", batch_size=16)
        history = fit_brain(
            network,
            opened(Path(slices), read_manifest(Path(slices))),
            load_split(split),
            folder,
            Budget(12),
            recipe,
            checkpoint=checkpoint,
        )
    moved = max(float(np.abs(a - b).max()) for a, b in zip(start, network.get_weights(), strict=True))
    np.savez(folder / "weights.npz", *network.get_weights())
    results = {"replicas": replicas(network), "moved": moved, "rows": history.drop(columns="seconds").to_dict("list")}
    (folder / "history.json").write_text(json.dumps(results, default=float))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4])
