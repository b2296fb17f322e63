"""The radiograph of a made-up chest X-ray: how each hospital frames it, exposes it and marks it."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont


@dataclass(frozen=True)
class RadiographPlan:
    """How one radiograph is framed and exposed.

    Attributes:
        shape: pixels in (rows, columns). mm: millimetres across the longer side. centre: x and y (mm) of its middle.
        fog: grey level of air. exposure: how fast attenuation turns white. gamma: contrast of the curve.
        band: black rows at the lower edge, as a share of the height. letter: side marker. sign: "PA ERECT" or nothing.
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
    """A radiograph of a hospital's habits; `size` is its longer side in pixels.

    Montgomery exposes hard, on landscape or portrait radiograph with black bands; Shenzhen softly, on nearly square
    radiograph.
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
    """Rows at the lower edge that are black."""
    return round(radiograph.shape[0] * radiograph.band)


def landmarks(radiograph: RadiographPlan) -> tuple[np.ndarray, np.ndarray]:
    """x and y (mm) of every pixel, float32."""
    rows, columns = radiograph.shape
    step = radiograph.mm / max(radiograph.shape)
    x = radiograph.centre[0] + (np.arange(columns) - columns / 2 + 0.5) * step
    y = radiograph.centre[1] + (np.arange(rows) - rows / 2 + 0.5) * step
    x, y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return x, y


def expose(rng: np.random.Generator, attenuation: np.ndarray, radiograph: RadiographPlan) -> np.ndarray:
    """Grey levels (uint8): more attenuation, whiter; then the marker, the sign and the bands."""
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
