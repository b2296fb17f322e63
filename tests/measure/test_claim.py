"""Laws of the claim checker: simulated masks lie within the bounds, and planted claims are found."""

import json

import numpy as np
import pytest
from sklearn import metrics

from helpers.measure.claim import (
    DEFINITIONS,
    Figure,
    as_json,
    dice_of_iou,
    explain,
    figure,
    nearest,
    of_same_masks,
    remarks,
)

ONE_HOT, ON_PROBABILITIES = "MeanIoU of Keras on one-hot masks", "MeanIoU of Keras on probabilities"
ENTRIES, OF_CLASSES, OF_ALL = (
    "pooled over one-hot entries",
    "mean of the foreground's classes",
    "mean of all classes, background too",
)
SOFT, SOFT_ENTRIES = "soft, mean of all classes", "soft, pooled over one-hot entries"


def simulated(rng, classes=4, pixels=4000, foreground=None):
    """Truth, prediction, both (pixels,), and probabilities, (pixels, classes), of a test set that has every class."""
    share = rng.uniform(0.02, 0.9) if foreground is None else foreground
    parts = rng.dirichlet(np.full(classes - 1, rng.choice([0.5, 5.0])))
    truth = rng.choice(classes, pixels, p=[1 - share, *share * parts])
    truth[:classes] = np.arange(classes)
    confusion = rng.dirichlet(np.full(classes, 0.5), classes)
    confusion = np.eye(classes) * (mix := 1 - 10 ** rng.uniform(-2.5, -0.3)) + (1 - mix) * confusion
    prediction = (rng.random((pixels, 1)) > confusion[truth].cumsum(axis=1)).sum(axis=1).clip(max=classes - 1)
    prediction[:classes] = np.arange(classes)
    probabilities = rng.dirichlet(np.full(classes, rng.choice([0.3, 2.0])), pixels)
    at, rows = probabilities.argmax(axis=1), np.arange(pixels)
    largest = probabilities[rows, at]
    probabilities[rows, at] = probabilities[rows, prediction]
    probabilities[rows, prediction] = largest
    certain = rng.random(pixels) < rng.choice([0, 0.5, 0.9])
    probabilities[certain] = np.eye(classes)[prediction[certain]]
    return truth, prediction, probabilities


def keras_mean_iou(truth, given):
    """`keras.metrics.MeanIoU` without argmax: every entry is cut to a whole number and counted as a pixel."""
    classes = given.shape[1]
    return metrics.jaccard_score(
        np.eye(classes, dtype=int)[truth].ravel(), given.astype(int).ravel(), average="macro", labels=[0, 1]
    )


def measured(truth, prediction, probabilities):
    """Every metric by every definition, counted pixel by pixel."""
    classes = probabilities.shape[1]
    one_hot, entries = np.eye(classes)[truth], np.eye(classes)[prediction]
    hits, sums = (one_hot * probabilities).sum(axis=0), one_hot.sum(axis=0) + probabilities.sum(axis=0)
    micro, labels = {"average": "micro", "labels": range(classes)}, range(1, classes)
    return {
        ("accuracy", "share of right pixels"): np.mean(truth == prediction),
        ("iou", ONE_HOT): keras_mean_iou(truth, entries),
        ("iou", ENTRIES): metrics.jaccard_score(truth, prediction, **micro),
        ("iou", OF_CLASSES): metrics.jaccard_score(truth, prediction, average="macro", labels=labels),
        ("iou", OF_ALL): metrics.jaccard_score(truth, prediction, average="macro"),
        ("iou", ON_PROBABILITIES): keras_mean_iou(truth, probabilities),
        ("dice", OF_CLASSES): metrics.f1_score(truth, prediction, average="macro", labels=labels),
        ("dice", OF_ALL): metrics.f1_score(truth, prediction, average="macro"),
        ("dice", ENTRIES): metrics.f1_score(truth, prediction, **micro),
        ("dice", SOFT): np.mean(2 * hits / sums),
        ("dice", SOFT_ENTRIES): 2 * hits.sum() / sums.sum(),
    }


def shares(truth, prediction):
    """e, t and u of two masks."""
    return (
        np.mean(truth != prediction),
        np.mean((truth > 0) | (prediction > 0)),
        np.mean((truth > 0) != (prediction > 0)),
    )


def named(explanations):
    return [(one.classes, *(definition.name for definition in one.definitions)) for one in explanations]


@pytest.mark.parametrize("seed", range(12))
def test_simulated_masks_lie_within_the_bounds_of_every_definition(seed):
    rng = np.random.default_rng(seed)
    truth, prediction, probabilities = simulated(rng, classes=(2, 3, 4, 5)[seed % 4])
    values = measured(truth, prediction, probabilities)
    point = [np.array([value]) for value in shares(truth, prediction)]
    assert len(values) == len(DEFINITIONS)
    for definition in DEFINITIONS:
        low, high = definition.bounds(*point, probabilities.shape[1])
        value = values[definition.metric, definition.name]
        assert low - 1e-9 <= value <= high + 1e-9, definition.name


def test_closed_forms_are_exact():
    truth, prediction, probabilities = simulated(np.random.default_rng(1))
    values, point = measured(truth, prediction, probabilities), [np.array([v]) for v in shares(truth, prediction)]
    closed = {ONE_HOT, ENTRIES, "share of right pixels"}
    for definition in DEFINITIONS:
        if definition.name in closed:
            low, high = definition.bounds(*point, 4)
            assert low == high == pytest.approx(values[definition.metric, definition.name], abs=1e-12)


def test_keras_mean_iou_gives_what_the_closed_form_says():
    keras = pytest.importorskip("keras")
    truth, prediction, probabilities = simulated(np.random.default_rng(2))
    for given in (np.eye(4)[prediction], probabilities):
        metric = keras.metrics.MeanIoU(num_classes=4)
        metric.update_state(np.eye(4, dtype="uint8")[truth], given)
        assert float(metric.result()) == pytest.approx(keras_mean_iou(truth, given), abs=1e-6)


def test_mean_iou_at_99_4_percent_is_the_paper_s():
    [definition] = [one for one in DEFINITIONS if one.name == ONE_HOT]
    low, high = definition.bounds(np.array([0.006]), np.array([0.02]), np.array([0.006]), 4)
    assert low == high == pytest.approx(0.99204, abs=5e-6)


@pytest.mark.parametrize("times", ["iou", "dice"])
@pytest.mark.parametrize(("e", "t", "u"), [(0.05, 0.2, 0.03), (0.05, 0.06, 0.01), (0.1, 0.5, 0.1), (0.02, 0.9, 0.0)])
def test_no_division_of_errors_among_classes_leaves_the_bounds_and_some_reach_them(times, e, t, u):
    """Random c and d with their sums, the d at most e, corners among them."""
    rng = np.random.default_rng(0)
    [definition] = [one for one in DEFINITIONS if (one.metric, one.name) == (times, OF_CLASSES)]
    low, high = (float(bound[0]) for bound in definition.bounds(*(np.array([v]) for v in (e, t, u)), 4))
    c = (t - e) * rng.dirichlet(np.full(3, 0.3), 200_000)
    d = (2 * e - u) * np.concatenate([rng.dirichlet(np.full(3, 0.3), 100_000), np.zeros((100_000, 3))])
    d[100_000:] = np.array([e, e - u, 0.0])
    d[:2] = [[e - 1e-6, e - u, 1e-6]] * 2
    kept = (d <= e + 1e-12).all(axis=1)
    c, d = (2 if times == "dice" else 1) * c[kept], d[kept]
    values = np.mean((c + 1e-15) / (c + d + 1e-15), axis=1)
    assert low - 1e-9 <= values.min()
    assert values.max() <= high + 1e-9
    assert values.max() > high - 0.01


@pytest.mark.parametrize("seed", range(8))
def test_a_claim_is_explained_by_the_definitions_that_made_it(seed):
    rng = np.random.default_rng(100 + seed)
    classes = (4, 2)[seed % 2]
    truth, prediction, probabilities = simulated(rng, classes)
    values = measured(truth, prediction, probabilities)
    chosen = [[name for metric, name in values if metric == kind][rng.integers(5)] for kind in ("iou", "dice")]
    picked = [("accuracy", "share of right pixels"), ("iou", chosen[0]), ("dice", chosen[1])]
    figures = [figure(metric, f"{values[metric, name]:.3f}") for metric, name in picked]
    known = figure("foreground", f"{np.mean(truth > 0):.3f}") if seed % 3 else None
    found = dict(zip(named(all_found := explain(figures, known)), all_found, strict=True))
    one = found[classes, *(name for _, name in picked)]
    for (low, high), value in (
        (one.foreground_dice, metrics.f1_score(truth > 0, prediction > 0)),
        (one.class_dice, values["dice", OF_CLASSES]),
        (one.foreground, np.mean(truth > 0)),
    ):
        assert low - 0.012 <= value <= high + 0.012


# Ten claims as somebody could have written them: what was computed, on how many classes, with how many digits.
PLANTED = [
    (4, ("iou", ONE_HOT), None, 4),
    (4, ("iou", ON_PROBABILITIES), ("dice", SOFT), 4),
    (4, ("iou", ENTRIES), None, 3),
    (4, ("iou", OF_ALL), ("dice", OF_ALL), 3),
    (4, ("iou", OF_CLASSES), ("dice", OF_CLASSES), 3),
    (4, ("iou", ONE_HOT), ("dice", SOFT_ENTRIES), 3),
    (4, ("iou", OF_CLASSES), ("dice", ENTRIES), 3),
    (2, ("iou", OF_CLASSES), ("dice", OF_CLASSES), 3),
    (2, ("iou", OF_ALL), ("dice", OF_CLASSES), 4),
    (2, ("iou", ENTRIES), ("dice", OF_ALL), 2),
]


@pytest.mark.parametrize("number", range(10))
def test_ten_planted_claims_are_found(number):
    """The definitions are found, others are refuted, and none explains a figure that is too good."""
    classes, iou, dice, digits = PLANTED[number]
    rng = np.random.default_rng(200 + number)
    truth, prediction, probabilities = simulated(rng, classes, pixels=20_000, foreground=0.1)
    values = measured(truth, prediction, probabilities)
    picked = [("accuracy", "share of right pixels"), *(one for one in (iou, dice) if one)]
    figures = [figure(metric, f"{values[metric, name]:.{digits}f}") for metric, name in picked]
    share = figure("foreground", f"{np.mean(truth > 0):.3f}")
    found = named(explain(figures, share))
    assert (classes, *(name for _, name in picked)) in found
    readings = 5 ** (len(figures) - 1) * 2
    assert len(found) < readings  # the figures say something
    above = Figure("iou", "higher", 1.0, 1.0)  # no mask with errors has an IoU of 1
    assert not explain([figures[0], above], share)


@pytest.mark.parametrize(
    ("figures", "share"),
    [
        ([("accuracy", ".95"), ("iou", ".99")], None),
        ([("accuracy", ".994"), ("iou", ".999")], ".01"),
        ([("accuracy", ".90"), ("iou", ".985"), ("dice", ".99")], None),
        ([("accuracy", ".994"), ("iou", ".20")], ".900"),
    ],
)
def test_what_no_definition_gives_is_refuted_and_the_nearest_named(figures, share):
    claimed = [figure(*one) for one in figures]
    known = share and figure("foreground", share)
    assert not explain(claimed, known)
    one, off = nearest(claimed, known)
    assert 0 < off < 1
    widened = [Figure(each.metric, each.text, each.low - off, each.high + off) for each in claimed]
    assert named([one])[0] in named(explain(widened, known))
    narrower = [Figure(each.metric, each.text, each.low - off / 2, each.high + off / 2) for each in claimed]
    assert off < 2e-3 or not explain(narrower, known)
    assert "No known definition" in remarks(claimed, [], (one, off))[0]


def test_the_paper_s_iou_follows_from_its_accuracy_and_says_nothing_of_the_tumour():
    claimed = [figure("accuracy", ".994"), figure("iou", ".9920")]
    found = explain(claimed, figure("foreground", ".01"))
    assert [one.definitions[1].name for one in found if one.classes == 4] == [ONE_HOT, ON_PROBABILITIES]
    assert found[0].foreground_dice == pytest.approx((0, 1), abs=0.01)
    assert "anywhere from 0.00 to 1.00" in remarks(claimed, found)[-1]


def test_both_iou_of_the_paper_are_of_one_model_only_by_two_definitions():
    found = explain(
        [figure("accuracy", ".994"), figure("iou", ".9920"), figure("iou", ".75")], figure("foreground", ".01")
    )
    assert found
    names = [{definition.name for definition in one.definitions[1:]} for one in found]
    assert all(ONE_HOT in pair or ON_PROBABILITIES in pair for pair in names)
    assert {ONE_HOT, OF_CLASSES} in names


def test_the_preprint_s_iou_and_dice_are_not_of_the_same_masks():
    iou, dice = figure("iou", ".81"), figure("dice", ".655")
    assert not of_same_masks(iou, dice)
    found = explain([iou, dice])
    assert all(
        one.definitions[0].classes is None or one.definitions[0].classes != one.definitions[1].classes for one in found
    )
    assert (4, ON_PROBABILITIES, SOFT) in named(found)
    assert "are not of the same masks: their Dice would be 0.895" in remarks([iou, dice], found)[1]


def test_the_kernel_run_again_is_explained_with_the_dice_of_its_classes():
    """Accuracy .9935, IoU .8176 on probabilities, Dice .6008 with background: (4 x .6008 - .997) / 3 is .47."""
    claimed = [figure("accuracy", ".9935"), figure("iou", ".8176"), figure("dice", ".6008")]
    found = {name: one for one in explain(claimed, figure("foreground", ".02")) for name in named([one])}
    one = found[4, "share of right pixels", ON_PROBABILITIES, OF_ALL]
    assert one.class_dice == pytest.approx((0.47, 0.47), abs=0.005)


@pytest.mark.parametrize("seed", range(5))
def test_dice_of_a_mean_lies_between_the_mean_iou_and_that_of_one_pair(seed):
    iou = np.random.default_rng(seed).random(30)
    dice = dice_of_iou(iou)
    low, high = figure("iou", f"{iou.mean():.4f}"), figure("dice", f"{dice.mean():.4f}")
    assert of_same_masks(low, high)
    assert not of_same_masks(low, figure("dice", f"{dice_of_iou(iou.mean()) + 0.01:.4f}"))
    assert not of_same_masks(low, figure("dice", f"{iou.mean() - 0.01:.4f}"))


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        (".994", 0.9935, 0.9945),
        ("0.9920", 0.99195, 0.99205),
        ("99.4%", 0.9935, 0.9945),
        ("1.0", 0.95, 1),
        ("0", 0, 0.5),
    ],
)
def test_digits_say_how_a_figure_was_rounded(text, low, high):
    made = figure("iou", text)
    assert (made.low, made.high) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize("text", ["99.4", "-.1", "", "abc", "nan", "9e-1", "1.01"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(ValueError, match="expected a share"):
        figure("accuracy", text)


def test_a_claim_without_figures_or_with_one_class_is_refused():
    with pytest.raises(ValueError, match="no figure"):
        explain([])
    with pytest.raises(ValueError, match="two at least"):
        explain([figure("iou", ".5")], classes=1)


def test_explanations_go_through_json():
    claimed = [figure("accuracy", ".994"), figure("iou", ".9920")]
    found = explain(claimed)
    written = json.loads(json.dumps(as_json(claimed, None, found)))
    assert len(written["explanations"]) == len(found)
    assert written["explanations"][0]["definitions"][1]["name"] == ONE_HOT
