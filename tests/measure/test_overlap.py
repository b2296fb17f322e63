import numpy as np
import pytest

from helpers.measure.overlap import dice, jaccard


def blobs(seed, shape=(12, 14, 9), share=0.3):
    return np.random.default_rng(seed).random(shape) < share


def test_worked_example():
    truth, prediction = np.array([1, 1, 1, 0, 0]), np.array([0, 1, 1, 1, 0])
    assert dice(truth, prediction) == pytest.approx(4 / 6)
    assert jaccard(truth, prediction) == pytest.approx(2 / 4)


@pytest.mark.parametrize("score", [dice, jaccard])
def test_empty_masks_follow_the_brats_rule(score):
    empty, filled = np.zeros((4, 4, 4), bool), np.ones((4, 4, 4), bool)
    assert score(empty, empty) == 1.0
    assert score(empty, filled) == 0.0
    assert score(filled, empty) == 0.0


@pytest.mark.parametrize("score", [dice, jaccard])
@pytest.mark.parametrize("seed", range(5))
def test_overlap_is_symmetric_between_0_and_1_and_1_for_equal_masks(score, seed):
    truth, prediction = blobs(seed), blobs(seed + 100, share=0.1 * (seed + 1))
    assert score(truth, prediction) == score(prediction, truth)
    assert 0 < score(truth, prediction) < 1
    assert score(truth, truth) == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_jaccard_follows_from_dice(seed):
    truth, prediction = blobs(seed), blobs(seed + 100)
    d = dice(truth, prediction)
    assert jaccard(truth, prediction) == pytest.approx(d / (2 - d), abs=1e-12)


@pytest.mark.parametrize("score", [dice, jaccard])
def test_moving_both_masks_changes_nothing(score):
    truth, prediction = np.pad(blobs(1), 3), np.pad(blobs(2), 3)
    moved = [np.roll(mask, (2, -3, 1), axis=(0, 1, 2)) for mask in (truth, prediction)]
    assert score(*moved) == score(truth, prediction)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_masks_of_zeros_and_ones_score_as_booleans(dtype):
    truth, prediction = blobs(1), blobs(2)
    assert dice(truth.astype(dtype), prediction.astype(dtype)) == dice(truth, prediction)


@pytest.mark.parametrize("score", [dice, jaccard])
def test_masks_on_different_grids_are_refused(score):
    with pytest.raises(ValueError, match=r"\(4, 4\).*\(4, 1\).*own grid"):
        score(np.ones((4, 4), bool), np.ones((4, 1), bool))


@pytest.mark.parametrize("values", [[0, 2], [0.0, 0.4], [np.nan, 1.0], [-1, 0]])
def test_label_and_probability_maps_are_refused(values):
    with pytest.raises(ValueError, match="prediction holds values other than 0 and 1"):
        dice(np.array([0, 1]), np.array(values))


def test_text_is_refused():
    with pytest.raises(ValueError, match="truth has dtype"):
        dice(np.array(["a", "b"]), np.array([0, 1]))
