"""One slice of a viewer: its picture, and over it an SVG drawing of direction letters, scale bar and crosshair.

They are two layers because they change at different times: a slider changes the picture of one plane but only the
crosshair of the others, and a crosshair is a few hundred bytes of SVG.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import ipywidgets as widgets
import numpy as np

from helpers.show.panel import Box, Plane, scale_bar
from helpers.show.style import CLASS_COLOURS
from helpers.show.viewer.raster import FORMAT, encode, grey, lay_over, to_scale

PIXELS = 256  # upper limit along a side where a coarse scan is enlarged, by an integer factor
TEXT = 8  # font size in mm
SAME_CELL = "1 / 1 / 2 / 2"  # CSS grid area of both the picture and the drawing
Voxel = Sequence[int]
# Styles are attributes of the elements: with a style sheet in the SVG the browser would restyle the whole page.
SVG = """\
<svg class="course-drawing" role="img" aria-label="slice, {called}" viewBox="0 0 {width:g} {height:g}" \
font-family="sans-serif" font-size="{text:.1f}" fill="white" style="display: block; width: 100%; pointer-events: none">\
{parts}</svg>"""


class Pane(widgets.VBox):
    """A slice, to scale and in radiological orientation.

    Args:
        view: orientation of the slice.
        box: the part of the slice to show.
        name: suffix of the CSS classes of the picture and of the drawing.
        caption: text above the picture.
        marks: draw direction letters and scale bar.

    Attributes:
        view: orientation of the slice.
        box: the part of the slice that is shown.
        size: height and width in millimetres.
        image: the `ipywidgets.Image`, CSS class `course-image-NAME`.
        marks: the `ipywidgets.HTML` with letters, scale and crosshair, CSS class `course-marks-NAME`.
    """

    def __init__(self, view: Plane, box: Box, name: str, caption: str = "", marks: bool = True) -> None:
        self.view, self.box = view, box
        self.size = view.size(box)
        count = [edge.stop - edge.start for edge in box]
        pixel = min(view.spacing) / max(PIXELS // max(count), 1)  # mm
        self._pixels = tuple(round(length / pixel) for length in self.size)
        self._called = caption or name
        drawn = widgets.Layout(width="100%", margin="0", grid_area=SAME_CELL)
        self.image = widgets.Image(format=FORMAT, layout=drawn)
        self.marks = widgets.HTML(layout=drawn)
        self.image.add_class(f"course-image-{name}")
        self.marks.add_class(f"course-marks-{name}")
        # Panes in a row share its width in proportion to their millimetres, so that they have the same scale.
        super().__init__(layout=widgets.Layout(flex=f"{self.size[1]:g} 1 0", min_width="0", margin="0 2px"))
        stack = widgets.GridBox([self.image, self.marks], layout=widgets.Layout(grid_template_columns="100%"))
        self.children = [widgets.HTML(f"<b>{escape(caption)}</b>"), stack] if caption else [stack]
        if marks:
            self.mark()

    def cut(self, volume: np.ndarray, k: int) -> np.ndarray:
        """Slice k of a volume, cropped to the pane's box, in file order.

        Args:
            volume: (rows, columns, slices) in file order.
            k: slice number.
        """
        index: list[slice | int] = [*self.box]
        index.insert(self.view.axis, k)
        return volume[tuple(index)]

    def draw(
        self,
        image: np.ndarray,
        window: tuple[float, float],
        labels: np.ndarray | None = None,
        colours: Mapping[int, str] = CLASS_COLOURS,
        opacity: float = 0.5,
    ) -> None:
        """Show a slice.

        Args:
            image: (rows, columns), from `cut`.
            window: intensities drawn black and white.
            labels: (rows, columns) whole numbers to lay over it.
            colours: colour of each label; labels without one are not drawn.
            opacity: of the labels, 0 to 1.
        """
        picture = to_scale(self.view.turn(grey(image, window)), self._pixels)
        if labels is not None:
            labels = to_scale(self.view.turn(labels), self._pixels, labels=True)
            picture = lay_over(picture, labels, colours, opacity)
        self.image.value = encode(picture)

    def mark(self, cross: Voxel | None = None, notes: Mapping[str, Voxel] | None = None) -> None:
        """Draw letters and scale bar, a crosshair at one voxel, and an arrow to each annotated voxel.

        Args:
            cross: index of a voxel of the volume, in file order; its slice number is ignored.
            notes: text of each arrow, and index of the voxel that it points to.
        """
        height, width = self.size
        parts = [_letters(self.view.letters, height, width)]
        if cross is not None:
            parts.append(_crosshair(*self._place(cross), height, width))
        parts += [_arrow(text, *self._place(voxel), height, width) for text, voxel in (notes or {}).items()]
        text, called = min(TEXT, 0.05 * max(width, height)), escape(self._called)
        self.marks.value = SVG.format(called=called, width=width, height=height, text=text, parts="".join(parts))

    def _place(self, voxel: Voxel) -> tuple[float, float]:
        """Where a voxel is drawn: (x, y) in millimetres."""
        inside = [index for axis, index in enumerate(voxel) if axis != self.view.axis]
        shape = tuple(edge.stop - edge.start for edge in self.box)
        first, second = (index - edge.start for index, edge in zip(inside, self.box, strict=True))
        return self.view.place((first, second), shape)


def _letters(letters: Sequence[str], height: float, width: float) -> str:
    """SVG of direction letters and scale bar; all lengths in millimetres."""
    spots = (
        (0.02 * width, height / 2, "start", "middle"),
        (0.98 * width, height / 2, "end", "middle"),
        (width / 2, 0.02 * height, "middle", "hanging"),
        (width / 2, 0.98 * height, "middle", "auto"),
    )
    written = "".join(_text(letter, *spot) for letter, spot in zip(letters, spots, strict=True))
    length, left, level = scale_bar(width), 0.03 * width, 0.97 * height
    bar = _line(left, level, left + length, level, stroke_width=3)
    return written + bar + _text(f"{length} mm", left, level - 0.02 * height, "start", "auto")


def _crosshair(x: float, y: float, height: float, width: float) -> str:
    dashed = {"stroke_dasharray": "4 3", "stroke_opacity": 0.8}
    gap = 0.03 * width  # leaves the voxel itself visible
    ends = ((0, y, x - gap, y), (x + gap, y, width, y), (x, 0, x, y - gap), (x, y + gap, x, height))
    return "".join(_line(*end, **dashed) for end in ends)


def _arrow(text: str, x: float, y: float, height: float, width: float) -> str:
    towards_right, upwards = (1 if x < width / 2 else -1), (-1 if y > height / 2 else 1)
    start = x + 0.2 * width * towards_right, y + 0.22 * height * upwards
    tip = x + 0.02 * width * towards_right, y + 0.022 * height * upwards
    along = np.subtract(start, tip) / np.hypot(*np.subtract(start, tip))
    back, aside = np.array(tip) + 0.03 * width * along, 0.011 * width * np.array([-along[1], along[0]])
    head = " ".join(f"{px:.1f},{py:.1f}" for px, py in (tip, back + aside, back - aside))
    written = _text(text, *start, "start" if towards_right > 0 else "end", "hanging" if upwards > 0 else "auto")
    return _line(*start, *back, stroke_width=2) + f'<polygon points="{head}"/>' + written


def _line(x1: float, y1: float, x2: float, y2: float, **style: Any) -> str:
    style = {"stroke": "white", "vector_effect": "non-scaling-stroke", **style}  # its width is in screen pixels
    extra = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in style.items())
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"{extra}/>'


def _text(text: str, x: float, y: float, anchor: str, baseline: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" dominant-baseline="{baseline}"'
    outline = 'stroke="black" stroke-width="0.15em" paint-order="stroke"'  # keeps white letters legible on white
    return f"<text {place} {outline}>{escape(text)}</text>"
