"""Measures a training step of the course's U-Net in PyTorch.

Layer for layer the same as `helpers.models.unet.unet`, with the loss of `helpers.learn.losses.DiceCrossEntropy` and
Adam. It is idiomatic PyTorch: eager, `channels_last`, `autocast` for half precision.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from serve import Measure, serve

if TYPE_CHECKING:
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

    Raises:
        ValueError: the network has another number of parameters than `convolutions` implies.
    """
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    images = torch.randn(batch, channels, size, size).to(device, memory_format=torch.channels_last)
    truth = torch.rand(batch, classes, size, size).softmax(dim=1).to(device, memory_format=torch.channels_last)
    trained: dict[str, tuple] = {}  # each precision trains a network of its own, as in Keras

    def step(precision: str) -> None:
        model, optimiser, scaler = trained[precision]
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, getattr(torch, precision), enabled=precision != "float32"):
            logits = model(images)
        scaler.scale(loss(truth, logits)).backward()
        scaler.step(optimiser)
        scaler.update()

    def synchronise() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    def measure(precision: str, steps: int) -> dict[str, Any]:
        """Seconds of `steps` training steps; the first call for a precision builds its network and warms it up."""
        if precision not in trained:
            model = network(channels, classes, filters, depth, dropout).to(device, memory_format=torch.channels_last)
            scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
            trained[precision] = model, torch.optim.Adam(model.parameters(), lr=1e-3), scaler
            for _ in range(2):
                step(precision)
        synchronise()
        start = time.perf_counter()
        for _ in range(steps):
            step(precision)
        synchronise()
        return {"seconds": time.perf_counter() - start, "slices": steps * batch}

    plan = convolutions(channels, classes, filters, depth)
    parameters = sum(kernel**2 * inward * outward + outward for kernel, inward, outward in plan)
    made = network(channels, classes, filters, depth, dropout)
    if (counted := sum(p.numel() for p in made.parameters())) != parameters:
        raise ValueError(f"the network has {counted} parameters, its plan {parameters}")
    info = {"version": torch.__version__, "threads": torch.get_num_threads(), "parameters": parameters}
    return measure, info


if __name__ == "__main__":
    serve(begin)
