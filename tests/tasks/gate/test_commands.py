"""Laws of the gate's commands: who trains it, who chooses its threshold, and who may be scored."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from helpers.cli import app
from helpers.data.brats import read_catalogue
from helpers.data.splits import load_split, make_split
from helpers.learn.run_folder import read_run
from helpers.measure.classification import sensitivity
from helpers.runtime.errors import DataError
from helpers.tasks.brain.training import Budget
from helpers.tasks.gate.commands import evaluate_gate, train_gate, train_gate_folds
from helpers.tasks.gate.inference import Gate, predict_case
from helpers.tasks.gate.training import choose_threshold

SETTINGS = {"network": "cnn", "size": 32, "minutes": 1, "log": lambda _: None}


@pytest.fixture(scope="module")
def some_t2(phantoms, tmp_path_factory):
    """The phantoms; every other one has no T2."""
    root = Path(shutil.copytree(phantoms, tmp_path_factory.mktemp("some_t2") / "brats"))
    for path in sorted(root.rglob("*_t2.nii"))[::2]:
        path.unlink()
    return root


@pytest.fixture(scope="module")
def trained(some_t2, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Budget, "of", lambda *_, **__: Budget(epochs=2))
        return train_gate(some_t2, tmp_path_factory.mktemp("gate") / "run", **SETTINGS)


def test_folder_holds_all_that_is_needed_and_no_store(trained):
    assert {path.name for path in trained.iterdir()} == {
        "model.keras", "run.json", "split.json", "history.csv", "metrics.json",
    }  # fmt: skip


def test_split_is_that_of_the_brain_training(trained, some_t2):
    patients = read_catalogue(some_t2).require(("flair", "t1ce"))
    assert load_split(trained / "split.json") == make_split(patients, seed=0)


def test_threshold_is_chosen_on_validation_patients_only(trained, some_t2):
    gate, chosen = Gate.load(trained), load_split(trained / "split.json").validation
    patients = [p for p in read_catalogue(some_t2).patients if p.id in chosen]
    said = [predict_case(gate, patient) for patient in patients]
    assert gate.threshold == choose_threshold(said)
    truth, passed = (np.concatenate([getattr(one, name) for one in said]) for name in ("truth", "passed"))
    assert sensitivity(truth, passed) >= 0.98


def test_scores_have_the_promised_form(trained, some_t2, tmp_path):
    result = evaluate_gate(trained, some_t2, json_path=tmp_path / "new" / "scores.json", log=lambda _: None)
    assert json.loads((tmp_path / "new" / "scores.json").read_text()) == json.loads(json.dumps(result))
    assert result["n"] == len(result["patients"]) == len(load_split(trained / "split.json").test)
    for name in ("auc", "sensitivity", "specificity", "skipped"):
        low, high = result[name]["ci95"]
        assert 0 <= low <= result[name]["value"] <= high <= 1
    assert result["trivial"]["auc"] == 0.5
    assert result["slices"]["all"] == 39 * result["n"]
    assert result["threshold"] == Gate.load(trained).threshold
    assert {"parameters", "precision", "versions", "device", "split"} <= set(result["run"])


def test_evaluating_twice_gives_the_same_scores(trained, some_t2):
    held = json.loads((trained / "metrics.json").read_text())
    assert evaluate_gate(trained, some_t2, log=lambda _: None)["patients"] == held["patients"]


def test_finished_training_is_left_as_it_is(trained, some_t2):
    before = (trained / "model.keras").stat().st_mtime_ns
    train_gate(some_t2, trained, **SETTINGS)
    assert (trained / "model.keras").stat().st_mtime_ns == before
    with pytest.raises(DataError, match="size 32 there, 16 now"):
        train_gate(some_t2, trained, **{**SETTINGS, "size": 16})


def test_gate_refuses_patients_it_was_trained_on(trained, some_t2):
    known = load_split(trained / "split.json").train[0]
    with pytest.raises(DataError, match=f"{known}: by its id"):
        evaluate_gate(trained, some_t2, "all", log=lambda _: None)


def test_gate_knows_a_patient_under_another_name_but_no_stranger_by_lacking_t2(trained, some_t2, tmp_path):
    split = load_split(trained / "split.json")
    people = {patient.id: patient for patient in read_catalogue(some_t2).patients}
    lacking = [identity for identity in split.train if "t2" not in people[identity].images]
    stranger = next(identity for identity in split.test)
    for name, identity in (("Somebody_else", lacking[0]), ("Stranger", stranger)):
        folder = tmp_path / "new" / name
        folder.mkdir(parents=True)
        for kind in ("flair", "t1ce", "seg"):
            shutil.copy(people[identity].file(kind), folder / f"{name}_{kind}.nii")
    with pytest.raises(DataError, match=f"Somebody_else: its voxels are those of {lacking[0]}") as caught:
        evaluate_gate(trained, tmp_path / "new", "all", log=lambda _: None)
    assert "Stranger" not in str(caught.value)


def test_unknown_network_is_refused(some_t2, tmp_path):
    with pytest.raises(ValueError, match="there are compact, base, cnn"):
        train_gate(some_t2, tmp_path, network="resnet")


def test_weights_are_not_silently_ignored(some_t2, tmp_path):
    with pytest.raises(DataError, match="learns from scratch"):
        train_gate(some_t2, tmp_path, network="compact", weights="ViT-B_16.npz")


def test_folds_test_everybody_once_each_at_its_own_threshold(some_t2, tmp_path, monkeypatch):
    monkeypatch.setattr(Budget, "of", lambda *_, **__: Budget(epochs=1))
    result = train_gate_folds(some_t2, tmp_path / "cv", 2, final=True, **SETTINGS)
    assert len({patient["id"] for patient in result["patients"]}) == result["n"] == 8
    thresholds = [Gate.load(tmp_path / "cv" / f"fold_{fold}_of_2").threshold for fold in (1, 2)]
    assert result["threshold"] == thresholds
    assert [patient["threshold"] for patient in result["patients"]] == [t for t in thresholds for _ in range(4)]
    assert Gate.load(tmp_path / "cv" / "final").threshold == np.median(thresholds)
    assert len(read_run(tmp_path / "cv" / "final")["learned_from"]) == 8


def test_evaluate_asks_the_folder_what_it_holds(trained, some_t2, tmp_path):
    path = tmp_path / "scores.json"
    done = CliRunner().invoke(app, ["evaluate", str(trained), "--data", str(some_t2), "--json", str(path)])
    assert done.exit_code == 0
    assert "AUC" in done.output
    assert "auc" in json.loads(path.read_text())
