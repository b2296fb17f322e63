"""From a chest film to the lungs on the film's own grid, and how well they are outlined."""

import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import keras
import numpy as np

from helpers.data.chest import XRay
from helpers.data.errors import DataError
from helpers.data.films import back, see
from helpers.data.pictures import read_image, read_mask
from helpers.learn.predict import answer
from helpers.learn.trained import load_network, read_run
from helpers.measure.films import score_film
from helpers.prepare.greys import match_greys

_CHUNK = 32  # films that are outlined at once


@dataclass(frozen=True)
class LungSegmenter:
    """A trained network with everything needed to use it.

    Attributes:
        network: (batch, size, size, 1) to the probability of lung, (batch, size, size, 1).
        size: pixels along each side of what it sees.
        greys: where the greys of a film are first made those of others, their shares, (256,) as
            `helpers.prepare.greys.grey_counts` gives them.
    """

    network: keras.Model
    size: int
    greys: tuple[float, ...] | None = None

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "LungSegmenter":
        """Load what `train lungs` left in a folder.

        Raises:
            DataError: the folder holds no finished training of lungs, or films are to be prepared in a way that is not
                known here.
        """
        run = read_run(folder, "lungs")
        prepare = dict(run.get("prepare") or {})
        greys = prepare.pop("greys", None)
        if prepare:
            raise DataError(
                f"{folder} wants films prepared by {', '.join(prepare)}, which this version cannot; update it."
            )
        return cls(load_network(folder), run["parameters"]["size"], None if greys is None else tuple(greys))

    def see(self, film: np.ndarray) -> np.ndarray:
        """What the network is shown of a film: (rows, columns) uint8 to (size, size, 1) float32."""
        return see(film if self.greys is None else match_greys(film, self.greys), self.size)

    def network_probabilities(self, seen: np.ndarray) -> np.ndarray:
        """The probability of lung on the network's grid: (films, size, size, 1) to (films, size, size) float32."""
        return answer(self.network, seen)[..., 0]

    def probabilities(self, film: np.ndarray) -> np.ndarray:
        """The probability of lung on the film's own grid: (rows, columns) uint8 to (rows, columns) float32."""
        return back(self.network_probabilities(self.see(film)[None])[0], film.shape)

    def mask(self, film: np.ndarray) -> np.ndarray:
        """The lungs: (rows, columns) uint8 to (rows, columns) bool; probabilities are resized first, then cut."""
        return self.probabilities(film) > 0.5


def score_films(
    segmenter: LungSegmenter, mean: np.ndarray, xrays: Sequence[XRay], progress: Callable[[int], None]
) -> list[dict]:
    """Outline and score each X-ray, as `helpers.measure.films.by_site` wants them.

    Args:
        mean: (size, size), the mean of the training masks: the trivial outline, cut at one half.
        progress: told how many are done.
    """

    def look(xray: XRay) -> np.ndarray:
        return segmenter.see(read_image(xray.image))

    def judge(xray: XRay, probabilities: np.ndarray) -> dict:
        truth = read_mask(xray.mask)
        mine, trivial = (score_film(truth, back(one, truth.shape) > 0.5) for one in (probabilities, mean))
        return {"id": xray.id, "site": xray.site, **mine, "trivial": trivial}

    rows: list[dict] = []
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        for start in range(0, len(xrays), _CHUNK):
            some = xrays[start : start + _CHUNK]
            said = segmenter.network_probabilities(np.stack(list(pool.map(look, some))))
            rows += pool.map(judge, some, said)
            progress(len(rows))
    return rows


def seconds_to_score(segmenter: LungSegmenter, mean: np.ndarray, xrays: Sequence[XRay]) -> float:
    """How long `score_films` takes for these X-rays on this machine, with half as much again in reserve."""
    empty = np.zeros((1, segmenter.size, segmenter.size, 1), np.float32)
    segmenter.network_probabilities(empty)  # warm up
    begun = time.monotonic()
    segmenter.network_probabilities(empty)  # a whole batch: it is filled up
    batch = time.monotonic() - begun
    score_films(segmenter, mean, some := xrays[:4], lambda done: None)
    film = max(0.0, time.monotonic() - begun - 2 * batch) / len(some)
    return 1.5 * (film * len(xrays) + batch * math.ceil(len(xrays) / _CHUNK)) + 5
