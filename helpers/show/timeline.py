"""Figures of who works when: a loader and a device, how much a device waits, and two replicas in a step of training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from helpers.show.moving import Moving, moving
from helpers.show.style import alt, styled

LOADS, TRAINS = "#E69F00", "#0072B2"


@dataclass(frozen=True)
class Schedule:
    """When a loader and a device are at work.

    Attributes:
        loads: (start, seconds) of each batch's loading.
        trains: (start, seconds) of each batch's training.
    """

    loads: list[tuple[float, float]]
    trains: list[tuple[float, float]]

    @property
    def seconds(self) -> float:
        """Until the last batch is trained on."""
        start, seconds = self.trains[-1]
        return start + seconds

    @property
    def waiting(self) -> float:
        """The share of this time in which the device does nothing."""
        return 1 - sum(seconds for _, seconds in self.trains) / self.seconds


def schedule(loading: Sequence[float], training: Sequence[float], ahead: bool = False) -> Schedule:
    """When each batch is loaded and trained on.

    >>> schedule([1, 1], [2, 2]).seconds, schedule([1, 1], [2, 2], ahead=True).seconds
    (6.0, 5.0)

    Args:
        loading: seconds to load each batch.
        training: seconds to train on each.
        ahead: the loader goes on while the device trains; without, the two take turns.

    Raises:
        ValueError: there is no batch, or not as many of one as of the other.
    """
    if not loading or len(loading) != len(training):
        raise ValueError(f"{len(loading)} batches are loaded and {len(training)} trained on; expected as many of both")
    loads, trains, loader, device = [], [], 0.0, 0.0
    for load, train in zip(map(float, loading), map(float, training), strict=True):
        begin = loader if ahead else max(loader, device)
        loads.append((begin, load))
        loader = begin + load
        trains.append((max(loader, device), train))
        device = trains[-1][0] + train
    return Schedule(loads, trains)


@styled
def draw_timelines(schedules: Mapping[str, Schedule], title: str | None = None) -> Figure:
    """Time lines under each other, on one axis of seconds: above each the loader, below it the device.

    Args:
        schedules: by name.
        title: heading of the figure.

    Raises:
        ValueError: there is no schedule.
    """
    if not schedules:
        raise ValueError("there is no schedule to draw; expected one or more")
    figure = Figure(figsize=(8, 0.75 * len(schedules) + 0.9 + 0.3 * (title is not None)))
    ax = figure.subplots()
    for row, one in enumerate(schedules.values()):
        ax.broken_barh(one.loads, (row - 0.36, 0.34), color=LOADS, edgecolor="white", linewidth=0.5)
        ax.broken_barh(one.trains, (row + 0.02, 0.34), color=TRAINS, edgecolor="white", linewidth=0.5)
        text = f" {one.seconds:.1f} s, waits {one.waiting:.0%}"
        ax.text(one.seconds, row, text, va="center", fontsize=9)
    longest = max(one.seconds for one in schedules.values())
    ax.set(yticks=range(len(schedules)), yticklabels=list(schedules), xlabel="seconds")
    ax.set(xlim=(0, 1.25 * longest), ylim=(len(schedules) - 0.5, -0.5))
    ax.grid(False, axis="y")
    handles = [ax.plot([], [], color=colour, linewidth=6)[0] for colour in (LOADS, TRAINS)]
    figure.legend(handles, ["the loader loads", "the device trains"], loc="outside lower center", ncols=2)
    if title is not None:
        figure.suptitle(title)
    told = "; ".join(f"{name}: {one.seconds:.1f} s, waits {one.waiting:.0%}" for name, one in schedules.items())
    return alt(figure, f"Time lines of loader and device. {told}.")


@styled
def draw_waiting(loaders: Mapping[str, float], devices: Mapping[str, float], title: str | None = None) -> Figure:
    """The share of its time that a device waits for a loader that works ahead, against the speed of the device.

    Args:
        loaders: slices a second that each delivers, by name; a curve each.
        devices: slices a second that each could train on, by name; a vertical line each.
        title: heading of the figure.

    Raises:
        ValueError: there is no loader, or a speed that is not above 0.
    """
    speeds = [*loaders.values(), *devices.values()]
    if not loaders or min(speeds) <= 0:
        raise ValueError(f"speeds are {speeds}; expected a loader at least, and slices a second above 0")
    possible = np.geomspace(min(speeds) / 5, max(speeds) * 5, 400)
    figure = Figure(figsize=(8, 3.1 + 0.3 * (title is not None)))
    ax = figure.subplots()
    for (name, speed), colour in zip(loaders.items(), (LOADS, TRAINS, "#CC79A7", "#009E73"), strict=False):
        ax.plot(possible, 100 * np.maximum(0, 1 - speed / possible), color=colour, label=name)
    for name, speed in devices.items():
        ax.axvline(speed, color="#555555", linewidth=1, linestyle=":")
        ax.text(speed, 98, name, rotation=90, fontsize=8.5, ha="right", va="top", color="#555555")
    ax.set(xscale="log", xlim=(possible[0], possible[-1]), ylim=(-2, 100))
    ax.xaxis.set_major_formatter("{x:,.0f}")  # mathtext, the default, asks for fonts that some machines lack
    ax.set(xlabel="slices/s the device could train on", ylabel="waits (%)")
    figure.legend(loc="outside lower center", ncols=3)
    if title is not None:
        figure.suptitle(title)
    told = "; ".join(f"{name} delivers {speed:,.0f} slices/s" for name, speed in loaders.items())
    return alt(figure, f"Share of time a device waits against its speed, by loader. {told}.")


def step_of_two() -> Moving:
    """A step of training on two replicas: what each holds and when they speak, as a moving picture."""
    text = "Two replicas with equal weights take half of a batch each, add their gradients and make the same step."
    return moving(_steps_of_two(), text, seconds=1.6, rest=3.0)


def _steps_of_two() -> Iterator[Figure]:
    """The stages of the step, one more in each figure."""
    stages = [
        ("each holds a copy of all weights", ["weights w", "weights w"], "#555555"),
        ("the batch is dealt out: 4 slices each", ["slices 1 to 4", "slices 5 to 8"], LOADS),
        ("each has a loss and gradients of its own", ["gradients a", "gradients b"], TRAINS),
        ("they exchange them, and both have the sum", ["a + b", "a + b"], "#CC79A7"),
        ("both make the same step: the copies stay alike", ["w - rate (a + b)"] * 2, "#009E73"),
    ]
    for shown in range(1, len(stages) + 1):
        figure = Figure(figsize=(6, 3.4), layout="none")
        ax = figure.add_axes((0.02, 0.02, 0.96, 0.8))
        ax.set(xlim=(0, 10), ylim=(len(stages), -0.3))
        ax.set_axis_off()
        for row, (_, boxes, colour) in enumerate(stages[:shown]):
            for x, text in zip((2.6, 7.4), boxes, strict=True):
                _box(ax, (x, row + 0.4), text, colour)
        if shown > 3:
            arrow = {"arrowstyle": "<|-|>", "color": "#CC79A7", "linewidth": 2}
            ax.annotate("", (5.6, 3.4), (4.4, 3.4), arrowprops=arrow)
        figure.text(0.27, 0.84, "replica 1", ha="center", fontsize=9)
        figure.text(0.73, 0.84, "replica 2", ha="center", fontsize=9)
        figure.suptitle(f"{shown}. {stages[shown - 1][0]}", x=0.02, ha="left")
        yield figure


def _box(ax: Axes, centre: tuple[float, float], text: str, colour: str) -> None:
    x, y = centre
    box = FancyBboxPatch((x - 1.7, y - 0.28), 3.4, 0.56, boxstyle="round,pad=0.05", color=colour, linewidth=0)
    ax.add_patch(box)
    ax.text(x, y, text, ha="center", va="center", color="white", fontsize=9.5)
