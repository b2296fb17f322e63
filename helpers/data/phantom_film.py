"""The film of a made-up chest X-ray: how each hospital frames it, exposes it and marks it."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont


@dataclass(frozen=True)
class Film:
    """How one film is framed and exposed.

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


def plan_film(rng: np.random.Generator, site: str, size: int) -> Film:
    """A film of a hospital's habits; `size` is its longer side in pixels.

    Montgomery exposes hard, on landscape or portrait film with black bands; Shenzhen softly, on nearly square film.
    """
    if site == "montgomery":
        short = round(size * 4020 / 4892)
        landscape = rng.random() < 0.6
        return Film(
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
    return Film(
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


def hidden_rows(film: Film) -> int:
    """Rows at the lower edge that are black."""
    return round(film.shape[0] * film.band)


def places(film: Film) -> tuple[np.ndarray, np.ndarray]:
    """x and y (mm) of every pixel, float32."""
    rows, columns = film.shape
    step = film.mm / max(film.shape)
    x = film.centre[0] + (np.arange(columns) - columns / 2 + 0.5) * step
    y = film.centre[1] + (np.arange(rows) - rows / 2 + 0.5) * step
    x, y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return x, y


def develop(rng: np.random.Generator, attenuation: np.ndarray, film: Film) -> np.ndarray:
    """Grey levels (uint8): more attenuation, whiter; then the marker, the sign and the bands."""
    noisy = attenuation + 0.008 * rng.standard_normal(attenuation.shape)
    bright = np.clip(film.exposure * np.clip(noisy, 0, None), 0, None)
    grey = film.fog + (250 - film.fog) * (1 - np.exp(-2.1 * bright)) ** film.gamma
    picture = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    rows, columns = film.shape
    draw, letters = ImageDraw.Draw(picture), max(9, rows // 18)
    left = film.letter == "R"
    draw.text((columns * (0.05 if left else 0.88), rows * 0.04), film.letter, 235, ImageFont.load_default(letters))
    if film.sign:
        font = ImageFont.load_default(max(7, rows // 30))
        corner = (columns * 0.84, rows * 0.03)
        draw.rectangle(draw.multiline_textbbox(corner, film.sign, font), fill=250)
        draw.multiline_text(corner, film.sign, 10, font)
    if band := hidden_rows(film):
        draw.rectangle((0, rows - band, columns, rows), fill=0)
    return np.array(picture)
