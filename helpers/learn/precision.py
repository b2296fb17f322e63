"""Mixed precision, chosen for the chip: convolutions in 16 bits, weights and normalisation and losses in 32.

float16 has a fine resolution and a small range: gradients below 6e-8 become 0. So the loss is multiplied by a large
number before it is differentiated and the gradients are divided by it afterwards (loss scaling; Micikevicius et al.
2017, arXiv 1710.03740). bfloat16 has the range of float32 with a coarse resolution, and needs none of that.

NVIDIA's chips compute in float16 from compute capability 7.0 on (V100, T4), and in bfloat16 from 8.0 on (A100, L4).
Some CPUs have instructions for bfloat16, which TensorFlow uses. Whether training gains by them depends on how much of
its time is convolution and on how many cores share the memory, so on a CPU it is measured: a second of work, and 32
bits unless 16 are clearly faster.

Networks give their probabilities in float32 whatever the precision (see `helpers.models`), and losses sum in it.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

import keras
import numpy as np

from helpers.learn.devices import all_replicas
from helpers.runtime.backend import POLICIES
from helpers.runtime.errors import DataError

GAIN = 1.5
"""How many times as fast a CPU must compute in bfloat16 for it to be chosen: so much that a second trial agrees."""


@cache
def select_policy() -> str:
    """The Keras policy for what the backend runs on: "mixed_float16", "mixed_bfloat16" or "float32".

    It is decided once in a process; `helpers.learn.devices.configure` comes before. COURSE_PRECISION in the environment
    overrides what the chip would choose.

    Raises:
        DataError: COURSE_PRECISION is none of these.
    """
    wished = os.environ.get("COURSE_PRECISION")
    if wished is not None:
        if wished not in POLICIES:
            raise DataError(f"COURSE_PRECISION is {wished!r}; expected {', '.join(POLICIES)}, or no such variable.")
        return wished
    return policy_for(_capability(), cpu_flags(), keras.backend.backend() == "tensorflow" and _cpu_gains)


def policy_for(
    gpu: tuple[int, int] | None, flags: frozenset[str], cpu_gains: Callable[[], bool] | Literal[False] = False
) -> str:
    """The Keras policy for a chip.

    Args:
        gpu: compute capability, major and minor; None without a GPU.
        flags: of the CPU, as Linux calls them.
        cpu_gains: called where the CPU can compute in bfloat16: whether it is the faster for it; False where it is not
            to be used.

    Examples:
        >>> policy_for(gpu=(7, 5), flags=frozenset())  # a T4
        'mixed_float16'
        >>> policy_for(gpu=(8, 0), flags=frozenset())  # an A100
        'mixed_bfloat16'
        >>> policy_for(gpu=None, flags=frozenset({"avx2", "amx_bf16"}), cpu_gains=lambda: True)
        'mixed_bfloat16'
    """
    if gpu:
        return "mixed_bfloat16" if gpu >= (8, 0) else "mixed_float16" if gpu >= (7, 0) else "float32"
    able = flags & {"avx512_bf16", "amx_bf16"}
    return "mixed_bfloat16" if able and cpu_gains and cpu_gains() else "float32"


@contextmanager
def policy_scope(policy: str | None = None) -> Iterator[str]:
    """A context in which networks are built with this policy, unless another than float32 was set before.

    Args:
        policy: a Keras policy; that of `select_policy` without one.

    Yields:
        The name of the policy in force.
    """
    before = keras.mixed_precision.global_policy()
    if before.name == "float32":
        keras.mixed_precision.set_global_policy(policy or select_policy())
    try:
        yield keras.mixed_precision.global_policy().name
    finally:
        keras.mixed_precision.set_global_policy(before)


def cast_model(network: keras.Model) -> keras.Model:
    """A network in the precision of this chip: half precision of another chip becomes that of `select_policy`.

    The weights are float32 in any case, so nothing is lost.

    Args:
        network: is left as it is.

    Returns:
        The network itself where its precision fits, else a copy.
    """
    half = {layer.dtype_policy.name for layer in network.layers} & {"mixed_float16", "mixed_bfloat16"}
    if not half or half == {select_policy()}:
        return network
    text, before = network.to_json(), keras.mixed_precision.global_policy()
    for policy in half:
        text = text.replace(f'"{policy}"', f'"{select_policy()}"')
    keras.mixed_precision.set_global_policy(select_policy())  # what a layer's own settings leave open
    try:
        copy = keras.models.model_from_json(text)
    finally:
        keras.mixed_precision.set_global_policy(before)
    copy.set_weights(network.get_weights())
    return copy


def with_loss_scaling(optimizer: keras.optimizers.Optimizer, *networks: keras.Model) -> keras.optimizers.Optimizer:
    """The optimiser with loss scaling if a network computes in float16, else as it is.

    Args:
        optimizer: before it is built.
        networks: those that the optimiser trains.
    """
    half = any(layer.compute_dtype == "float16" for network in networks for layer in network.layers)
    return LossScale(optimizer) if half else optimizer


@keras.saving.register_keras_serializable(package="biomedseg")
class LossScale(keras.optimizers.LossScaleOptimizer):
    """Loss scaling that skips a step if the gradients of any replica overflow.

    Keras checks the first replica's, before they are summed: an overflow on the second reaches the weights and destroys
    them.
    """

    def check_finite(self, grads: list[keras.KerasTensor]) -> keras.KerasTensor:
        """Whether the gradients, each with the shape of its variable, are finite on every replica: a bool scalar."""
        return all_replicas(super().check_finite(grads))


def cpu_flags(path: str | Path = "/proc/cpuinfo") -> frozenset[str]:
    """The instruction sets that the CPU reports; empty where there is no such file.

    Args:
        path: a file as Linux has it.
    """
    path = Path(path)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), ()))


def _capability() -> tuple[int, int] | None:
    """The compute capability of the GPUs that the backend sees, the lowest: (7, 5) for a T4; None without NVIDIA's."""
    if keras.backend.backend() == "jax":
        import jax

        names = [getattr(one, "compute_capability", None) for one in jax.local_devices() if one.platform == "gpu"]
        found = [tuple(int(number) for number in str(name).split(".")) for name in names if name]
    else:
        import tensorflow as tf

        gpus = tf.config.get_visible_devices("GPU")
        found = [tf.config.experimental.get_device_details(gpu).get("compute_capability") for gpu in gpus]
    return min((one for one in found if one), default=None)


def _cpu_gains() -> bool:
    """Whether a piece of a training step is faster in bfloat16: two convolutions of a U-Net, forward and backward.

    The casts, the ReLU and the pooling between belong to it: they are slower in 16 bits, and can cost as much as the
    convolutions gain.
    """
    import tensorflow as tf

    rng = np.random.default_rng(0)
    images = tf.constant(rng.normal(size=(8, 48, 48, 32)).astype(np.float32))
    kernels = [tf.Variable(rng.normal(0, 0.05, (3, 3, 32, 32)).astype(np.float32)) for _ in range(2)]

    def step(dtype: str) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            x = tf.cast(images, dtype)
            for kernel in kernels:
                x = tf.nn.relu(tf.nn.conv2d(x, tf.cast(kernel, dtype), 1, "SAME"))
            value = tf.reduce_mean(tf.cast(tf.nn.max_pool2d(x, 2, 2, "SAME"), "float32"))
        return tape.gradient(value, kernels)

    steps = {dtype: tf.function(lambda dtype=dtype: step(dtype)) for dtype in ("float32", "bfloat16")}
    seconds: dict[str, list[float]] = {dtype: [] for dtype in steps}
    for _ in range(8):  # alternating, since others may be using the machine; the first of each is compilation
        for dtype, one in steps.items():
            begun = time.perf_counter()
            one()[0].numpy()
            seconds[dtype].append(time.perf_counter() - begun)
    return min(seconds["float32"]) > GAIN * min(seconds["bfloat16"])
