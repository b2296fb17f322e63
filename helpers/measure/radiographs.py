"""The score of a model on chest radiographs: per radiograph, on the radiograph's own grid, a table for each
hospital."""

import numpy as np
from numpy.typing import NDArray

from helpers.measure.overlap import dice, jaccard
from helpers.measure.statistics import summarise
from helpers.measure.surface import assd

SCORES = ("dice", "jaccard", "assd_px")


def score_radiograph(truth: NDArray[np.bool_], outline: NDArray[np.bool_]) -> dict[str, float]:
    """Dice, Jaccard and the average distance between the outlines, of two (rows, columns) masks.

    The distance is in the radiograph's own pixels: these PNG files do not tell the millimetres.
    """
    return {"dice": dice(truth, outline), "jaccard": jaccard(truth, outline), "assd_px": assd(truth, outline, (1, 1))}


def by_site(radiographs: list[dict]) -> dict:
    """One table a hospital, never one over both: a mean over two hospitals says how many radiographs each gave.

    Args:
        radiographs: per radiograph `id`, `site`, its `SCORES`, and those of the trivial outline under `trivial`.

    Returns:
        `n`; `sites`, for each hospital `n` and mean and 95 % interval of each score; `trivial`, the same for the
        trivial outline; `images`, the radiographs.
    """
    here = {
        site: [radiograph for radiograph in radiographs if radiograph["site"] == site]
        for site in sorted({f["site"] for f in radiographs})
    }
    return {
        "n": len(radiographs),
        "sites": {site: _summary(some) for site, some in here.items()},
        "trivial": {site: _summary([radiograph["trivial"] for radiograph in some]) for site, some in here.items()},
        "images": radiographs,
    }


def _summary(radiographs: list[dict]) -> dict:
    scores = summarise([{"lungs": {name: radiograph[name] for name in SCORES}} for radiograph in radiographs])["lungs"]
    return {"n": len(radiographs), **scores}
