"""The checks of lesson 00 on right answers, on the usual wrong ones, and on nonsense."""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.lessons.exercises import SOLUTION, answer
from tests.lessons.exercises.nonsense import is_a_sentence, nonsense

SEG = np.zeros((10, 10, 2), np.uint8)
SEG[2:4, 2:7, 0] = 3  # 10 of 200 voxels, of which 100 are brain
BRAIN = np.zeros((10, 10, 2, 2))
BRAIN[:, :, 0] = 1.0
SCAN = SimpleNamespace(seg=SEG, images=BRAIN)
DICE = {"a": (0.9, 0.2, 0.5), "b": (0.4, 0.6, 0.0), "c": (0.7, 0.3, 0.1)}
RESULT = {
    "patients": [
        {
            "id": name,
            "regions": {region: {"dice": dice} for region, dice in zip(("WT", "TC", "ET"), three, strict=True)},
        }
        for name, three in DICE.items()
    ]
}
PLANTED = {1: {"scan": SCAN}, 2: {"result": RESULT}, 3: {}, 4: {}}
ASKED = {
    1: ("accuracy_of_nothing", None),
    2: ("worst", None),
    3: ("tumour_ml", "labels, spacing"),
    4: ("brightest", "scan, share"),
}
ML = "def tumour_ml(labels, spacing): return "
BRIGHTEST = "def brightest(scan, share):\n    flair = scan.images[..., 0]\n    brain = flair[flair != 0]\n    return "


@pytest.mark.parametrize("number", ASKED)
def test_the_lesson_s_own_answer_is_right(number):
    assert answer("00", number, SOLUTION, **PLANTED[number]) == f"Exercise {number}: solved.\n"


@pytest.mark.parametrize(("number", "code"), [(n, code) for n, asked in ASKED.items() for code in nonsense(*asked)])
def test_nonsense_gets_a_sentence(number, code):
    assert is_a_sentence(answer("00", number, code, **PLANTED[number]), number)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("190", "is a count of voxels"),
        ("95.0", "is a percentage"),
        ("0.05", "is the share of tumour"),
        ("0.9", "counts the brain alone"),
        ("0.5", "divide the voxels with label 0 by all voxels"),
        ("-1", "an accuracy is a share between 0 and 1"),
        ("scan.seg == 0", "you have an array of shape (10, 10, 2); an accuracy is one number"),
        ("...", "there is nothing here yet"),
    ],
)
def test_accuracy_names_the_usual_mistake(code, words):
    assert words in answer("00", 1, f"accuracy_of_nothing = {code}", scan=SCAN)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ('"a"', "the highest of all"),
        ('"c"', "c has 0.70; somebody has 0.40 for WT"),
        ("0.4", "whose is it"),
        ('result["patients"][1]', "give the id, b"),
        ('"somebody"', "is no test patient; they are a, b, c"),
    ],
)
def test_the_worst_patient_names_the_usual_mistake(code, words):
    assert words in answer("00", 2, f"worst = {code}", result=RESULT)


def test_the_worst_patient_of_another_region_is_told_so():
    said = answer("00", 2, 'worst = "c"', result={"patients": RESULT["patients"] + [_patient("d", 0.3, 0.9, 0.9)]})
    assert "somebody has 0.30" in said
    three = [_patient("a", 0.9, 0.5, 0.5), _patient("b", 0.5, 0.1, 0.5), _patient("c", 0.2, 0.9, 0.9)]
    assert "is the lowest for TC and ET only" in answer("00", 2, 'worst = "b"', result={"patients": three})


def _patient(name, *three):
    return {"id": name, "regions": {r: {"dice": dice} for r, dice in zip(("WT", "TC", "ET"), three, strict=True)}}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("(labels > 0).sum()", "you count voxels"),
        ("(labels > 0).sum() * np.prod(spacing)", "a millilitre has 1,000 of them"),
        ("(labels > 0).sum() / 1000", "you take a voxel for a cubic millimetre"),
        ("labels.sum() * np.prod(spacing) / 1000", "you add up the labels"),
        ("labels.size * np.prod(spacing) / 1000", "you measure all voxels"),
        ("(labels == 1).sum() * np.prod(spacing) / 1000", "you measure label 1 alone"),
        ("(labels > 0).sum() * np.sum(spacing) / 1000", "you add the sides of a voxel"),
        ("(labels > 0).sum() * 15 / 1000", "use `spacing`"),
        ("(labels > 0).sum() * spacing[0] ** 3 / 1000", "you take a voxel for a cube"),
        ("(labels > 0).sum() * np.prod(spacing) * 1000", "you multiply by 1,000"),
        ("labels * np.prod(spacing)", "you return an array of shape (4, 5, 3); a volume is one number"),
        ("7", "are 7 ml by yours; expected 0.225"),
    ],
)
def test_the_volume_names_the_usual_mistake(code, words):
    assert words in answer("00", 3, ML + code)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("np.where(flair > np.quantile(flair, 1 - share), 2, 0)", "leave the air out of the quantile"),
        ("flair > np.quantile(brain, 1 - share)", "which means core"),
        ("np.where(flair > np.quantile(brain, 1 - share), 3, 0)", "expected 0 and 2"),
        ("np.where((flair < np.quantile(brain, share)) & (flair > 0), 2, 0)", "you label dark voxels"),
        ("np.where(flair > np.quantile(brain, share), 2, 0)", "90 of 100 voxels"),
        ("np.where(flair > np.quantile(brain, 0.9), 2, 0)", "use `share`"),
        ("np.where(scan.images > np.quantile(brain, 1 - share), 2, 0)", "you return the shape (10, 10, 2, 2)"),
        ("np.where(flair > np.quantile(brain, 0.98), 2, 0)", "you label 2 of 100 voxels"),
        ("np.where(flair > (1 - share) * flair.max(), 2, 0)", "you take a share of the largest value"),
    ],
)
def test_the_rival_names_the_usual_mistake(code, words):
    assert words in answer("00", 4, BRIGHTEST + code)


def test_the_rival_of_another_modality_is_told_so():
    code = "def brightest(scan, share):\n    t1ce = scan.images[..., 1]\n    return np.where(t1ce > 90**2, 2, 0)"
    assert "is that another modality" in answer("00", 4, code)
