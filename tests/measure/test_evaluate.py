"""Laws of the evaluation: on the patient's own grid, with the trivial model beside."""

import numpy as np
import pytest

from helpers.data.volumes import read_scan
from helpers.measure.evaluate import evaluate, pooled

MODALITIES = ("flair", "t1ce")


def test_perfect_model_scores_one_and_the_trivial_model_nothing(patients):
    result = evaluate(lambda scan: scan.seg, patients[:3], MODALITIES)
    assert result["n"] == 3
    assert [patient["id"] for patient in result["patients"]] == [patient.id for patient in patients[:3]]
    for region in ("WT", "TC"):
        perfect, trivial = result["regions"][region], result["trivial"][region]
        assert perfect["dice"] == {"mean": 1.0, "ci95": [1.0, 1.0]}
        assert (perfect["hd95_mm"]["mean"], perfect["volume_error_ml"]["mean"]) == (0, 0)
        assert trivial["dice"]["mean"] == 0
        assert trivial["hd95_mm"]["mean"] == pytest.approx(373.13, abs=0.01)
        assert trivial["volume_error_ml"]["mean"] < 0


def test_model_sees_whole_volumes_in_the_order_asked(patients):
    seen = []

    def model(scan):
        seen.append((scan.images.shape, scan.modalities))
        return np.zeros_like(scan.seg)

    evaluate(model, patients[:1], ("t1ce", "flair"))
    assert seen == [((60, 60, 39, 2), ("t1ce", "flair"))]


def test_volume_error_is_in_millilitres_of_the_patients_spacing(patients):
    scan = read_scan(patients[0], MODALITIES)
    result = evaluate(lambda s: np.zeros_like(s.seg), patients[:1], MODALITIES)
    expected = -np.count_nonzero(scan.seg) * np.prod(scan.spacing) / 1000
    assert result["regions"]["WT"]["volume_error_ml"]["mean"] == pytest.approx(expected)


def test_progress_counts_patients(patients):
    calls = []
    evaluate(lambda scan: scan.seg, patients[:2], MODALITIES, lambda done, total: calls.append((done, total)))
    assert calls == [(1, 2), (2, 2)]


def test_pooling_folds_is_the_mean_over_all_patients(patients):
    one = evaluate(lambda scan: scan.seg, patients[:1], MODALITIES)
    two = evaluate(lambda scan: np.zeros_like(scan.seg), patients[1:3], MODALITIES)
    together = pooled([*one["patients"], *two["patients"]])
    assert together["n"] == 3
    assert together["regions"]["WT"]["dice"]["mean"] == pytest.approx(1 / 3)
