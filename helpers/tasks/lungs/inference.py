"""From a chest radiograph to the lungs on the radiograph's own grid, and how well they are outlined."""

import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import keras
import numpy as np

from helpers.data.chest import XRay
from helpers.data.pictures import read_image, read_mask
from helpers.data.radiographs import preprocess, to_native_grid
from helpers.learn.predict_batches import predict_batches
from helpers.learn.run_folder import load_network, read_run
from helpers.measure.radiographs import score_radiograph
from helpers.prepare.histogram_matching import match_histogram
from helpers.runtime.errors import DataError

_CHUNK = 32  # radiographs that are outlined at once


@dataclass(frozen=True)
class LungSegmenter:
    """A trained network with everything needed to use it.

    Attributes:
        network: (batch, size, size, 1) to the probability of lung, (batch, size, size, 1).
        size: pixels along each side of what it sees.
        reference_histogram: where the greys of a radiograph are first made those of others, their shares, (256,) as
            `helpers.prepare.histogram_matching.histogram` gives them.
    """

    network: keras.Model
    size: int
    reference_histogram: tuple[float, ...] | None = None

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "LungSegmenter":
        """Load what `train lungs` left in a folder.

        Raises:
            DataError: the folder holds no finished training of lungs, or radiographs are to be prepared in a way that
                is not known here.
        """
        run = read_run(folder, "lungs")
        prepare = dict(run.get("prepare") or {})
        greys = prepare.pop("histogram", None)
        if prepare:
            raise DataError(
                f"{folder} wants radiographs prepared by {', '.join(prepare)}, which this version cannot; update it."
            )
        return cls(load_network(folder), run["parameters"]["size"], None if greys is None else tuple(greys))

    def preprocess(self, radiograph: np.ndarray) -> np.ndarray:
        """What the network is shown of a radiograph: (rows, columns) uint8 to (size, size, 1) float32."""
        return preprocess(
            radiograph if self.reference_histogram is None else match_histogram(radiograph, self.reference_histogram),
            self.size,
        )

    def network_probabilities(self, seen: np.ndarray) -> np.ndarray:
        """The probability of lung on the network's grid: (radiographs, size, size, 1) to (radiographs, size, size)
        float32."""
        return predict_batches(self.network, seen)[..., 0]

    def probabilities(self, radiograph: np.ndarray) -> np.ndarray:
        """The probability of lung on the radiograph's own grid: (rows, columns) uint8 to (rows, columns) float32."""
        return to_native_grid(self.network_probabilities(self.preprocess(radiograph)[None])[0], radiograph.shape)

    def predict(self, radiograph: np.ndarray) -> np.ndarray:
        """The lungs: (rows, columns) uint8 to (rows, columns) bool; probabilities are resized first, then cut."""
        return self.probabilities(radiograph) > 0.5


def score_radiographs(
    segmenter: LungSegmenter, mean: np.ndarray, xrays: Sequence[XRay], progress: Callable[[int], None]
) -> list[dict]:
    """Outline and score each X-ray, as `helpers.measure.radiographs.by_site` wants them.

    Args:
        mean: (size, size), the mean of the training masks: the trivial outline, cut at one half.
        progress: told how many are done.
    """

    def look(xray: XRay) -> np.ndarray:
        return segmenter.preprocess(read_image(xray.image))

    def judge(xray: XRay, probabilities: np.ndarray) -> dict:
        truth = read_mask(xray.mask)
        mine, trivial = (
            score_radiograph(truth, to_native_grid(one, truth.shape) > 0.5) for one in (probabilities, mean)
        )
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
    """How long `score_radiographs` takes for these X-rays on this machine, with half as much again in reserve."""
    empty = np.zeros((1, segmenter.size, segmenter.size, 1), np.float32)
    segmenter.network_probabilities(empty)  # warm up
    begun = time.monotonic()
    segmenter.network_probabilities(empty)  # a whole batch: it is filled up
    batch = time.monotonic() - begun
    score_radiographs(segmenter, mean, some := xrays[:4], lambda done: None)
    radiograph = max(0.0, time.monotonic() - begun - 2 * batch) / len(some)
    return 1.5 * (radiograph * len(xrays) + batch * math.ceil(len(xrays) / _CHUNK)) + 5
