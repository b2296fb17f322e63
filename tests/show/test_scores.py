import dataclasses

import numpy as np
import pandas as pd
import pytest

from helpers.measure.statistics import summarise
from helpers.show import scores

HISTORY = pd.DataFrame(
    {"epoch": [1, 2, 3], "loss": [1.0, 0.5, 0.4], "val_loss": [1.1, 0.7, 0.6], "accuracy": [0.97, 0.98, 0.99],
     "val_dice_wt": [0.2, 0.6, 0.7], "val_dice_tc": [0.1, 0.4, 0.6], "val_dice_et": [0.1, 0.3, 0.59]}
)  # fmt: skip


def patients(count=8):
    rng = np.random.default_rng(0)
    return [{region: {"dice": rng.random(), "hd95_mm": 9.0} for region in ("WT", "TC", "ET")} for _ in range(count)]


def labels(ax):
    return [text.get_text() for text in ax.texts]


def test_histograms_draw_every_tissue_in_every_modality(scan):
    figure = scores.histograms(scan)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["FLAIR", "T1", "T1ce", "T2"]
    assert [len(ax.patches) for ax in figure.axes] == [4] * 4
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["other brain", "core", "oedema", "enhancing"]


def test_every_tissue_of_a_histogram_has_the_same_area(scan):
    for patch in scores.histograms(scan).axes[0].patches:
        values, edges, _ = patch.get_data()
        assert (values * np.diff(edges)).sum() == pytest.approx(1)


def test_histograms_need_a_mask(scan):
    with pytest.raises(ValueError, match="has no mask"):
        scores.histograms(dataclasses.replace(scan, seg=None))


def test_class_balance_is_the_mean_over_patients():
    table = pd.DataFrame({0: [0.98, 0.96], 1: [0.01, 0.01], 2: [0.01, 0.02], 3: [0.0, 0.01]})
    ax = scores.class_balance(table).axes[0]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([97, 1, 1.5, 0.5])
    assert labels(ax) == ["97.00 %", "1.00 %", "1.50 %", "0.50 %"]


def test_curves_draw_what_is_there():
    loss, accuracy, dice = scores.curves(HISTORY).axes
    assert set(labels(loss)) == {"training", "validation"}
    assert labels(accuracy) == ["training"]
    assert set(labels(dice)) == {"WT", "TC", "ET"}
    assert len(scores.curves(HISTORY[["epoch", "loss"]]).axes) == 1


def test_curves_read_the_csv_that_training_writes(tmp_path):
    HISTORY.to_csv(tmp_path / "history.csv", index=False)
    line = scores.curves(tmp_path / "history.csv").axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), HISTORY["loss"])


def test_labels_of_lines_that_end_together_do_not_overlap():
    dice = scores.curves(HISTORY).axes[2]
    heights = sorted(text.xy[1] for text in dice.texts)
    assert np.diff(heights).min() >= 0.09 * np.ptp(dice.get_ylim()) - 1e-9


def test_a_history_with_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="epoch, seconds"):
        scores.curves(pd.DataFrame({"epoch": [1], "seconds": [2.0]}))


def test_regions_show_each_patient_the_mean_and_the_trivial_model():
    people, trivial = patients(8), summarise(patients(1))
    ax = scores.regions(people, trivial).axes[0]
    summary = summarise(people)
    for dots, region in zip(ax.collections, ("WT", "TC", "ET"), strict=True):
        drawn = np.sort(dots.get_offsets()[:, 0])
        np.testing.assert_allclose(drawn, sorted(patient[region]["dice"] for patient in people))
    intervals = [list(line.get_xdata()) for line in ax.lines if len(line.get_xdata()) == 2]
    assert intervals == [summary[region]["dice"]["ci95"] for region in ("WT", "TC", "ET")]
    crosses = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "X"]
    assert crosses == [trivial[region]["dice"]["mean"] for region in ("WT", "TC", "ET")]


def test_few_patients_are_drawn_without_an_interval():
    ax = scores.regions(patients(7)).axes[0]
    assert not [line for line in ax.lines if len(line.get_xdata()) == 2]
    assert "CI" not in ax.get_xlabel()
    assert not any("[" in text.get_text() for text in ax.texts)


def test_patients_of_one_score_stand_side_by_side():
    people = patients(10)
    for patient in people[:8]:
        patient["ET"]["dice"] = 0.0  # eight in whom nothing is found
    dots = scores.regions(people).axes[0].collections[2].get_offsets()
    assert len({tuple(np.round(dot, 3)) for dot in dots.tolist()}) == 10


def test_patients_without_the_score_have_no_dot():
    people = patients(9)
    people[0]["ET"]["dice"] = None
    dots = scores.regions(people).axes[0].collections
    assert [len(one.get_offsets()) for one in dots] == [9, 9, 8]
    for patient in people:
        patient["TC"]["dice"] = None
    with pytest.raises(ValueError, match="not defined for any patient in TC"):
        scores.regions(people)


def test_an_unknown_score_is_refused():
    with pytest.raises(ValueError, match="'nsd'"):
        scores.regions(patients(), metric="nsd")
