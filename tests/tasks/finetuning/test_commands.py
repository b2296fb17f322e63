"""Laws of fine-tuning: who is learned from, who is tested, what is forgotten, and that nothing is done twice."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from helpers.cli import app
from helpers.data.brats import read_catalogue
from helpers.data.chest import read_chest
from helpers.data.splits import Split, keep_out, load_split
from helpers.learn.run_folder import member_folders, patients_learned_from, read_metrics, read_run, scoring_folders
from helpers.runtime.errors import DataError
from helpers.tasks.brain.commands import evaluate_brain, train_brain, train_brain_folds
from helpers.tasks.finetuning import commands
from helpers.tasks.finetuning.commands import finetune
from helpers.tasks.gate.commands import train_gate
from helpers.tasks.lungs.inference import LungSegmenter

pytestmark = pytest.mark.usefixtures("short")
NEW = "2013"


def quiet(line):
    """Takes the lines that a command logs."""


SHENZHEN = {"site": "shenzhen", "layers": "whole", "log": quiet}


def _weights(folder):
    return LungSegmenter.load(folder).network.get_weights()


def _same(one, other):
    return all(np.array_equal(mine, theirs) for mine, theirs in zip(_weights(one), _weights(other), strict=True))


@pytest.fixture(scope="module")
def sides(phantoms):
    """Training patients of three hospitals, two of them kept out; and those of the fourth."""
    patients = read_catalogue(phantoms).require(("flair", "t1ce"))
    old = [one for one in patients if one.site != NEW]
    return keep_out(old, 1), tuple(one.id for one in patients if one.site == NEW)


@pytest.fixture(scope="module")
def brain(phantoms, sides, short, tmp_path_factory):
    return train_brain(
        phantoms, tmp_path_factory.mktemp("brain") / "run", size=32, filters=2, split=sides[0], log=quiet
    )


@pytest.fixture(scope="module")
def tuned(brain, phantoms, short, tmp_path_factory):
    out = tmp_path_factory.mktemp("tuned") / "run"
    return finetune(brain, phantoms, out, layers="graded", site=NEW, test=1, old=phantoms, rehearse=True, log=quiet)


def test_the_chosen_patients_are_the_only_new_ones_that_are_learned_from(lungs, hospitals, tmp_path):
    """Fine-tuning on two radiographs: every other training mask may be wrong."""
    tuned = finetune(lungs, hospitals, tmp_path / "a", patients=2, **SHENZHEN)
    split, before = load_split(tuned / "split.json"), patients_learned_from(lungs)
    after = patients_learned_from(tuned)
    assert before.keys() < after.keys()
    assert set(after) - set(before) == set(split.train)
    assert len(split.train) == 2
    assert not split.validation
    assert "val_dice" not in pd.read_csv(tuned / "history.csv")
    root = shutil.copytree(hospitals, tmp_path / "chest")
    for xray in read_chest(root).require("shenzhen"):
        if xray.id not in split.train:
            Image.fromarray(np.asarray(Image.open(xray.mask))[::-1]).save(xray.mask)
    again = finetune(lungs, root, tmp_path / "b", patients=2, **SHENZHEN)
    assert _same(tuned, again)
    assert not _same(tuned, lungs)


def test_more_patients_contain_the_fewer_and_all_are_tested_on_the_same(lungs, hospitals):
    hospital = commands.Hospital.read(lungs, hospitals, "shenzhen")
    two, four = (commands._split(hospital, k, "random", 3, 0, quiet) for k in (2, 4))
    assert set(two.train) < set(four.train)
    assert two.test == four.test
    assert len(two.test) == 3
    others = {commands._split(hospital, 2, "random", 3, seed, quiet).train for seed in range(5)}
    assert len(others) > 1
    with pytest.raises(DataError, match=r"99 X-rays to learn from were asked for; of the 12 .* 3 are kept"):
        commands._split(hospital, 99, "random", 3, 0, quiet)


def test_patients_that_the_model_knows_are_refused(lungs, hospitals, tmp_path):
    with pytest.raises(DataError, match=r"(?s)learned from \d of these 24 X-rays.*name the new one by --site.*MCUCXR"):
        finetune(lungs, hospitals, tmp_path / "run", layers="whole", log=quiet)
    known = next(iter(patients_learned_from(lungs)))
    split = Split(("CHNCXR_0003_1",), (), (known,), seed=0)
    with pytest.raises(DataError, match=f"(?s)learned from 1 of these 1.*{known}"):
        finetune(lungs, hospitals, tmp_path / "run", split=split, **SHENZHEN)


def test_patients_that_the_model_knows_by_another_name_are_refused(lungs, hospitals, tmp_path):
    root = shutil.copytree(hospitals, tmp_path / "chest")
    known = next(one for one in read_chest(root).require("montgomery") if one.id in patients_learned_from(lungs))
    new = next(one for one in read_chest(root).require("shenzhen"))
    shutil.copy(known.image, new.image)
    shutil.copy(known.mask, new.mask)
    with pytest.raises(DataError, match=f"{new.id}: its voxels are those of {known.id}"):
        finetune(lungs, root, tmp_path / "run", **SHENZHEN)


def test_the_layers_are_chosen_by_patients_left_out(lungs, hospitals, tmp_path, monkeypatch):
    """Each way is scored once on each of the patients to learn from, and the best is taken; nothing is tried twice."""
    said, trained = [], []
    real = commands.Hospital.train

    def noted(self, out, split, start, *arguments, **further):
        trained.append((start.layers, split))
        return real(self, out, split, start, *arguments, **further)

    monkeypatch.setattr(commands.Hospital, "train", noted)
    settings = {"site": "shenzhen", "patients": 2, "log": said.append}
    tuned = finetune(lungs, hospitals, tmp_path / "run", **settings)
    choice = json.loads((tuned / "choice" / "choice.json").read_text())
    assert list(choice["layers"]) == ["whole", "graded", "decoder"]
    assert choice["layers"][choice["chosen"]] == max(choice["layers"].values())
    assert read_run(tuned)["parameters"]["layers"] == choice["chosen"]
    folds = [split for _, split in trained[:-1]]
    assert len(folds) == 6
    learned = set(load_split(tuned / "split.json").train)
    for split in folds:
        assert {*split.train, *split.test} == learned
        assert len(split.test) == 1
    before = (tuned / "model.keras").stat().st_mtime_ns
    said.clear()
    finetune(lungs, hospitals, tmp_path / "run", **settings)
    assert (tuned / "model.keras").stat().st_mtime_ns == before
    assert sum("nothing to do" in line for line in said) == 7


def test_one_patient_leaves_nothing_to_choose_by(lungs, hospitals, tmp_path):
    said = []
    tuned = finetune(lungs, hospitals, tmp_path / "run", patients=1, site="shenzhen", log=said.append)
    assert read_run(tuned)["parameters"]["layers"] == commands.UNTRIED
    assert any("leaves none to try the layers on" in line for line in said)


def test_what_is_forgotten_is_measured_on_old_patients_that_were_never_learned_from(tuned, brain, sides):
    table = json.loads((tuned / "finetuning.json").read_text())
    assert set(table["old"]["before"]) == set(table["old"]["after"]) == set(sides[0].test)
    assert set(table["new"]["before"]) == set(table["new"]["after"]) == set(load_split(tuned / "split.json").test)
    assert not {*table["old"]["before"]} & {*patients_learned_from(tuned)}
    old, new = (json.loads((tuned / name).read_text()) for name in ("old_before.json", "before.json"))
    assert old["run"]["parameters"] == new["run"]["parameters"] == read_run(brain)["parameters"]


def test_rehearsed_patients_are_those_that_the_model_learned_from(tuned, sides):
    assert read_run(tuned)["parameters"]["rehearsed"] == sorted(sides[0].train)


def test_a_tuned_model_knows_whom_it_and_the_first_learned_from(tuned, brain, sides):
    split = load_split(tuned / "split.json")
    assert {*patients_learned_from(tuned)} == {*sides[0].train, *sides[0].validation, *split.train}
    ranges, first = (read_run(one)["statistics"] for one in (tuned, brain))
    assert {*first["fitted_on"]} < {*ranges["fitted_on"]}
    assert ranges["ranges"]["head"]["volume_ml"]["low"] <= first["ranges"]["head"]["volume_ml"]["low"]


def test_the_old_hospital_without_patients_to_rehearse_is_named(brain, phantoms, spoiled, sides, tmp_path):
    for one in read_catalogue(spoiled).patients:
        if one.id in sides[0].train:
            shutil.rmtree(one.folder)
    with pytest.raises(DataError, match="to rehearse them, give the folder that it was trained from"):
        finetune(brain, phantoms, tmp_path / "run", site=NEW, test=1, old=spoiled, rehearse=True, log=quiet)


def test_a_site_that_is_not_there_is_named_with_those_that_are(brain, phantoms, tmp_path):
    with pytest.raises(DataError, match=r"no patient of site 'Boston'; there are .*others \("):
        finetune(brain, phantoms, tmp_path / "run", site="Boston", log=quiet)


def test_each_member_of_an_ensemble_goes_on_and_all_score_together(phantoms, tmp_path):
    patients = read_catalogue(phantoms).require(("flair", "t1ce"))
    root = tmp_path / "old"
    for one in patients:
        if one.site != NEW:
            shutil.copytree(one.folder, root / one.folder.name)
    train_brain_folds(root, tmp_path / "ensemble", 2, size=32, filters=2, log=quiet)
    out = finetune(tmp_path / "ensemble", phantoms, tmp_path / "run", layers="decoder", site=NEW, test=1, old=root,
                   log=quiet)  # fmt: skip
    assert [one.name for one in member_folders(out)] == [one.name for one in member_folders(tmp_path / "ensemble")]
    tested = scoring_folders(out)
    assert set(tested.values()) == {out}
    assert evaluate_brain(out, phantoms, log=quiet)["patients"] == read_metrics(out)["patients"]
    table = json.loads((out / "finetuning.json").read_text())
    assert set(table["old"]["after"]) == {one.id for one in patients if one.site != NEW}


def test_a_gate_keeps_its_threshold_unless_patients_left_out_give_one(phantoms, sides, tmp_path):
    gate = train_gate(phantoms, tmp_path / "gate", network="cnn", size=32, split=sides[0], log=quiet)
    one = finetune(gate, phantoms, tmp_path / "one", layers="whole", site=NEW, test=1, log=quiet)
    assert read_run(one)["threshold"] == read_run(gate)["threshold"]


def test_a_folder_that_names_no_first_model_is_one_that_has_none(lungs, hospitals, short):
    """Older versions wrote `init` and `labelled`, null where they were not given: such a training is finished still."""
    from helpers.learn.run_folder import write_signed
    from helpers.tasks.lungs.commands import train_lungs

    run = json.loads((lungs / "run.json").read_text())
    older = {**run, "parameters": {**run["parameters"], "init": None, "labelled": None}}
    said, before = [], (lungs / "run.json").read_bytes()
    try:
        write_signed(older, lungs / "run.json")
        train_lungs(hospitals, lungs, "montgomery", size=32, filters=2, augmentation="none", log=said.append)
    finally:
        (lungs / "run.json").write_bytes(before)
    assert "nothing to do" in said[0]


def test_the_command_prints_both_hospitals_beside_the_trivial_prediction(brain, tuned, phantoms):
    words = ["finetune", str(brain), "--data", str(phantoms), "--out", str(tuned), "--layers", "graded", "--site", NEW]
    result = CliRunner().invoke(app, [*words, "--test", "1", "--old", str(phantoms), "--rehearse"])
    assert result.exit_code == 0, result.output
    for word in ("as it was", "fine-tuned", "trivial", "new hospital, n = 1", "old hospital, n = 1", "range"):
        assert word in " ".join(result.output.split())
