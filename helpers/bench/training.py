"""Benchmark of training steps: our U-Net, the same network in PyTorch, and the peak rate of the machine.

A step is all that `fit` does with a batch: forward pass, loss, backward pass, Adam. Both train the paper's network on
batches in memory, in float32 and, where the chip supports it, in half precision. The rate of multiplying two large
matrices estimates the machine's peak, the upper bound for a convolution.
"""

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import keras
import numpy as np
from rich.table import Table

from helpers.bench import report
from helpers.bench.interleave import interleave, timed
from helpers.bench.subprocess_peer import NoPeerError, Peer
from helpers.learn import precision
from helpers.learn.losses import DiceCrossEntropy
from helpers.models.unet import unet
from helpers.runtime import machine

NETWORK = {"size": 128, "channels": 2, "classes": 4, "filters": 32, "depth": 4, "dropout": 0.2}
"""Arguments of `unet`: the paper's."""

BATCH = 16
ROUNDS, SECONDS = 5, 5.0
PACKAGES = ("numpy", "keras", "tensorflow", "tensorflow-cpu", "jax")


def bench_training(
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
    network: dict[str, Any] = NETWORK,
    batch: int = BATCH,
    precisions: tuple[str, ...] | None = None,
    side: int | None = None,
) -> dict[str, Any]:
    """Measure training steps.

    Args:
        rounds: measurements of each.
        seconds: duration of one measurement; it has at least one step.
        network: arguments of `unet`.
        batch: slices in a batch.
        precisions: "float32", "bfloat16", "float16"; by default those that the chip has instructions for.
        side: rows and columns of the matrices; by default large enough for full utilisation.

    Returns:
        `rates`: per precision, `ours` and `pytorch` in slices/s and `matmul` in GFLOP/s, each as `report.spread`;
        `ratios`: per precision, `pytorch`, ours over PyTorch's, and `matmul`, the fraction of the matrix product's rate
        that our step reaches, counting its convolutions alone; `pytorch`: its version and parameters, or None, and
        `why`; `parameters`; `gflop_per_slice`; `machine`; `versions`.

    Raises:
        RuntimeError: the two networks have different numbers of parameters.
    """
    precisions, side = precisions or _supported_precisions(), side or (8192 if machine.gpus() else 2048)
    model = unet(**network)
    gflop = flops(model) / 1e9
    result = {
        **report.about(PACKAGES),
        "backend": keras.backend.backend(),
        "network": network,
        "batch": batch,
        "parameters": model.count_params(),
        "gflop_per_slice": round(gflop, 2),
    }
    turns: dict[tuple[str, str], Callable[[], float]] = {}
    with ExitStack() as peers:
        try:
            peer = peers.enter_context(Peer("unet_step", batch=batch, **network))
            result["pytorch"] = peer.info
            if peer.info["parameters"] != result["parameters"]:
                raise RuntimeError(f"{peer.info['parameters']} parameters in PyTorch, {result['parameters']} in Keras")
        except NoPeerError as missing:
            peer = None
            result |= {"pytorch": None, "why": str(missing)}
        for dtype in precisions:
            turns["ours", dtype] = timed(keras_steps(network, batch, dtype), batch, seconds)
            if peer:
                turns["pytorch", dtype] = timed(_pytorch_steps(peer, dtype), batch, seconds)
            turns["matmul", dtype] = timed(*matrix_products(dtype, side), seconds)
        measured = interleave(turns, rounds)
    result["rates"] = {dtype: {} for dtype in precisions}
    result["ratios"] = {dtype: {} for dtype in precisions}
    for (name, dtype), values in measured.items():
        result["rates"][dtype][name] = report.spread(values)
        ours = measured["ours", dtype]
        if name == "pytorch":
            result["ratios"][dtype][name] = report.ratio(ours, values)
        elif name == "matmul":
            result["ratios"][dtype][name] = report.ratio([gflop * rate for rate in ours], values)
    return result


def flops(network: keras.Model) -> int:
    """Floating-point operations of one training step per sample, convolutions only.

    A multiply-add counts as two operations; the backward pass costs twice the forward pass, for the gradients of the
    weights and of the inputs.

    Args:
        network: functional model with 2-D convolutions.
    """
    products = 0
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D):
            _, rows, columns, _ = layer.output.shape
            products += rows * columns * math.prod(layer.kernel.shape)
    return 3 * 2 * products


def show(result: dict[str, Any]) -> None:
    """Print the result of `bench_training` as a table."""
    size, filters = result["network"]["size"], result["network"]["filters"]
    table = Table(title=f"Training steps, U-Net {size} x {size}, {filters} features, batches of {result['batch']}")
    for column in ("", "slices/s\nmedian", "lowest to\nhighest", "ours over\nit, median", "lowest to\nhighest"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for dtype, rates in result["rates"].items():
        ratios = result["ratios"][dtype]
        table.add_row(f"ours, {dtype}", *report.cells(rates["ours"], 1), "", "")
        if "pytorch" in rates:
            cells = (*report.cells(rates["pytorch"], 1), *report.cells(ratios["pytorch"], 2))
            table.add_row(f"PyTorch, {dtype}", *cells)
    report.show_table(result, table, _notes(result))


def _notes(result: dict[str, Any]) -> list[str]:
    notes = [
        f"{result['parameters']:,} parameters, {result['gflop_per_slice']:.1f} GFLOP a slice in its convolutions; "
        f"Keras on {result['backend']}."
    ]
    for dtype, rates in result["rates"].items():
        fraction = result["ratios"][dtype]["matmul"]
        notes.append(
            f"Matrix product, {dtype}: {rates['matmul']['median']:,.0f} GFLOP/s; our step reaches "
            f"{fraction['median']:.0%} of it ({fraction['low']:.0%} to {fraction['high']:.0%})."
        )
    if result["pytorch"] is None:
        return [*notes, f"PyTorch was not measured. {result['why']}"]
    return [*notes, f"PyTorch {result['pytorch']['version']}, channels last, {result['pytorch']['threads']} threads."]


def _supported_precisions() -> tuple[str, ...]:
    """float32, and the half precision that the chip supports, whether it would be selected for training or not."""
    gpu = bool(machine.gpus())
    policy = (
        precision.select_policy() if gpu else precision.policy_for(None, precision.cpu_flags(), cpu_gains=lambda: True)
    )
    return ("float32",) if policy == "float32" else ("float32", policy.removeprefix("mixed_"))


def keras_steps(network: dict[str, Any], batch: int, dtype: str) -> Callable[[int], float]:
    """A function that trains the given number of steps on a batch that stays on the device, and returns the seconds.

    Args:
        network: arguments of `unet`.
        batch: slices in the batch.
        dtype: "float32", or "bfloat16" or "float16" for mixed precision.
    """
    model = build(network, dtype)
    rng = np.random.default_rng(0)
    images = rng.standard_normal((batch, *model.input_shape[1:]), np.float32)
    truth = rng.random((batch, *model.output_shape[1:]), np.float32)
    truth /= truth.sum(axis=-1, keepdims=True)
    trainer = _ResidentBatch(model, images, truth)
    trainer.compile(precision.with_loss_scaling(keras.optimizers.Adam(1e-3), model), DiceCrossEntropy())

    def steps(count: int) -> float:
        clock = _Clock()
        rows = np.zeros((count * batch, 1), np.uint8)
        trainer.fit(rows, batch_size=batch, epochs=1, shuffle=False, verbose=0, callbacks=[clock])
        return clock.seconds

    return steps


def build(network: dict[str, Any], dtype: str) -> keras.Model:
    """An untrained U-Net.

    Args:
        network: arguments of `unet`.
        dtype: "float32", or "bfloat16" or "float16" for mixed precision.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype if dtype == "float32" else f"mixed_{dtype}")
    try:
        return unet(**network)
    finally:
        keras.config.set_dtype_policy(before)


class _ResidentBatch(keras.Model):
    """Trains a network on one batch, which is a variable on the device; of what `fit` hands over the length counts.

    So a step is measured without its batch's way to the device, as PyTorch's is.

    Args:
        network: the one to train.
        images: (batch, size, size, channels) float32.
        truth: (batch, size, size, classes) float32, soft labels.
    """

    def __init__(self, network: keras.Model, images: np.ndarray, truth: np.ndarray) -> None:
        super().__init__(name="resident_batch", autocast=False)  # half precision begins in the network
        self.network = network
        self.images, self.truth = (
            self.add_weight(shape=array.shape, initializer=lambda shape, dtype, array=array: array, trainable=False)
            for array in (images, truth)
        )

    def call(self, rows: keras.KerasTensor, training: bool = False) -> dict[str, keras.KerasTensor]:
        """Probabilities and soft labels of the batch, both (batch, size, size, classes)."""
        probabilities = self.network(keras.ops.convert_to_tensor(self.images), training=training)
        return {"probabilities": probabilities, "truth": keras.ops.convert_to_tensor(self.truth)}

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> keras.KerasTensor:
        """The compiled loss, of the probabilities against the soft labels."""
        return super().compute_loss(x, y_pred["truth"], y_pred["probabilities"], sample_weight, training)


class _Clock(keras.callbacks.Callback):
    """Seconds of the steps alone: at its end, `fit` may wait for a thread of `tf.data` (`helpers.learn.batches`)."""

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:  # the losses are known, so all steps are done
        self.seconds = time.perf_counter() - self._start


def _pytorch_steps(peer: Peer, dtype: str) -> Callable[[int], float]:
    return lambda count: peer.ask(precision=dtype, steps=count)["seconds"]


def matrix_products(dtype: str, side: int) -> tuple[Callable[[int], float], float]:
    """A function that multiplies two matrices the given number of times and returns the seconds; GFLOP per product.

    Args:
        dtype: of the matrices.
        side: their rows and columns.
    """
    rng = np.random.default_rng(0)
    one, other = (keras.ops.cast(rng.standard_normal((side, side), np.float32), dtype) for _ in range(2))

    def products(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            result = keras.ops.matmul(one, other)
        keras.ops.convert_to_numpy(
            keras.ops.cast(result[0, 0], "float32")
        )  # waits for the device, which computes asynchronously
        return time.perf_counter() - start

    return products, 2 * side**3 / 1e9
