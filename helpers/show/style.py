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

# From Okabe and Ito's palette: told apart by colour-blind readers, bright enough for a grey scan.
CLASS_COLOURS = {1: "#D55E00", 2: "#56B4E9", 3: "#F0E442"}
CLASS_NAMES = {0: "other brain", 1: "core", 2: "oedema", 3: "enhancing"}
# Laid over the same scan, in a panel of their own.
AGREEMENT_COLOURS = {"agreement": "#3DDBB0", "false negative": "#E69F00", "false positive": "#AA3377"}
# Lines and dots on white paper.
REGION_COLOURS = {"WT": "#0072B2", "TC": "#D55E00", "ET": "#009E73"}
SITE_COLOURS = {"montgomery": "#0072B2", "shenzhen": "#D55E00"}
MODALITY_NAMES = {"flair": "FLAIR", "t1": "T1", "t1ce": "T1ce", "t2": "T2"}


def use() -> None:
    """Draw everything that follows in the course's style; a lesson calls it once, for its own plots."""
    matplotlib.style.use(SHEET)


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw the figure in the course's style, whatever the caller's settings, and leave those as they were."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.style.context(SHEET):
            return draw(*args, **kwargs)

    return drawn


def alt(figure: Figure, text: str) -> Figure:
    """Describe a figure for readers who cannot see it.

    The text goes beside the picture into the notebook's output, as `metadata["image/png"]["alt"]`: the course's
    report takes it from there (nbconvert's own pages leave it out).
    """

    def bundle(**_: object) -> tuple[dict[str, object], dict[str, object]]:
        png = io.BytesIO()
        figure.savefig(png, format="png")
        return {"image/png": png.getvalue(), "text/plain": text}, {"image/png": {"alt": text}}

    figure._repr_mimebundle_ = bundle
    return figure
