"""Laws of the audit: every planted fault is found, and nothing else."""

import gzip
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from helpers.cli import app
from helpers.data.audit.report import audit, refuse_errors, table
from helpers.data.brats import read_catalogue
from helpers.data.chest import read_chest
from helpers.data.splits import make_split, save_split
from helpers.runtime.errors import DataError
from tests.faults.chest import png

TRAINING = "BraTS2020_TrainingData/MICCAI_BraTS2020_TrainingData"
PLANTED_CHEST = [("note", "missing mask"), ("note", "unused copy"), ("note", "unused copy")]
PLANTED_BRATS = [("note", "unusual name")]


def found(*folders) -> list[tuple[str, str]]:
    return sorted((one.level, one.check) for one in audit(folders))


def errors(*folders):
    return [one for one in audit(folders) if one.level == "error"]


def xray(root: Path, number: int) -> Path:
    return sorted((root / "Lung Segmentation" / "CXR_png").glob("MCU*"))[number]


def patient(root: Path, number: int) -> Path:
    return sorted(path for path in (root / TRAINING).iterdir() if path.is_dir())[number]


@pytest.fixture
def brats_2019(phantoms, tmp_path) -> Path:
    """Two of the phantoms as BraTS 2019 would have them: other names, sorted by grade, packed."""
    mapping = pd.read_csv(phantoms / TRAINING / "name_mapping.csv").dropna(subset=["BraTS_2019_subject_ID"])
    root = tmp_path / "MICCAI_BraTS_2019_Data_Training"
    for row in mapping.head(2).to_dict("records"):
        folder = root / row["Grade"] / row["BraTS_2019_subject_ID"]
        folder.mkdir(parents=True)
        for path in (phantoms / TRAINING / row["BraTS_2020_subject_ID"]).iterdir():
            kind = path.stem.rsplit("_", 1)[1]
            with gzip.open(folder / f"{folder.name}_{kind}.nii.gz", "wb", compresslevel=1) as packed:
                packed.write(path.read_bytes())
    return root


@pytest.fixture
def run(phantoms, tmp_path) -> Path:
    """What a training on the phantoms leaves behind, as far as the audit reads it."""
    folder = tmp_path / "run"
    folder.mkdir()
    split = make_split(read_catalogue(phantoms).require(("flair",)), folds=4)
    save_split(split, folder / "split.json")
    note_run(folder, learned_from=[*split.train, *split.validation])
    return folder


def note_run(folder: Path, learned_from: list[str], **more) -> None:
    (folder / "run.json").write_text(
        json.dumps({"learned_from": {i: {"flair": f"hash {i}"} for i in learned_from}, **more})
    )


def sides(run: Path) -> dict:
    return json.loads((run / "split.json").read_text())


# --- what is there without any damage


def test_phantom_patients_show_what_was_planted_and_nothing_else(phantoms):
    assert found(phantoms) == PLANTED_BRATS
    assert "W39_1998.09.19_Segm.nii" in audit([phantoms])[0].message


def test_phantom_xrays_show_what_was_planted_and_nothing_else(chests):
    assert found(chests) == PLANTED_CHEST
    named = {one.check: one.names for one in audit([chests]) if one.names}
    assert named == {"missing mask": ("CHNCXR_0004_0",), "unused copy": ("CHNCXR_0004_0",)}


def test_two_sets_of_different_people_do_not_overlap(phantoms, chests):
    assert found(phantoms, chests) == sorted(PLANTED_BRATS + PLANTED_CHEST)


# --- overlap


def test_patients_of_2019_are_known_by_the_name_mapping(phantoms, brats_2019):
    for path in brats_2019.rglob("*.nii.gz"):  # other voxels: only the name can tell
        image = nib.load(path)
        voxels = np.asarray(image.dataobj)[::-1, ::-1]
        nib.save(nib.Nifti1Image(voxels if "seg" in path.name else voxels * 2, image.affine), path)
    (error,) = errors(phantoms, brats_2019)
    assert error.check == "overlap"
    assert error.message == "2 times the same patient in both folders"
    assert all(" = BraTS19_" in name for name in error.names)


def test_patients_of_2018_are_known_in_2019_without_a_mapping(phantoms, brats_2019, tmp_path):
    older = brats_2019.with_name("MICCAI_BraTS_2018_Data_Training")
    for path in brats_2019.rglob("*_flair.nii.gz"):
        identity = path.parent.name.replace("BraTS19", "Brats18")
        (older / identity).mkdir(parents=True)
        shutil.copy(path, older / identity / f"{identity}_flair.nii.gz")
    (error,) = errors(older, brats_2019)
    assert len(error.names) == 2


def test_renamed_patient_is_known_by_the_voxels(phantoms, tmp_path):
    source, target = patient(phantoms, 0), tmp_path / "other" / "Hospital_7"
    target.mkdir(parents=True)
    shutil.copy(source / f"{source.name}_t1.nii", target / "Hospital_7_t1.nii")
    (error,) = errors(phantoms, tmp_path / "other")
    assert error.message == "1 time the same picture in both folders"
    assert error.names == (f"{source.name} = Hospital_7",)


def test_two_patients_with_the_same_voxels_in_one_folder_are_an_error(spoiled):
    source, target = patient(spoiled, 0), patient(spoiled, 1)
    shutil.copy(source / f"{source.name}_t2.nii", target / f"{target.name}_t2.nii")
    (error,) = errors(spoiled)
    assert error.names == (f"{source.name} = {target.name}",)


def test_identical_xrays_under_two_names_are_an_error(spoiled_chests):
    shutil.copy(xray(spoiled_chests, 0), xray(spoiled_chests, 2))
    mask = spoiled_chests / "Lung Segmentation" / "masks"
    shutil.copy(mask / xray(spoiled_chests, 0).name, mask / xray(spoiled_chests, 2).name)
    (error,) = errors(spoiled_chests)
    assert error.message == "1 time the same picture twice"
    assert error.names == ("MCUCXR_0001_1 = MCUCXR_0003_1",)


def test_nearly_identical_xrays_are_an_error(chests, tmp_path):
    (tmp_path / "new").mkdir()
    image = Image.open(xray(chests, 0))
    image.resize([n * 3 // 4 for n in image.size]).save(tmp_path / "new" / "hospital_1.png")
    (error,) = errors(chests, tmp_path / "new")
    assert error.message == "1 time nearly the same picture in both folders"
    assert error.names == ("MCUCXR_0001_1 = hospital_1",)


def test_test_folder_is_an_error_once_a_run_uses_it(chests):
    (error,) = errors(chests, chests / "Lung Segmentation" / "test")
    assert error.names == ("CHNCXR_0004_0",)


# --- trainings


def test_a_training_beside_its_own_data_is_fine(phantoms, run):
    assert found(phantoms, run) == PLANTED_BRATS


def test_a_training_beside_patients_it_learned_from_is_an_error(phantoms, run, tmp_path):
    known = sides(run)["train"][0]
    shutil.copytree(phantoms / TRAINING / known, tmp_path / "new" / known)
    (error,) = errors(run, tmp_path / "new")
    assert error.names == (known,)


def test_one_picture_on_both_sides_of_a_split_is_an_error_and_on_one_side_a_note(spoiled, run):
    train, test = sides(run)["train"], sides(run)["test"]

    def copy_t2(source, target):
        files = [spoiled / TRAINING / identity / f"{identity}_t2.nii" for identity in (source, target)]
        shutil.copy(*files)

    copy_t2(train[0], train[1])
    assert found(spoiled, run) == sorted([*PLANTED_BRATS, ("note", "overlap")])
    copy_t2(train[2], test[0])
    (error,) = errors(spoiled, run)
    assert set(error.names[0].split(" = ")) == {train[2], test[0]}


def test_statistics_beyond_the_training_split_are_an_error(run):
    split = sides(run)
    note_run(run, split["train"], statistics={"fitted_on": split["train"]})
    assert found(run) == []
    note_run(run, split["train"], statistics={"fitted_on": [*split["train"], *split["test"]]})
    (error,) = errors(run)
    assert (error.check, error.names) == ("statistics", tuple(sorted(split["test"])))


def test_learning_from_test_patients_is_an_error(run):
    note_run(run, [*sides(run)["train"], *sides(run)["test"]])
    (error,) = errors(run)
    assert error.names == tuple(sorted(sides(run)["test"]))


def test_edited_split_is_an_error(run):
    split = sides(run)
    split["train"].append(split["test"].pop())
    (run / "split.json").write_text(json.dumps(split))
    assert found(run) == [("error", "file at fault")]


# --- files, masks, counts


def test_broken_scan_is_named(spoiled):
    path = patient(spoiled, 0) / f"{patient(spoiled, 0).name}_t1.nii"
    path.write_text("an error page")
    (error,) = errors(spoiled)
    assert path.name in error.message


def test_scan_with_nan_is_named(spoiled):
    path = patient(spoiled, 0) / f"{patient(spoiled, 0).name}_t1.nii"
    image = nib.load(path)
    voxels = np.asarray(image.dataobj).astype(np.float32)
    voxels[5, 5, 5] = np.nan
    nib.save(nib.Nifti1Image(voxels, image.affine), path)
    (error,) = errors(spoiled)
    assert path.name in error.message


def test_xray_cut_short_and_empty_mask_are_named(spoiled_chests):
    xray(spoiled_chests, 0).write_bytes(xray(spoiled_chests, 0).read_bytes()[:-300])
    mask = spoiled_chests / "Lung Segmentation" / "masks" / xray(spoiled_chests, 1).name
    Image.fromarray(np.zeros_like(np.asarray(Image.open(mask)))).save(mask)
    messages = [error.message for error in errors(spoiled_chests)]
    assert len(messages) == 2
    assert "MCUCXR_0002_0" in messages[0]
    assert "MCUCXR_0001_1" in messages[1]


def test_missing_mask_and_missing_modality_are_notes(spoiled):
    (patient(spoiled, 0) / f"{patient(spoiled, 0).name}_seg.nii").unlink()
    (patient(spoiled, 1) / f"{patient(spoiled, 1).name}_t1.nii").unlink()
    notes = {one.check: one.names for one in audit([spoiled]) if one.names}
    assert notes == {"missing mask": (patient(spoiled, 0).name,), "missing file": (patient(spoiled, 1).name,)}


def test_counts_below_the_card_are_notes(spoiled, spoiled_chests):
    shutil.rmtree(patient(spoiled, 0))
    (spoiled_chests / "phantom.json").unlink()  # held for the real set then
    messages = [one.message for one in audit([spoiled, spoiled_chests]) if one.check == "count"]
    assert messages == [
        "7 BraTS20_Training; the card says 8",
        "6 montgomery images; the card says 138",
        "8 shenzhen images; the card says 662",
        "13 masks; the card says 704",
    ]
    assert errors(spoiled, spoiled_chests) == []


def test_no_file_ends_the_audit_of_the_others(spoiled, spoiled_chests, run):
    """Of every kind one: picture, mask, scan, table of names, note of the phantoms, training."""
    png(xray(spoiled_chests, 0), (14000, 14000), 1, 0)
    (spoiled_chests / "Lung Segmentation" / "masks" / xray(spoiled_chests, 1).name).write_bytes(b"")
    xray(spoiled_chests, 2).unlink()
    xray(spoiled_chests, 2).with_name("MCUCXR_0003_1.png").mkdir()
    (spoiled_chests / "phantom.json").write_text("[")
    (patient(spoiled, 0) / f"{patient(spoiled, 0).name}_t1.nii").write_bytes(b"\0" * 400)
    (run / "run.json").write_text('{"learned_from": []}')
    messages = " ".join(error.message for error in errors(spoiled, spoiled_chests, run))
    for name in (
        "MCUCXR_0001_1",
        "MCUCXR_0002_0",
        "MCUCXR_0003_1",
        patient(spoiled, 0).name,
        "not a finished training",
    ):
        assert name in messages


def test_folder_that_cannot_be_read_as_a_whole_is_an_error_and_no_end(spoiled_chests, phantoms):
    path = xray(spoiled_chests, 0)
    path.rename(path.with_name("CHNCXR_7777_1.png"))
    (error,) = errors(spoiled_chests, phantoms)
    assert "different sets" in error.message


@pytest.mark.parametrize(
    "content", ["[]", "null", '{"learned_from": {"a": 1}}', '{"learned_from": {}, "statistics": {"fitted_on": [[1]]}}']
)
def test_training_of_another_shape_is_an_error(run, content):
    (run / "run.json").write_text(content)
    (error,) = errors(run)
    assert "not a finished training" in error.message
    assert "restore" in error.message


def test_inverted_radiographs_and_masks_that_lie_elsewhere_are_notes(spoiled_chests):
    image = Image.open(xray(spoiled_chests, 0)).convert("L")
    Image.fromarray(255 - np.asarray(image)).save(xray(spoiled_chests, 0))
    mask = spoiled_chests / "Lung Segmentation" / "masks" / xray(spoiled_chests, 1).name
    turned = np.roll(np.asarray(Image.open(mask)), 24, axis=1)
    turned[:, 45:52] = 255
    turned[:, :40] = turned[:, 60:] = 0
    turned[:4] = turned[-4:] = 0
    Image.fromarray(turned).save(mask)
    named = {one.check: one.names for one in audit([spoiled_chests]) if one.level == "note" and one.names}
    assert named["inverted"] == ("MCUCXR_0001_1",)
    assert named["misplaced mask"] == ("MCUCXR_0002_0",)
    assert errors(spoiled_chests) == []


# --- around it


def test_folder_without_data_twice_or_absent_is_refused(tmp_path):
    with pytest.raises(DataError, match="Nothing to audit"):
        audit([tmp_path])
    with pytest.raises(DataError, match="given twice"):
        audit([tmp_path, tmp_path / "." / ""])
    with pytest.raises(DataError, match="no folder"):
        audit([tmp_path / "nowhere"])


def test_folder_that_is_missing_is_found_before_any_is_read(chests, tmp_path):
    read = []
    with pytest.raises(DataError, match="no folder"):
        audit([chests, tmp_path / "nowhere"], lambda *progress: read.append(progress))
    assert read == []


def test_a_training_is_stopped_by_errors_and_not_by_notes(chests):
    refuse_errors(audit([chests]))
    with pytest.raises(DataError, match=r"1 error.*\n.*CHNCXR_0004_0"):
        refuse_errors(audit([chests, chests / "Lung Segmentation" / "test"]))


def test_table_has_one_row_a_finding(chests):
    rows = table(audit([chests]))
    assert list(rows) == ["level", "check", "folder", "what", "names"]
    assert len(rows) == 3


def test_command_ends_with_1_on_errors_and_with_0_on_notes(chests):
    def command(*folders):
        return CliRunner().invoke(app, ["audit", *map(str, folders)])

    fine, bad = command(chests), command(chests, chests / "Lung Segmentation" / "test")
    assert (fine.exit_code, bad.exit_code) == (0, 1)
    assert "0 error(s), 3 note(s)" in fine.stdout
    assert "1 error(s), 3 note(s)" in bad.stdout


def test_real_xrays_lack_96_masks_and_test_repeats_them(real_data):
    findings = audit([real_data / "chest"])
    assert {one.level for one in findings} == {"note"}
    missing = read_chest(real_data / "chest").without_mask
    named = {one.check: one.names for one in findings if one.names}
    assert named == {"missing mask": missing, "unused copy": missing}
    assert len(missing) == 96
