import numpy as np
import pytest

from helpers.measure import regions
from helpers.measure.mask_scores import SCORES

PERFECT = {name: 0.0 if name.endswith(("_mm", "_ml")) else 1.0 for name in SCORES}


@pytest.fixture
def labels():
    """A nested tumour: oedema round a core round an enhancing centre."""
    volume = np.zeros((20, 22, 16), np.uint8)
    volume[4:16, 4:16, 3:13] = 2
    volume[6:14, 6:14, 5:11] = 1
    volume[8:12, 8:12, 6:10] = 3
    return volume


def test_regions_are_nested(labels):
    whole, core, enhancing = (regions.mask(labels, name) for name in ("WT", "TC", "ET"))
    assert (whole >= core).all()
    assert (core >= enhancing).all()
    assert whole.sum() > core.sum() > enhancing.sum() > 0
    np.testing.assert_array_equal(whole & ~core, labels == 2)


def test_a_perfect_prediction_scores_perfectly(labels):
    for scores in regions.score_patient(labels, labels, (1, 1, 1)).values():
        assert scores == PERFECT


def test_the_all_background_model_scores_nothing(labels):
    scores = regions.score_patient(labels, np.zeros_like(labels), (1, 1, 2))
    assert list(scores) == ["WT", "TC", "ET"]
    for name, score in scores.items():
        assert score["dice"] == score["jaccard"] == 0.0
        assert score["hd95_mm"] == pytest.approx(np.linalg.norm([20, 22, 32]))
        assert score["volume_error_ml"] == pytest.approx(-regions.mask(labels, name).sum() * 2 / 1000)


def test_a_patient_without_enhancement_is_no_fault_of_the_model(labels):
    labels[labels == 3] = 1
    assert regions.score_patient(labels, labels, (1, 1, 1))["ET"]["dice"] == 1.0


def test_volume_error_is_positive_where_the_model_drew_too_much(labels):
    grown = labels.copy()
    grown[4:16, 4:16, 13] = 2  # one slice more of 12 x 12 voxels
    scores = regions.score_patient(labels, grown, (0.5, 2.0, 3.0))
    assert scores["WT"]["volume_error_ml"] == pytest.approx(144 * 3.0 / 1000)
    assert scores["TC"]["volume_error_ml"] == 0.0


def test_confusing_core_and_enhancing_leaves_the_core_region_alone(labels):
    confused = np.where(labels == 3, 1, labels)
    scores = regions.score_patient(labels, confused, (1, 1, 1))
    assert scores["WT"]["dice"] == scores["TC"]["dice"] == 1.0
    assert scores["ET"]["dice"] == 0.0


def test_labels_as_stored_on_disk_are_refused(labels):
    labels[labels == 3] = 4
    with pytest.raises(ValueError, match="to_network"):
        regions.mask(labels, "ET")


def test_probabilities_are_refused(labels):
    with pytest.raises(ValueError, match="argmax"):
        regions.score_patient(labels, labels.astype(np.float32), (1, 1, 1))


def test_an_unknown_region_is_named(labels):
    with pytest.raises(ValueError, match=r"'core'.*WT, TC, ET"):
        regions.mask(labels, "core")


def test_a_single_slice_is_refused(labels):
    with pytest.raises(ValueError, match=r"\(rows, columns, slices\)"):
        regions.score_patient(labels[..., 8], labels[..., 8], (1, 1))


def test_volumes_on_different_grids_are_refused(labels):
    with pytest.raises(ValueError, match="one grid"):
        regions.score_patient(labels, labels[:, :, :8], (1, 1, 1))
