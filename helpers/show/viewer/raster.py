"""From voxels to the bytes of a picture in a few milliseconds, so that it can follow a slider."""

import io
import zlib
from collections.abc import Mapping

import numpy as np
from matplotlib import colors
from PIL import Image

FORMAT = "png"
"""What `encode` writes, as `ipywidgets.Image` wants to know it."""


def grey(image: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Grey levels of a slice, 0 to 255.

    Args:
        image: (rows, columns), any real type; voxels that are exactly 0 are background and stay black.
        window: intensities of black and of white.

    Returns:
        uint8, the same shape.
    """
    low, high = window
    levels = (image.astype(np.float32) - low) * (255 / max(high - low, 1e-6))
    levels[image == 0] = 0  # a normalised scan has tissue below 0, and its background must not turn grey
    return np.clip(levels.round(), 0, 255).astype(np.uint8)


def to_scale(picture: np.ndarray, size: tuple[int, int], labels: bool = False) -> np.ndarray:
    """A picture brought to another number of rows and columns, for voxels that are not squares.

    Args:
        picture: (rows, columns) uint8, grey levels or labels.
        size: rows and columns wanted.
        labels: take the nearest pixel, since there is nothing between label 1 and label 3; else interpolate linearly.
    """
    if picture.shape == tuple(size):
        return picture
    how = Image.Resampling.NEAREST if labels else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize(size[::-1], how))


def lay_over(picture: np.ndarray, labels: np.ndarray, colours: Mapping[int, str], opacity: float) -> np.ndarray:
    """Labels laid over grey levels.

    Args:
        picture: (rows, columns) uint8.
        labels: (rows, columns) whole numbers; those without a colour are left out.
        colours: colour of each label.
        opacity: 0 leaves the picture as it is, 1 hides it.

    Returns:
        (rows, columns, 3) uint8; the grey picture itself where no label shows, as it takes a third of the bytes.
    """
    shown = {label: labels == label for label in colours}
    shown = {label: where for label, where in shown.items() if opacity > 0 and where.any()}
    if not shown:
        return picture
    painted = np.repeat(picture[..., None], 3, axis=-1)  # (rows, columns, 3)
    for label, where in shown.items():
        colour = 255 * np.array(colors.to_rgb(colours[label]), np.float32)
        painted[where] = (painted[where] * (1 - opacity) + colour * opacity).round().astype(np.uint8)
    return painted


def encode(picture: np.ndarray) -> bytes:
    """PNG of grey levels (rows, columns) or colours (rows, columns, 3), uint8.

    Lossless, so a label keeps its edge. Runs of equal bytes are all that is squeezed out: the black round a head goes,
    and full compression would take four times as long.
    """
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(out, FORMAT, compress_level=1, compress_type=zlib.Z_RLE)
    return out.getvalue()
