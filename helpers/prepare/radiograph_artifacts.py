"""Artifacts of chest radiographs: black bands at the edges, and markers (letters and signs) in the corners.

A network learns whatever distinguishes two hospitals, and a band or a letter does (shortcut learning). A band is
cropped, from image and mask; a letter is painted over with what surrounds it.
"""

import numpy as np
from scipy import ndimage

from helpers.runtime.errors import DataError

DARK = 12
"""Grey levels up to this are black: a band is 0 when it is made, a little more after JPEG or resizing."""

CORNER = (0.25, 0.3)
"""Rows and columns of an upper corner, as fractions of the radiograph: above the lungs, and beside the neck."""


def without_bands(radiograph: np.ndarray) -> tuple[slice, slice]:
    """The box of a radiograph between its black bands: crop image and mask to it, `radiograph[box], mask[box]`.

    A row or column belongs to a band if 99 % of it are black, and so is every one between it and the edge.

    Args:
        radiograph: (rows, columns) uint8.

    Returns:
        The rows and the columns.

    Raises:
        DataError: not a grey-level radiograph, or black throughout.
    """
    lit = _checked(radiograph) > DARK
    box = []
    for axis in (0, 1):
        bright = np.flatnonzero(lit.mean(axis=1 - axis) > 0.01)
        if bright.size == 0:
            raise DataError("The radiograph is black throughout; there is nothing between its bands.")
        box.append(slice(int(bright[0]), int(bright[-1]) + 1))
    return box[0], box[1]


def markers(radiograph: np.ndarray, contrast: int = 100, width: float = 0.12) -> np.ndarray:
    """Mask of letters and signs: bright, narrow, with edges as sharp as print, and wholly in an upper corner.

    A white top-hat (Meyer 1979) extracts what is brighter than its surroundings and narrower than a window. Ribs and
    collar bones are narrow too, but their edges are soft, and few lie in a corner.

    Args:
        radiograph: (rows, columns) uint8.
        contrast: grey levels by which a marker is brighter than what surrounds it, and its edge steeper, at least.
        width: of the window, as a fraction of the radiograph's longer side; no marker is wider.

    Returns:
        (rows, columns) bool, a little wider than the letters, for print bleeds.

    Raises:
        DataError: not a grey-level radiograph.
    """
    radiograph = _checked(radiograph)
    window, stroke = (max(3, round(fraction * max(radiograph.shape))) for fraction in (width, 0.01))
    outside = {"mode": "constant", "cval": 0}  # a sign that runs off the radiograph ends where the radiograph does
    bright = radiograph.astype(np.int16) - ndimage.grey_opening(radiograph, (window, window), **outside) >= contrast
    steep = ndimage.morphological_gradient(radiograph, (stroke, stroke), **outside) >= contrast
    # The strokes of a word, and the rims of a sign, become one component.
    components, _ = ndimage.label(ndimage.binary_dilation(bright & steep, np.ones((3, 3)), iterations=stroke))
    found = np.zeros(radiograph.shape, bool)
    for number, box in enumerate(ndimage.find_objects(components), start=1):
        if _in_corner(box, radiograph.shape):
            found[box] |= ndimage.binary_fill_holes(components[box] == number)
    return found


def without_markers(radiograph: np.ndarray, contrast: int = 100, width: float = 0.12) -> np.ndarray:
    """The radiograph with its `markers` painted over in the nearest grey level beside them.

    Args:
        radiograph: (rows, columns) uint8.
        contrast: as in `markers`.
        width: as in `markers`.

    Returns:
        (rows, columns) uint8, the same outside the markers.

    Raises:
        DataError: not a grey-level radiograph, or all of it is a marker.
    """
    found = markers(radiograph, contrast, width)
    if found.all():
        raise DataError(
            f"All of the radiograph is a marker at a contrast of {contrast} grey levels; take a higher one."
        )
    nearest = ndimage.distance_transform_edt(found, return_distances=False, return_indices=True)
    return np.asarray(radiograph)[tuple(nearest)]


def _in_corner(box: tuple[slice, slice], shape: tuple[int, int]) -> bool:
    """Does a box lie wholly in an upper corner?"""
    (rows, columns), (height, width) = box, shape
    beside = columns.stop <= CORNER[1] * width or columns.start >= (1 - CORNER[1]) * width
    return rows.stop <= CORNER[0] * height and beside


def _checked(radiograph: np.ndarray) -> np.ndarray:
    """The radiograph as an array.

    Raises:
        DataError: it is not (rows, columns) uint8.
    """
    radiograph = np.asarray(radiograph)
    if radiograph.ndim != 2 or radiograph.dtype != np.uint8:
        raise DataError(
            f"The radiograph is {radiograph.shape} of {radiograph.dtype}; expected (rows, columns) of uint8."
        )
    return radiograph
