"""What is trained when in adversarial adaptation (ADDA): its three phases, with a box for each part of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch

from helpers.show.style import alt, styled

TRAINED, FROZEN = "#F0B27A", "#FFFFFF"
_PLACES = {
    "x_s": (0, 1), "E_s": (1, 1), "x_t": (0, 0), "E_t": (1, 0), "decoder": (2, 0.5), "d": (2, 0.5),
    "masks": (3, 0.5), "outline": (3, 0.5), "source or\ntarget?": (3, 0.5),
}  # fmt: skip
_SHOWN = {"x_s": "xₛ", "E_s": "Eₛ", "x_t": "xₜ", "E_t": "Eₜ"}  # mathtext would ask for fonts of its own
_PARTS = ("E_s", "E_t", "decoder", "d")


@dataclass(frozen=True)
class Phase:
    """A phase of the method.

    Attributes:
        title: what it is for.
        arrows: pairs of names in the order in which data flow; E_s, E_t, decoder and d are parts, the others data.
        trained: the parts that learn in it; the others are frozen.
    """

    title: str
    arrows: tuple[tuple[str, str], ...]
    trained: tuple[str, ...]


PHASES = (
    Phase("1. at the source", (("x_s", "E_s"), ("E_s", "decoder"), ("decoder", "masks")), ("E_s", "decoder")),
    Phase(
        "2. the game, no masks",
        (("x_s", "E_s"), ("x_t", "E_t"), ("E_s", "d"), ("E_t", "d"), ("d", "source or\ntarget?")),
        ("E_t", "d"),
    ),
    Phase("3. in use at the target", (("x_t", "E_t"), ("E_t", "decoder"), ("decoder", "outline")), ()),
)
"""Of ADDA (Tzeng et al. 2017): E_t begins as a copy of E_s."""


@styled
def phases(drawn: Sequence[Phase] = PHASES, title: str | None = None) -> Figure:
    """The phases above each other, data from left to right; parts that learn are filled.

    Args:
        drawn: the phases.
        title: heading of the figure.
    """
    figure = Figure(figsize=(8, 1.75 * len(drawn) + 0.6 + 0.3 * (title is not None)))
    for ax, phase in zip(figure.subplots(len(drawn), 1, squeeze=False)[:, 0], drawn, strict=True):
        _draw(ax, phase)
    learning = Patch(facecolor=TRAINED, edgecolor="#333333", label="learns")
    still = Patch(facecolor=FROZEN, edgecolor="#333333", label="frozen")
    figure.legend(handles=[learning, still], loc="outside lower center", ncols=2)
    if title is not None:
        figure.suptitle(title)
    told = "; ".join(f"{phase.title}, {' and '.join(phase.trained) or 'nothing'}" for phase in drawn)
    return alt(figure, f"What learns in each phase of ADDA: {told}.")


def _draw(ax: Axes, phase: Phase) -> None:
    names = dict.fromkeys(name for arrow in phase.arrows for name in arrow)
    for name in names:
        x, y = _PLACES[name]
        if name in _PARTS:
            colour = TRAINED if name in phase.trained else FROZEN
            box = FancyBboxPatch(
                (x - 0.22, y - 0.2), 0.44, 0.4, boxstyle="round,pad=0.02", facecolor=colour, edgecolor="#333333"
            )
            box.set_label(name)
            ax.add_patch(box)
        ax.text(x, y, _SHOWN.get(name, name), ha="center", va="center")
    for start, end in phase.arrows:
        (x, y), (to_x, to_y) = _PLACES[start], _PLACES[end]
        ends = {"xytext": (x + 0.27, y), "xy": (to_x - 0.27, to_y)}
        ax.annotate("", **ends, arrowprops={"arrowstyle": "->", "color": "#333333"})
    ax.set(xlim=(-0.4, 3.5), ylim=(-0.4, 1.4), title=phase.title)
    ax.set_axis_off()
