"""Lesson 04: a block, the shapes of a U-Net, the parameters of a convolution, a thin skip."""

import pytest

from tests.lessons.exercises import SOLUTION, answer

CONV = 'layers.Conv2D(features, 3, padding="same", activation="relu", kernel_initializer="he_normal")'
BLOCK = f"def block(x, features):\n    x = {CONV}(x)\n    return {CONV}(x)"
LAST_LINEAR = 'activation="linear"'.join(BLOCK.rsplit('activation="relu"', 1))
DOWN = "(96, 96, 1), (96, 96, 16), (48, 48, 32), (24, 24, 64), (12, 12, 128)"
UP = "(24, 24, 64), (48, 48, 32), (96, 96, 16), (96, 96, 1)"


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_solution_is_solved(number):
    assert answer("04", number, SOLUTION) == f"Exercise {number}: solved.\n"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (BLOCK.replace('padding="same", ', "", 1), "turns 16 x 16 pixels into 14 x 14"),
        (BLOCK.replace("features, 3", "8, 3"), "asked for 5 features and return 8"),
        (f"def block(x, features):\n    return {CONV}(x)", "has 1 convolution(s) on its way, expected two"),
        (BLOCK.replace(f"x = {CONV}(x)", f"{CONV}(x)"), "the second takes what the first returns"),
        (BLOCK.replace("features, 3", "features, 5"), "two 3 x 3 convolutions with biases have 325"),
        (BLOCK.replace(', kernel_initializer="he_normal"', ""), "GlorotUniform; asked was he_normal, for both"),
        (BLOCK.replace(', kernel_initializer="he_normal"', "", 1), "asked was he_normal, for both"),
        (BLOCK.replace('activation="relu", ', "", 1), "a ReLU between the two is missing"),
        (LAST_LINEAR, "a ReLU at the end is missing"),
        (f"def block(x, features):\n    conv = {CONV}\n    return conv(conv(x))", "one layer has one kernel"),
        ("def block(x, features):\n    ...", "there is nothing here yet"),
        ("def block(x, features):\n    return 'two'", "your block returns str"),
        ("def block(x):\n    return x", "your code stopped with TypeError"),
    ],
)
def test_a_wrong_block_hears_what_is_wrong(wrong, said):
    assert said in answer("04", 1, wrong)


def test_a_block_may_be_a_model_of_its_own():
    assert answer("04", 1, f"def block(x, features):\n    return keras.Sequential([{CONV}, {CONV}])(x)").endswith(
        "solved.\n"
    )


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        (f"{DOWN}, {UP[:-13]}", "there are 8 shapes; the drawing has 9 boxes"),
        (f"{DOWN}, {UP}".replace("(96, 96, 16)", "(48, 48, 16)", 1), "is what pooling leaves of it"),
        (f"{DOWN}, {UP.replace('(24, 24, 64)', '(24, 24, 128)')}", "is with its skip beside it"),
        (f"{DOWN}, {UP}".replace("(48, 48, 32)", "(48, 48, 16)", 1), "they double with each level"),
        (f"{DOWN}, {UP}".replace("(12, 12, 128)", "(24, 24, 128)"), "has not the side of this level, 12"),
        (f"{DOWN}, {UP}".replace("(48, 48, 32)", "48", 1), "48 is no (rows, columns, features)"),
        (f"{DOWN}, {UP[:-13]}, (96, 96, 2)", "the end: one number a pixel will do"),
        ("(96, 96, 1), ..., ..., ..., ..., ..., ..., ..., ...", "there is nothing here yet"),
    ],
)
def test_wrong_shapes_hear_what_is_wrong(shapes, said):
    assert said in answer("04", 2, f"my_shapes = [{shapes}]")


@pytest.mark.parametrize("nonsense", ["None", "'96 x 96'", "(96, 96, 1)"])
def test_what_is_no_list_of_shapes_hears_it(nonsense):
    assert "should stay a list of nine shapes" in answer("04", 2, f"my_shapes = {nonsense}")


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("side * side * before * after", "32 biases are missing"),
        ("side * side * before * after + before", "each of the 32 has one"),
        ("side * before * after + after", "a kernel is a square"),
        ("side * side * after + after", "each of 32 kernels looks at both features"),
        ("(side * side + 1) * before * after", "a kernel has one bias, not one a feature it reads"),
        ("608", "you count 608 for 1 x 1"),
        ("'many'", "you count many"),
        ("...", "there is nothing here yet"),
    ],
)
def test_a_wrong_count_hears_what_is_wrong(formula, said):
    assert said in answer("04", 3, f"def parameters(side, before, after):\n    return {formula}")


def test_a_count_of_other_arguments_hears_it():
    assert "your code stopped with TypeError" in answer("04", 3, "def parameters(side):\n    return side")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("skip[..., :1]", "nothing in it can learn"),
        ("keras.ops.mean(skip, axis=-1, keepdims=True)", "nothing in it can learn"),
        ("layers.Conv2D(1, 3, padding='same', activation='relu')(skip)", "a 1 x 1 convolution of 16 features has 17"),
        ("layers.Conv2D(1, 3)(skip)", "8 x 8 became 6 x 6"),
        ("layers.Conv2D(2, 1)(skip)", "2 feature maps are left"),
        ("layers.Conv2D(1, 1)(skip)", "after a ReLU nothing is below 0"),
        ("'thin'", "expected a feature map"),
        ("...", "there is nothing here yet"),
    ],
)
def test_a_wrong_skip_hears_what_is_wrong(body, said):
    assert said in answer("04", 4, f"def thin(skip):\n    return {body}")
