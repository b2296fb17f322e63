"""The checks of lesson 02 on right answers, on the usual wrong ones, and on nonsense."""

import pytest

from tests.lessons.exercises import SOLUTION, answer
from tests.lessons.exercises.nonsense import is_a_sentence, nonsense

ASKED = {
    1: ("side", "tumour, affine"),
    2: ("my_zscore", "image"),
    3: ("window", "image, low, high"),
    4: ("centre_mm", "core, affine"),
}
SIDE = (
    "def side(tumour, affine):\n    i = np.argwhere(tumour).mean(axis=0)\n    n = np.array(tumour.shape)\n    return "
)
ZSCORE = "def my_zscore(image):\n    brain = image != 0\n    inside = image[brain]\n    return "
WINDOW = "def window(image, low, high): return "
CENTRE = "def centre_mm(core, affine):\n    i = np.argwhere(core).mean(axis=0)\n    return "


@pytest.mark.parametrize("number", ASKED)
def test_the_lesson_s_own_answer_is_right(number):
    assert answer("02", number, SOLUTION) == f"Exercise {number}: solved.\n"


@pytest.mark.parametrize(("number", "code"), [(n, code) for n, asked in ASKED.items() for code in nonsense(*asked)])
def test_nonsense_gets_a_sentence(number, code):
    assert is_a_sentence(answer("02", number, code), number)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("'left' if i[0] < n[0] / 2 else 'right'", "a negative step runs to the left"),
        ("'right' if (affine @ [*i, 1])[0] > 0 else 'left'", "compare with the head's middle"),
        ("'left' if (affine[:3, :3] @ (i - n / 2))[0] > 0 else 'right'", "the patient's, not the screen's"),
        ("'right' if affine[0, 0] * (i[0] - n[0] / 2) > 0 else 'left'", "another axis runs from side to side"),
        ("'left'", "you say the same of all five files"),
        ("'left' if affine[0, 0] < 0 else 'right'", "where does its place come in"),
        ("'up'", "it should be 'left' or 'right'"),
        ("tumour", "you return an array of shape (16, 17, 12); it should be 'left' or 'right'"),
        ("True", "it should be 'left' or 'right'"),
    ],
)
def test_the_side_names_the_usual_mistake(code, words):
    assert words in answer("02", 1, SIDE + code)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("(image - image.mean()) / image.std()", "the air is in your mean and deviation"),
        ("(image - inside.mean()) / inside.std()", "the air came out as"),
        ("np.where(brain, (image - inside.mean()) / inside.var(), 0)", "you divide by the variance"),
        ("np.where(brain, image - inside.mean(), 0)", "standard deviation came out as"),
        ("np.where(brain, image / inside.std(), 0)", "mean came out as"),
        ("np.where(brain, (image - inside.mean()) / inside.std(ddof=1), 0)", "you divide by n - 1"),
        ("(inside - inside.mean()) / inside.std()", "it should stay (4, 5, 3)"),
        ("np.where(brain, (image - inside.min()) / np.ptp(inside), 0)", "mean came out as"),
    ],
)
def test_the_z_score_names_the_usual_mistake(code, words):
    assert words in answer("02", 2, ZSCORE + code)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("image.clip(low, high)", "now bring it to the range 0 to 1"),
        ("((image - low) / high).clip(0, 1)", "divide by the window's width"),
        ("(image - image.min()) / np.ptp(image)", "from the image's own least to its greatest"),
        ("(image - low) / (high - low)", "clip them to 0 to 1"),
        ("1 - ((image - low) / (high - low)).clip(0, 1)", "expected 0 and 1"),
        ("((image - low) / (high - low)).clip(0, 1) ** 2", "became 0.25; expected 0.5"),
        ("((image - low) / 10).clip(0, 1)", "in the window -3 to 3"),
        ("0.5", "the shape should stay"),
    ],
)
def test_the_window_names_the_usual_mistake(code, words):
    assert words in answer("02", 3, WINDOW + code)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("i", "carry them through the affine"),
        ("affine @ [*i, 1]", "you return four numbers"),
        ("affine[:3, :3] @ i", "leave out the shift"),
        ("i * np.abs(np.diag(affine))[:3]", "the steps have signs and there is a shift"),
        ("(affine @ [*(i + 1), 1])[:3]", "Python counts from 0"),
        ("(affine @ [*i[::-1], 1])[:3]", "in the opposite order"),
        (
            "(affine @ [*(np.argwhere(core).min(axis=0) + np.argwhere(core).max(axis=0)) / 2, 1])[:3]",
            "the middle of the core's box",
        ),
        ("(affine @ [*np.argwhere(core)[0], 1])[:3]", "with three voxels you answer"),
        ("(1, 2, 3)", "you place the single voxel at [1, 2, 3]"),
        ("(1, 2)", "it should be three numbers"),
    ],
)
def test_the_centre_names_the_usual_mistake(code, words):
    assert words in answer("02", 4, CENTRE + code)
