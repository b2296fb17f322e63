"""Measures training steps of the U-Net in PyTorch for several sizes, precisions and batches, one after the other.

Between two of them it holds no memory of the device, which then has all of it for the other framework.
"""

from __future__ import annotations

import gc
import time
from typing import Any

from serve import Measure, serve
from unet_step import network, prepare, random_batch, training_step, wait


def begin(channels: int, classes: int, filters: int, depth: int, dropout: float) -> tuple[Measure, dict[str, Any]]:
    """Find the device.

    Args:
        channels: of the input.
        classes: of the output.
        filters: channels at the first level.
        depth: number of poolings.
        dropout: rate at the bottleneck.

    Returns:
        The function that times training steps, and `version`, `threads`, `parameters` and `device`, "cuda" or "cpu".
    """
    import torch

    device, info = prepare(channels, classes, filters, depth, dropout)
    on_gpu = device.type == "cuda"
    held: dict[str, tuple] = {}  # the training step and the batch, each after what it was made for

    def release(*names: str) -> None:
        for name in names:
            held.pop(name, None)
        gc.collect()
        if on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def hold(size: int, batch: int, precision: str, compiled: bool) -> None:
        wanted = {"step": (size, precision, compiled), "batch": (size, batch)}
        if held.get("step", ("",))[0] != wanted["step"]:
            release("step", "batch")
            torch.compiler.reset()
            model = network(channels, classes, filters, depth, dropout)
            held["step"] = wanted["step"], training_step(model, device, precision, compiled)
        if held.get("batch", ("",))[0] != wanted["batch"]:
            release("batch")
            held["batch"] = wanted["batch"], random_batch(batch, channels, classes, size, device)

    def measure(steps: int, **cell: Any) -> dict[str, Any]:
        """Seconds of `steps` training steps, and `peak_mb`: of memory, None on a CPU. After 0 steps no memory is held.

        The cell has `size`, `batch`, `precision` and `compiled`. The peak counts from the first step with its batch on,
        the trials of cuDNN's algorithms included.
        """
        if not steps:
            release("step", "batch")
            return {}
        hold(**cell)
        step, arrays = held["step"][1], held["batch"][1]
        wait(device)
        start = time.perf_counter()
        for _ in range(steps):
            step(*arrays)
        wait(device)
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "peak_mb": torch.cuda.max_memory_allocated() / 1e6 if on_gpu else None}

    return measure, {**info, "device": torch.cuda.get_device_name() if on_gpu else "cpu"}


if __name__ == "__main__":
    serve(begin)
