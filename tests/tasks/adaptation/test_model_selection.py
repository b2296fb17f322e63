"""Laws of choosing without masks."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.tasks.adaptation import model_selection
from helpers.tasks.adaptation.model_selection import ModelSelector, entropy_per_lung_pixel
from helpers.tasks.lungs.shape import ShapeCheck


def pair(rows=(6, 20), n=1, size=32):
    """Two lungs."""
    mask = np.zeros((n, size, size), bool)
    for columns in ((4, 12), (18, 26)):
        mask[:, slice(*rows), slice(*columns)] = True
    return mask


@pytest.fixture
def score(monkeypatch):
    """A selector, and a stand-in for the network: its predictions at the source, then at the target."""
    truth = pair(n=4)
    soft_labels = np.stack([~truth, truth], axis=-1) * np.uint8(255)
    shape = ShapeCheck.fit(pair(n=9))
    made = ModelSelector(np.zeros((4, 32, 32, 1)), soft_labels, shape, np.zeros((2, 32, 32, 1)))

    def select(source, target, **changed):
        predictions = iter([source, target])
        monkeypatch.setattr(
            model_selection, "lung_probabilities", lambda network, images: next(predictions).astype(np.float32)
        )
        return replace(made, **changed)(None)

    return select


def test_a_sure_network_that_finds_two_lungs_of_the_usual_size_could_not_be_better(score):
    row = score(pair(n=4), pair(n=2))
    assert row["val_dice"] == 1
    assert row["implausible_fraction"] == 0
    assert row["relative_entropy_gap"] == pytest.approx(0, abs=1e-3)
    assert row["selection_score"] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    "target",
    [
        np.zeros((2, 32, 32)),
        np.ones((2, 32, 32)),
        pair((6, 30), 2),
        pair((6, 8), 2),
        pair(n=2)[..., ::-1].cumsum(2) > 0,
    ],
    ids=["nothing", "everything", "too large", "too small", "one part"],
)
def test_what_cannot_be_lungs_is_implausible(score, target):
    row = score(pair(n=4), target)
    assert row["implausible_fraction"] == 1
    assert row["selection_score"] <= 0.01


def test_where_no_shape_is_known_nothing_is_implausible(score):
    row = score(pair(n=4), np.ones((2, 32, 32)), shape=None)
    assert row["implausible_fraction"] == 0


def test_who_is_surer_of_everything_is_not_better(score):
    """Entropy counts beyond that at the source, so what both hospitals' radiographs share cancels."""
    lungs = pair(n=4)
    rows = [score(np.where(lungs, p, 0.01), np.where(lungs[:2], p, 0.01)) for p in (0.7, 0.99)]
    assert [row["relative_entropy_gap"] for row in rows] == pytest.approx([0, 0], abs=1e-6)
    assert rows[0]["selection_score"] == pytest.approx(rows[1]["selection_score"], abs=1e-6)
    assert score(lungs, np.where(lungs[:2], 0.7, 0.01))["relative_entropy_gap"] > 0.1


def test_doubt_grows_towards_one_half_and_finding_nothing_is_no_way_out():
    lungs = pair(n=1)
    steps = [entropy_per_lung_pixel(np.where(lungs, p, 0.01))[0] for p in (0.99, 0.9, 0.7, 0.5)]
    assert steps == sorted(steps)
    assert entropy_per_lung_pixel(np.where(lungs, 0.4, 0.01))[0] > entropy_per_lung_pixel(np.where(lungs, 0.9, 0.01))[0]
