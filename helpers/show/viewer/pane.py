"""One slice in the browser: its picture, and above it a drawing of letters, scale and crosshair.

The two are laid over each other because they change at different times: a slider moves the slice of one plane and the
crosshair of the others, and a crosshair is a few hundred bytes of SVG.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import ipywidgets as widgets
import numpy as np

from helpers.show.panel import Box, Plane, scale_bar
from helpers.show.style import CLASS_COLOURS
from helpers.show.viewer.raster import FORMAT, encode, grey, lay_over, to_scale

PIXELS = 256  # at most so many where a coarse scan is enlarged, by a whole number
TEXT = 8  # mm, height of letters on a head
SAME_CELL = "1 / 1 / 2 / 2"  # of the grid: where both the picture and the drawing lie
Voxel = Sequence[int]
# Looks stand on the elements: a style sheet in a drawing would have the whole page styled anew at every step.
SVG = """\
<svg class="course-drawing" role="img" aria-label="slice, {called}" viewBox="0 0 {width:g} {height:g}" \
font-family="sans-serif" font-size="{text:.1f}" fill="white" style="display: block; width: 100%; pointer-events: none">\
{parts}</svg>"""


class Pane(widgets.VBox):
    """A slice, to scale and the right way round.

    Args:
        view: how the slice lies in the head.
        box: the part of the slice to show.
        name: ends the CSS classes of the picture and of the drawing.
        caption: stands above the picture.
        marks: draw letters and scale.

    Attributes:
        view: how the slice lies in the head.
        box: the part of the slice that is shown.
        size: millimetres down and across.
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
        # Panes of one row share its width by their millimetres, so that they share a scale.
        super().__init__(layout=widgets.Layout(flex=f"{self.size[1]:g} 1 0", min_width="0", margin="0 2px"))
        stack = widgets.GridBox([self.image, self.marks], layout=widgets.Layout(grid_template_columns="100%"))
        self.children = [widgets.HTML(f"<b>{escape(caption)}</b>"), stack] if caption else [stack]
        if marks:
            self.mark()

    def cut(self, volume: np.ndarray, k: int) -> np.ndarray:
        """Slice k of a volume in file order, as much of it as the pane shows."""
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
            window: intensities of black and of white.
            labels: (rows, columns) whole numbers to lay over it.
            colours: colour of each label; those without one are left out.
            opacity: of the labels, 0 to 1.
        """
        picture = to_scale(self.view.turn(grey(image, window)), self._pixels)
        if labels is not None:
            labels = to_scale(self.view.turn(labels), self._pixels, labels=True)
            picture = lay_over(picture, labels, colours, opacity)
        self.image.value = encode(picture)

    def mark(self, cross: Voxel | None = None, notes: Mapping[str, Voxel] | None = None) -> None:
        """Draw letters and scale, a crosshair through one voxel, and an arrow to each voxel that has a note.

        Args:
            cross: index of a voxel of the volume, in file order; its place across the planes does not matter.
            notes: text of each arrow, and the voxel that it points to.
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


def _letters(letters, height, width):
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


def _crosshair(x, y, height, width):
    dashed = {"stroke_dasharray": "4 3", "stroke_opacity": 0.8}
    gap = 0.03 * width  # the voxel itself stays in sight
    ends = ((0, y, x - gap, y), (x + gap, y, width, y), (x, 0, x, y - gap), (x, y + gap, x, height))
    return "".join(_line(*end, **dashed) for end in ends)


def _arrow(text, x, y, height, width):
    towards_right, upwards = (1 if x < width / 2 else -1), (-1 if y > height / 2 else 1)
    start = x + 0.2 * width * towards_right, y + 0.22 * height * upwards
    tip = x + 0.02 * width * towards_right, y + 0.022 * height * upwards
    along = np.subtract(start, tip) / np.hypot(*np.subtract(start, tip))
    back, aside = np.array(tip) + 0.03 * width * along, 0.011 * width * np.array([-along[1], along[0]])
    head = " ".join(f"{px:.1f},{py:.1f}" for px, py in (tip, back + aside, back - aside))
    written = _text(text, *start, "start" if towards_right > 0 else "end", "hanging" if upwards > 0 else "auto")
    return _line(*start, *back, stroke_width=2) + f'<polygon points="{head}"/>' + written


def _line(x1, y1, x2, y2, **look):
    look = {"stroke": "white", "vector_effect": "non-scaling-stroke", **look}  # its width is in pixels of the screen
    extra = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in look.items())
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"{extra}/>'


def _text(text, x, y, anchor, baseline):
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" dominant-baseline="{baseline}"'
    rim = 'stroke="black" stroke-width="0.15em" paint-order="stroke"'  # white letters stay legible on white
    return f"<text {place} {rim}>{escape(text)}</text>"
