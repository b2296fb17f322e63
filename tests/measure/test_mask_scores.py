"""Every metric against another way to compute it (scikit-learn, distance maps, loops), and the laws that all keep."""

import time

import numpy as np
import pytest
from hypothesis import given
from scipy import ndimage
from skimage.measure import marching_cubes, mesh_surface_area
from sklearn import metrics

from helpers.measure import components, mask_scores, overlap, surface, surface_dice
from helpers.measure.mask_scores import SCORES, MaskCounts, count_slices, score_masks
from tests.measure.masks import EMPTY_PAIRS, PAIRS, body, laws, pairs, voxel

FULL = np.ones((3, 3, 3))
UNSIGNED = [name for name in SCORES if name != "volume_error_ml"]
SYMMETRIC = ["dice", "jaccard", "hd95_mm", "assd_mm", "nsd_1mm", "absolute_volume_error_ml"]


def scored(truth, prediction, spacing):
    return score_masks(truth, prediction, spacing)[0]


def distances_by_map(truth, prediction, spacing):
    """Directed surface distances from distance maps of the whole volume."""
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in (truth, prediction)]
    maps = [ndimage.distance_transform_edt(~one, sampling=spacing) for one in surfaces]
    return maps[1][surfaces[0]], maps[0][surfaces[1]]


def nsd_by_cube(truth, prediction, spacing, tolerances):
    """For each tolerance: area by marching cubes, cube by cube; distances between cubes by a distance map."""
    cubes = []
    for mask in (truth, prediction):
        padded = np.pad(mask, 1).astype(float)
        areas = np.zeros(np.array(mask.shape) + 1)
        for i, j, k in np.ndindex(areas.shape):
            cube = padded[i : i + 2, j : j + 2, k : k + 2]
            if 0 < cube.sum() < 8:
                cube = cube if cube.sum() <= 4 else 1 - cube
                mesh = marching_cubes(cube, 0.5, spacing=spacing, method="lorensen", allow_degenerate=False)
                areas[i, j, k] = mesh_surface_area(*mesh[:2])
        cubes.append(areas)
    maps = [ndimage.distance_transform_edt(areas == 0, sampling=spacing) for areas in cubes]
    whole = cubes[0].sum() + cubes[1].sum()
    return [(cubes[0][maps[1] <= one].sum() + cubes[1][maps[0] <= one].sum()) / whole for one in tolerances]


def lesions_by_loop(truth, prediction, spacing, dilation=3, min_mm3=50):
    """The counts of the BraTS 2023 evaluation, lesion by lesion, on the whole volume."""
    structure = ndimage.generate_binary_structure(3, 2)

    def grow(mask):
        return ndimage.binary_dilation(mask, structure, iterations=dilation) if dilation else mask

    extents, count = ndimage.label(grow(truth), FULL)
    predicted, number = ndimage.label(prediction, FULL)
    found = missed = 0
    touched = set()
    for lesion in (truth & (extents == index) for index in range(1, count + 1)):
        components = set(np.unique(predicted[grow(lesion)])) - {0}
        touched |= components
        if lesion.sum() * np.prod(spacing) > min_mm3:
            found, missed = found + bool(components), missed + (not components)
    return found, missed, number - len(touched)


@pytest.mark.parametrize("name", PAIRS)
def test_overlap_is_that_of_scikit_learn(name):
    truth, prediction, spacing = PAIRS[name]
    labels, scores = (truth.ravel(), prediction.ravel()), scored(truth, prediction, spacing)
    assert scores["dice"] == pytest.approx(metrics.f1_score(*labels), abs=1e-12)
    assert scores["jaccard"] == pytest.approx(metrics.jaccard_score(*labels), abs=1e-12)
    assert scores["sensitivity"] == pytest.approx(metrics.recall_score(*labels), abs=1e-12)
    assert scores["precision"] == pytest.approx(metrics.precision_score(*labels), abs=1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_distances_are_those_of_distance_maps(name):
    truth, prediction, spacing = PAIRS[name]
    directed, scores = distances_by_map(truth, prediction, spacing), scored(truth, prediction, spacing)
    assert scores["hd95_mm"] == pytest.approx(max(np.percentile(one, 95) for one in directed), abs=1e-9)
    assert scores["assd_mm"] == pytest.approx(np.concatenate(directed).mean(), abs=1e-9)


@pytest.mark.parametrize("name", PAIRS)
def test_surface_dice_is_that_of_marching_cubes_and_distance_maps(name):
    tolerances = (0, 1, 2.5)
    values = [surface_dice.nsd(*PAIRS[name], tolerance) for tolerance in tolerances]
    assert values == pytest.approx(nsd_by_cube(*PAIRS[name], tolerances), abs=1e-6)


def test_surface_dice_of_slices_weights_by_length():
    truth, prediction = np.zeros((2, 12, 12), bool)
    truth[3:8, 2:9] = True
    prediction[3:8, 2:11] = True  # two columns more
    corner = np.hypot(0.5, 1.5)  # an outline cuts its corners off
    truth_length, prediction_length = 4 * corner + 2 * 6 * 3 + 2 * 4, 4 * corner + 2 * 8 * 3 + 2 * 4
    end = 4  # mm of the truth's short side, 6 mm away from the other's; its corners lie on the long sides
    other_end = (
        4 + 2 * corner + 2 * 3
    )  # of the prediction: the short side, its corners, and a column of both long sides
    lengths = truth_length + prediction_length
    assert surface_dice.nsd(truth, prediction, (1.0, 3.0), 6) == 1
    assert surface_dice.nsd(truth, prediction, (1.0, 3.0), 0) == pytest.approx(1 - (end + other_end) / lengths)


@pytest.mark.parametrize("dilation", [0, 1, 3])
@pytest.mark.parametrize("name", [*PAIRS, *EMPTY_PAIRS])
def test_lesions_are_counted_as_lesion_by_lesion(name, dilation):
    truth, prediction, spacing = (PAIRS | EMPTY_PAIRS)[name]
    for min_mm3 in (0, 10, 50):
        counted = components.lesions(truth, prediction, spacing, dilation, min_mm3)
        assert counted == lesions_by_loop(truth, prediction, spacing, dilation, min_mm3)


@given(pairs())
@laws
def test_lesions_of_any_masks_are_counted_as_lesion_by_lesion(pair):
    for dilation in (0, 1):
        assert components.lesions(*pair, dilation, 2) == lesions_by_loop(*pair, dilation, 2)


def test_lesions_within_twice_the_dilation_are_one():
    truth, prediction = np.zeros((2, 40, 12, 12), bool)
    truth[2:8, 2:8, 2:8] = truth[14:20, 2:8, 2:8] = True  # 6 voxels between them: grown by 3 they touch
    truth[30:36, 2:8, 2:8] = True
    prediction[4, 4, 4] = True
    assert components.lesions(truth, prediction, (1, 1, 1)) == (1, 1, 0)
    assert components.lesions(truth, prediction, (1, 1, 1), dilation=2) == (1, 2, 0)


def test_small_lesions_are_neither_found_nor_missed_nor_false_positives():
    truth, prediction = np.zeros((2, 30, 30, 30), bool)
    truth[2:5, 2:5, 2:5] = True  # 27 mm^3
    assert components.lesions(truth, prediction, (1, 1, 1)) == (0, 0, 0)
    prediction[3, 3, 3] = True
    assert components.lesions(truth, prediction, (1, 1, 1)) == (0, 0, 0)
    assert components.lesions(truth, prediction, (1, 1, 1), min_mm3=20) == (1, 0, 0)
    prediction[20, 20, 20] = True  # one voxel, and still a false lesion
    assert components.lesions(truth, prediction, (1, 1, 1)) == (0, 0, 1)


@pytest.mark.parametrize("name", [*PAIRS, *EMPTY_PAIRS])
def test_one_pass_gives_what_each_metric_gives_by_itself(name):
    truth, prediction, spacing = (PAIRS | EMPTY_PAIRS)[name]
    scores, counts = score_masks(truth, prediction, spacing)
    assert tuple(scores) == SCORES
    for metric in (overlap.dice, overlap.jaccard, overlap.sensitivity, overlap.precision):
        assert scores[metric.__name__] == metric(truth, prediction)
    assert scores["hd95_mm"] == surface.hd95(truth, prediction, spacing)
    assert scores["assd_mm"] == surface.assd(truth, prediction, spacing)
    assert scores["nsd_1mm"] == surface_dice.nsd(truth, prediction, spacing, 1.0)
    assert counts[3:] == components.lesions(truth, prediction, spacing)
    assert counts[:3] == (truth.sum(), prediction.sum(), (truth & prediction).sum())


def test_empty_masks_have_the_rule_of_brats_or_no_score():
    best = scored(*EMPTY_PAIRS["both empty"])
    assert [best[name] for name in ("dice", "jaccard", "nsd_1mm", "hd95_mm", "assd_mm")] == [1, 1, 1, 0, 0]
    assert [best[name] for name in ("sensitivity", "precision", "lesion_recall", "lesion_precision")] == [None] * 4
    diagonal = np.linalg.norm([9, 8, 14])
    for name, undefined in (("truth empty", "sensitivity"), ("prediction empty", "precision")):
        worst, counts = score_masks(*EMPTY_PAIRS[name])
        assert [worst[name] for name in ("dice", "jaccard", "nsd_1mm")] == [0, 0, 0]
        assert worst["hd95_mm"] == worst["assd_mm"] == pytest.approx(diagonal)
        assert worst[undefined] is None
        assert worst["precision" if undefined == "sensitivity" else "sensitivity"] == 0
        assert counts.one_is_empty


@given(pairs())
@laws
def test_scores_are_bounded_and_dice_follows_from_jaccard(pair):
    truth, prediction, spacing = pair
    scores = scored(truth, prediction, spacing)
    diagonal = np.linalg.norm(np.array(truth.shape) * spacing)
    for name in UNSIGNED:
        if scores[name] is not None:
            assert 0 <= scores[name] <= (np.inf if name.endswith("_ml") else diagonal if name.endswith("_mm") else 1)
    assert scores["dice"] == pytest.approx(2 * scores["jaccard"] / (1 + scores["jaccard"]), abs=1e-12)
    assert scores["jaccard"] <= min(scores["sensitivity"], scores["precision"]) <= scores["dice"] + 1e-12


@given(pairs())
@laws
def test_swapping_the_masks_swaps_sensitivity_and_precision_and_keeps_the_rest(pair):
    truth, prediction, spacing = pair
    there, back = scored(truth, prediction, spacing), scored(prediction, truth, spacing)
    for name in SYMMETRIC:
        assert back[name] == pytest.approx(there[name], abs=1e-12)
    assert (back["sensitivity"], back["precision"]) == (there["precision"], there["sensitivity"])
    assert back["volume_error_ml"] == -there["volume_error_ml"]


@given(pairs())
@laws
def test_moving_both_masks_changes_nothing(pair):
    truth, prediction, spacing = pair
    moved = [np.pad(mask, ((4, 1), (1, 7), (2, 2))) for mask in (truth, prediction)]
    assert scored(*moved, spacing) == scored(truth, prediction, spacing)


@given(pairs())
@laws
def test_permuting_axes_and_spacing_together_changes_nothing(pair):
    truth, prediction, spacing = pair
    expected = scored(truth, prediction, spacing)
    for axes in ((1, 2, 0), (2, 1, 0)):
        permuted = [mask.transpose(axes) for mask in (truth, prediction)]
        assert scored(*permuted, [spacing[axis] for axis in axes]) == pytest.approx(expected, abs=1e-9)


@given(pairs())
@laws
def test_a_wider_tolerance_never_lowers_the_surface_dice(pair):
    values = [surface_dice.nsd(*pair, tolerance) for tolerance in (0, 0.5, 1, 3, 30)]
    assert values == sorted(values)
    assert values[-1] == 1


def test_a_distance_that_equals_the_tolerance_counts_whatever_its_rounding():
    truth, prediction = voxel(0, 0, 0, shape=(1, 1, 9)), voxel(0, 0, 3, shape=(1, 1, 9))
    assert surface_dice.nsd(truth, prediction, (1, 1, 0.1), 0.3) == 1  # 3 * 0.1 > 0.3


@pytest.mark.parametrize("seed", range(3))
def test_perfect_shuffled_and_all_background_predictions_rank_in_every_metric(seed):
    truth, spacing = body(seed), (1.0, 1.0, 2.0)
    shuffled = np.random.default_rng(seed).permutation(truth.ravel()).reshape(truth.shape)
    perfect, chance, nothing = (scored(truth, one, spacing) for one in (truth, shuffled, np.zeros_like(truth)))
    for name in SCORES:
        if name in ("volume_error_ml", "absolute_volume_error_ml"):
            assert perfect[name] == chance[name] == 0  # as many voxels, which is all that a volume sees
            assert abs(nothing[name]) > 0
        elif name.endswith("_mm"):
            assert (
                perfect[name] == 0 < chance[name] < nothing[name] == surface.diagonal_mm(truth.shape, np.array(spacing))
            )
        elif name.endswith("precision"):
            assert perfect[name] == 1
            assert nothing[name] is None
        elif name == "lesion_recall":
            assert (perfect[name], nothing[name]) == (1, 0)  # voxels strewn everywhere touch each lesion
        else:
            assert perfect[name] == 1 > chance[name] > nothing[name] == 0


def test_slices_are_scored_one_by_one():
    truth, prediction = np.zeros((2, 4, 4, 6), bool)
    truth[:2, :2, 1] = truth[:2, :2, 2] = True
    prediction[:2, 1:3, 1] = True  # Dice 0.5
    prediction[0, 0, 4] = True  # Dice 0: no truth here
    counted = count_slices(truth, prediction, 6)
    assert counted == (6, 2, 3, 0.5)
    by_loop = [overlap.dice(truth[..., k], prediction[..., k]) for k in range(6)]
    assert np.mean(by_loop) == pytest.approx((counted.sum_dice + counted.both_empty) / counted.slices)


def test_counts_of_a_box_are_those_of_the_volume():
    truth, prediction = (np.pad(one, ((9, 4), (3, 8), (5, 6))) for one in (body(1), body(2)))
    box = surface.bounding_box(truth | prediction)
    cut = score_masks(truth[box], prediction[box], (1, 1, 2), truth.shape)
    assert cut == score_masks(truth, prediction, (1, 1, 2))
    empty = np.zeros((2, 2, 2), bool)
    assert score_masks(empty, ~empty, (1, 1, 1), (3, 4, 12))[0]["hd95_mm"] == 13


def test_a_volume_of_stray_voxels_costs_seconds_at_most():
    truth = np.zeros((240, 240, 155), bool)
    truth[80:130, 90:140, 60:110] = True
    prediction = np.random.default_rng(0).random(truth.shape) < 2e-4
    start = time.perf_counter()
    scores, counts = score_masks(truth, prediction, (1, 1, 1))
    assert time.perf_counter() - start < 4
    assert counts.lesions_false > 1000
    assert scores["lesion_recall"] == 1


@pytest.mark.parametrize("tolerance", [-1, np.nan])
def test_a_tolerance_that_is_no_distance_is_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance"):
        surface_dice.nsd(body(0), body(1), (1, 1, 1), tolerance)


def test_masks_of_one_axis_have_no_surface_dice():
    with pytest.raises(ValueError, match="two or three axes"):
        surface_dice.nsd([0, 1], [0, 1], [1], 1)


def test_counts_add_up_to_scores_of_all_patients_together():
    totals = MaskCounts(
        true_voxels=6, predicted_voxels=4, shared_voxels=3, lesions_found=0, lesions_missed=0, lesions_false=0
    )
    together = mask_scores.overlap_scores(*totals[:3])
    assert together == {"dice": 0.6, "jaccard": 3 / 7, "sensitivity": 0.5, "precision": 0.75}
