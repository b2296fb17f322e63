"""Laws of a training's folder: what is written is read back, and what was edited or damaged is refused by name."""

import json
import re
import shutil
import zipfile

import pytest

from helpers.data.splits import Split, save_split
from helpers.learn.run_folder import (
    check_network,
    member_folders,
    patients_learned_from,
    read_metrics,
    read_run,
    read_split,
    scoring_folders,
    training_folder,
    write_ensemble,
    write_run,
    write_signed,
)
from helpers.learn.test_cases import check_split
from helpers.runtime.errors import DataError

SPLIT = Split(("p1", "p2"), ("p3",), ("p4",), seed=0)
PARAMETERS = {"modalities": ["flair"], "size": 32, "extent_mm": 192.0, "filters": 2, "split": SPLIT.digest}
HASHES = {name: {"flair": f"hash of {name}"} for name in ("p1", "p2", "p3")}


@pytest.fixture
def folder(tmp_path):
    write_run(tmp_path, "brain", PARAMETERS, SPLIT, HASHES)
    return tmp_path


def _edit(path, change, signed=False):
    content = json.loads(path.read_text())
    change(content)
    if not signed:
        content.pop("digest")
    path.write_text(json.dumps(content))


def test_what_is_written_is_read_back(folder):
    run = read_run(folder, "brain")
    assert run["parameters"] == PARAMETERS
    assert read_split(folder) == SPLIT
    assert patients_learned_from(folder) == HASHES


def test_every_edit_of_run_json_is_found_by_its_digest(folder):
    _edit(folder / "run.json", lambda run: run["parameters"].update(extent_mm=150.0), signed=True)
    with pytest.raises(DataError, match=r"run.json was edited: digest \w{8} is recorded"):
        read_run(folder)


def test_folders_of_older_versions_have_no_digest_and_are_read(folder):
    _edit(folder / "run.json", lambda run: run.pop("precision"))
    run = read_run(folder)
    assert run["precision"] is None
    assert run["parameters"] == PARAMETERS


def test_names_of_older_versions_are_those_of_today(folder):
    part = {"volume_ml": dict.fromkeys(("low", "high", "mean", "sd"), 1.0)}
    _edit(folder / "run.json", lambda run: run.update(statistics={"familiar": {"head": part}}))
    assert read_run(folder)["statistics"]["ranges"] == {"head": part}


@pytest.mark.parametrize(("old", "new"), [(True, "batch"), (False, "none")])
def test_normalise_of_older_versions_is_a_normalisation(tmp_path, old, new):
    before = {"size": 32, "filters": 2, "normalise": old}
    write_run(tmp_path, "lungs", {**before, "adapted": {"model": before}}, SPLIT, HASHES)
    parameters = read_run(tmp_path)["parameters"]
    for entries in (parameters, parameters["adapted"]["model"]):
        assert entries["normalisation"] == new
        assert "normalise" not in entries


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: run.pop("parameters"), "lacks parameters"),
        (lambda run: run.update(task="liver"), "task is 'liver'; expected one of brain, gate, lungs"),
        (lambda run: run["parameters"].pop("extent_mm"), "parameters lacks extent_mm"),
        (lambda run: run["parameters"].update(extent_mm=float("nan")), "parameters.extent_mm is nan"),
        (lambda run: run["parameters"].update(size="32"), 'parameters.size is "32"; expected a whole number'),
        (lambda run: run["parameters"].update(modalities=[]), "parameters.modalities is []; expected a list"),
        (lambda run: run.update(learned_from=[]), "learned_from is []; expected the hashes"),
        (lambda run: run.update(statistics=None), "statistics is null; expected the statistics"),
        (lambda run: run.update(parameters=None), "parameters is null; expected the parameters"),
    ],
)
def test_what_inference_needs_is_as_the_schema_has_it(folder, change, message):
    _edit(folder / "run.json", change)
    with pytest.raises(DataError, match=f"{re.escape(str(folder))}/run.json.*{re.escape(message)}"):
        read_run(folder)


def test_a_gate_needs_a_threshold(tmp_path):
    write_run(tmp_path, "gate", PARAMETERS, SPLIT, HASHES)
    with pytest.raises(DataError, match="lacks threshold"):
        read_run(tmp_path)


def test_a_folder_of_another_task_is_refused(folder):
    with pytest.raises(DataError, match="holds a training of 'brain'; expected one of 'gate'"):
        read_run(folder, "gate")


@pytest.mark.parametrize("left", [{}, {"p1": {"flair": "a"}}])
def test_nobody_is_scored_where_it_is_unknown_whom_the_model_learned_from(folder, left):
    _edit(folder / "run.json", lambda run: run.update(learned_from=left))
    with pytest.raises(DataError, match="nobody knows"):
        check_split(folder, "all")
    assert check_split(folder, "test") == {}  # by the split alone


def test_another_split_is_refused(folder):
    save_split(Split(("p1",), ("p2",), ("p3", "p4"), seed=0), folder / "split.json")
    with pytest.raises(DataError, match="is another split"):
        read_split(folder)


def test_a_split_that_tests_whom_the_model_learned_from_is_refused(tmp_path):
    write_run(tmp_path, "brain", PARAMETERS, SPLIT, {**HASHES, "p4": {"flair": "a"}})
    with pytest.raises(DataError, match=r"learned from 1 of the patients that split.json tests:\n  - p4"):
        read_split(tmp_path)


def test_a_split_without_test_patients_scores_nobody(tmp_path):
    split = Split(("p1", "p2"), ("p3",), (), seed=0)
    write_run(tmp_path, "brain", {**PARAMETERS, "split": split.digest}, split, HASHES)
    with pytest.raises(DataError, match="no test patients, so there is nobody to score"):
        check_split(tmp_path, "test")
    with pytest.raises(DataError, match="split 'train'; expected 'test' or 'all'"):
        check_split(tmp_path, "train")


def _members(out, *tested):
    """Trainings of one ensemble; each tests one patient."""
    for number, test in enumerate(tested):
        others = [name for name in ("p1", "p2", "p3", "p4") if name != test]
        split = Split(tuple(others[:2]), (others[2],), (test,), seed=0)
        hashes = {name: {"flair": f"hash of {name}"} for name in others}
        write_run(out / f"m{number}", "brain", {**PARAMETERS, "split": split.digest}, split, hashes)
    write_ensemble(out, [out / f"m{number}" for number in range(len(tested))])
    return out


def test_folds_score_each_patient_by_the_member_that_never_saw_them(tmp_path):
    out = _members(tmp_path, "p4", "p2")
    assert scoring_folders(out) == {"p4": out / "m0", "p2": out / "m1"}


def test_members_that_all_test_the_same_patients_score_them_together(folder, tmp_path_factory):
    out = _members(tmp_path_factory.mktemp("same"), "p4", "p4")
    assert scoring_folders(out) == {"p4": out}
    assert scoring_folders(folder) == {"p4": folder}


def test_a_member_that_was_exchanged_is_no_part_of_the_ensemble(tmp_path):
    out = _members(tmp_path, "p4", "p2", "p1")
    for file in (out / "m1").iterdir():
        shutil.copy(out / "m0" / file.name, file)
    with pytest.raises(DataError, match="are not those that the ensemble was made of: m1 has changed"):
        member_folders(out)


def test_an_ensemble_of_an_older_version_recorded_no_digests_of_its_members(tmp_path):
    out = _members(tmp_path, "p4", "p2")
    run = json.loads((out / "run.json").read_text())
    del run["member_digests"]
    write_signed(run, out / "run.json")
    assert member_folders(out) == [out / "m0", out / "m1"]


def _archive(path, content):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", content)


def test_a_network_is_that_of_its_own_training(tmp_path):
    """A network of the same shape that learned from the test patients would load, and score too well."""
    _archive(tmp_path / "model.keras", "the weights of this training")
    write_run(tmp_path, "brain", PARAMETERS, SPLIT, HASHES)
    check_network(tmp_path)
    _archive(tmp_path / "model.keras", "the weights of some other one")
    with pytest.raises(DataError, match=r"model\.keras cannot be loaded .* \(its SHA-256 is"):
        check_network(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"n": 1}', '{"n": 1, "regions": {"WT": {"dice": 3}}}'])
def test_damaged_scores_are_named_with_the_command_that_makes_them_anew(folder, text):
    (folder / "metrics.json").write_text(text)
    with pytest.raises(DataError, match=r"metrics.json.*python -m helpers evaluate .* --json"):
        read_metrics(folder)


def test_a_finished_folder_need_not_be_writable_and_another_is_tried(folder, tmp_path):
    (folder / "metrics.json").write_text("{}")
    assert training_folder(folder) == folder
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file"):
        training_folder(tmp_path / "file" / "run")
    assert training_folder(tmp_path / "new" / "run") == tmp_path / "new" / "run"
    assert not (tmp_path / "new").exists()
