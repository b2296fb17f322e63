"""Laws of the evaluation: on the patient's own grid, with the trivial model beside."""

import json

import numpy as np
import pytest

from helpers.data.volumes import read_scan
from helpers.measure.evaluate import evaluate, summarise_patients
from helpers.measure.mask_scores import label_digest
from helpers.measure.overlap import dice
from helpers.measure.regions import CLASSES, REGIONS, mask, score_labels

MODALITIES = ("flair", "t1ce")


def test_perfect_model_scores_one_and_the_trivial_model_nothing(patients):
    result = evaluate(lambda scan: scan.seg, patients[:3], MODALITIES)
    assert result["n"] == 3
    assert [patient["id"] for patient in result["patients"]] == [patient.id for patient in patients[:3]]
    for region in ("WT", "TC"):
        perfect, trivial = result["regions"][region], result["trivial"][region]
        assert (perfect["dice"]["mean"], perfect["dice"]["ci95"]) == (1.0, [1.0, 1.0])
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
    together = summarise_patients([*one["patients"], *two["patients"]])
    assert together["n"] == 3
    assert together["regions"]["WT"]["dice"]["mean"] == pytest.approx(1 / 3)


@pytest.fixture
def volumes():
    """Ground truth and prediction of three patients; the third has no tumour, and the model finds some."""
    rng = np.random.default_rng(0)
    truths = [np.zeros((12, 12, 8), np.uint8) for _ in range(3)]
    for truth, size in zip(truths[:2], (8, 4), strict=True):
        truth[2 : 2 + size, 2 : 2 + size, 2:6] = 2
        truth[3:5, 3:5, 3:5] = 3
    predictions = [np.roll(truth, 1, axis=0) * (rng.random(truth.shape) < 0.9) for truth in truths]
    predictions[2][5, 5, 5] = 2
    return truths, [one.astype(np.uint8) for one in predictions]


@pytest.fixture
def result(volumes):
    rows = []
    for number, (truth, prediction) in enumerate(zip(*volumes, strict=True)):
        row = {"id": str(number), "site": [None, "CBICA", "TCIA"][number]}
        trivial = score_labels(truth, np.zeros_like(truth), (1, 1, 2))
        row |= score_labels(truth, prediction, (1, 1, 2))
        rows.append(row | {"trivial": trivial["regions"], "trivial_counts": trivial["counts"]})
    return summarise_patients(rows)


def test_means_over_patients_voxels_and_slices_have_names_of_their_own(volumes, result):
    truths, predictions = ([mask(one, "WT") for one in part] for part in volumes)
    pairs = list(zip(truths, predictions, strict=True))
    assert result["regions"]["WT"]["dice"]["mean"] == pytest.approx(np.mean([dice(*pair) for pair in pairs]))
    together = dice(np.concatenate(truths), np.concatenate(predictions))
    assert result["pooled_voxels"]["WT"]["dice"] == pytest.approx(together)
    slices = [(t[..., k], p[..., k]) for t, p in pairs for k in range(8)]
    by_slice, per_slice = [dice(*one) for one in slices], result["per_slice"]["WT"]
    assert per_slice["dice_empty_slices_as_1"] == pytest.approx(np.mean(by_slice))
    as_0 = [score if t.any() or p.any() else 0 for score, (t, p) in zip(by_slice, slices, strict=True)]
    assert per_slice["dice_empty_slices_as_0"] == pytest.approx(np.mean(as_0))
    with_truth = [score for score, (t, _) in zip(by_slice, slices, strict=True) if t.any()]
    assert per_slice["dice_slices_with_truth"] == pytest.approx(np.mean(with_truth))
    assert (per_slice["slices"], per_slice["slices_with_truth"]) == (24, 8)


def test_means_of_distances_say_how_many_diagonals_they_hold(result):
    assert result["regions"]["WT"]["hd95_mm"]["diagonals"] == 1  # the patient without tumour
    assert result["regions"]["ET"]["hd95_mm"]["diagonals"] == 0
    assert result["trivial"]["WT"]["assd_mm"]["diagonals"] == 2
    assert "diagonals" not in result["regions"]["WT"]["dice"]


def test_scores_without_a_value_are_counted_and_not_averaged(result):
    sensitivity = result["regions"]["WT"]["sensitivity"]
    assert (sensitivity["n"], sensitivity["undefined"]) == (2, 1)
    assert result["trivial"]["WT"]["precision"]["mean"] is None
    json.dumps(result, allow_nan=False)


def test_classes_are_scored_beside_regions(volumes, result):
    assert list(result["classes"]) == list(CLASSES)
    oedema = [dice(t == 2, p == 2) for t, p in zip(*volumes, strict=True)]
    assert result["classes"]["oedema"]["dice"]["mean"] == pytest.approx(np.mean(oedema))
    assert result["classes"]["enhancing"] == result["regions"]["ET"]


def test_each_site_has_its_own_means_beside_the_mean_over_all(result):
    assert {site: part["n"] for site, part in result["sites"].items()} == {"CBICA": 1, "TCIA": 1}
    assert list(result["sites"]["TCIA"]["regions"]) == list(REGIONS)
    assert result["sites"]["TCIA"]["regions"]["WT"]["dice"]["mean"] == 0


def test_lesions_of_all_patients_are_counted_together(result):
    lesions = result["pooled_lesions"]["WT"]
    assert (lesions["found"], lesions["missed"], lesions["false"]) == (2, 0, 1)
    assert (lesions["recall"], lesions["precision"]) == (1, pytest.approx(2 / 3))
    assert result["pooled_lesions"]["ET"]["recall"] is None  # 8 voxels of 2 mm^3 are too small to count


def test_scores_of_older_versions_are_summarised_as_before():
    old = {"dice": 0.5, "jaccard": 1 / 3, "hd95_mm": 2.0, "volume_error_ml": 1.0}
    row = {"id": "a", "regions": {"WT": old}, "trivial": {"WT": old}}
    result = summarise_patients([row, row | {"id": "b"}])
    assert set(result) == {"n", "regions", "trivial", "patients"}
    assert result["regions"]["WT"]["dice"]["mean"] == 0.5


def test_the_digest_of_a_ground_truth_knows_its_voxels(volumes):
    truth = volumes[0][0]
    assert label_digest(truth) == label_digest(truth.astype(np.int32)) == label_digest(np.asfortranarray(truth))
    assert label_digest(truth) != label_digest(np.roll(truth, 1))
