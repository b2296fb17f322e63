import numpy as np
import pandas as pd
import pytest

from helpers.show import ladder as show

HISTORY = pd.DataFrame(
    {"epoch": [0, 1, 2, 3], "adversarial": [None, 0.6, 0.8, 0.9], "discriminator": [None, 0.7, 0.6, 0.5],
     "accuracy": [None, 0.5, 0.9, 0.7], "val_dice": [0.92, 0.9, 0.92, 0.91],
     "relative_entropy_gap": [0.2, 0.1, 0.05, 0.02],
     "selection_score": [0.72, 0.80, 0.87, 0.89], "saved": [0, 3, 6, 0]}
)  # fmt: skip


def row(name, dice, closed, oracle=None, seeds=(0.8,)):
    return {
        "experiment": name,
        "target": {"mean": dice, "ci95": [dice - 0.02, dice + 0.02], "by_seed": list(seeds), "n": 12},
        "gap": {"share": closed},
        "oracle": oracle and {"mean": oracle},
    }


@pytest.fixture
def rows():
    return [
        row("source", 0.8, 0.0),
        row("adda", 0.86, 0.6, oracle=0.87, seeds=(0.85, 0.86, 0.87)),
        row("target", 0.9, 1.0),
        row("shuffled", 0.8, None),
    ]


def words(ax):
    return [text.get_text() for text in ax.texts]


def test_every_experiment_stands_at_its_dice_with_its_gap_closed(rows):
    ax = show.ladder(rows).axes[0]
    dots = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o" and len(line.get_xdata())]
    assert dots == [row["target"]["mean"] for row in rows]
    assert [text.get_text() for text in ax.get_yticklabels()] == [row["experiment"] for row in rows]
    assert words(ax) == ["0%", "60%", "100%", "-", "gap\nclosed"]


def test_intervals_are_drawn_where_they_are(rows):
    ax = show.ladder(rows).axes[0]
    spans = [list(line.get_xdata()) for line in ax.lines if line.get_linewidth() == 3]
    assert spans == [row["target"]["ci95"] for row in rows]


def test_source_and_ceiling_are_lines(rows):
    ax = show.ladder(rows).axes[0]
    assert [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"] == [0.8, 0.9]
    assert not [line for line in show.ladder(rows[1:2]).axes[0].lines if line.get_linestyle() == "--"]


def test_what_learned_from_masks_of_the_target_looks_like_the_ceiling_and_checks_like_neither(rows):
    names = ("source", "adda", "target", "both", "labelled-5", "longer", "shuffled")
    figure = show.ladder([row(name, 0.8, None) for name in names])
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o" and len(line.get_xdata())]
    colours = dict(zip(names, [line.get_color() for line in dots], strict=True))
    assert colours["target"] == colours["both"] == colours["labelled-5"]
    assert colours["longer"] == colours["shuffled"]
    assert len({colours[name] for name in ("source", "adda", "target", "longer")}) == 4
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["source only", "ceiling", "no mask of the target", "masks of the target", "check"]


def test_the_figure_says_how_many_radiographs(rows):
    assert "mean of 12 radiographs, and 95 % CI" in show.ladder(rows).axes[0].get_xlabel()


def test_too_few_radiographs_are_dots_and_no_interval(rows):
    for one in rows:
        one["target"] |= {"ci95": None, "n": 3, "by_radiograph": [0.7, 0.8, 0.9]}
    ax = show.ladder(rows).axes[0]
    assert not [line for line in ax.lines if line.get_linewidth() == 3]
    assert sum(list(line.get_xdata()) == [0.7, 0.8, 0.9] for line in ax.lines) == len(rows)
    assert "3 radiographs, and each of them" in ax.get_xlabel()


def test_the_oracle_is_drawn_only_where_there_is_one(rows):
    def diamonds(selected):
        lines = show.ladder(selected).axes[0].lines
        return [line.get_xdata()[0] for line in lines if line.get_marker() == "D" and len(line.get_xdata())]

    assert diamonds(rows) == [0.87]
    assert diamonds(rows[:1]) == []


def test_several_seeds_are_marked_one_by_one(rows):
    ax = show.ladder(rows).axes[0]
    assert [list(line.get_xdata()) for line in ax.lines if line.get_marker() == "|"] == [[0.85, 0.86, 0.87]]


def test_adversarial_curves_show_the_discriminator_beside_chance():
    losses, accuracy, selection = show.adversarial_curves(HISTORY).axes
    assert len(losses.lines) == 3
    assert losses.lines[2].get_ydata()[0] == pytest.approx(0.693, abs=1e-3)  # the loss at chance
    assert list(accuracy.lines[0].get_ydata()) == [0.5, 0.9, 0.7]
    assert accuracy.lines[1].get_ydata()[0] == 0.5
    assert words(accuracy) == ["chance"]
    assert selection.lines[-1].get_xdata()[0] == 2  # the best among the checkpoints that were saved


def test_adversarial_curves_draw_the_columns_that_exist(tmp_path):
    HISTORY[["epoch", "adversarial"]].to_csv(tmp_path / "history.csv")
    assert len(show.adversarial_curves(tmp_path / "history.csv").axes) == 1
    with pytest.raises(ValueError, match="expected `epoch`"):
        show.adversarial_curves(HISTORY.drop(columns="epoch"))


def test_features_are_drawn_on_one_plane_for_both_moments():
    rng = np.random.default_rng(0)
    near, far = rng.normal(size=(30, 8)), rng.normal(size=(20, 8)) + 6
    figure = show.features({"montgomery": near, "shenzhen": far}, {"montgomery": near, "shenzhen": far - 6})
    (source, target), (source_after, target_after) = (
        [np.column_stack(line.get_data()) for line in ax.lines] for ax in figure.axes
    )
    np.testing.assert_allclose(source, source_after)
    assert (len(source), len(target)) == (30, 20)
    distance, after = (
        np.linalg.norm(a.mean(axis=0) - b.mean(axis=0)) for a, b in ((source, target), (source_after, target_after))
    )
    assert after < 0.2 * distance
