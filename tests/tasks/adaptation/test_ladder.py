"""Laws of the ladder: every training once, finished ones not again, the table up to date. Nothing is trained here."""

import inspect
import json
import shutil
from dataclasses import dataclass, replace

import numpy as np
import pytest
from typer.testing import CliRunner

from helpers.cli import app
from helpers.data.splits import Split
from helpers.runtime.errors import DataError
from helpers.tasks.adaptation import ladder
from helpers.tasks.adaptation.ladder import DIRECTIONS, EXPERIMENTS, load_results, run_folder, run_ladder

RADIOGRAPHS = {site: [f"{prefix}_{n:04d}_0" for n in range(1, 9)] for prefix, site in
         (("MCUCXR", "montgomery"), ("CHNCXR", "shenzhen"))}  # fmt: skip


@dataclass
class Workshop:
    """Stands for training and scoring: records the calls, and gives every radiograph a Dice."""

    done: list

    def train(self, data, out, site, **settings):
        self.note(out, site, settings)

    def adapt(self, model_dir, data, source_site, target_site, method, out, **settings):
        self.note(out, f"{source_site} to {target_site}", {"method": method, "start": model_dir, **settings})

    def tune(self, start, data, out, site, split, **settings):
        self.note(out, site, {"start": start, **settings})

    def note(self, out, where, settings):
        out.mkdir(parents=True)
        self.done.append((out, where, settings))
        radiographs = [
            radiograph
            for site in (RADIOGRAPHS if "method" not in settings else where.split(" to ")[:1])
            for radiograph in self.score(site)
        ]
        (out / "metrics.json").write_text(json.dumps({"images": radiographs}))

    def score(self, site):
        rng = np.random.default_rng(len(self.done))
        return [{"id": identity, "site": site, "dice": rng.uniform(0.8, 0.9)} for identity in RADIOGRAPHS[site]]

    def evaluate(self, folder, data, split, site, log):
        return {"images": self.score(site)}


@pytest.fixture
def workshop(monkeypatch):
    shop = Workshop([])
    for name, stand_in in (
        ("train_lungs", shop.train),
        ("_fine_tune", shop.tune),
        ("adapt", shop.adapt),
        ("evaluate_lungs", shop.evaluate),
        ("list_radiographs", lambda data: ()),
        ("_masked", lambda data, site, split, seed: ["a"] * 10),
        ("split_radiographs", lambda xrays, seed: Split(("a",), ("b",), ("c",), seed)),
    ):
        monkeypatch.setattr(ladder, name, stand_in)
    return shop


def quiet(text):
    pass


def test_every_experiment_starts_from_or_chooses_among_those_below_it():
    names = list(EXPERIMENTS)
    for name, experiment in EXPERIMENTS.items():
        needed = [*experiment.among, *([experiment.start] if experiment.start else [])]
        assert all(names.index(one) < names.index(name) for one in needed)
    assert {"source", "target", "adda", "itself", "shuffled"} <= set(names)


def test_what_an_experiment_starts_from_is_trained_before_it(workshop, tmp_path):
    run_ladder("data", tmp_path, DIRECTIONS[:1], ["xray-mean-teacher"], log=quiet)
    (first, where, _), (second, direction, settings) = workshop.done
    assert first == run_folder(tmp_path, DIRECTIONS[0], "xray")
    assert (where, direction) == ("montgomery", "montgomery to shenzhen")
    assert second == run_folder(tmp_path, DIRECTIONS[0], "xray-mean-teacher")
    assert (settings["start"], settings["method"]) == (first, "mean-teacher")


def test_both_directions_share_what_was_trained_in_one_hospital(workshop, tmp_path):
    table = run_ladder("data", tmp_path, DIRECTIONS, ["xray", "target"], log=quiet)
    assert [where for _, where, _ in workshop.done] == ["montgomery", "shenzhen"]  # each one's ceiling is the other's
    assert {direction: [row["experiment"] for row in rows] for direction, rows in table.items()} == {
        direction: ["xray", "target"] for direction in DIRECTIONS
    }


def test_all_are_trained_on_one_split_whatever_their_seed(workshop, tmp_path):
    run_ladder("data", tmp_path, DIRECTIONS[:1], ["source"], seeds=3, log=quiet, size=64)
    settings = [settings for *_, settings in workshop.done]
    assert {one["split"] for one in settings} == {Split(("a",), ("b",), ("c",), seed=0)}
    assert [one["seed"] for one in settings] == [0, 1, 2]
    assert {one["size"] for one in settings} == {64}
    assert load_results(tmp_path)[DIRECTIONS[0]][0]["seeds"] == [0, 1, 2]


def test_a_few_labels_are_those_of_the_target(workshop, tmp_path):
    run_ladder("data", tmp_path, DIRECTIONS[1:], ["labelled-5"], log=quiet)
    (start, *_), (_, site, settings) = workshop.done
    assert (site, settings["labelled"], settings["start"]) == ("montgomery", 5, start)


def test_what_lacks_masks_is_left_out_with_a_word_and_the_rest_is_run(workshop, tmp_path, monkeypatch):
    monkeypatch.setattr(ladder.ShapeCheck, "load", lambda folder: None)
    monkeypatch.setitem(EXPERIMENTS, "chosen", replace(EXPERIMENTS["chosen"], among=("source", "xray")))
    lines = []
    wanted = ["labelled-10", "labelled-20", "chosen", "target"]
    table = run_ladder("data", tmp_path, DIRECTIONS[:1], wanted, log=lines.append)[DIRECTIONS[0]]
    assert [row["experiment"] for row in table] == ["source", "xray", "labelled-10", "target"]
    few, shapeless = sorted(line for line in lines if "left out" in line)[::-1]
    assert "labelled-20, seed 0: left out, for it learns from 20 X-rays of shenzhen with masks, and 10 are" in few
    assert "chosen, seed 0: left out, for the model 'source' was saved without the shape" in shapeless


def test_an_ensemble_is_the_start_and_others_of_other_seeds(workshop, tmp_path, monkeypatch):
    made = {}
    monkeypatch.setattr(ladder, "write_ensemble", lambda out, members: made.update({out: members}))
    score = workshop.evaluate

    def evaluate(folder, data, split, site="both", json_path=None, log=quiet):
        result = {"images": [row for one in RADIOGRAPHS for row in score(folder, data, split, one, log)["images"]]}
        json_path.write_text(json.dumps(result))
        return result

    monkeypatch.setattr(ladder, "evaluate_lungs", evaluate)
    run_ladder("data", tmp_path, DIRECTIONS[:1], ["ensemble"], seeds=2, log=quiet)
    for seed in (0, 1):
        folder = run_folder(tmp_path, DIRECTIONS[0], "ensemble", seed)
        assert made[folder] == [folder / f"member_{number}" for number in (1, 2, 3)]
    trained = [(where, settings["seed"]) for out, where, settings in workshop.done if "member" in out.name]
    assert trained == [("montgomery", seed) for seed in (1000, 2000, 1001, 2001)]


def test_what_is_chosen_among_is_trained_first_and_the_choice_knows_no_mask_of_the_target(
    workshop, tmp_path, monkeypatch
):
    asked = []

    def choose(candidates, data, source, target, split, out, log):
        asked.append((list(candidates), source, target))
        assert all((folder / "metrics.json").exists() for folder in candidates.values())
        shutil.copytree(candidates["xray"], out)

    monkeypatch.setattr("helpers.tasks.adaptation.choice.choose_model", choose)
    monkeypatch.setattr(ladder.ShapeCheck, "load", lambda folder: "a shape")
    few = replace(EXPERIMENTS["chosen"], among=("source", "xray", "adda"))
    monkeypatch.setitem(EXPERIMENTS, "chosen", few)
    table = run_ladder("data", tmp_path, DIRECTIONS[:1], ["chosen"], log=quiet)[DIRECTIONS[0]]
    assert asked == [(["source", "xray", "adda"], "montgomery", "shenzhen")]
    assert [row["experiment"] for row in table] == ["source", "xray", "adda", "chosen"]


def test_a_model_of_both_hospitals_serves_both_directions(workshop, tmp_path):
    table = run_ladder("data", tmp_path, DIRECTIONS, ["both"], log=quiet)
    assert [(out, where) for out, where, _ in workshop.done] == [(tmp_path / "both" / "seed_0" / "xray", "both")]
    assert {direction: [row["experiment"] for row in rows] for direction, rows in table.items()} == {
        direction: ["both"] for direction in DIRECTIONS
    }


def test_each_recipe_has_a_folder_of_its_own():
    trained = [one.name for one in EXPERIMENTS.values() if not (one.start or one.among)]
    folders = {str(run_folder("out", DIRECTIONS[0], name)) for name in trained}
    assert len(folders) == len(trained)
    assert str(run_folder("out", DIRECTIONS[0], "normalised")).endswith("none-normalised")  # as it always was


def test_the_check_adapts_the_source_to_itself(workshop, tmp_path):
    run_ladder("data", tmp_path, DIRECTIONS[:1], ["itself"], log=quiet)
    assert workshop.done[1][1] == "montgomery to montgomery"


def test_the_check_of_a_longer_training_stays_with_the_source(workshop, tmp_path):
    run_ladder("data", tmp_path, DIRECTIONS[:1], ["longer"], log=quiet)
    (start, *_), (_, site, settings) = workshop.done
    assert (site, settings["start"], settings["augmentation"]) == ("montgomery", start, "none")


def test_the_command_goes_on_where_it_was_stopped(workshop, tmp_path, monkeypatch):
    experiments = ["source", "xray", "adda"]

    def stopped(*arguments, **settings):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ladder, "adapt", stopped)
        with pytest.raises(KeyboardInterrupt):
            run_ladder("data", tmp_path, DIRECTIONS[:1], experiments, log=quiet)
    written = json.loads((tmp_path / "ladder.json").read_text())
    assert [row["experiment"] for row in written[DIRECTIONS[0]]] == ["source", "xray"]
    assert len(workshop.done) == 2
    table = run_ladder("data", tmp_path, DIRECTIONS[:1], experiments, log=quiet)
    assert len(workshop.done) == 3
    assert json.loads((tmp_path / "ladder.json").read_text()) == table == load_results(tmp_path)
    run_ladder("data", tmp_path, DIRECTIONS[:1], experiments, log=quiet)
    assert len(workshop.done) == 3


@pytest.mark.parametrize(
    ("directions", "experiments", "message"),
    [
        (DIRECTIONS, ["adda", "ada"], "'ada' is no experiment; there are source, histogram"),
        (["montgomery-montgomery"], ["adda"], "is no direction"),
        (DIRECTIONS, [], "nothing is no experiment"),
    ],
)
def test_unknown_experiments_and_directions_are_refused_before_training(workshop, tmp_path, directions, experiments,
                                                                              message):  # fmt: skip
    with pytest.raises(DataError, match=message):
        run_ladder("data", tmp_path, directions, experiments, log=quiet)
    assert workshop.done == []


def test_the_oracles_dice_stand_beside_the_methods_own(workshop, tmp_path, monkeypatch):
    adapt = workshop.adapt

    def with_checkpoints(model_dir, data, source, target, method, out, **settings):
        adapt(model_dir, data, source, target, method, out, **settings)
        (out / "checkpoints").mkdir()

    monkeypatch.setattr(ladder, "adapt", with_checkpoints)
    monkeypatch.setattr(
        "helpers.tasks.adaptation.oracle.oracle",
        lambda folder, data, site: ("epoch_0010", dict.fromkeys(RADIOGRAPHS[site], 0.93)),
    )
    source, adda = run_ladder("data", tmp_path, DIRECTIONS[:1], ["adda"], log=quiet)[DIRECTIONS[0]]
    assert source["oracle"] is None
    assert adda["oracle"]["mean"] == pytest.approx(0.93)


def test_runs_that_were_made_otherwise_are_not_mixed(workshop, tmp_path):
    run_ladder("data", tmp_path, DIRECTIONS[:1], ["source"], minutes=1, log=quiet)
    with pytest.raises(DataError, match="minutes 1 there, 2 now"):
        run_ladder("data", tmp_path, DIRECTIONS[:1], ["source", "xray"], minutes=2, log=quiet)
    assert len(workshop.done) == 1


def test_the_command_hands_on_what_it_was_given(monkeypatch, tmp_path):
    given = {}

    def recorded(*args, **kwargs):
        call = inspect.signature(run_ladder).bind(*args, **kwargs)
        call.apply_defaults()
        given.update(call.arguments)
        return {}

    monkeypatch.setattr(ladder, "run_ladder", recorded)
    words = ["ladder", "--data", "xray", "--out", str(tmp_path), "--minutes", "2", "--experiments", "source,adda"]
    result = CliRunner().invoke(app, [*words, "--seeds", "3"])
    assert result.exit_code == 0, result.output
    assert (given["experiments"], given["seeds"], given["minutes"]) == (["source", "adda"], 3, 2)
    assert given["epochs"] is None
    assert callable(given["log"])
    assert given["network"] == {"size": 128, "filters": 16}


@pytest.mark.parametrize(
    ("words", "lasts"), [([], (10, None)), (["--minutes", "2"], (2, None)), (["--epochs", "12"], (None, 12))]
)
def test_trainings_last_minutes_or_epochs(monkeypatch, words, lasts):
    given = {}
    monkeypatch.setattr(ladder, "run_ladder", lambda *args, **kwargs: given.update(args=args) or {})
    result = CliRunner().invoke(app, ["ladder", "--data", "xray", "--out", "out", *words])
    assert result.exit_code == 0, result.output
    assert given["args"][5:7] == lasts


def test_minutes_and_epochs_together_are_refused():
    words = ["ladder", "--data", "xray", "--out", "out", "--minutes", "2", "--epochs", "12"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "give one of the two" in " ".join(result.output.split())
