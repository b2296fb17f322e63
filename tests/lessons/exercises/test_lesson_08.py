"""Checks of lesson 08: the right answer, the usual wrong ones, each by its own message, and nonsense."""

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from helpers.measure.overlap import dice

from . import SOLUTION, answer
from .nonsense import each_nonsense, refused

DICE = "def my_dice(truth, prediction):\n    {}"
NEVER = "def never_finds(model, nothing):\n    return {}"
HD95 = "from scipy.spatial.distance import cdist\ndef my_hd95(truth, prediction, spacing):\n    {}"
PAIRED = "def paired(a, b):\n    return {}"
NEEDED = "def patients_for(first, second, difference):\n    d = np.subtract(second, first)\n    return {}"


def test_exercise_1_knows_the_right_answer():
    assert answer("08", 1, SOLUTION) == "Exercise 1: solved.\n"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return (truth & prediction).sum() / (truth | prediction).sum()", "that is the Jaccard index"),
        ("return (truth & prediction).sum() / (truth.sum() + prediction.sum())", "the factor 2 is missing"),
        ("return (truth == prediction).mean()", "that is the accuracy"),
        ("return (truth & prediction).sum() / prediction.sum()", "that is the precision"),
        ("return (truth & prediction).sum() / truth.sum()", "that is the sensitivity"),
        ("return 0.7", "get 0.700; it should be 0.4"),
        ("return 2 * (truth & prediction).sum() / (truth.sum() + prediction.sum())", "two empty masks is nan"),
        ("return 2 * (truth & prediction).sum() / (truth.sum() + prediction.sum() + 1e-9)", "two empty masks is 0"),
        ("return 2 * (truth & prediction).sum() / (truth.sum() + prediction.sum()) if prediction.any() else 1.0",
         "against an empty one gets 1.0"),
        ("return '0.4'", "you return str"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:invalid value")
def test_exercise_1_names_the_usual_mistake(body, words):
    assert words in answer("08", 1, DICE.format(body))


@each_nonsense("my_dice")
def test_exercise_1_survives_nonsense(code):
    assert refused(answer("08", 1, code), 1)


def score_a(truth, prediction):
    return 2 * (truth & prediction).sum() / (truth.sum() + prediction.sum() + 1e-7)


def score_b(truths, predictions):
    return np.mean([dice(t, p) for t, p in zip(truths, predictions, strict=True) if p.any()])


def score_c(truth, prediction):
    return np.mean([dice(truth == label, prediction == label) for label in np.unique([truth, prediction])])


SCORES = {"score_a": score_a, "score_b": score_b, "score_c": score_c}
RIGHT_A = "case_a = np.zeros(6, bool), np.zeros(6, bool)\n"
RIGHT_B = "case_b = [np.ones(6, bool)] * 2, [np.ones(6, bool), np.zeros(6, bool)]\n"


def test_exercise_2_knows_the_right_answer():
    assert answer("08", 2, SOLUTION, **SCORES) == "Exercise 2: solved.\n"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("case_a = case_b = case_c = (..., ...)", "case_a: there is no pair"),
        ("case_a = case_b = case_c = np.ones(6, bool), np.ones(6, bool)", "case_a: the function gives 1.000, which is"),
        ("case_a = case_b = case_c = np.ones(6), np.zeros(6)", "case_a: these are no truth and prediction"),
        ("case_a = case_b = case_c = [False] * 6, [False] * 6", "such as np.zeros(6, bool), not list"),
        (RIGHT_A + "case_b = case_c = np.ones(6, bool), np.zeros(6, bool)", "case_b: these are no truth and pred"),
        (RIGHT_A + "case_b = case_c = [np.ones(6, bool)], [np.ones(6, bool)]", "case_b: the function gives 1.000"),
        (RIGHT_A + RIGHT_B + "case_c = np.full(6, 2), np.full(6, 2)", "case_c: the function gives 1.000, which is"),
        (RIGHT_A + RIGHT_B + "case_c = np.full(6, 0.5), np.full(6, 2)", "case_c: these are no truth and prediction"),
    ],
)
def test_exercise_2_says_what_a_case_does_not_show(code, words):
    assert words in answer("08", 2, code, **SCORES)


@pytest.mark.parametrize("value", ["'six'", "None", "3", "([],)", "('a', 'b')", "(lambda: 1, lambda: 2)"])
def test_exercise_2_survives_nonsense(value):
    assert refused(answer("08", 2, f"case_a = case_b = case_c = {value}", **SCORES), 2)


FOUR = {"FOUR": ["dice", "jaccard", "hd95_mm", "volume_error_ml"]}
MEANS = "all(np.isclose(*(np.mean([row[one] for row in rows]) for rows in (model, nothing))) for one in FOUR)"


def test_exercise_3_knows_the_right_answer():
    assert answer("08", 3, SOLUTION, **FOUR) == "Exercise 3: solved.\n"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (MEANS, "you compare means"),
        ("all(m['dice'] == n['dice'] for m, n in zip(model, nothing))", "you look at Dice alone"),
        ("all(m['dice'] == 0 for m in model)", "compare with `nothing`"),
        ("False", "these are the very scores of all background"),
        ("any(m == n for m, n in zip(model, nothing))", "this model finds two tumours of three"),
        ("[m == n for m, n in zip(model, nothing)]", "return True or False"),
        ("1", "you return 1; return True or False"),
    ],
)
def test_exercise_3_names_the_usual_mistake(body, words):
    assert words in answer("08", 3, NEVER.format(body), **FOUR)


@each_nonsense("never_finds")
def test_exercise_3_survives_nonsense(code):
    assert refused(answer("08", 3, code, **FOUR), 3)


def surface_points(mask, spacing):
    return np.argwhere(mask & ~binary_erosion(mask)) * spacing


WAYS = (
    "ways = cdist(surface_points(truth, {0}), surface_points(prediction, {0}))\n"
    "    a, b = ways.min(axis=1), ways.min(axis=0)\n    "
)
TRULY, IN_VOXELS = WAYS.format("spacing"), WAYS.format("(1, 1, 1)")
BOTH = "max(np.percentile(a, 95), np.percentile(b, 95))"


def test_exercise_4_knows_the_right_answer():
    assert answer("08", 4, SOLUTION, surface_points=surface_points) == "Exercise 4: solved.\n"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (f"{IN_VOXELS}return {BOTH}", "without the spacing it is a number of voxels"),
        (f"{TRULY}return max(a.max(), b.max())", "that is the largest of all ways"),
        (f"{TRULY}return np.percentile(np.concatenate([a, b]), 95)", "both directions are in one pot"),
        (f"{TRULY}return min(np.percentile(a, 95), np.percentile(b, 95))", "that is one direction"),
        (f"{TRULY}return (np.percentile(a, 95) + np.percentile(b, 95)) / 2", "the mean of the two directions"),
        (f"{TRULY}return np.percentile(b, 95)", "exchange the masks and your distance changes"),
        ("return [1, 2]", "you return list"),
        ("return 1.0", "1.000 mm: expected"),
    ],
)
def test_exercise_4_names_the_usual_mistake(body, words):
    assert words in answer("08", 4, HD95.format(body), surface_points=surface_points)


@each_nonsense("my_hd95")
def test_exercise_4_survives_nonsense(code):
    assert refused(answer("08", 4, code, surface_points=surface_points), 4)


@pytest.fixture(scope="module")
def two():
    rng = np.random.default_rng(5)
    hard = np.sort(rng.uniform(0.35, 0.95, 20))
    a = {f"P{i:02d}": float(hard[i]) for i in rng.permutation(20)}
    return {
        "a": a,
        "b": {f"P{i:02d}": float(hard[i] - 0.02 + rng.normal(0, 0.01)) for i in rng.permutation(20) if i >= 6},
    }


def test_exercise_5_knows_the_right_answer(two):
    said = answer("08", 5, SOLUTION, **two)
    assert said.startswith("B minus A over 14 patients: -0.0")
    assert said.endswith("Exercise 5: solved.\n")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("[y - x for x, y in zip(a.values(), b.values())]", "you pair by position"),
        ("[b.get(one, 0) - a[one] for one in a]", "you return 20 differences; 14 patients are in both"),
        ("[a[one] - b[one] for one in b]", "these are A minus B"),
        ("np.mean(list(b.values())) - np.mean(list(a.values()))", "you return a float64; return a list"),
        ("{one: b[one] - a[one] for one in b}", "you return a dict; return a list, one for each patient"),
    ],
)
def test_exercise_5_names_the_usual_mistake(body, words, two):
    assert words in answer("08", 5, PAIRED.format(body), **two)


@each_nonsense("paired", "def paired(a, b): return ['a', 'b']")
def test_exercise_5_survives_nonsense(code, two):
    assert refused(answer("08", 5, code, **two), 5)


def test_exercise_6_knows_the_right_answer():
    assert answer("08", 6, SOLUTION) == "Exercise 6: solved.\n"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("(2.8 * np.hypot(np.std(first, ddof=1), np.std(second, ddof=1)) / difference) ** 2", "two groups of other"),
        ("2.8 * np.std(d, ddof=1) / difference", "the square is missing"),
        ("(1.96 * np.std(d, ddof=1) / difference) ** 2", "without the 0.84"),
        ("(2.8 * np.var(d, ddof=1) / difference) ** 2", "you took the variance"),
        ("(2.8 / difference) ** 2", "nothing in it says how much the differences vary"),
        ("(2.8 * np.std(first, ddof=1) / difference) ** 2", "that is how much one model varies"),
        ("50000.0", "50000 patients; expected about 148"),
        ("'many'", "you return str; return one number"),
    ],
)
def test_exercise_6_names_the_usual_mistake(body, words):
    assert words in answer("08", 6, NEEDED.format(body))


@each_nonsense("patients_for")
def test_exercise_6_survives_nonsense(code):
    assert refused(answer("08", 6, code), 6)
