"""Inference: from a chest radiograph to the lungs on the radiograph's own grid; and scores against ground truth."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from helpers.data.chest import XRay, read_lungs
from helpers.data.pictures import read_image
from helpers.data.plausibility import radiograph_notes
from helpers.data.radiographs import preprocess, to_native_grid
from helpers.learn.predict_batches import predict_batches
from helpers.learn.run_folder import load_network, read_run
from helpers.measure.mask_scores import label_digest
from helpers.measure.radiographs import score_radiograph
from helpers.models.unet import unet
from helpers.prepare.histogram_matching import match_histogram
from helpers.runtime.errors import DataError
from helpers.runtime.threads import map_threads

THRESHOLD = 0.5
"""The probability above which a pixel is lung."""

CHUNK = 32
"""Radiographs that are segmented at once."""


def build_network(parameters: Mapping[str, Any]) -> keras.Model:
    """The untrained U-Net that the parameters of a `train lungs` describe.

    Args:
        parameters: of its `run.json`: size, filters, normalisation.
    """
    return unet(parameters["size"], 1, 1, parameters["filters"], normalisation=parameters["normalisation"])


@dataclass(frozen=True)
class LungSegmenter:
    """A trained network with everything needed for inference.

    Attributes:
        network: (batch, size, size, 1) to the probability of lung, (batch, size, size, 1).
        size: pixels along each side of its input.
        reference_histogram: (256,), where radiographs are first matched to the grey levels of others, as
            `helpers.prepare.histogram_matching.histogram` gives it.
    """

    network: keras.Model
    size: int
    reference_histogram: tuple[float, ...] | None = None

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "LungSegmenter":
        """Load the model of a `train lungs`, or of an adaptation.

        Args:
            folder: of the training.

        Raises:
            DataError: the folder holds no finished training of lungs, or its radiographs need a preprocessing that this
                version does not have.
        """
        run = read_run(folder, "lungs")
        prepare = dict(run.get("prepare") or {})
        histogram = prepare.pop("histogram", None)
        if prepare:
            raise DataError(
                f"{folder} wants radiographs prepared by {', '.join(prepare)}, which this version cannot; update it."
            )
        return cls(
            load_network(folder, build_network),
            run["parameters"]["size"],
            None if histogram is None else tuple(histogram),
        )

    def preprocess(self, radiograph: np.ndarray) -> np.ndarray:
        """The input of the network from a radiograph.

        Args:
            radiograph: (rows, columns) uint8.

        Returns:
            (size, size, 1) float32.
        """
        return preprocess(
            radiograph if self.reference_histogram is None else match_histogram(radiograph, self.reference_histogram),
            self.size,
        )

    def network_probabilities(self, images: np.ndarray) -> np.ndarray:
        """The probability of lung on the network's grid.

        Args:
            images: (radiographs, size, size, 1), preprocessed.

        Returns:
            (radiographs, size, size) float32.
        """
        return predict_batches(self.network, images)[..., 0]

    def probabilities(self, radiograph: np.ndarray) -> np.ndarray:
        """The probability of lung on the radiograph's own grid.

        Args:
            radiograph: (rows, columns) uint8.

        Returns:
            (rows, columns) float32.
        """
        return to_native_grid(self.network_probabilities(self.preprocess(radiograph)[None])[0], radiograph.shape)

    def predict(self, radiograph: np.ndarray) -> np.ndarray:
        """The lung mask; probabilities are resized first, then thresholded at one half.

        Args:
            radiograph: (rows, columns) uint8.

        Returns:
            (rows, columns) bool.
        """
        return self.probabilities(radiograph) > THRESHOLD


def score_radiographs(
    segmenter: LungSegmenter,
    mean: np.ndarray,
    xrays: Sequence[XRay],
    progress: Callable[[int], None],
    notes: dict[str, tuple[str, ...]] | None = None,
) -> list[dict]:
    """Segment each X-ray and score it against its ground truth.

    Args:
        segmenter: the model to score.
        mean: (size, size), the mean of the training masks; thresholded at one half it is the trivial prediction.
        xrays: with masks.
        progress: called with the number of X-rays done.
        notes: receives by id what is unusual about an X-ray, see `helpers.data.plausibility.radiograph_notes`.

    Returns:
        One row an X-ray, as `helpers.measure.radiographs.by_site` takes them.
    """

    def read(xray: XRay) -> np.ndarray:
        radiograph = read_image(xray.image)
        if notes is not None:
            notes[xray.id] = radiograph_notes(radiograph)
        return segmenter.preprocess(radiograph)

    def score(case: tuple[XRay, np.ndarray]) -> dict:
        xray, probabilities = case
        truth = read_lungs(xray)
        scores, trivial = (
            score_radiograph(truth, to_native_grid(one, truth.shape) > THRESHOLD) for one in (probabilities, mean)
        )
        return {"id": xray.id, "site": xray.site, **scores, "trivial": trivial, "truth": label_digest(truth)}

    rows: list[dict] = []
    for start in range(0, len(xrays), CHUNK):
        chunk = xrays[start : start + CHUNK]
        probabilities = segmenter.network_probabilities(np.stack(list(map_threads(read, chunk))))
        rows += map_threads(score, zip(chunk, probabilities, strict=True))
        progress(len(rows))
    return rows
