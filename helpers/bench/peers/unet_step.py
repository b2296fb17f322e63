"""Measures a training step of the course's U-Net in PyTorch.

Layer for layer the same as `helpers.models.unet.unet`, with the loss of `helpers.learn.losses.DiceCrossEntropy` and
Adam. It is idiomatic PyTorch: eager, `channels_last`, `autocast` for half precision.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from serve import Measure, serve

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor, nn


def convolutions(channels: int, classes: int, filters: int, depth: int) -> list[tuple[int, int, int]]:
    """(kernel size, channels in, channels out) of every convolution, in the order in which they are applied.

    Args:
        channels: of the input.
        classes: channels of the output.
        filters: channels at the first level; each further level has twice as many.
        depth: number of poolings.
    """
    plan, features = [], channels
    for level in range(depth + 1):  # down, and the bottleneck
        plan += [(3, features, filters * 2**level), (3, filters * 2**level, filters * 2**level)]
        features = filters * 2**level
    for level in reversed(range(depth)):  # up: after the doubling, then with the skip beside it
        features = filters * 2**level
        plan += [(2, 2 * features, features), (3, 2 * features, features), (3, features, features)]
    return [*plan, (1, filters, classes)]


def network(channels: int, classes: int, filters: int, depth: int, dropout: float) -> nn.Module:
    """The U-Net: (batch, channels, size, size) to logits (batch, classes, size, size).

    Args:
        channels: of the input.
        classes: of the output.
        filters: channels at the first level.
        depth: number of poolings.
        dropout: rate at the bottleneck.
    """
    from torch import cat, nn
    from torch.nn.functional import dropout as drop
    from torch.nn.functional import interpolate, max_pool2d, pad, relu

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(
                nn.Conv2d(inward, outward, kernel, padding="valid" if kernel == 2 else "same")
                for kernel, inward, outward in convolutions(channels, classes, filters, depth)
            )

        def forward(self, x: Tensor) -> Tensor:
            layers, skips = iter(self.layers), []

            def convolved(x: Tensor, times: int) -> Tensor:
                for _ in range(times):
                    x = relu(next(layers)(x))
                return x

            for _ in range(depth):
                x = convolved(x, 2)
                skips.append(x)
                x = max_pool2d(x, 2)
            x = drop(convolved(x, 2), dropout, self.training)
            for skip in reversed(skips):
                x = interpolate(x, scale_factor=2, mode="nearest")
                x = convolved(pad(x, (0, 1, 0, 1)), 1)  # an even kernel pads below and to the right, as in Keras
                x = convolved(cat([skip, x], dim=1), 2)
            return next(layers)(x)

    return UNet()


def loss(truth: Tensor, logits: Tensor) -> Tensor:
    """Soft Dice loss over the foreground classes plus cross-entropy.

    Args:
        truth: (batch, classes, rows, columns) soft labels that sum to 1 over the classes.
        logits: (batch, classes, rows, columns).

    Returns:
        Scalar.
    """
    p = logits.float().softmax(dim=1)
    cross_entropy = -(truth * p.clamp(1e-30, 1).log()).sum(dim=1).mean()
    truth, p = truth[:, 1:], p[:, 1:]
    intersection, total = (truth * p).sum(dim=(2, 3)), (truth + p).sum(dim=(2, 3))
    return cross_entropy + (1 - (2 * intersection + 1) / (total + 1)).mean()


def random_batch(batch: int, channels: int, classes: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Random images (batch, channels, size, size) and soft labels (batch, classes, size, size), channels last.

    Args:
        batch: slices in the batch.
        channels: of the images.
        classes: of the soft labels.
        size: pixels along each side.
        device: where they lie.
    """
    import torch

    images = torch.randn(batch, channels, size, size, device=device)
    truth = torch.rand(batch, classes, size, size, device=device).softmax(dim=1)
    return images.to(memory_format=torch.channels_last), truth.to(memory_format=torch.channels_last)


def training_step(
    model: nn.Module, device: torch.device, precision: str, compiled: bool = False
) -> Callable[[Tensor, Tensor], None]:
    """A function that makes one step of Adam for images and soft labels.

    Args:
        model: the network.
        device: where it trains.
        precision: "float32", or "bfloat16" or "float16" for autocast, the latter with loss scaling.
        compiled: network and loss go through `torch.compile`, once for batches of all sizes.
    """
    import torch

    model = model.to(device, memory_format=torch.channels_last)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=device.type == "cuda")

    def forward(images: Tensor, truth: Tensor) -> Tensor:
        with torch.autocast(device.type, getattr(torch, precision), enabled=precision != "float32"):
            logits = model(images)
        return loss(truth, logits)

    run = torch.compile(forward) if compiled else forward

    def step(images: Tensor, truth: Tensor) -> None:
        if compiled:
            for array in (images, truth):
                torch._dynamo.maybe_mark_dynamic(array, 0)
        optimiser.zero_grad(set_to_none=True)
        scaler.scale(run(images, truth)).backward()
        scaler.step(optimiser)
        scaler.update()

    return step


def wait(device: torch.device) -> None:
    """Wait until the device has computed all that it was asked for.

    Args:
        device: the one that was used.
    """
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize()


def prepare(channels: int, classes: int, filters: int, depth: int, dropout: float) -> tuple[torch.device, dict]:
    """The device that trains, and `version`, `threads` and `parameters`.

    Args:
        channels: of the input.
        classes: of the output.
        filters: channels at the first level.
        depth: number of poolings.
        dropout: rate at the bottleneck.

    Raises:
        ValueError: the network has another number of parameters than `convolutions` implies.
    """
    import torch

    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    plan = convolutions(channels, classes, filters, depth)
    parameters = sum(kernel**2 * inward * outward + outward for kernel, inward, outward in plan)
    made = network(channels, classes, filters, depth, dropout)
    if (counted := sum(p.numel() for p in made.parameters())) != parameters:
        raise ValueError(f"the network has {counted} parameters, its plan {parameters}")
    info = {"version": torch.__version__, "threads": torch.get_num_threads(), "parameters": parameters}
    return torch.device("cuda" if torch.cuda.is_available() else "cpu"), info


def begin(
    size: int, batch: int, channels: int, classes: int, filters: int, depth: int, dropout: float
) -> tuple[Measure, dict[str, Any]]:
    """Make a batch of random images and soft labels.

    Args:
        size: pixels along each side.
        batch: slices in a batch.
        channels: of the input.
        classes: of the output.
        filters: channels at the first level.
        depth: number of poolings.
        dropout: rate at the bottleneck.

    Returns:
        The function that times training steps, and `version`, `threads` and `parameters`.
    """
    device, info = prepare(channels, classes, filters, depth, dropout)
    arrays = random_batch(batch, channels, classes, size, device)
    trained: dict[str, Callable[[Tensor, Tensor], None]] = {}  # each precision has a network of its own, as in Keras

    def measure(precision: str, steps: int) -> dict[str, Any]:
        """Seconds of `steps` training steps; the first call for a precision builds its network and warms it up."""
        if precision not in trained:
            model = network(channels, classes, filters, depth, dropout)
            trained[precision] = training_step(model, device, precision)
            for _ in range(2):
                trained[precision](*arrays)
        wait(device)
        start = time.perf_counter()
        for _ in range(steps):
            trained[precision](*arrays)
        wait(device)
        return {"seconds": time.perf_counter() - start, "slices": steps * batch}

    return measure, info


if __name__ == "__main__":
    serve(begin)
