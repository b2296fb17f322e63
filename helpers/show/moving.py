"""Moving pictures: figures one after the other as a GIF, of which whoever cannot play it sees the last."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib.style
import numpy as np

from helpers.show.style import SHEET

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

MAX_BYTES = 300_000  # a page holds several, and a notebook is read over slow lines
_COLOURS = (64, 32, 16)  # of the palette: as many as `MAX_BYTES` allow


@dataclass(frozen=True)
class Moving:
    """A GIF and the still picture that stands for it where nothing moves, as in print.

    Attributes:
        gif: the moving picture, encoded.
        png: its last frame, encoded.
        alt: describes what moves, for readers who cannot see it.
        size: pixels across and down.
    """

    gif: bytes
    png: bytes
    alt: str
    size: tuple[int, int]

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, Any], dict[str, Any]]:
        # Converters of notebooks show no image/gif, so the page gets an <img>; the still one is for reports.
        coded, (width, height) = base64.b64encode(self.gif).decode(), self.size
        tag = (
            f'<img src="data:image/gif;base64,{coded}" alt="{html.escape(self.alt)}" width="{width}" height="{height}">'
        )
        return {"text/html": tag, "image/png": self.png, "text/plain": self.alt}, {"image/png": {"alt": self.alt}}


def moving(
    frames: Iterable[Figure],
    alt: str,
    seconds: float = 0.25,
    rest: float = 2.0,
    dpi: int = 80,
) -> Moving:
    """Make a moving picture of figures of one size.

    Args:
        frames: the figures, in their order; it may be one figure that changes between them.
        alt: describes what moves.
        seconds: how long each is shown.
        rest: how long the last one is shown, before the picture begins again.
        dpi: pixels of an inch.

    Raises:
        ValueError: there is no frame, frames have several sizes, or the GIF is larger than `MAX_BYTES`.
    """

    with matplotlib.style.context(SHEET):
        drawn = [_rasterise(frame, dpi) for frame in frames]
    if not drawn:
        raise ValueError("there is no frame; expected one figure or more")
    sizes = {one.size for one in drawn}
    if len(sizes) > 1:
        raise ValueError(f"the frames have {len(sizes)} sizes, {sorted(sizes)}; expected figures of one size")
    durations = [round(1000 * seconds)] * (len(drawn) - 1) + [round(1000 * rest)]
    for colours in _COLOURS:
        gif = _encode(drawn, durations, colours)
        if len(gif) <= MAX_BYTES:
            break
    else:
        raise ValueError(
            f"{len(drawn)} frames of {drawn[0].width} x {drawn[0].height} pixels make {len(gif) / 1e3:.0f} kB; at most "
            f"{MAX_BYTES / 1e3:.0f} are shown. Draw fewer frames, or smaller ones."
        )
    png = io.BytesIO()
    drawn[-1].save(png, "PNG", optimize=True)
    return Moving(gif, png.getvalue(), alt, drawn[0].size)


def _encode(frames: Sequence[Image], durations: Sequence[int], colours: int) -> bytes:
    """The frames as a GIF, each shown for its milliseconds."""
    from PIL import Image

    # One palette, or colours would flicker; from all frames, or a colour that neither end has would be lost. The octree
    # keeps the few pixels of a mask their colour, where the median cut gives them the grey of the many.
    width, height = frames[0].size
    together = Image.new("RGB", (width, height * len(frames)))
    for index, frame in enumerate(frames):
        together.paste(frame, (0, height * index))
    palette = together.quantize(colours, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    first, *others = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    gif = io.BytesIO()
    first.save(gif, "GIF", save_all=True, append_images=others, duration=list(durations), loop=0, optimize=True)
    return gif.getvalue()


def _rasterise(figure: Figure, dpi: int) -> Image:
    """The figure as an RGB image."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
