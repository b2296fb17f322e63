"""The course's U-Net in PyTorch, channels last, and what a training step of it takes.

Layer for layer `helpers.models.unet.unet`, with the loss of `helpers.learn.losses.DiceCrossEntropy` and Adam. It is
written as PyTorch's users write it: eager, `channels_last`, `autocast` for half precision.
"""

import time
from typing import Any

from serve import Measure, serve


def convolutions(channels: int, classes: int, filters: int, depth: int) -> list[tuple[int, int, int]]:
    """(kernel, features in, features out) of every convolution, in the order in which they are applied."""
    plan, features = [], channels
    for level in range(depth + 1):  # down, and the bottleneck
        plan += [(3, features, filters * 2**level), (3, filters * 2**level, filters * 2**level)]
        features = filters * 2**level
    for level in reversed(range(depth)):  # up: after the doubling, then with the skip beside it
        features = filters * 2**level
        plan += [(2, 2 * features, features), (3, 2 * features, features), (3, features, features)]
    return [*plan, (1, filters, classes)]


def network(channels: int, classes: int, filters: int, depth: int, dropout: float) -> Any:
    """The module: (batch, channels, size, size) to logits (batch, classes, size, size)."""
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

        def forward(self, x):
            layers, skips = iter(self.layers), []

            def convolved(x, times):
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


def loss(truth: Any, logits: Any) -> Any:
    """Soft Dice over the foreground classes plus cross-entropy, (batch, classes, rows, columns) twice to a number."""
    p = logits.float().softmax(dim=1)
    surprise = -(truth * p.clamp(1e-30, 1).log()).sum(dim=1).mean()
    truth, p = truth[:, 1:], p[:, 1:]
    hit, both = (truth * p).sum(dim=(2, 3)), (truth + p).sum(dim=(2, 3))
    return surprise + (1 - (2 * hit + 1) / (both + 1)).mean()


def begin(
    size: int, batch: int, channels: int, classes: int, filters: int, depth: int, dropout: float
) -> tuple[Measure, dict[str, Any]]:
    """Make a batch; the arguments are those of `helpers.models.unet.unet`."""
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
        """Seconds of so many steps; a precision's first ones, which are not timed, make its network ready."""
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
    if (held := sum(p.numel() for p in made.parameters())) != parameters:
        raise ValueError(f"the network has {held} parameters, its plan {parameters}")
    told = {"version": torch.__version__, "threads": torch.get_num_threads(), "parameters": parameters}
    return measure, told


if __name__ == "__main__":
    serve(begin)
