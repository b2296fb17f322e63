"""From a chest radiograph to the lungs on the radiograph's own grid, and how well they are outlined."""

import os
from collections.abc import Callable, Sequence
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
from helpers.runtime.threads import map_threads

CHUNK = 32
"""Radiographs that are outlined at once."""


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

    def read(xray: XRay) -> np.ndarray:
        return segmenter.preprocess(read_image(xray.image))

    def score(case: tuple[XRay, np.ndarray]) -> dict:
        xray, probabilities = case
        truth = read_mask(xray.mask)
        mine, trivial = (
            score_radiograph(truth, to_native_grid(one, truth.shape) > 0.5) for one in (probabilities, mean)
        )
        return {"id": xray.id, "site": xray.site, **mine, "trivial": trivial}

    rows: list[dict] = []
    for start in range(0, len(xrays), CHUNK):
        some = xrays[start : start + CHUNK]
        probabilities = segmenter.network_probabilities(np.stack(list(map_threads(read, some))))
        rows += map_threads(score, zip(some, probabilities, strict=True))
        progress(len(rows))
    return rows
