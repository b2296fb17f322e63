"""Evaluation on chest radiographs: scores per radiograph, on its own grid, and one table for each hospital."""

import numpy as np
from numpy.typing import NDArray

from helpers.measure.overlap import dice, jaccard
from helpers.measure.statistics import summarise
from helpers.measure.surface import assd

SCORES = ("dice", "jaccard", "assd_px")


def score_radiograph(truth: NDArray[np.bool_], outline: NDArray[np.bool_]) -> dict[str, float]:
    """Dice, Jaccard and average symmetric surface distance of a predicted lung mask.

    Args:
        truth: ground truth mask, (rows, columns) bool.
        outline: predicted mask, the same shape.

    Returns:
        The three `SCORES`; the distance in the radiograph's own pixels, for these PNG files give no millimetres.
    """
    return {"dice": dice(truth, outline), "jaccard": jaccard(truth, outline), "assd_px": assd(truth, outline, (1, 1))}


def by_site(radiographs: list[dict]) -> dict:
    """One table for each hospital, never one over both: that mean would depend on how many radiographs each has.

    Args:
        radiographs: per radiograph `id`, `site`, its `SCORES`, and those of the trivial prediction under `trivial`.

    Returns:
        `n`; `sites`, for each hospital `n` and mean and 95 % confidence interval of each score; `trivial`, the same for
        the trivial prediction; `images`, the radiographs.
    """
    sites = {
        site: [radiograph for radiograph in radiographs if radiograph["site"] == site]
        for site in sorted({radiograph["site"] for radiograph in radiographs})
    }
    return {
        "n": len(radiographs),
        "sites": {site: _summary(images) for site, images in sites.items()},
        "trivial": {site: _summary([image["trivial"] for image in images]) for site, images in sites.items()},
        "images": radiographs,
    }


def _summary(radiographs: list[dict]) -> dict:
    scores = summarise([{"lungs": {name: radiograph[name] for name in SCORES}} for radiograph in radiographs])["lungs"]
    return {"n": len(radiographs), **scores}
