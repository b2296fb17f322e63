import numpy as np
import pytest

from helpers.measure import classification
from helpers.measure.classification import SlicePredictions
from helpers.show import classification as show


@pytest.fixture
def patients():
    rng = np.random.default_rng(0)
    truth = rng.random((4, 50)) < 0.4
    probabilities = 1 / (1 + np.exp(-rng.normal(3 * (truth - 0.5))))
    pairs = enumerate(zip(truth, probabilities, strict=True))
    return [SlicePredictions(f"p{i}", *pair, threshold=0.3) for i, pair in pairs]


@pytest.fixture
def together(patients):
    return [np.concatenate([getattr(p, name) for p in patients]) for name in ("truth", "probabilities", "passed")]


def test_area_under_the_drawn_curve_is_the_auc(patients, together):
    line = show.curves({"gate": patients}).axes[0].lines[0]
    area = np.trapezoid(line.get_ydata(), line.get_xdata())
    assert area == pytest.approx(classification.auc(*together[:2]))
    assert f"AUC {area:.3f}" in line.get_label()


def test_dots_stand_where_the_thresholds_put_the_gate(patients, together):
    truth, _, passed = together
    roc, pr = show.curves({"gate": patients}).axes
    fpr, sensitivity = 1 - classification.specificity(truth, passed), classification.sensitivity(truth, passed)
    dot = roc.lines[1]
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == pytest.approx((fpr, sensitivity))
    assert pr.lines[1].get_xdata()[0] == pytest.approx(sensitivity)


def test_every_gate_has_its_curve_and_chance_is_there(patients):
    figure = show.curves({"transformer": patients, "cnn": patients})
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [name.partition(":")[0] for name in names] == ["transformer", "cnn", "chance"]
    assert all("average precision" in name for name in names[:2])
    assert [len(ax.lines) for ax in figure.axes] == [5, 5]  # a curve and a dot for each, and chance


def test_calibration_counts_every_slice(patients, together):
    truth, probabilities, _ = together
    upper, lower = show.calibration(patients).axes
    table = classification.reliability(truth, probabilities)
    np.testing.assert_allclose(upper.lines[1].get_ydata(), table["fraction_positive"])
    with_tumour, without = lower.containers
    assert sum(bar.get_height() for bar in with_tumour) == truth.sum()
    assert sum(bar.get_height() for bar in without) == (~truth).sum()


def test_confusion_has_true_positives_and_false_negatives_in_the_row_of_tumour(patients, together):
    truth, _, passed = together
    texts = [text.get_text().split("\n")[0] for text in show.confusion(patients).axes[0].texts]
    expected = [(truth & passed), (truth & ~passed), (~truth & passed), (~truth & ~passed)]
    assert texts == [f"{mask.sum():,}" for mask in expected]
