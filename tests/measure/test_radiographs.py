"""Laws of scoring radiographs: a table for each hospital, and distances in the radiograph's own pixels."""

import numpy as np
import pytest

from helpers.measure.radiographs import by_site, score_radiograph


def _radiograph(identity, site, dice, trivial=0.5):
    def scores(value):
        return {"dice": value, "jaccard": value / (2 - value), "assd_px": 10 * (1 - value)}

    return {"id": identity, "site": site, **scores(dice), "trivial": scores(trivial)}


def test_outline_that_is_moved_is_as_far_off_as_it_was_moved():
    truth, outline = np.zeros((2, 40, 60), bool)
    truth[:, 20:] = True
    outline[:, 23:] = True
    scores = score_radiograph(truth, outline)
    assert scores["dice"] == pytest.approx(2 * 37 / 77)
    assert scores["jaccard"] == pytest.approx(37 / 40)
    assert 0 < scores["assd_px"] < 3  # the left edges are 3 px apart, the edges of the radiograph nothing
    assert score_radiograph(truth, truth) == {"dice": 1, "jaccard": 1, "assd_px": 0}


def test_every_hospital_has_its_own_mean_and_the_trivial_outline_beside_it():
    radiographs = [
        _radiograph("a", "one", 0.9),
        _radiograph("b", "one", 0.7),
        _radiograph("c", "two", 0.5, trivial=0.1),
    ]
    result = by_site(radiographs)
    assert result["n"] == 3
    assert result["images"] == radiographs
    assert {site: scores["n"] for site, scores in result["sites"].items()} == {"one": 2, "two": 1}
    assert result["sites"]["one"]["dice"]["mean"] == pytest.approx(0.8)
    low, high = result["sites"]["one"]["dice"]["ci95"]
    assert 0.7 <= low < 0.8 < high <= 0.9
    trivial = result["trivial"]["two"]["dice"]
    assert (trivial["mean"], trivial["ci95"], trivial["interval"]) == (0.1, [0.1, 0.1], None)  # one X-ray
