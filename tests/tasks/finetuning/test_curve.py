"""Laws of the learning curve: the same test patients for all, draws that grow, and one training for each point."""

import json

import pytest
from typer.testing import CliRunner

from helpers.cli import app
from helpers.data.brats import read_catalogue
from helpers.data.splits import load_split
from helpers.learn.run_folder import patients_learned_from, read_split
from helpers.runtime.errors import DataError
from helpers.show.learning_curve import by_patient
from helpers.show.learning_curve import learning_curve as draw
from helpers.tasks.finetuning import curve
from helpers.tasks.finetuning.curve import learning_curve

pytestmark = pytest.mark.usefixtures("short")


def quiet(line):
    """Takes the lines that a command logs."""


@pytest.fixture(scope="module")
def small(brats, short, tmp_path_factory):
    """A curve of one and two patients of a site, from a base that is trained on the others."""
    out = tmp_path_factory.mktemp("curve") / "out"
    settings = {"counts": (1, 2, 4), "draws": 2, "test": 1, "rehearse": True, "orders": ("random", "different")}
    table = learning_curve(brats, out, site="TCIA01", base={"size": 32, "filters": 2}, epochs=1, log=quiet, **settings)
    return out, table


def test_the_base_never_saw_the_new_site_and_two_old_patients_are_kept_out(small, brats):
    out, table = small
    new = {one.id for one in read_catalogue(brats).patients if one.site == "TCIA01"}
    assert not new & {*patients_learned_from(out / "base")}
    assert set(table["old_base"]) == set(read_split(out / "base").test)
    assert len(table["old_base"]) == 2


def test_all_points_are_scored_on_the_same_patients_whom_none_learned_from(small):
    out, table = small
    for row in table["rows"]:
        assert set(row["new"]) == set(table["test"])
        assert not {*row["train"]} & {*table["test"]}
        folder = out / row["start"] / row["order"] / f"draw_{row['draw']}" / f"k_{row['k']}"
        assert set(load_split(folder / "split.json").train) == set(row["train"])


def test_draws_grow_and_there_is_one_where_all_are_taken(small):
    _, table = small
    assert table["pool"] == 2
    assert {row["k"] for row in table["rows"]} == {1, 2}  # four would be more than there are
    chance = [row for row in table["rows"] if row["order"] == "random" and row["start"] == "model"]
    assert [(row["k"], row["draw"]) for row in chance] == [(1, 0), (1, 1), (2, 0)]
    assert set(chance[0]["train"]) < set(chance[2]["train"])
    assert {row["start"] for row in table["rows"] if row["k"] == 2} == {"model", "nothing", "rehearsal"}


def test_what_is_forgotten_is_measured_of_models_alone(small):
    _, table = small
    for row in table["rows"]:
        assert (row["old"] is None) == (row["start"] == "nothing")


def test_the_same_command_trains_nothing_again(small, brats, monkeypatch):
    out, table = small
    said = []
    settings = {"counts": (1, 2, 4), "draws": 2, "test": 1, "rehearse": True, "orders": ("random", "different")}
    again = learning_curve(
        brats, out, site="TCIA01", base={"size": 32, "filters": 2}, epochs=1, log=said.append, **settings
    )
    assert again == table == json.loads((out / "curve.json").read_text())
    assert sum("nothing to do" in line for line in said) == len(table["rows"]) + 1


def test_the_figure_has_dots_below_eight_patients_and_says_so_in_words(small):
    _, table = small
    figure = draw(table)
    assert [ax.get_title("left") for ax in figure.axes] == [
        "the new site, n = 1", "the old sites: what is forgotten, n = 2"
    ]  # fmt: skip
    _, bundle = figure._repr_mimebundle_()
    assert "the model as it was" in bundle["image/png"]["alt"]
    assert by_patient(table, ("model", "random"), 1) == [
        pytest.approx(sum(one["new"][table["test"][0]] for one in table["rows"] if one["start"] == "model"
                          and one["order"] == "random" and one["k"] == 1) / 2)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"counts": (0,)}, "counts is 0"),
        ({"draws": 0}, "draws is 0"),
        ({"orders": ("magic",)}, "'magic' is no order"),
        ({"layers": "auto"}, "layers 'auto' is not known"),
        ({}, "name the new site"),
        ({"model_dir": "m", "rehearse": True}, "give it by --old"),
    ],
)
def test_it_refuses_before_it_reads(settings, message, tmp_path):
    with pytest.raises(DataError, match=message):
        learning_curve("nowhere", tmp_path / "out", **settings)


def test_the_command_hands_on_what_it_is_given(monkeypatch, tmp_path, small):
    given = {}
    monkeypatch.setattr(curve, "learning_curve", lambda *args, **kwargs: given.update(args=args) or small[1])
    words = ["learning-curve", "--data", "data", "--out", str(tmp_path), "--site", "CBICA", "--counts", "1,3"]
    result = CliRunner().invoke(app, [*words, "--epochs", "2"])
    assert result.exit_code == 0, result.output
    assert given["args"][3:7] == ("CBICA", [1, 3], 3, ["random", "unsure", "different"])
    assert "from nothing" in result.output
    assert (tmp_path / "curve.png").exists()
