"""Lesson 05: a median filter on the brain, the share that a remedy brings back, class weights, focal loss."""

import pytest

from tests.lessons.exercises import SOLUTION, answer

MEDIAN = """def my_median(slice_):
    brain = np.where(slice_ != 0, slice_, np.nan)
    padded = np.pad(brain, 1, constant_values=np.nan)
    filtered = np.zeros(slice_.shape)
    for row, column in np.argwhere(slice_ != 0):
        filtered[row, column] = np.nanmedian(padded[row : row + 3, column : column + 3])
    return filtered
"""
FOCAL = """def my_focal(truth, probabilities):
    logs = keras.ops.log(keras.ops.clip(probabilities, 1e-30, 1.0))
    each = -truth * (1 - probabilities) ** 2 * logs
    return keras.ops.mean(keras.ops.sum(each, axis=-1), axis=(1, 2))
"""


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_solution_is_solved(number):
    assert answer("05", number, SOLUTION) == f"Exercise {number}: solved.\n"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (MEDIAN.replace("np.nanmedian", "np.nanmean"), "this is the mean"),
        (MEDIAN.replace("np.nan)\n", "0.0)\n"), "you count background among the neighbours"),
        (MEDIAN.replace("np.argwhere(slice_ != 0)", "np.ndindex(slice_.shape)"), "the background is 0 no longer"),
        (MEDIAN.replace("np.nanmedian", "np.nanmax"), "brain pixels differ: "),
        (MEDIAN.replace("return filtered", "return filtered[1:-1, 1:-1]"), "7 x 7 pixels became (5, 5)"),
        ("def my_median(slice_):\n    return slice_", "your filter changes nothing"),
        ("def my_median(slice_):\n    return ...", "there is nothing here yet"),
        ("def my_median(slice_):\n    return 'smooth'", "7 x 7 pixels became ()"),
        ("def my_median():\n    return 0", "your code stopped with TypeError"),
    ],
)
def test_a_wrong_filter_hears_what_is_wrong(wrong, said):
    assert said in answer("05", 1, wrong)


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("np.mean(mended) / np.mean(sound)", "the faulty one has to come in"),
        ("(np.mean(sound) - np.mean(mended)) / (np.mean(sound) - np.mean(faulty))", "what is still missing"),
        ("np.mean((mended - faulty) / (sound - faulty))", "that is the mean of each patient's share"),
        ("np.mean(mended) - np.mean(faulty)", "divide by what was lost"),
        ("(np.mean(mended) - np.mean(faulty)) / (np.mean(sound) - np.mean(faulty))", "expected nan"),
        ("(mended - faulty) / (sound - faulty)", "you return (2,); expected one share"),
        ("0.1", "of 0.25 lost, 0.15 came back"),
        ("'most of it'", "expected a number"),
        ("None", "there is nothing here yet"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # a share of nothing lost
def test_a_wrong_share_hears_what_is_wrong(formula, said):
    assert said in answer("05", 2, f"def brought_back(sound, faulty, mended):\n    return {formula}")


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("pixels.sum() / pixels / 4", "with the root it is 15"),
        ("np.sqrt(pixels / pixels.sum())", "turn it round"),
        ("(1 / np.sqrt(pixels)) / (1 / np.sqrt(pixels)).mean()", "the mean over the four classes is 1"),
        ("(1 / np.sqrt(pixels)) / (1 / np.sqrt(pixels)).sum()", "your weights sum to 1"),
        ("1 / np.sqrt(pixels / pixels.sum())", "the mean pixel weighs"),
        ("1 / pixels ** 0.25", "by the root it is 15"),
        ("1 / pixels.sum()", "your weights have shape ()"),
        ("'heavy'", "your code stopped with ValueError"),
        ("...", "there is nothing here yet"),
    ],
)
def test_wrong_weights_hear_what_is_wrong(formula, said):
    assert said in answer("05", 3, f"def my_class_weights(pixels):\n    return {formula}")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (FOCAL.replace(", axis=(1, 2))", ")"), "your loss has shape ()"),
        (FOCAL.replace("-truth * ", "-"), "you sum over all classes"),
        (FOCAL.replace(" * (1 - probabilities) ** 2", ""), "this is the plain cross-entropy"),
        (FOCAL.replace("(1 - probabilities) ** 2", "probabilities ** 2"), "the factor is p^2"),
        (
            FOCAL.replace("keras.ops.sum(each, axis=-1)", "keras.ops.mean(each, axis=-1)"),
            "the mean over classes as well",
        ),
        (FOCAL.replace("keras.ops.mean(", "keras.ops.sum("), "the pixels are summed"),
        (FOCAL.replace("-truth", "truth"), "the sign is turned round"),
        (FOCAL.replace("** 2", "** 3"), "three slices have"),
        (FOCAL.replace("keras.ops.clip(probabilities, 1e-30, 1.0)", "probabilities"), "a slice all right has nan"),
        ("def my_focal(truth, probabilities):\n    return ...", "there is nothing here yet"),
        ("def my_focal(truth, probabilities):\n    return 'small'", "your code stopped with ValueError"),
        ("def my_focal(truth):\n    return truth", "your code stopped with TypeError"),
    ],
)
def test_a_wrong_loss_hears_what_is_wrong(wrong, said):
    assert said in answer("05", 4, wrong)
