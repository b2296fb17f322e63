"""Drawings of how a U-Net works: the letter U, a kernel that slides over a picture, pooled numbers, how far it sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from helpers.show.moving import Moving, moving
from helpers.show.panel import HALO, Plane, show_slice
from helpers.show.style import alt, styled

if TYPE_CHECKING:
    import keras
    from matplotlib.axes import Axes

_Box = tuple[float, float, float, float]
WAY_COLOURS = {"down": "#0072B2", "bottom": "#555555", "up": "#009E73", "end": "#FFFFFF"}
_SKIP = "#CC79A7"


@dataclass(frozen=True)
class Stage:
    """What a U-Net holds at one station of its way.

    Attributes:
        way: "end" for what goes in and comes out, else "down", "bottom" or "up".
        level: how often the picture has been halved there.
        shape: rows, columns, features.
    """

    way: str
    level: int
    shape: tuple[int, int, int]

    def __str__(self) -> str:
        return " x ".join(map(str, self.shape))


def stages(model: keras.Model) -> list[Stage]:
    """The stations of a U-Net in the order in which a slice passes them, with the shapes that the built model has.

    >>> from helpers.models.unet import unet
    >>> [str(stage) for stage in stages(unet(32, 2, 4, filters=4, depth=2))]
    ['32 x 32 x 2', '32 x 32 x 4', '16 x 16 x 8', '8 x 8 x 16', '16 x 16 x 8', '32 x 32 x 4', '32 x 32 x 4']

    Args:
        model: one of the family of `helpers.models.unet`: max pooling on the way down, up-sampling on the way up.

    Returns:
        Input, every level on the way down before it is pooled, the bottom, every level on the way up after the
        convolutions that follow its skip, output.

    Raises:
        ValueError: the model pools not as often as it up-samples, or never.
    """
    pools = [layer for layer in model.layers if type(layer).__name__ == "MaxPooling2D"]
    ups = [layer for layer in model.layers if type(layer).__name__ == "UpSampling2D"]
    if not pools or len(pools) != len(ups):
        raise ValueError(f"{model.name} pools {len(pools)} times and up-samples {len(ups)} times; expected a U-Net")
    depth = len(pools)
    found = [Stage("end", 0, _shape(model.input))]
    found += [Stage("down", level, _shape(pool.input)) for level, pool in enumerate(pools)]
    found.append(Stage("bottom", depth, _shape(ups[0].input)))
    found += [Stage("up", depth - 1 - i, _shape(up.input)) for i, up in enumerate(ups[1:])]
    found.append(Stage("up", 0, _shape(model.layers[-1].input)))
    return [*found, Stage("end", 0, _shape(model.output))]


@styled
def draw_unet(
    model: keras.Model, labels: Sequence[str] | None = None, across: bool = True, title: str | None = None
) -> Figure:
    """The U: a box for each station, as tall as its picture and as wide as its features, and the skips as arrows.

    Args:
        model: a U-Net; the boxes are those of `stages`.
        labels: what to write at the boxes instead of their shapes, such as question marks.
        across: draw the skips.
        title: heading of the figure.

    Raises:
        ValueError: the model is no U-Net, or there are not as many labels as boxes.
    """
    found = stages(model)
    labels = [str(stage) for stage in found] if labels is None else list(labels)
    if len(labels) != len(found):
        raise ValueError(f"there are {len(labels)} labels for {len(found)} boxes; expected one for each")
    depth = (len(found) - 3) // 2
    figure = Figure(figsize=(8, 4.4 + 0.3 * (title is not None)))
    ax = figure.subplots()
    places = _places(found)
    for stage, text, (x, y, width, height) in zip(found, labels, places, strict=True):
        side = int(np.sign(x))
        face, edge = (WAY_COLOURS[stage.way], "#333333" if stage.way == "end" else "white")
        ax.add_patch(Rectangle((x - width / 2, y - height / 2), width, height, facecolor=face, edgecolor=edge))
        if stage.way == "end":
            place = {"x": x, "y": y + height / 2 + 0.1, "ha": "center", "va": "bottom"}
        elif stage.way == "bottom":
            place = {"x": x, "y": y - height / 2 - 0.1, "ha": "center", "va": "top"}
        elif stage.level:  # outside the letter
            place = {"x": x + side * (width / 2 + 0.1), "y": y, "ha": ("left", "right")[side < 0], "va": "center"}
        else:  # its ends stand there
            place = {
                "x": x + side * width / 2,
                "y": y - height / 2 - 0.1,
                "ha": ("left", "right")[side < 0],
                "va": "top",
            }
        ax.text(s=text, fontsize=8.5, **place)
    for first, second in zip(range(len(found) - 1), range(1, len(found)), strict=True):
        _arrow(ax, places[first], places[second], "#555555", 1.2)
    if across:
        for level in range(depth):
            _arrow(ax, places[1 + level], places[-2 - level], _SKIP, 2.0)
        ax.text(0, places[1][1] + 0.1, "skips", color=_SKIP, ha="center", va="bottom", fontsize=9.5)
    ends = places[0][0] - 0.9, places[-1][0] + 0.9
    ax.set(xlim=ends, ylim=(places[depth + 1][1] - 0.75, places[0][1] + 0.75))
    ax.set_axis_off()
    if title is not None:
        figure.suptitle(title)
    told = ", ".join(labels[1 : depth + 2]) + "; up: " + ", ".join(labels[depth + 2 :])
    skipped = f"Arrows join the {depth} levels of equal size." if across else "Nothing joins the two ways."
    return alt(figure, f"The letter U. In: {labels[0]}; down: {told}. {skipped}")


@styled
def slide(picture: np.ndarray, kernel: np.ndarray, caption: str = "what it makes") -> Moving:
    """A kernel slides over a picture, and its answers appear one by one: a moving picture.

    Args:
        picture: (rows, columns), a dozen pixels along each side at most, or the GIF gets too large.
        kernel: (k, k) weights, with k odd; answers are given where the whole kernel fits.
        caption: title of the panel of answers.

    Raises:
        ValueError: the picture is smaller than the kernel, or the kernel is not square or of even side.
    """
    side = kernel.shape[0]
    if kernel.ndim != 2 or kernel.shape != (side, side) or side % 2 == 0 or min(picture.shape) < side:
        raise ValueError(
            f"kernel has shape {kernel.shape} and picture {picture.shape}; expected a square kernel of odd side, and "
            "no larger than the picture"
        )
    windows = np.lib.stride_tricks.sliding_window_view(picture, kernel.shape)  # (rows, columns, k, k)
    answers = np.einsum("ijkl,kl->ij", windows, kernel)
    text = f"A frame of {side} x {side} pixels moves over a picture; beside it each place's answer appears."
    return moving(_sliding(picture, kernel, answers, caption), text, seconds=0.15)


@styled
def numbers(arrays: Mapping[str, np.ndarray], title: str | None = None) -> Figure:
    """Small arrays beside each other, each number in its square.

    Args:
        arrays: by name (rows, columns), not negative; one scale of colour for all.
        title: heading of the figure.

    Raises:
        ValueError: there is no array, or one has not two axes.
    """
    if not arrays or any(array.ndim != 2 for array in arrays.values()):
        raise ValueError(f"arrays are {[array.shape for array in arrays.values()]}; expected one or more with two axes")
    figure = Figure(figsize=(8, 2.4 + 0.3 * (title is not None)))
    most = max(array.max() for array in arrays.values())
    panels = figure.subplots(1, len(arrays), squeeze=False)[0]
    for ax, (name, array) in zip(panels, arrays.items(), strict=True):
        ax.imshow(array, cmap="Blues", vmin=0, vmax=1.5 * most or 1)  # black digits can be read on the darkest
        ax.set_axis_off()
        ax.set_title(f"{name}, {array.shape}")
        for (row, column), value in np.ndenumerate(array):
            ax.text(column, row, f"{value:g}", ha="center", va="center", fontsize=12)
    if title is not None:
        figure.suptitle(title)
    return alt(figure, "; ".join(f"{name}: {array.tolist()}" for name, array in arrays.items()) + ".")


@styled
def receptive_fields(image: np.ndarray, plane: Plane, fields: Mapping[str, int], title: str | None = None) -> Figure:
    """Squares about the middle of a slice, as wide as one value of each level sees; none wider than the slice.

    Args:
        image: (size, size), a slice in file order.
        plane: orientation of the slice.
        fields: pixels along each side of the square, by the name of the level.
        title: heading of the figure.
    """
    figure = Figure(figsize=(6.8, 4.4 + 0.3 * (title is not None)))
    ax = figure.subplots()
    show_slice(ax, image, plane)
    side, pixel_mm = ax.get_xlim()[1], plane.steps[1]
    handles, dashes = [], ("-", (0, (1, 1)), (0, (4, 1.5)), (0, (6, 1.5, 1, 1.5)), (0, (9, 2)))
    for i, (level, pixels) in enumerate(fields.items()):
        across = min(pixels * pixel_mm, side - pixel_mm)
        label = f"{level}: {pixels} pixels, {pixels * pixel_mm:.0f} mm"
        corner = ((side - across) / 2,) * 2
        look = {"linestyle": dashes[i % len(dashes)], "linewidth": 1.6}  # no hue, which would be that of a class
        ax.add_patch(Rectangle(corner, across, across, fill=False, edgecolor="white", path_effects=HALO, **look))
        handles.append(Line2D([], [], color="#333333", label=label, **look))
    figure.legend(handles=handles, loc="outside right center", handlelength=3.5)
    if title is not None:
        figure.suptitle(title)
    listed = ", ".join(f"{level} sees {pixels} pixels" for level, pixels in fields.items())
    return alt(figure, f"Squares round the middle of the slice, one a level: {listed}.")


def _sliding(picture: np.ndarray, kernel: np.ndarray, answers: np.ndarray, caption: str) -> Iterator[Figure]:
    """One figure, as it looks at each place of the kernel."""
    side, limit = kernel.shape[0], float(np.abs(answers).max()) or 1.0
    figure = Figure(figsize=(5.6, 2.7))
    left, right = figure.subplots(1, 2)
    left.imshow(picture)
    left.set_title("picture, and the kernel's place")
    frame = Rectangle((-0.5, -0.5), side, side, fill=False, edgecolor="#E69F00", linewidth=3)
    left.add_patch(frame)
    shown = np.full(answers.shape, np.nan)
    map_ = right.imshow(shown, cmap="PuOr_r", vmin=-limit, vmax=limit)
    right.set_title(caption)
    for ax in (left, right):
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
    for row, column in np.ndindex(answers.shape):
        frame.set_xy((column - 0.5, row - 0.5))
        shown[row, column] = answers[row, column]
        map_.set_data(shown)
        yield figure
        figure.set_layout_engine("none")  # it stays where the first one was laid out, which is most of the work


def _shape(tensor: keras.KerasTensor) -> tuple[int, int, int]:
    return tuple(int(side) for side in tensor.shape[1:])


def _places(found: Sequence[Stage]) -> list[_Box]:
    """Centre, width and height of each box; the sides by the logarithm, or the bottom could not be seen."""
    depth = (len(found) - 3) // 2
    most = max(np.log2(stage.shape[2] + 1) for stage in found)
    largest = np.log2(found[0].shape[0])
    places = []
    for i, stage in enumerate(found):
        away = i - (depth + 1)  # 0 at the bottom
        width = 0.15 + 0.45 * np.log2(stage.shape[2] + 1) / most
        height = 0.15 + 0.75 * np.log2(stage.shape[0]) / largest
        places.append((1.25 * away, -1.25 * stage.level, width, height))
    return places


def _arrow(ax: Axes, start: _Box, end: _Box, colour: str, width: float) -> None:
    """An arrow between two boxes: from side to side on one level, from edge to edge between two."""
    (x, y, wide, high), (u, v, wider, higher) = start, end
    if y == v:
        ends = (x + wide / 2 + 0.03, y), (u - wider / 2 - 0.03, v)
    else:
        way = np.sign(v - y)
        ends = (x, y + way * high / 2), (u, v - way * higher / 2)
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": width, "shrinkA": 1, "shrinkB": 1}
    ax.annotate("", ends[1], ends[0], arrowprops=style)
