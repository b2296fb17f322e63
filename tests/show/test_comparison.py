import numpy as np
import pytest

from helpers.lessons.measured import read_recipes
from helpers.measure.model_comparison import compare_models
from helpers.show.comparison import draw_comparison, paired_strips, recipes
from tests.measure.test_model_comparison import scores, write  # noqa: F401 (fixtures)

STRIPS = {"WT": {"a": [0.5, 0.7, 0.9], "b": [0.6, 0.65, 0.95]}, "ET": {"a": [0.1, 0.2, 0.3], "b": [0.2, 0.2, 0.4]}}


def test_every_patient_has_a_dot_under_each_model_and_a_line_between():
    figure = paired_strips(STRIPS)
    assert [ax.get_title("left") for ax in figure.axes] == ["WT", "ET"]
    for ax, models in zip(figure.axes, STRIPS.values(), strict=True):
        dots = [np.sort(one.get_offsets()[:, 1]) for one in ax.collections if len(one.get_offsets()) == 3]
        np.testing.assert_allclose(dots, [np.sort(values) for values in models.values()])
        lines = [line.get_ydata() for line in ax.lines if len(line.get_xdata()) == 2]
        np.testing.assert_allclose(sorted(map(tuple, lines)), sorted(zip(*models.values(), strict=True)))
        assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b"]


@pytest.mark.parametrize(
    ("strips", "message"),
    [({}, "one region"), ({"WT": {"a": [1]}}, "two models"), ({"WT": {"a": [1], "b": [1, 2]}}, "same patients")],
)
def test_scores_that_make_no_pairs_are_refused(strips, message):
    with pytest.raises(ValueError, match=message):
        paired_strips(strips)


def test_a_comparison_is_drawn_with_what_can_be_told(write, scores):  # noqa: F811
    files = [write("a.json", scores), write("b.json", scores + np.linspace(0.01, 0.05, 12), scores)]
    figure = draw_comparison(compare_models(files))
    assert figure.get_suptitle() == "12 patients tell 1 of 2 differences"
    whole, enhancing = (ax.get_xlabel() for ax in figure.axes)
    assert whole.startswith("+0.030 [+0.0")
    assert whole.endswith(", told")
    assert enhancing == "+0.000 [+0.000, +0.000], not told"


def test_recipes_are_drawn_against_the_first_hollow_where_not_told():
    table = read_recipes()
    figure = recipes(table)
    rows = table["rows"][1:]
    for ax, region in zip(figure.axes, table["rows"][0]["regions"], strict=True):
        dots = [line for line in ax.lines if line.get_marker() == "o"]
        compared = [row["regions"][region]["difference"] for row in rows]
        assert [line.get_xdata()[0] for line in dots] == [one["mean"] for one in compared]
        assert [line.get_markerfacecolor() != "white" for line in dots] == [one["told"] for one in compared]


def test_recipes_of_too_few_patients_are_no_figure():
    table = read_recipes()
    for row in table["rows"][1:]:
        row["regions"]["WT"]["difference"]["interval"] = None
    with pytest.raises(ValueError, match="with intervals"):
        recipes(table)
