"""The acquisition of a phantom chest X-ray: how each hospital frames, exposes and marks its radiographs."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont


@dataclass(frozen=True)
class RadiographPlan:
    """How one radiograph is framed and exposed.

    Attributes:
        shape: pixels in (rows, columns).
        mm: millimetres along the longer side.
        centre: x and y (mm) of its middle.
        fog: grey level of air.
        exposure: factor on the attenuation; more is whiter.
        gamma: exponent of the grey-level curve.
        band: black rows at the lower edge, as a fraction of the height.
        letter: side marker.
        sign: "PA ERECT" or empty.
    """

    shape: tuple[int, int]
    mm: float
    centre: tuple[float, float]
    fog: float
    exposure: float
    gamma: float
    band: float
    letter: str
    sign: str


def plan_radiograph(rng: np.random.Generator, site: str, size: int) -> RadiographPlan:
    """Draw the framing and exposure of a radiograph as a hospital takes them.

    Montgomery has high contrast, landscape or portrait format and black bands; Shenzhen low contrast and a nearly
    square format.

    Args:
        rng: its state is the radiograph.
        site: "montgomery" or "shenzhen".
        size: pixels along the longer side.
    """
    if site == "montgomery":
        short = round(size * 4020 / 4892)
        landscape = rng.random() < 0.6
        return RadiographPlan(
            shape=(short, size) if landscape else (size, short),
            mm=rng.uniform(425, 455) if landscape else rng.uniform(420, 460),
            centre=(rng.normal(0, 9), rng.uniform(32, 48) if landscape else rng.uniform(5, 25)),
            fog=0.0,
            exposure=rng.uniform(1.05, 1.5),
            gamma=rng.uniform(1.5, 1.9),
            band=rng.uniform(0.05, 0.24) if landscape else rng.uniform(0.0, 0.1),
            letter="R",
            sign="PA\nERECT",
        )
    return RadiographPlan(
        shape=(round(size * rng.uniform(0.88, 1.0)), size),
        mm=rng.uniform(385, 445),
        centre=(rng.normal(0, 9), rng.uniform(10, 34)),
        fog=rng.uniform(4, 26),
        exposure=rng.uniform(1.0, 1.35),
        gamma=rng.uniform(0.8, 1.0),
        band=0.0,
        letter=str(rng.choice(["R", "L"])),
        sign="",
    )


def hidden_rows(radiograph: RadiographPlan) -> int:
    """Number of black rows at the lower edge.

    Args:
        radiograph: its plan.
    """
    return round(radiograph.shape[0] * radiograph.band)


def landmarks(radiograph: RadiographPlan) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of every pixel.

    Args:
        radiograph: its plan.

    Returns:
        x and y (mm), each (rows, columns) float32.
    """
    rows, columns = radiograph.shape
    step = radiograph.mm / max(radiograph.shape)
    x = radiograph.centre[0] + (np.arange(columns) - columns / 2 + 0.5) * step
    y = radiograph.centre[1] + (np.arange(rows) - rows / 2 + 0.5) * step
    x, y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return x, y


def expose(rng: np.random.Generator, attenuation: np.ndarray, radiograph: RadiographPlan) -> np.ndarray:
    """Grey levels of a radiograph: more attenuation is whiter; then the marker, the sign and the bands are drawn.

    Args:
        rng: of the noise.
        attenuation: (rows, columns) float, about 0 in air and 1 in the mediastinum.
        radiograph: its plan.

    Returns:
        (rows, columns) uint8.
    """
    noisy = attenuation + 0.008 * rng.standard_normal(attenuation.shape)
    bright = np.clip(radiograph.exposure * np.clip(noisy, 0, None), 0, None)
    grey = radiograph.fog + (250 - radiograph.fog) * (1 - np.exp(-2.1 * bright)) ** radiograph.gamma
    picture = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    rows, columns = radiograph.shape
    draw, letters = ImageDraw.Draw(picture), max(9, rows // 18)
    left = radiograph.letter == "R"
    draw.text(
        (columns * (0.05 if left else 0.88), rows * 0.04), radiograph.letter, 235, ImageFont.load_default(letters)
    )
    if radiograph.sign:
        font = ImageFont.load_default(max(7, rows // 30))
        corner = (columns * 0.84, rows * 0.03)
        draw.rectangle(draw.multiline_textbbox(corner, radiograph.sign, font), fill=250)
        draw.multiline_text(corner, radiograph.sign, 10, font)
    if band := hidden_rows(radiograph):
        draw.rectangle((0, rows - band, columns, rows), fill=0)
    return np.array(picture)
