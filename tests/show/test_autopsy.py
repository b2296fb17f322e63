"""The figures of lesson 08 show what they are given."""

import numpy as np
import pandas as pd
import pytest

from helpers.lessons.ledger import Ledger
from helpers.measure.overlap import jaccard
from helpers.show import autopsy
from helpers.show.panel import plane

HISTORY = pd.DataFrame({name: [0.2, 0.6] for name in (
    "loss", "accuracy", "val_loss", "val_accuracy", "val_kernel_dice", "val_dice", "val_one_hot_iou", "val_jaccard"
)}).assign(epoch=[1, 2])  # fmt: skip


def text(figure):
    return figure._repr_mimebundle_()[0]["text/plain"]


def test_bars_are_as_long_as_their_numbers_and_crosses_stand_at_those_of_nothing():
    ax = autopsy.bars({"one": 0.25, "two": 0.5}, {"two": 0.4}).axes[0]
    assert [bar.get_width() for bar in ax.patches] == [0.25, 0.5]
    [cross] = ax.get_lines()
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (0.4, 1)


def test_four_curves_draw_both_definitions_and_what_nothing_gets():
    axes = autopsy.four_curves(HISTORY, {"val_accuracy": 0.97}).axes
    assert [ax.get_title(loc="left") for ax in axes] == ["accuracy", "loss", "Dice", "Jaccard"]
    assert [len(ax.get_lines()) for ax in axes] == [3, 2, 2, 2]
    with pytest.raises(ValueError, match="has no val_dice"):
        autopsy.four_curves(HISTORY.drop(columns="val_dice"), {})


def test_the_jaccard_of_the_figure_is_that_of_its_slice(scan):
    drawn = np.roll(scan.seg, 2, axis=0)
    k = 9
    wanted = jaccard(scan.seg[..., k] > 0, drawn[..., k] > 0)
    figure = autopsy.jaccard_on_mask(scan, drawn, k)
    assert f"Jaccard {wanted:.3f}" in text(figure)
    both, either = (int(ax.get_title(loc="left").split()[1]) for ax in figure.axes[:2])
    assert both / either == pytest.approx(wanted)
    assert len(figure.legends[0].get_texts()) == 3  # either: true positives, false negatives and false positives


def test_outputs_have_a_panel_for_each_class_and_its_highest_probability(scan):
    given = np.zeros((*scan.seg.shape[:2], 4))
    given[..., 0], given[5, 5, 3] = 0.8, 0.55
    figure = autopsy.outputs(scan.images[..., 9, 0], scan.seg[..., 9], given, plane(scan.affine))
    assert len(figure.axes) == 8
    assert "enhancing 0.55" in text(figure)


def test_the_gallery_has_a_panel_and_a_caption_for_each_patient(scan):
    figure = autopsy.gallery([scan, scan], [scan.seg, 0 * scan.seg], ["good", "bad"])
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["good", "bad"]


def test_the_moved_outline_and_the_truth_are_drawn_in_every_panel(scan):
    figure = autopsy.moved(scan, {"one": np.roll(scan.seg, 1, axis=0), "two": scan.seg})
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["one", "two"]
    assert all(len(ax.collections) == 2 for ax in figure.axes)


def test_what_a_score_leaves_out_is_shaded():
    ax = autopsy.by_slice({"tumour": np.arange(10.0)}, slice(2, 8)).axes[0]
    assert [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in ax.patches] == [(0, 1.5), (7.5, 9)]


def test_shapes_tell_their_dice():
    truth = np.zeros((8, 8, 8), bool)
    truth[2:6, 2:6, 2:6] = True
    assert "Dice 1.00" in autopsy.shapes(truth, {"same": truth}).axes[0].get_title(loc="left")


def test_the_ledger_has_a_line_for_each_row():
    book = Ledger([0.0, 0.2])
    book.add("accuracy", [0.3, 0.5], 0.99, 0.98)
    book.add("loss mended", [0.5, 0.6])
    ax = autopsy.ledger(book).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["accuracy", "loss mended"]
    assert "accuracy: reports 0.990, honest 0.400" in text(autopsy.ledger(book))
