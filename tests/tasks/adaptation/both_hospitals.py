"""Ten steps of an adaptation on made-up radiographs: as a script on another backend, or on two devices."""

import sys

import keras
import numpy as np

from helpers.learn.devices import configure, scope
from helpers.learn.losses import PrecomputedLoss
from helpers.models.unet import unet
from helpers.tasks.adaptation.adversarial import ADDA, GradientReversal, OutputAlignment
from helpers.tasks.adaptation.base import LayerwiseAdam
from helpers.tasks.adaptation.fourier import FourierStyle
from helpers.tasks.adaptation.mean_teacher import MeanTeacher
from tests.tasks.small import shallow_networks

SIZE = 32
COMPARED = ("reversal", "adda+anchor", "output", "fourier", "sure-teacher")  # "adda" is a part of the second
STEPS = {
    "reversal": GradientReversal,
    "adda": ADDA,
    "adda+anchor": lambda network: ADDA(network, anchor=1.0),
    "output": lambda network: OutputAlignment(network, strength=0.1),
    "fourier": FourierStyle,
    "mean-teacher": lambda network: MeanTeacher(network, momentum=0.9),
    "sure-teacher": lambda network: MeanTeacher(network, momentum=0.9, sure=0.6),
}


def start() -> keras.Model:
    """A small network; its weights are drawn by NumPy, so that every backend begins with the same."""
    network = unet(SIZE, 1, 1, filters=2, dropout=0.0)
    draw(network, 0)
    return network


def draw(part: keras.Model | keras.layers.Layer, seed: int) -> None:
    """He's initial weights (2015), biases a little off zero so that each can be seen to move."""
    rng = np.random.default_rng(seed)
    part.set_weights([rng.normal(0, np.sqrt(2 / np.prod(w.shape[:-1])) if w.ndim > 1 else 0.1, w.shape)
                      for w in part.get_weights()])  # fmt: skip


def radiographs(seed: int, n: int = 4) -> dict[str, np.ndarray]:
    """A batch as `adaptation_batches` yields it, unvaried: the target's radiographs are brighter, and have less
    contrast."""
    images, soft_labels = made(seed, n)
    return {
        "images": images[:n].astype(np.float16),
        "foreground": soft_labels[:n, None, ..., 1],
        "domain": np.ones(n, np.float32),
        "target_images": (0.6 * images[n:] + 0.6).astype(np.float16),
        "target_domain": np.zeros(n, np.float32),
    }


def made(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Radiographs of both, and the masks of both: (2 n, size, size, 1) and (2 n, size, size, 2) uint8."""
    rng = np.random.default_rng(seed)
    images = rng.normal(0, 0.3, (2 * n, SIZE, SIZE, 1))
    lung = np.zeros(images.shape, bool)
    for one in lung:
        row, column = rng.integers(4, 12, 2)
        one[row : row + 14, column : column + 12] = True
    images[lung] += 1
    return images, np.concatenate([~lung, lung], axis=-1) * np.uint8(255)


def ready(name: str, optimizer: keras.optimizers.Optimizer | None = None) -> keras.Model:
    """The step of a method, compiled, its discriminator's weights drawn by NumPy too."""
    step = STEPS[name](start())
    if hasattr(step, "discriminator"):
        draw(step.discriminator, 1)
    step.compile(optimizer or LayerwiseAdam(1e-3, {"discriminator": 0.5}), PrecomputedLoss())
    return step


def ten_steps(name: str) -> list[np.ndarray]:
    """All weights after ten steps of plain gradient descent."""
    import tensorflow as tf

    with scope():
        step = ready(name, keras.optimizers.SGD(0.01))
    batches = [radiographs(seed) for seed in range(10)]
    data = tf.data.Dataset.from_tensor_slices({key: np.stack([b[key] for b in batches]) for key in batches[0]})
    step.fit(data, epochs=1, shuffle=False, verbose=0)
    return [keras.ops.convert_to_numpy(weight) for weight in step.weights]


if __name__ == "__main__":
    path, devices = sys.argv[1:]
    configure(devices)
    with shallow_networks():
        found = {name: ten_steps(name) for name in COMPARED}
    np.savez(path, **{f"{name}/{number:03d}": w for name, weights in found.items() for number, w in enumerate(weights)})
    print(keras.backend.backend())
