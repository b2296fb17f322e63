"""What stands on a chest film besides the chest: black bands at its edges, letters and signs in its corners.

A network learns whatever tells two hospitals apart, and a band or a letter does. A band is cut off, from image and mask
alike; a letter is painted over with what surrounds it.
"""

import numpy as np
from scipy import ndimage

from helpers.data.errors import DataError

DARK = 12
"""Greys up to this are black: a band is 0 when it is made, a little more once JPEG or a resizing has been at it."""

CORNER = (0.25, 0.3)
"""Rows and columns of an upper corner, as shares of the film: above the lungs, and beside the neck."""


def without_bands(film: np.ndarray) -> tuple[slice, slice]:
    """The part of a film between its black bands: cut it from image and mask, `film[box], mask[box]`.

    A row or column belongs to a band if 99 % of it are black, and so is every one between it and the edge.

    Args:
        film: (rows, columns) uint8.

    Raises:
        DataError: not a film of greys, or black throughout.
    """
    lit = _checked(film) > DARK
    box = []
    for axis in (0, 1):
        shown = np.flatnonzero(lit.mean(axis=1 - axis) > 0.01)
        if shown.size == 0:
            raise DataError("The film is black throughout; there is nothing between its bands.")
        box.append(slice(int(shown[0]), int(shown[-1]) + 1))
    return box[0], box[1]


def markers(film: np.ndarray, contrast: int = 100, width: float = 0.12) -> np.ndarray:
    """Where letters and signs stand: bright, narrow, with edges as sharp as print, and wholly in an upper corner.

    A white top-hat (Meyer 1979) keeps what is brighter than its surroundings and narrower than a window. Ribs and
    collar bones are narrow too, but their edges are soft, and few lie in a corner.

    Args:
        film: (rows, columns) uint8.
        contrast: greys by which a marker is brighter than what surrounds it, and its edge steeper, at least.
        width: of the window, as a share of the film's longer side; no marker is wider.

    Returns:
        (rows, columns) bool, a little wider than the letters, for print bleeds.

    Raises:
        DataError: not a film of greys.
    """
    film = _checked(film)
    window, stroke = (max(3, round(share * max(film.shape))) for share in (width, 0.01))
    outside = {"mode": "constant", "cval": 0}  # a sign that runs off the film ends where the film does
    bright = film.astype(np.int16) - ndimage.grey_opening(film, (window, window), **outside) >= contrast
    steep = ndimage.morphological_gradient(film, (stroke, stroke), **outside) >= contrast
    # The strokes of a word, and the rims of a sign, become one part.
    parts, _ = ndimage.label(ndimage.binary_dilation(bright & steep, np.ones((3, 3)), iterations=stroke))
    found = np.zeros(film.shape, bool)
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        if _in_corner(box, film.shape):
            found[box] |= ndimage.binary_fill_holes(parts[box] == number)
    return found


def without_markers(film: np.ndarray, contrast: int = 100, width: float = 0.12) -> np.ndarray:
    """The film with its `markers` painted over in the nearest grey beside them; uint8, the same everywhere else."""
    found = markers(film, contrast, width)
    if found.all():
        raise DataError(f"All of the film stands out by {contrast} greys; ask for more contrast.")
    nearest = ndimage.distance_transform_edt(found, return_distances=False, return_indices=True)
    return np.asarray(film)[tuple(nearest)]


def _in_corner(box: tuple[slice, slice], shape: tuple[int, int]) -> bool:
    (rows, columns), (height, width) = box, shape
    beside = columns.stop <= CORNER[1] * width or columns.start >= (1 - CORNER[1]) * width
    return rows.stop <= CORNER[0] * height and beside


def _checked(film: np.ndarray) -> np.ndarray:
    film = np.asarray(film)
    if film.ndim != 2 or film.dtype != np.uint8:
        raise DataError(f"The film has shape {film.shape} and type {film.dtype}; expected (rows, columns) of uint8.")
    return film
