"""The score of a model on chest films: per film, on the film's own grid, a table for each hospital."""

import numpy as np
from numpy.typing import NDArray

from helpers.measure.overlap import dice, jaccard
from helpers.measure.statistics import summarise
from helpers.measure.surface import assd

SCORES = ("dice", "jaccard", "assd_px")


def score_film(truth: NDArray[np.bool_], outline: NDArray[np.bool_]) -> dict[str, float]:
    """Dice, Jaccard and the average distance between the outlines, of two (rows, columns) masks.

    The distance is in the film's own pixels: these PNG files do not tell the millimetres.
    """
    return {"dice": dice(truth, outline), "jaccard": jaccard(truth, outline), "assd_px": assd(truth, outline, (1, 1))}


def by_site(films: list[dict]) -> dict:
    """One table a hospital, never one over both: a mean over two hospitals says how many films each gave.

    Args:
        films: per film `id`, `site`, its `SCORES`, and those of the trivial outline under `trivial`.

    Returns:
        `n`; `sites`, for each hospital `n` and mean and 95 % interval of each score; `trivial`, the same for the
        trivial outline; `images`, the films.
    """
    here = {site: [film for film in films if film["site"] == site] for site in sorted({f["site"] for f in films})}
    return {
        "n": len(films),
        "sites": {site: _summary(some) for site, some in here.items()},
        "trivial": {site: _summary([film["trivial"] for film in some]) for site, some in here.items()},
        "images": films,
    }


def _summary(films: list[dict]) -> dict:
    scores = summarise([{"lungs": {name: film[name] for name in SCORES}} for film in films])["lungs"]
    return {"n": len(films), **scores}
