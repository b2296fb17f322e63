"""Checks of lesson 12: the right answer, the usual wrong ones, each by its own message, and nonsense."""

import pytest

from . import SOLUTION, answer
from .nonsense import each_nonsense, refused

ORDER = "def order_slices(positions, along):\n    return {}"
PSEUDONYM = (
    "import hashlib, hmac, random\ndef pseudonym(identity, key):\n"
    "    n = int.from_bytes(hmac.new(key, identity.encode(), hashlib.sha256).digest()[:16], 'big') % 10**12\n"
    "    h = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:16], 'big') % 10**12\n    return {}"
)
ENOUGH = "def enough(curve, tolerance):\n    return {}"
BATCH = "def rehearsal_batch(new, old, size, rng):\n    return {}"


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_right_answer_is_solved(number):
    assert answer("12", number, SOLUTION) == f"Exercise {number}: solved.\n"


def test_slices_may_be_ordered_from_either_end():
    assert answer("12", 1, ORDER.format("np.argsort(-positions @ np.cross(*along))")) == "Exercise 1: solved.\n"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("np.argsort(positions[:, 2])", "sagittal slices are still mixed: a single coordinate"),
        ("np.argsort(np.linalg.norm(positions, axis=1))", "axial slices are still mixed: in their plane"),
        ("np.argsort(positions @ along[0])", "axial slices are still mixed: in their plane all lie at one place"),
        ("np.argsort(positions[:, np.argmax(np.ptp(positions, axis=0))])[:8]", "something of shape (8,)"),
        ("np.sort(positions @ np.cross(*along))", "give the order, as argsort does"),
        ("np.argsort(positions)", "something of shape (9, 3)"),
        ("np.arange(9)", "axial slices are still mixed"),
    ],
)
def test_exercise_1_names_the_usual_mistake(body, words):
    assert words in answer("12", 1, ORDER.format(body))


@each_nonsense("order_slices")
def test_exercise_1_survives_nonsense(code):
    assert refused(answer("12", 1, code), 1)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("f'{h:012d}'", "let the key take part"),
        ("n", "you gave int; a number that keeps its zeros is text"),
        ("hmac.new(key, identity.encode(), hashlib.sha256).hexdigest()[:12]", "expected twelve digits"),
        ("f'{n % 10**8:08d}'", "8 characters; expected twelve digits"),
        ("identity + f'{n % 10**8:08d}'", "the patient's own number can be read"),
        ("f'{random.randrange(10**12):012d}'", "the same patient got two numbers"),
        ("'000000000000'", "two patients got one number"),
    ],
)
def test_exercise_2_names_the_usual_mistake(body, words):
    assert words in answer("12", 2, PSEUDONYM.format(body))


@each_nonsense("pseudonym")
def test_exercise_2_survives_nonsense(code):
    assert refused(answer("12", 2, code), 2)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("1", "you gave 1: two patients are no better than one"),
        ("max(curve, key=curve.get)", "you gave 8: the last step gains less"),
        ("0.7", "expected one of the numbers of patients"),
        ("4", "where more patients make it worse you gave 4"),
        ("4 if len(curve) == 4 else 1", "where each step gains you gave 1"),
    ],
)
def test_exercise_3_names_the_usual_mistake(body, words):
    assert words in answer("12", 3, ENOUGH.format(body))


@each_nonsense("enough")
def test_exercise_3_survives_nonsense(code):
    assert refused(answer("12", 3, code), 3)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("rng.choice([*new, *old], size)", "from one list of all, the few drown"),
        ("[*rng.choice(new, size), *rng.choice(old, size)]", "the batch has 32 patients; 16"),
        ("[*rng.choice(new, 8), *([old[0]] * 8)]", "all old ones are the same patient"),
        ("[f'x{n}' for n in range(size)]", "somebody in your batch is in neither list"),
        ("[*rng.choice(new, 8, replace=False), *rng.choice(old, 8)]", "stopped with ValueError: Cannot take a larger"),
    ],
)
def test_exercise_4_names_the_usual_mistake(body, words):
    assert words in answer("12", 4, BATCH.format(body))


@each_nonsense("rehearsal_batch")
def test_exercise_4_survives_nonsense(code):
    assert refused(answer("12", 4, code), 4)
