"""Laws of the public kernel's scores, and of each step from them to an honest one."""

import keras
import numpy as np
import pytest

from helpers.measure import kernel_scores as ks
from helpers.measure import planted
from helpers.measure.overlap import dice
from helpers.measure.regions import never_finds, score_patient
from helpers.prepare.public_kernel import kept_slices

RNG = np.random.default_rng(0)
EYE = np.eye(4, dtype=np.float32)


def labels(wrong=0.006, foreground=0.03, shape=(40, 40, 40)):
    truth = RNG.choice(4, shape, p=[1 - foreground, *[foreground / 3] * 3]).astype(np.uint8)
    flip = RNG.random(shape) < wrong
    return truth, np.where(flip, (truth + 1) % 4, truth).astype(np.uint8)


def soft(given, sure=0.9):
    return sure * EYE[given] + (1 - sure) / 3 * (1 - EYE[given])


@pytest.fixture
def patient():
    truth = np.zeros((40, 40, 62), np.uint8)
    for label, radius in ((2, 10), (1, 6), (3, 3)):
        truth[planted.ball(truth.shape, (20, 20, 40), radius)] = label
    return truth


@pytest.mark.parametrize("make", [lambda p: EYE[p], soft])
def test_the_metric_is_that_of_keras_on_masks_and_on_probabilities(make):
    truth, drawn = labels()
    metric = keras.metrics.MeanIoU(num_classes=4)
    metric.update_state(EYE[truth], make(drawn))
    assert ks.one_hot_mean_iou(EYE[truth], make(drawn)) == pytest.approx(float(metric.result()), abs=1e-6)


@pytest.mark.parametrize("wrong", [0.0, 0.001, 0.006, 0.2])
def test_one_hot_iou_follows_from_accuracy_alone(wrong):
    truth, drawn = labels(wrong)
    accuracy = ks.accuracy([truth], [drawn])
    assert ks.one_hot_mean_iou(EYE[truth], EYE[drawn]) == pytest.approx(ks.iou_of_accuracy(accuracy))


def test_the_papers_accuracy_gives_the_papers_iou():
    assert ks.iou_of_accuracy(0.994) == pytest.approx(0.9920, abs=5e-5)


def test_all_background_gets_an_iou_of_0_96_with_three_per_cent_of_tumour():
    truth, _ = labels(foreground=0.029, shape=(60, 60, 60))
    assert ks.one_hot_mean_iou(EYE[truth], EYE[0 * truth]) == pytest.approx(0.962, abs=0.002)
    assert ks.class_dice(truth, 0 * truth) == 0


def test_the_truth_against_itself_does_not_find_the_fault_but_doubt_does():
    truth, _ = labels()
    assert ks.one_hot_mean_iou(EYE[truth], EYE[truth]) == 1
    assert ks.one_hot_mean_iou(EYE[truth], soft(truth, 0.97)) == pytest.approx(0.375)


def test_a_quarter_of_the_kernels_dice_is_the_background():
    truth, drawn = labels()
    every = ks.kernel_dice(EYE[truth], EYE[drawn])
    background, rest = (ks.kernel_dice(EYE[truth], EYE[drawn], classes) for classes in ([0], [1, 2, 3]))
    assert every == pytest.approx((background + 3 * rest) / 4)
    assert ks.kernel_dice(EYE[truth], EYE[0 * truth]) == pytest.approx(background / 4, abs=0.01)


def test_in_a_batch_without_a_class_finding_nothing_is_a_full_success(patient):
    shares = EYE[np.moveaxis(patient, 2, 0)]
    nothing = np.zeros_like(shares) + EYE[0]
    without = np.mean([not shares[k : k + 8, ..., 1:].any() for k in range(0, 62, 8)])
    points = np.mean(
        [ks.kernel_dice(shares[k : k + 8], nothing[k : k + 8], [1, 2, 3]) > 0.999 for k in range(0, 62, 8)]
    )
    assert ks.by_batch(shares, nothing, 8, [1, 2, 3]) > without / 2 > 0
    assert points == without


def test_a_soft_score_depends_on_doubt_where_the_outline_is_perfect():
    truth, _ = labels()
    scores = [ks.kernel_dice(EYE[truth], soft(truth, sure), [1, 2, 3]) for sure in (1.0, 0.9, 0.6)]
    assert scores[0] == 1
    assert scores[0] > scores[1] > scores[2]
    assert ks.class_dice(truth, soft(truth, 0.6).argmax(axis=-1)) == 1


def test_the_rule_for_empty_slices_is_worth_their_share():
    truths, drawn = [], []
    for _ in range(3):
        truth, other = (RNG.random((8, 8, 30)) < 0.2 for _ in range(2))
        hidden = RNG.random(30) < 0.6
        truths.append(truth & ~hidden)
        drawn.append(other & ~hidden)
    empty = np.mean(
        [not (t[..., k].any() or p[..., k].any()) for t, p in zip(truths, drawn, strict=True) for k in range(30)]
    )
    one, zero = (ks.slice_dice(truths, drawn, rule) for rule in (1.0, 0.0))
    assert one - zero == pytest.approx(empty)
    assert ks.slice_dice(truths, drawn, None) == pytest.approx(zero / (1 - empty))


def test_pooled_and_per_patient_differ_by_the_covariance_of_weight_and_dice():
    truths = [RNG.random((10, 10, 10)) < size for size in (0.02, 0.1, 0.4, 0.6)]
    drawn = [t & (RNG.random(t.shape) < found) for t, found in zip(truths, (0.2, 0.5, 0.7, 0.9), strict=True)]
    each = np.array([dice(*pair) for pair in zip(truths, drawn, strict=True)])
    weight = np.array([t.sum() + p.sum() for t, p in zip(truths, drawn, strict=True)], float)
    gap = ks.pooled_dice(truths, drawn) - each.mean()
    assert gap == pytest.approx(np.mean((weight / weight.mean() - 1) * (each - each.mean())))
    assert gap > 0.1
    assert ks.pooled_dice([np.zeros(3, bool)], [np.zeros(3, bool)]) == 1


def test_the_planted_cohort_looks_well_in_the_pot():
    truths, drawn = planted.one_large_many_small()
    each = [dice(*pair) for pair in zip(truths, drawn, strict=True)]
    assert ks.pooled_dice(truths, drawn) - np.mean(each) > 0.25


def test_a_tumour_near_the_vertex_is_perfect_where_it_is_scored_and_half_missed(patient):
    high = planted.lifted(patient, 60)
    kept = kept_slices(62)
    drawn = np.zeros_like(high)
    drawn[..., kept] = high[..., kept]
    assert np.flatnonzero((high > 0).any(axis=(0, 1)))[-1] == 60
    assert (high > 0).sum() == (patient > 0).sum()
    assert ks.honest_dice(high[..., kept], drawn[..., kept]) == 1
    assert ks.honest_dice(high, drawn) < 0.7


def test_a_model_that_never_finds_et_is_all_background_in_four_columns_at_99_per_cent(patient):
    drawn, nothing = planted.never_finds(patient), np.zeros_like(patient)
    assert ks.accuracy([patient], [drawn]) > 0.99
    scores = score_patient(patient, drawn, (2, 2, 2.5))
    assert (scores["WT"]["dice"], scores["TC"]["dice"]) == (1, 1)
    blank = score_patient(patient, nothing, (2, 2, 2.5))
    assert never_finds([scores["ET"]], [blank["ET"]])
    assert not never_finds([scores["WT"]], [blank["WT"]])


def test_who_draws_beside_the_tumour_has_its_dice_and_not_its_distance(patient):
    beside = score_patient(patient, planted.beside(patient), (2, 2, 2.5))["ET"]
    blank = score_patient(patient, 0 * patient, (2, 2, 2.5))["ET"]
    assert beside["dice"] == blank["dice"] == 0
    assert not never_finds([beside], [blank])


def test_a_sighted_model_finds_et_within_its_own_outline(patient):
    outline = np.where(patient > 0, 2, 0).astype(np.uint8)
    found = planted.sighted(outline, patient)
    np.testing.assert_array_equal(found > 0, outline > 0)
    scores, blank = (score_patient(patient, one, (2, 2, 2.5))["ET"] for one in (found, 0 * patient))
    assert 0.5 < scores["dice"] < 1
    assert not never_finds([scores], [blank])


def test_a_copier_of_neighbours_wins_a_split_by_slices_and_knows_nothing(patient):
    truth = np.moveaxis(patient, 2, 0)
    hidden = np.arange(len(truth)) % 8 == 3
    copied = planted.copies_neighbours(truth, hidden)
    score = ks.slice_dice([np.moveaxis(truth[hidden] > 0, 0, 2)], [np.moveaxis(copied[hidden] > 0, 0, 2)], None)
    assert score > 0.8
    np.testing.assert_array_equal(copied[~hidden], truth[~hidden])
    with pytest.raises(ValueError, match="every slice is held back"):
        planted.copies_neighbours(truth, np.ones(len(truth), bool))


def test_a_coarse_grid_forgives_a_ragged_rim(patient):
    rim = (patient > 0) ^ planted.ball(patient.shape, (20, 20, 40), 8)
    drawn = (patient > 0) & ~(rim & (RNG.random(rim.shape) < 0.5))
    coarse = [one.reshape(20, 2, 20, 2, 62).mean(axis=(1, 3)) >= 0.5 for one in ((patient > 0), drawn)]
    assert dice(*coarse) > dice(patient > 0, drawn) + 0.02


def test_a_region_that_cannot_be_hidden_is_refused():
    with pytest.raises(ValueError, match="expected 'ET' or 'TC'"):
        planted.never_finds(np.zeros((2, 2)), "WT")
