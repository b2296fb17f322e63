"""Lesson 06: attention, the parameters of a vision transformer, a threshold, a probe for the source."""

import pytest

from tests.lessons.exercises import SOLUTION, answer

ATTENTION = """def attention(q, k, v):
    scores = ops.matmul(q, ops.transpose(k, (0, 2, 1))) / q.shape[-1] ** 0.5
    return ops.matmul(ops.softmax(scores, axis=-1), v)
"""
COUNT = """def parameters(width, depth, patch=16, size=224, channels=3, classes=1000):
    embedding = patch**2 * channels * width + width
    positions = width + (1 + (size // patch) ** 2) * width
    attention = 4 * (width**2 + width)
    mlp = width * 4 * width + 4 * width + 4 * width * width + width
    block = 2 * 2 * width + attention + mlp
    return embedding + positions + depth * block + 2 * width + width * classes + classes
"""
PROBE = """def source_auc(features, source, patient):
    from sklearn.model_selection import GroupKFold, cross_val_predict
    probe = make_pipeline(StandardScaler(), LogisticRegression())
    how = {"groups": patient, "cv": GroupKFold(5), "method": "predict_proba"}
    return auc(source, cross_val_predict(probe, features, source, **how)[:, 1])
"""


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_solution_is_solved(number):
    assert answer("06", number, SOLUTION) == f"Exercise {number}: solved.\n"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (ATTENTION.replace(" / q.shape[-1] ** 0.5", ""), "you leave the scores as they are"),
        (ATTENTION.replace(" ** 0.5", ""), "you divide by d; it is the root of d"),
        (ATTENTION.replace("q.shape[-1]", "96"), "you divide by the root of 96"),
        (ATTENTION.replace("axis=-1", "axis=1"), "your weights sum to 1 over the queries"),
        (ATTENTION.replace("axis=-1", "axis=0"), "your softmax runs over the batch"),
        (ATTENTION.replace("ops.transpose(k, (0, 2, 1))", "k"), "k is not transposed"),
        (ATTENTION.replace("(k, (0, 2, 1))", "(k)"), "ops.transpose(k) turns all three axes"),
        (ATTENTION.replace("ops.softmax(scores, axis=-1)", "scores"), "the softmax is missing"),
        (ATTENTION.replace("ops.matmul(ops.softmax(scores, axis=-1), v)", "ops.softmax(scores)"), "return the weights"),
        (ATTENTION.replace("(scores, axis=-1), v)", "(scores, axis=-1), 2 * v)"), "your answer is not softmax"),
        (ATTENTION.replace("v)\n", "v)[0]\n"), "expected the same"),
        ("def attention(q, k, v):\n    ...", "there is nothing here yet"),
        ("def attention(q, k, v):\n    return 'all'", "expected the same"),
        ("def attention(q):\n    return q", "your code stopped with TypeError"),
    ],
)
def test_wrong_attention_hears_what_is_wrong(wrong, said):
    assert said in answer("06", 1, wrong)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (COUNT.replace("channels * width + width", "channels * width"), "the biases of the patches"),
        (COUNT.replace("positions = width + (1 +", "positions = width + (0 +"), "its position"),
        (COUNT.replace("positions = width + (1 +", "positions = (0 +"), "two of these"),
        (COUNT.replace("+ positions", "+ width"), "all positions"),
        (COUNT.replace("2 * 2 * width + attention", "attention"), "the norms of the blocks"),
        (COUNT.replace("attention = 4 *", "attention = 3 *"), "one matrix of attention in each block"),
        (COUNT.replace("4 * width * width + width", "4 * width * width"), "the second biases of the MLP"),
        (COUNT.replace("width * 4 * width + 4 * width + ", ""), "it has"),
        (COUNT.replace("4 * width * width + width", "width"), "one of the two matrices of the MLP"),
        (COUNT.replace("+ depth * block", "+ block"), "all blocks but one"),
        (COUNT.replace("width * classes + classes", "width * classes"), "the biases of the head"),
        (COUNT.replace("width * classes + classes", "0"), "the head"),
        (COUNT.replace("(1 + (size // patch) ** 2)", "(1 + 2**2)"), "for ViT-B/16 you count"),
        (COUNT.replace("return ", "return 10 ** 6 + "), "fewer"),
        ("def parameters(*_):\n    ...", "there is nothing here yet"),
        ("def parameters(*_):\n    return 'millions'", "expected a whole number"),
        ("def parameters(width):\n    return width", "your code stopped with TypeError"),
    ],
)
def test_a_wrong_count_hears_what_may_be_missing(wrong, said):
    assert said in answer("06", 2, wrong)


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("0.0", "so does every other slice"),
        ("np.quantile(probabilities, 1 - sensitivity)", "you ranked all slices"),
        ("np.quantile(probabilities[truth], 1 - sensitivity)", "0.6 is the highest threshold that passes these"),
        ("probabilities[truth].min()", "that pass is 100%; asked were 80%, and 0.6 is the highest"),
        ("0.5", "0.6 is the highest threshold that passes these"),
        ("0.65", "asked were 80%"),
        ("0.6", "for 100% you return 0.6"),
        ("np.sort(probabilities[truth])[::-1]", "you return (5,) numbers; expected one"),
        ("'high'", "your code stopped with ValueError"),
        ("...", "there is nothing here yet"),
    ],
)
def test_a_wrong_threshold_hears_what_is_wrong(formula, said):
    assert said in answer("06", 3, f"def my_threshold(truth, probabilities, sensitivity):\n    return {formula}")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (PROBE.replace('"cv": GroupKFold(5)', '"cv": 5'), "slices of a patient are on both sides"),
        (PROBE.replace("[:, 1])", "[:, 0])"), "those of the wrong class"),
        (
            "def source_auc(features, source, patient):\n    return auc(source, source)",
            "is it the truth that you rank by",
        ),
        (PROBE.replace(', "method": "predict_proba"', "").replace("[:, 1]", ""), "these are the probe's decisions"),
        ("def source_auc(features, source, patient):\n    return 0.5", "it should be near 1"),
        ("def source_auc(features, source, patient):\n    return source", "expected one AUC"),
        ("def source_auc(features, source, patient):\n    ...", "there is nothing here yet"),
        ("def source_auc(features, source, patient):\n    return 'high'", "your code stopped with"),
        ("def source_auc(features):\n    return 1", "your code stopped with TypeError"),
    ],
)
def test_a_wrong_probe_hears_what_is_wrong(wrong, said):
    assert said in answer("06", 4, wrong)
