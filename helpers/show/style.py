"""One style for every figure of the course: the same order, names and colours everywhere."""

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

import matplotlib.style
from matplotlib.figure import Figure

P = ParamSpec("P")
SHEET = Path(__file__).with_name("course.mplstyle")

# From Okabe and Ito's palette: distinguishable with colour vision deficiency, bright enough on a grey scan.
CLASS_COLOURS = {1: "#D55E00", 2: "#56B4E9", 3: "#F0E442"}
CLASS_NAMES = {0: "other brain", 1: "core", 2: "oedema", 3: "enhancing"}
# True positives, false negatives and false positives, in a panel of their own.
AGREEMENT_COLOURS = {"agreement": "#B3E5AE", "false negative": "#FF71AC", "false positive": "#7162FD"}
# Lines and dots on a white background: a region is not a class (TC is core and enhancing), so it has a hue of its own.
REGION_COLOURS = {"WT": "#640083", "TC": "#9A2022", "ET": "#00796F"}
SITE_COLOURS = {"montgomery": "#0072B2", "shenzhen": "#D55E00"}
MODALITY_NAMES = {"flair": "FLAIR", "t1": "T1", "t1ce": "T1ce", "t2": "T2"}


def use() -> None:
    """Set matplotlib's global style to the course's; a lesson calls it once, for its own plots."""
    matplotlib.style.use(SHEET)


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Decorator: draw the figure in the course's style, without changing the caller's matplotlib settings.

    Args:
        draw: a function that returns a figure.
    """

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.style.context(SHEET):
            return draw(*args, **kwargs)

    return drawn


def alt(figure: Figure, text: str) -> Figure:
    """Give a figure an alternative text, for readers who cannot see it.

    The text goes into the notebook's output beside the picture, as `metadata["image/png"]["alt"]`, where
    `helpers.apply.page` reads it; nbconvert ignores it.

    Args:
        figure: is changed in place, and returned.
        text: describes what the figure shows.
    """

    def bundle(**_: object) -> tuple[dict[str, object], dict[str, object]]:
        png = io.BytesIO()
        figure.savefig(png, format="png")
        return {"image/png": png.getvalue(), "text/plain": text}, {"image/png": {"alt": text}}

    figure._repr_mimebundle_ = bundle
    return figure
