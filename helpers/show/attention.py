"""What a chosen patch of a transformer listens to, laid over the slice; for several patches, as a moving picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure

from helpers.show.moving import Moving, moving
from helpers.show.panel import Plane, show_slice
from helpers.show.style import styled

_CHOSEN = {1: "#00FFFF"}


@styled
def attention_of(picture: np.ndarray, weights: np.ndarray, patches: Sequence[int], plane: Plane, title: str) -> Moving:
    """One patch after the other is chosen, and what it listens to is laid over the slice.

    Args:
        picture: (size, size), the slice in file order.
        weights: (tokens, tokens), what each token listens to, the class token first, as a block and an image of
            `helpers.models.attention.attention_weights` have it.
        patches: those to choose, counted row by row from 0.
        plane: orientation of the slice, of the pixels of `picture`.
        title: heading of the figure.

    Raises:
        ValueError: the patches of the weights do not tile the picture, or there is no such patch.
    """
    count = len(weights) - 1
    side = round(count**0.5)
    if side * side != count or picture.shape != (picture.shape[0],) * 2 or picture.shape[0] % side:
        raise ValueError(f"{count} patches do not tile a picture of {picture.shape}; expected a square of squares")
    if not patches or min(patches) < 0 or max(patches) >= count:
        raise ValueError(f"patches are {list(patches)}; expected numbers from 0 to {count - 1}")
    text = f"A patch moves over a slice in {len(patches)} steps; beside it, where its attention lies."
    return moving(_frames(picture, weights[1:, 1:], patches, plane, title), text, seconds=0.6)


def _frames(
    picture: np.ndarray, weights: np.ndarray, patches: Sequence[int], plane: Plane, title: str
) -> Iterator[Figure]:
    """A figure for each patch, of weights among patches, (patches, patches)."""
    side = round(len(weights) ** 0.5)
    tile = np.ones((picture.shape[0] // side,) * 2)
    highest = max(weights[patch].max() for patch in patches)
    for patch in patches:
        figure = Figure(figsize=(6, 3.3))
        left, right = figure.subplots(1, 2)
        chosen = np.kron((np.arange(side * side) == patch).reshape(side, side), tile).astype(int)
        show_slice(left, picture, plane, None, chosen, _CHOSEN)
        left.set_title("the patch that asks")
        show_slice(right, picture, plane, None, chosen, _CHOSEN, marks=False)
        heard = plane.turn(np.kron(weights[patch].reshape(side, side), tile))
        extent = right.images[0].get_extent()
        right.imshow(heard, cmap="inferno", extent=extent, alpha=0.55, vmin=0, vmax=highest)
        right.set_title("what it listens to")
        figure.suptitle(title)
        yield figure
