"""The checks of lesson 03 on right answers, on the usual wrong ones, and on nonsense."""

import pytest

from tests.lessons.exercises import SOLUTION, answer
from tests.lessons.exercises.nonsense import is_a_sentence, nonsense

ASKED = {
    1: ("my_denormalise", "batch"),
    2: ("my_soft_labels", "labels"),
    3: ("my_flip", "images, soft_labels"),
    4: ("moves_together", "augmentation"),
}
DENORMALISE = "def my_denormalise(batch): return "
SOFT = "def my_soft_labels(labels): return "
FLIP = "def my_flip(images, soft_labels): return "
TOGETHER = "def moves_together(augmentation):\n    "


@pytest.mark.parametrize("number", ASKED)
def test_the_lesson_s_own_answer_is_right(number):
    assert answer("03", number, SOLUTION) == f"Exercise {number}: solved.\n"


@pytest.mark.parametrize(("number", "code"), [(n, code) for n, asked in ASKED.items() for code in nonsense(*asked)])
def test_nonsense_gets_a_sentence(number, code):
    assert is_a_sentence(answer("03", number, code), number)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("(batch * paper.STD + paper.MEAN).clip(0, 1)", "the channels are still axis 1 where they meet"),
        ("batch", "the channels are still axis 1; it should be (2, 4, 5, 3)"),
        ("batch.T", "you return the shape (5, 4, 3, 2); it should be (2, 4, 5, 3)"),
        ("(batch.transpose(0, 3, 2, 1) * paper.STD + paper.MEAN).clip(0, 1)", "rows and columns changed places"),
        (
            "(batch.reshape(*np.shape(batch)[:1], *np.shape(batch)[2:], 3) * paper.STD + paper.MEAN).clip(0, 1)",
            "reshape deals the numbers out anew",
        ),
        ("((np.moveaxis(batch, 1, -1) + paper.MEAN) * paper.STD).clip(0, 1)", "add the mean before you multiply"),
        ("((np.moveaxis(batch, 1, -1) - paper.MEAN) / paper.STD).clip(0, 1)", "you normalise a second time"),
        ("(np.moveaxis(batch, 1, -1) * paper.STD).clip(0, 1)", "the mean is missing"),
        ("np.moveaxis(batch, 1, -1)", "the numbers are still normalised"),
        ("np.moveaxis(batch, 1, -1) * paper.STD + paper.MEAN", "clip to the range from 0 to 1"),
        ("np.moveaxis(batch, 1, -1).clip(0, 1) * paper.STD + paper.MEAN", "still normalised; clip last"),
        ("255 * (np.moveaxis(batch, 1, -1) * paper.STD + paper.MEAN).clip(0, 1)", "your greys run to 255"),
        ("(np.moveaxis(batch, 1, -1) - np.min(batch)) / np.ptp(batch)", "from the least to the greatest"),
        ("np.moveaxis(batch, 1, -1) * 0.2 + 0.5", "there and back again is off by"),
    ],
)
def test_denormalising_names_the_usual_mistake(code, words):
    assert words in answer("03", 1, DENORMALISE + code)


HALVES = ".reshape(labels.shape[0] // 2, 2, labels.shape[1] // 2, 2, 4)"
ONE_HOT = "(labels[..., None] == np.arange(4))"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("labels.reshape(2, 2, 3, 2).mean(axis=(1, 3))", "an average of labels is no label"),
        (f"{ONE_HOT}[::2, ::2]", "every pixel of yours has one class"),
        (f"{ONE_HOT}", "yours has not shrunk"),
        (f"{ONE_HOT}{HALVES}.sum(axis=(1, 3))", "divide by the four of a block"),
        (f"{ONE_HOT}{HALVES}.max(axis=(1, 3))", "all must sum to 1"),
        (f"{ONE_HOT}{HALVES}.mean(axis=(1, 3))[..., 1:]", "background is one too"),
        (f"np.moveaxis({ONE_HOT}{HALVES}.mean(axis=(1, 3)), -1, 0)", "the classes first"),
        (f"{ONE_HOT}.reshape(2, 3, 2, 2, 4).mean(axis=(2, 3))", "does each of your blocks hold four neighbours"),
        (f"{ONE_HOT}{HALVES}.mean(axis=(1, 3))[:1]", "yours has the shape (1, 3, 4)"),
    ],
)
def test_soft_labels_name_the_usual_mistake(code, words):
    assert words in answer("03", 2, SOFT + code)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("images[:, ::-1]", "it should be images and soft labels"),
        ("(images, soft_labels)", "has not moved"),
        ("(images, soft_labels[:, ::-1])", "flip the images too"),
        ("(images[:, ::-1], soft_labels)", "its label is at (1, 2); move both"),
        ("(images[:, :, ::-1], soft_labels[:, :, ::-1])", "exchanges face and back"),
        ("(images[::-1], soft_labels[::-1])", "flip within a slice"),
        ("(images[:, ::-1, ::-1], soft_labels[:, ::-1, ::-1])", "turns the head by 180 degrees"),
        ("(images[:, ::-1], soft_labels[:, ::-1, :, ::-1])", "flip the rows, not the classes"),
        ("(images.swapaxes(1, 2), soft_labels.swapaxes(1, 2))", "went to (2, 1); expected (4, 2)"),
        ("(images[:, ::-1, :3], soft_labels[:, ::-1])", "the images came back with shape"),
        ("(images * 0, soft_labels)", "came back as nothing but 0"),
    ],
)
def test_the_flip_says_where_the_dot_went(code, words):
    assert words in answer("03", 3, FLIP + code)


PLANT = "x = np.eye(4)[np.random.default_rng(0).integers(0, 4, (2, 8, 8))]\n    a, b = augmentation(x, x)\n    return "
MIDDLE = "x = np.zeros((1, 7, 7, 4))\n    x[0, 3, 3, 2] = 1\n    a, b = augmentation(x, x)\n    return "


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("return True", "yours calls all seven true"),
        ("return False", "yours calls all seven false"),
        ("x = np.ones((1, 6, 6, 4))\n    a, b = augmentation(x, x)\n    return a.shape == b.shape", "all seven true"),
        (PLANT + "bool((a == b).all())", "compare where, not how bright"),
        (MIDDLE + "bool((a.argmax(-1) == b.argmax(-1)).all())", "with a picture that no flip leaves as it is"),
        (PLANT + "a.argmax(-1) == b.argmax(-1)", "it should be True or False"),
    ],
)
def test_a_test_of_augmentations_is_itself_tested(code, words):
    assert words in answer("03", 4, TOGETHER + code)
