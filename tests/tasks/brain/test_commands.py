"""Laws of the commands: train, evaluate and predict, from folder to folder."""

import json
import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from helpers.data.brats import read_catalogue
from helpers.data.splits import load_split
from helpers.data.volumes import read_scan
from helpers.learn.cross_validation import final_epochs
from helpers.learn.run_folder import member_folders, read_metrics, read_run, read_split
from helpers.measure.mask_scores import SCORES
from helpers.runtime.errors import DataError
from helpers.tasks.brain.commands import evaluate_brain, predict_brain, train_brain, train_brain_folds
from helpers.tasks.brain.inference import Segmenter
from helpers.tasks.brain.training import Budget

pytestmark = pytest.mark.usefixtures("shallow")


def _quiet(_):
    pass


@pytest.fixture(scope="module")
def trained(phantoms, tmp_path_factory):
    out = tmp_path_factory.mktemp("brain") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Budget, "of", lambda *_, **__: Budget(epochs=3))
        return train_brain(phantoms, out, size=32, filters=2, minutes=0.25, log=_quiet)


def test_folder_holds_all_that_is_needed_and_no_store(trained):
    assert {path.name for path in trained.iterdir()} == {
        "model.keras", "run.json", "split.json", "history.csv", "metrics.json",
    }  # fmt: skip


def test_run_names_parameters_versions_and_split(trained):
    run = json.loads((trained / "run.json").read_text())
    assert run["parameters"]["modalities"] == ["flair", "t1ce"]
    assert run["versions"]["keras"]
    split = load_split(trained / "split.json")
    assert run["parameters"]["split"] == split.digest
    assert set(run["learned_from"]) == {*split.train, *split.validation}


def test_scores_have_the_promised_form(trained, phantoms, tmp_path):
    result = evaluate_brain(trained, phantoms, json_path=tmp_path / "new" / "scores.json", log=_quiet)
    assert json.loads((tmp_path / "new" / "scores.json").read_text()) == json.loads(json.dumps(result))
    assert result["n"] == len(result["patients"]) == len(load_split(trained / "split.json").test)
    for table in (result["regions"], result["trivial"]):
        assert list(table) == ["WT", "TC", "ET"]
        for scores in table.values():
            assert set(scores) == set(SCORES) > {"dice", "jaccard", "hd95_mm", "volume_error_ml"}
            for value in scores.values():
                assert value["n"] + value["undefined"] == result["n"]
                if value["n"]:
                    low, high = value["ci95"]
                    assert low <= value["mean"] <= high
    assert result["trivial"]["WT"]["dice"]["mean"] == 0
    assert {"parameters", "precision", "versions", "device", "split"} <= set(result["run"])


def test_evaluating_twice_gives_the_same_scores(trained, phantoms):
    held = json.loads((trained / "metrics.json").read_text())
    assert evaluate_brain(trained, phantoms, log=_quiet)["patients"] == held["patients"]


def test_finished_training_is_left_as_it_is(trained, phantoms):
    before = (trained / "model.keras").stat().st_mtime_ns
    train_brain(phantoms, trained, size=32, filters=2, minutes=0.25, log=_quiet)
    assert (trained / "model.keras").stat().st_mtime_ns == before


def test_other_parameters_do_not_overwrite_a_finished_training(trained, phantoms):
    with pytest.raises(DataError, match="filters 2 there, 3 now"):
        train_brain(phantoms, trained, size=32, filters=3, minutes=0.25, log=_quiet)


def test_all_refuses_patients_the_model_knows_by_id(trained, phantoms):
    known = load_split(trained / "split.json").train[0]
    with pytest.raises(DataError, match=f"{known}: by its id"):
        evaluate_brain(trained, phantoms, "all", log=_quiet)


def test_all_refuses_patients_the_model_knows_under_another_name(trained, phantoms, tmp_path):
    split = load_split(trained / "split.json")
    patient = next(p for p in read_catalogue(phantoms).patients if p.id == split.validation[0])
    folder = tmp_path / "new" / "Somebody_else"
    folder.mkdir(parents=True)
    for kind in ("flair", "t1ce", "seg"):
        shutil.copy(patient.file(kind), folder / f"Somebody_else_{kind}.nii")
    with pytest.raises(DataError, match=f"Somebody_else: its voxels are those of {patient.id}"):
        evaluate_brain(trained, tmp_path / "new", "all", log=_quiet)


def test_all_scores_a_folder_the_model_never_saw(trained, phantoms, tmp_path):
    for identity in load_split(trained / "split.json").test:
        folder = next(p for p in read_catalogue(phantoms).patients if p.id == identity).folder
        shutil.copytree(folder, tmp_path / "new" / folder.name)
    new = evaluate_brain(trained, tmp_path / "new", "all", log=_quiet)
    assert new["regions"] == json.loads((trained / "metrics.json").read_text())["regions"]


def test_missing_test_patients_are_named(trained, spoiled):
    gone = load_split(trained / "split.json").test[0]
    shutil.rmtree(next(p for p in read_catalogue(spoiled).patients if p.id == gone).folder)
    with pytest.raises(DataError, match=f"not under .*{gone}"):
        evaluate_brain(trained, spoiled, log=_quiet)


def test_prediction_lies_on_the_input_grid_with_disk_labels(trained, phantoms, tmp_path):
    patient = read_catalogue(phantoms).patients[0]
    (path,) = predict_brain(trained, [patient.folder], tmp_path, log=_quiet)
    assert path.name == f"{patient.id}_seg.nii.gz"
    written, scan = nib.load(path), nib.load(patient.images["flair"])
    assert written.shape == scan.shape
    np.testing.assert_allclose(written.affine, scan.affine)
    assert set(np.unique(np.asarray(written.dataobj))) <= {0, 1, 2, 4}


def test_prediction_needs_no_segmentation_and_no_further_modality(trained, phantoms, tmp_path):
    patient = read_catalogue(phantoms).patients[0]
    folder = tmp_path / "in"
    folder.mkdir()
    for kind in ("flair", "t1ce"):
        shutil.copy(patient.images[kind], folder)
    assert predict_brain(trained, [folder], tmp_path / "out", log=_quiet)[0].exists()


def test_prediction_overwrites_nothing_and_begins_nothing(trained, phantoms, tmp_path):
    first, second = (patient.folder for patient in read_catalogue(phantoms).patients[:2])
    taken = tmp_path / f"{second.name}_seg.nii.gz"
    taken.write_text("drawn by hand")
    with pytest.raises(FileExistsError, match=taken.name):
        predict_brain(trained, [first, second], tmp_path, log=_quiet)
    assert [path.name for path in tmp_path.iterdir()] == [taken.name]
    assert taken.read_text() == "drawn by hand"


def test_one_patient_given_twice_is_refused(trained, phantoms, tmp_path):
    folder = read_catalogue(phantoms).patients[0].folder
    with pytest.raises(DataError, match="there twice"):
        predict_brain(trained, [folder, folder], tmp_path, log=_quiet)


def test_broken_training_file_stops_train_before_it_begins(spoiled, tmp_path):
    path = sorted(spoiled.rglob("*_t1ce.nii"))[0]
    path.write_text("broken")
    with pytest.raises(DataError, match=path.name):
        train_brain(spoiled, tmp_path / "out", minutes=0.1, log=_quiet)
    assert not (tmp_path / "out").exists()


def test_broken_test_file_stops_evaluate(trained, spoiled):
    identity = load_split(trained / "split.json").test[0]
    path = next(p for p in read_catalogue(spoiled).patients if p.id == identity).images["flair"]
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match=rf"{path.name}.*cut short"):
        evaluate_brain(trained, spoiled, log=_quiet)


def test_broken_input_stops_predict(trained, spoiled, tmp_path):
    patient = read_catalogue(spoiled).patients[0]
    image = nib.load(patient.images["flair"])
    nib.save(nib.Nifti1Image(np.full(image.shape, np.nan, np.float32), image.affine), patient.images["flair"])
    with pytest.raises(DataError, match="NaN"):
        predict_brain(trained, [patient.folder], tmp_path / "out", log=_quiet)
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def folds(phantoms, tmp_path_factory):
    out, lines = tmp_path_factory.mktemp("folds") / "cv", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Budget, "of", lambda *_, **__: Budget(epochs=1))
        train_brain_folds(phantoms, out, 2, log=lines.append, size=16, filters=2, minutes=1)
    return out


def test_folds_test_everybody_once_and_go_on_where_they_stopped(folds, phantoms, tmp_path, monkeypatch):
    monkeypatch.setattr(Budget, "of", lambda *_, **__: Budget(epochs=1))
    cv, said = tmp_path / "cv", []
    shutil.copytree(folds, cv)
    result = json.loads((cv / "metrics.json").read_text())
    assert result["n"] == 8
    assert len({patient["id"] for patient in result["patients"]}) == 8
    shutil.rmtree(cv / "fold_2_of_2")
    before = (cv / "fold_1_of_2" / "model.keras").stat().st_mtime_ns
    train_brain_folds(phantoms, cv, 2, log=said.append, size=16, filters=2, minutes=1)
    assert (cv / "fold_1_of_2" / "model.keras").stat().st_mtime_ns == before
    assert any("finished; nothing to do" in line for line in said)


def test_folds_share_the_minutes_of_the_command(folds):
    assert read_run(folds / "fold_1_of_2")["parameters"]["minutes"] == 0.5


def test_folds_are_an_ensemble_that_scores_each_patient_by_the_fold_that_never_saw_it(folds, phantoms):
    scores = {row["id"]: row["regions"] for row in json.loads((folds / "metrics.json").read_text())["patients"]}
    again = {row["id"]: row["regions"] for row in evaluate_brain(folds, phantoms, log=_quiet)["patients"]}
    assert again == scores


def test_an_ensemble_predicts_the_mean_of_its_members(folds, phantoms, tmp_path):
    """The first is shown the head, the second the mirrored head: predict, and the report's mean and samples."""
    patient = read_catalogue(phantoms).patients[0]
    (path,) = predict_brain(folds, [patient.folder], tmp_path, log=_quiet)
    scan = read_scan(patient, ("flair", "t1ce"))
    plain, other = (replace(Segmenter.load(folds / f"fold_{fold}_of_2"), flip=False) for fold in (1, 2))
    images, centre = plain.preprocess(scan)
    shown = [plain.network_probabilities(images), other.network_probabilities(images[:, ::-1])[:, ::-1]]
    mean = np.mean(shown, axis=0)
    expected = Segmenter.load(folds).native_labels(mean, scan, centre)
    written = np.asarray(nib.load(path).dataobj)
    assert np.mean(np.where(written == 4, 3, written) != expected) < 1e-4  # rounding of a mean may tip a voxel
    average, samples = Segmenter.load(folds).mean_and_samples(images[15:25], passes=4)
    for sample, member in zip(samples, shown, strict=True):
        np.testing.assert_allclose(sample, member[15:25], atol=1e-5)
    np.testing.assert_allclose(average, mean[15:25], atol=1e-5)
    other_way = np.mean([plain.network_probabilities(images), other.network_probabilities(images)], axis=0)
    assert np.abs(other_way - mean).max() > 1e-3


def test_an_ensemble_is_never_scored_on_whom_any_member_learned_from(folds, phantoms):
    with pytest.raises(DataError, match="was trained or tuned on 8 of these 8 patients"):
        evaluate_brain(folds, phantoms, "all", log=_quiet)


def test_the_final_model_learns_from_everybody_as_long_as_the_folds_did(folds, phantoms, tmp_path):
    shutil.copytree(folds, tmp_path / "cv")
    train_brain_folds(phantoms, tmp_path / "cv", 2, final=True, log=_quiet, size=16, filters=2, minutes=1.5)
    final = tmp_path / "cv" / "final"
    run = read_run(final)
    assert len(run["learned_from"]) == 8
    assert len(pd.read_csv(final / "history.csv")) == run["parameters"]["epochs"] == 1
    assert read_metrics(final) == read_metrics(tmp_path / "cv")
    assert [member.name for member in member_folders(tmp_path / "cv")] == ["fold_1_of_2", "fold_2_of_2"]
    with pytest.raises(DataError, match="no test patients"):
        evaluate_brain(final, phantoms, log=_quiet)
    assert predict_brain(final, [read_catalogue(phantoms).patients[0].folder], tmp_path / "out", log=_quiet)


def test_a_final_training_lasts_as_many_steps_as_the_folds_median_best(folds, tmp_path):
    shutil.copytree(folds, tmp_path / "cv")
    for fold, best in ((1, 4), (2, 8)):
        rows = pd.DataFrame({"epoch": range(1, 11), "val_dice": [1.0 if e == best else 0.5 for e in range(1, 11)]})
        rows.to_csv(tmp_path / "cv" / f"fold_{fold}_of_2" / "history.csv", index=False)
    trained_on = [len(read_split(member).train) for member in member_folders(folds)]
    assert final_epochs(tmp_path / "cv", trained_on[0], "val_dice") == 6
    assert final_epochs(tmp_path / "cv", 2 * trained_on[0], "val_dice") == 3
    assert final_epochs(tmp_path / "cv", trained_on[0]) == 10


@pytest.mark.parametrize("text", ["", "epoch,val_dice\n", "epoch,val_dice\n1,much\n", "epoch\n1\n"])
def test_a_damaged_history_is_named_before_a_final_training_begins(folds, tmp_path, text):
    shutil.copytree(folds, tmp_path / "cv")
    (tmp_path / "cv" / "fold_2_of_2" / "history.csv").write_text(text)
    with pytest.raises(DataError, match=r"fold_2_of_2/history.csv is missing or damaged .* delete .*fold_2_of_2"):
        final_epochs(tmp_path / "cv", 8, "val_dice")


def test_an_ensemble_whose_member_is_gone_names_it(folds, phantoms, tmp_path):
    shutil.copytree(folds, tmp_path / "cv")
    shutil.rmtree(tmp_path / "cv" / "fold_2_of_2")
    with pytest.raises(DataError, match="fold_2_of_2 holds no finished training"):
        predict_brain(tmp_path / "cv", [read_catalogue(phantoms).patients[0].folder], tmp_path / "out", log=_quiet)
