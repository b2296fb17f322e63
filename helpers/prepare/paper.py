"""The paper's transforms (section 4.1.2), and their inverse for its figure 4.

The paper composes five transforms of torchvision:

    Resize((224, 224)), RandomHorizontalFlip(), RandomRotation(10), ToTensor(), Normalize(mean, std)

Torchvision does the first three with Pillow, and so do we; the last two are arithmetic. They change the image alone:
`helpers.prepare.augment` is for images that have a mask.
"""

import numpy as np
from PIL import Image

SIZE = 224
DEGREES = 10
MEAN = np.float32([0.485, 0.456, 0.406])
"""Mean of red, green and blue over ImageNet's photographs, (3,), on the scale from 0 to 1."""

STD = np.float32([0.229, 0.224, 0.225])
"""Standard deviation of the same, (3,)."""


def transform(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All five, in the paper's order.

    Args:
        image: (rows, columns, 3) uint8; `np.repeat(grey[..., None], 3, axis=-1)` makes one of a grey picture.
        rng: draws whether to flip, and the angle.

    Returns:
        (3, 224, 224) float32.

    Raises:
        ValueError: the image has another shape or dtype.
    """
    image = resize(image)
    if rng.random() < 0.5:
        image = flip(image)
    return normalise(to_tensor(rotate(image, rng.uniform(-DEGREES, DEGREES))))


def resize(image: np.ndarray) -> np.ndarray:
    """(rows, columns, 3) uint8 to (224, 224, 3), linear, averaging where it shrinks; sides change their ratio."""
    return np.asarray(_picture(image).resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def flip(image: np.ndarray) -> np.ndarray:
    """(rows, columns, 3), left to right."""
    return image[:, ::-1]


def rotate(image: np.ndarray, degrees: float) -> np.ndarray:
    """(rows, columns, 3) uint8, turned anticlockwise about its middle; nearest pixel, black from outside."""
    return np.asarray(_picture(image).rotate(degrees, Image.Resampling.NEAREST))


def to_tensor(image: np.ndarray) -> np.ndarray:
    """(rows, columns, 3) uint8 to (3, rows, columns) float32 in [0, 1]."""
    return np.moveaxis(image, -1, 0).astype(np.float32) / 255


def normalise(images: np.ndarray) -> np.ndarray:
    """(..., 3, rows, columns) in [0, 1]: each channel less ImageNet's mean, over its standard deviation."""
    return (images - MEAN[:, None, None]) / STD[:, None, None]


def denormalise(images: np.ndarray) -> np.ndarray:
    """The inverse of `normalise`: channels last, times the standard deviation, plus the mean, clipped to [0, 1].

    >>> grey = np.full((3, 4, 5), 0.5, np.float32)
    >>> image = denormalise(normalise(grey))
    >>> image.shape, bool(np.allclose(image, 0.5))
    ((4, 5, 3), True)

    Args:
        images: (..., 3, rows, columns) float32, normalised.

    Returns:
        (..., rows, columns, 3) float32, as `imshow` and our networks expect them.
    """
    return (np.moveaxis(images, -3, -1) * STD + MEAN).clip(0, 1)


def _picture(image: np.ndarray) -> Image.Image:
    """The image as Pillow has it.

    Raises:
        ValueError: the image is not (rows, columns, 3) uint8.
    """
    if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f"an image of shape {image.shape} and dtype {image.dtype}; expected (rows, columns, 3) and uint8. "
            "Scale intensities to 0 ... 255, and give a grey picture three equal channels."
        )
    return Image.fromarray(np.ascontiguousarray(image))
