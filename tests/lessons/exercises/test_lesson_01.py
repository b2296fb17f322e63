"""The checks of lesson 01 on right answers, on the usual wrong ones, and on nonsense."""

import pytest

from tests.lessons.exercises import SOLUTION, answer
from tests.lessons.exercises.nonsense import is_a_sentence, nonsense

ASKED = {
    1: ("find_masks", "names"),
    2: ("impossible", "mask"),
    3: ("in_both", "older, newer, mapping"),
    4: ("share_beside", "test, train"),
    5: ("deal", "slices, share, seed"),
}
FIND = "def find_masks(names): return "
IMPOSSIBLE = "def impossible(mask): return "
OLD, NEW = '"BraTS_2019_subject_ID"', '"BraTS_2020_subject_ID"'
IN_BOTH = f"def in_both(older, newer, mapping):\n    old, new = mapping[{OLD}], mapping[{NEW}]\n    return "
BESIDE = "def share_beside(test, train): return "
DEAL = """def deal(slices, share, seed):
    rng = np.random.default_rng(seed)
    people = sorted({one for one, _ in slices})
    mixed = list(rng.permutation(people))
    few = round(share * len(people))
    split = lambda judges: ({s for s in slices if s[0] not in judges}, {s for s in slices if s[0] in judges})
    return """


@pytest.mark.parametrize("number", ASKED)
def test_the_lesson_s_own_answer_is_right(number):
    assert answer("01", number, SOLUTION) == f"Exercise {number}: solved.\n"


@pytest.mark.parametrize(("number", "code"), [(n, code) for n, asked in ASKED.items() for code in nonsense(*asked)])
def test_nonsense_gets_a_sentence(number, code):
    assert is_a_sentence(answer("01", number, code), number)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ('[n for n in names if n.endswith("_seg.nii")]', "it is packed"),
        ('[n for n in names if "_seg.nii" in n]', "it says Segm"),
        ('[n for n in names if "_seg" in n.lower()]', "Segm.txt is no NIfTI file"),
        ('[n for n in names if "_seg" in n.lower() and ".nii" in n]', "seg.nii.bak is no NIfTI file"),
        ('[n for n in names if n.endswith((".nii", ".nii.gz"))]', "is a scan, and yours takes it for a mask"),
        ('["_seg" in n for n in names]', "names, not True and False"),
        ("[]", "you find no mask at all"),
        ('next(n for n in names if "_seg" in n)', "it should be a list of names"),
        (
            '[n for n in names if "_seg" in n.lower() and n.endswith((".nii", ".nii.gz"))] * 2',
            "6 names for three masks",
        ),
        (
            '[n for n in names if "_seg" in n.lower() and n.endswith((".nii", ".nii.gz"))] or names or ["none"]',
            "return an empty list",
        ),
    ],
)
def test_finding_masks_names_the_usual_mistake(code, words):
    assert words in answer("01", 1, FIND + code)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("bool((mask == 3).any())", "it should be a list of labels"),
        ("[3] if (mask == 3).any() else []", "holds [-1, 5], and yours does not say so"),
        ("[int(v) for v in np.unique(mask) if v > 4]", "one with label 3 holds [3]"),
        ("[int(v) for v in np.unique(mask) if v not in (1, 2, 4)]", "you accuse [0]"),
        ("[int(v) for v in mask.ravel() if v not in (0, 1, 2, 4)]", "once for each voxel"),
        ("[3]", "you accuse [3], which a good mask does not hold"),
        ("[int(v) for v in np.unique(mask) if v not in (0, 1, 2, 4)][::-1]", "sort it: [-1, 3, 5]"),
        ("[str(v) for v in np.unique(mask) if v not in (0, 1, 2, 4)]", "it should be whole numbers"),
    ],
)
def test_impossible_labels_name_the_usual_mistake(code, words):
    assert words in answer("01", 2, IMPOSSIBLE + code)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("set(older) & set(newer)", "the names differ"),
        ("set(old[old.isin(older)])", "you return names of 2019"),
        ("set(new[old.isin(older)])", "patients who are not in `newer`"),
        ("set(new) & set(newer)", "who have no name in 2019"),
        ("set(new[old.notna()]) & set(newer)", "people must be in `older` too"),
        ("list(set(new[old.isin(older)]) & set(newer))", "it should be a set of ids"),
        ("len(set(new[old.isin(older)]) & set(newer))", "it should be a set of ids"),
        ("(set(new[old.isin(older)]) & set(newer)) - {'new_2'}", "expected new_2 and new_4"),
    ],
)
def test_who_is_in_both_names_the_usual_mistake(code, words):
    assert words in answer("01", 3, IN_BOTH + code)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("sum((p, k - 1) in train or (p, k + 1) in train for p, k in test)", "that is a count"),
        ("sum((p, k - 1) in train and (p, k + 1) in train for p, k in test) / len(test)", "take `or`"),
        ("sum((p, k - 1) in train for p, k in test) / len(test)", "you look one way only"),
        ("sum(any(abs(k - j) == 1 for _, j in train) for _, k in test) / len(test)", "you forget the patient"),
        ("sum((p, k - 1) in train or (p, k + 1) in train for p, k in test) / len(train)", "divide by the training"),
        ("sum((p, k - 1) in test or (p, k + 1) in test for p, k in train) / len(train)", "look from the training"),
        ("len(test & train) / len(test)", "you find none"),
        ("100 * sum((p, k - 1) in train or (p, k + 1) in train for p, k in test) / len(test)", "a percentage"),
        (
            "(sum((p, k - 1) in train for p, k in test) + sum((p, k + 1) in train for p, k in test)) / len(test)",
            "count it once",
        ),
        ("sum((p, k + 1) in train for p, k in test) / len(test)", "you look one way only"),
        ("1 - sum((p, k - 1) in train or (p, k + 1) in train for p, k in test) / len(test)", "have no neighbour"),
        ("0.7", "expected 0.4"),
    ],
)
def test_counting_the_leak_names_the_usual_mistake(code, words):
    assert words in answer("01", 4, BESIDE + code)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("(set(slices[20:]), set(slices[:20]))", "deal out people"),
        ("(set(mixed[few:]), set(mixed[:few]))", "not patients alone"),
        ("split(people[:few])", "every seed deals the same"),
        ("split(mixed[few:])", "return train first, then test"),
        ("split(mixed[:1])", "1 of 10 patients are in the test"),
        ("(split(mixed[:few])[0], set())", "one side is empty"),
        ("split(mixed[:few])[1]", "two sets"),
        ("(set(list(split(mixed[:few])[0])[1:]), split(mixed[:few])[1])", "1 slices are on no side"),
        ("split(list(np.random.default_rng().permutation(people))[:few])", "the same seed deals differently"),
        ("split(list(rng.permutation(list(dict.fromkeys(p for p, _ in slices))))[:few])", "sort the patients"),
        ("split(list(rng.permutation(list({p for p, _ in slices})))[:few])", "sort the patients"),
        ("(split(mixed[:few])[0] | {('x', 1)}, split(mixed[:few])[1])", "which is none of the slices"),
    ],
)
def test_dealing_names_the_usual_mistake(code, words):
    assert words in answer("01", 5, DEAL + code)
