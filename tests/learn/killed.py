"""A short training that is killed again and again, and goes on each time.

`python -m tests.learn.killed 20` does what `test_checkpoint.py` does, with more kills, and prints where they struck.
"""

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np


def train(slices: Path, split: Path, out: Path, epochs: int) -> None:
    """Train a tiny U-Net, with a checkpoint after every step; leave the last one as `end.npz`."""
    import keras

    from helpers.data.array_cache import read_manifest
    from helpers.data.splits import load_split
    from helpers.data.store import opened
    from helpers.learn.budget import Budget
    from helpers.learn.checkpoint import Checkpoint
    from helpers.models.unet import unet
    from helpers.tasks.brain.training import Recipe, fit_brain

    keras.utils.set_random_seed(0)
    network = unet(32, 2, filters=2, dropout=0.2)
    with Checkpoint(out, {"epochs": epochs}, seconds=0) as checkpoint:
        recipe = Recipe(augmentation="all")
        fit_brain(
            network,
            opened(Path(slices), read_manifest(Path(slices))),
            load_split(split),
            out,
            Budget(epochs),
            recipe,
            checkpoint=checkpoint,
        )
        shutil.copy(checkpoint.path, out / "end.npz")


def train_and_kill(slices: Path, split: Path, out: Path, epochs: int, kills: int, seed: int) -> list[tuple[int, bool]]:
    """Start the training, kill it (SIGKILL) at a random moment, start it again …, and leave it alone after `kills`.

    Returns:
        For each kill the step of the checkpoint that it left, and whether it struck while one was written.
    """
    rng, struck = random.Random(seed), []
    saved, half_written = out / "checkpoint.npz", out / ".part.checkpoint.npz"
    command = [sys.executable, "-m", "tests.learn.killed", "train", *map(str, (slices, split, out, epochs))]
    while True:
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if len(struck) < kills:
            _wait_for_changes(saved, rng.randint(1, 3), running)
            time.sleep(rng.uniform(0, 0.06))
            running.kill()
        output, errors = running.communicate()
        if running.returncode == 0:
            return struck
        if running.returncode != -9:
            raise RuntimeError(f"The training failed by itself:\n{output}{errors}")
        struck.append((step(saved), half_written.exists()))


def step(path: Path) -> int:
    """The number of steps that a checkpoint holds."""
    with np.load(path) as file:
        return json.loads(file["state"].tobytes())["step"]


def end(out: Path) -> tuple[dict[str, np.ndarray], list[dict]]:
    """How a training ended: every variable, its optimiser's too, and the history without the seconds."""
    with np.load(out / "end.npz") as file:
        arrays = {name: file[name] for name in file.files}
    history = json.loads(arrays.pop("state").tobytes())["history"]
    return arrays, [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def _wait_for_changes(path: Path, count: int, running: subprocess.Popen) -> None:
    seen = _changed(path)
    while count and running.poll() is None:
        time.sleep(0.002)
        if (now := _changed(path)) != seen:
            seen, count = now, count - 1


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def _main(kills: int) -> None:
    import tempfile

    from helpers.data.brats import read_catalogue
    from helpers.data.phantoms.brats import make_brats
    from helpers.data.resample import Grid
    from helpers.data.splits import make_split, save_split
    from helpers.data.store import open_store

    with tempfile.TemporaryDirectory() as name:
        folder, epochs = Path(name), max(4, kills // 2)
        root = make_brats(folder / "brats", patients=8, shape=(60, 60, 39), spacing=(4.0, 4.0, 155 / 39), seed=1)
        patients = read_catalogue(root).require(("flair", "t1ce"))
        open_store(patients, folder / "slices", ("flair", "t1ce"), Grid(32))
        save_split(make_split(patients, seed=0, folds=4), folder / "split.json")
        given = folder / "slices", folder / "split.json"
        print("never stopped:", train_and_kill(*given, folder / "whole", epochs, 0, 0))
        struck = train_and_kill(*given, folder / "killed", epochs, kills, seed=int(time.time()))
        print(f"killed {len(struck)} times, after steps {', '.join(str(where) for where, _ in struck)}")
        print(f"{sum(writing for _, writing in struck)} of these while a checkpoint was written")
        (arrays, history), (others, other_history) = end(folder / "whole"), end(folder / "killed")
        same = [np.array_equal(arrays[array], others[array]) for array in arrays]
        print(
            f"{sum(same)} of {len(same)} arrays are the same, bit for bit; the histories of {len(history)} epochs are"
        )
        print("the same" if history == other_history else "not the same")
        sys.exit(not (all(same) and arrays.keys() == others.keys() and history == other_history))


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train(*map(Path, sys.argv[2:5]), int(sys.argv[5]))
    else:
        _main(int(sys.argv[1]))
