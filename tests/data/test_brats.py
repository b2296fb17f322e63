"""Laws of the catalogue: one reader for every naming, and each fault named."""

import gzip
import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from helpers.data.brats import MODALITIES, read_catalogue
from helpers.runtime.errors import DataError


def _first(root, kind="flair"):
    return sorted(root.rglob(f"*_{kind}.nii"))[0]


def _resave(path, change_data=lambda data: data, change_affine=lambda affine: affine):
    image = nib.load(path)
    data, affine = np.asarray(image.dataobj), image.affine.copy()
    path.unlink()
    nib.save(nib.Nifti1Image(change_data(data), change_affine(affine)), path)


def test_phantoms_are_read_without_a_problem(phantoms):
    catalogue = read_catalogue(phantoms)
    assert len(catalogue.patients) == 9
    assert catalogue.problems == ()


def test_only_patients_with_a_segmentation_can_be_trained_on(phantoms):
    catalogue = read_catalogue(phantoms)
    assert len(catalogue.require(MODALITIES)) == 8
    assert len(catalogue.require(MODALITIES, seg=False)) == 9


def test_segmentation_of_case_355_is_found_by_pattern(phantoms):
    patient = {patient.id: patient for patient in read_catalogue(phantoms).patients}["BraTS20_Training_355"]
    assert patient.seg.name == "W39_1998.09.19_Segm.nii"


def test_grade_and_site_come_from_the_mapping(phantoms):
    training = read_catalogue(phantoms).require(("flair",))
    assert {patient.grade for patient in training} == {"HGG", "LGG"}
    assert {patient.site for patient in training} == {"CBICA", "TCIA01", "TCIA10", "2013", None}


def test_the_site_in_the_mapping_is_that_of_the_id_with_most_digits(phantoms, spoiled):
    table = next(spoiled.rglob("name_mapping.csv"))
    older = re.sub(r"Brats1[78]_TCIA\d\d", "Brats17_TCIA", table.read_text())  # as the real set had them in 2017
    assert "Brats17_TCIA_" in older
    table.write_text(older)
    assert [patient.site for patient in read_catalogue(spoiled).patients] == [
        patient.site for patient in read_catalogue(phantoms).patients
    ]


@pytest.mark.parametrize(
    ("prefix", "site"),
    [
        ("Brats18_CBICA_AAB_1", "CBICA"),
        ("BraTS19_TCIA01_150_1", "TCIA01"),
        ("Brats17_TCIA_9_1", "TCIA"),
        ("Brats17_2013_10_1", "2013"),
    ],
)
def test_older_names_sorted_by_grade_and_compressed_are_read(phantoms, tmp_path, prefix, site):
    source = _first(phantoms).parent
    folder = tmp_path / "MICCAI_BraTS" / "MICCAI_BraTS" / "LGG" / prefix
    folder.mkdir(parents=True)
    for path in source.glob("*.nii"):
        kind = path.stem.rsplit("_", 1)[1]
        with gzip.open(folder / f"{prefix}_{kind}.nii.gz", "wb") as target:
            target.write(path.read_bytes())
    (patient,) = read_catalogue(tmp_path).require(MODALITIES)
    assert (patient.id, patient.grade, patient.site) == (prefix, "LGG", site)


def test_brats_2021_names_are_read(phantoms, tmp_path):
    folder = tmp_path / "BraTS2021_00002"
    folder.mkdir()
    for path in _first(phantoms).parent.glob("*.nii"):
        shutil.copy(path, folder / f"BraTS2021_00002_{path.stem.rsplit('_', 1)[1]}.nii")
    assert read_catalogue(tmp_path).require(MODALITIES)[0].id == "BraTS2021_00002"


def test_missing_modality_hurts_only_who_needs_it(spoiled):
    _first(spoiled, "t2").unlink()
    catalogue = read_catalogue(spoiled)
    assert len(catalogue.require(("flair", "t1ce"))) == 8
    assert len(catalogue.require(("t2",))) == 7


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="no folder"):
        read_catalogue(tmp_path / "nowhere")


def test_folder_without_patients_says_what_was_expected(tmp_path):
    (tmp_path / "picture.png").touch()
    with pytest.raises(DataError, match=r"No BraTS patient.*BraTS20_Training_001_flair\.nii"):
        read_catalogue(tmp_path)


def test_file_that_is_no_nifti_is_named(spoiled):
    path = _first(spoiled)
    path.write_text("an error page, saved as a scan")
    with pytest.raises(DataError, match=rf"{path.name}.*not a readable NIfTI"):
        read_catalogue(spoiled).require(("flair",))


def test_file_cut_short_is_named(spoiled):
    path = _first(spoiled)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match=rf"{path.name}.*cut short"):
        read_catalogue(spoiled).require(("flair",))


def test_different_shapes_are_named(spoiled):
    path = _first(spoiled, "t1ce")
    _resave(path, change_data=lambda data: data[:-1])
    with pytest.raises(DataError, match=rf"{path.name}.*shape \(59, 60, 39\)"):
        read_catalogue(spoiled).require(("flair", "t1ce"))


def test_different_affines_are_named(spoiled):
    path = _first(spoiled, "t1ce")
    _resave(path, change_affine=lambda affine: affine + np.eye(4, k=3))
    with pytest.raises(DataError, match=rf"{path.name}.*affine differs"):
        read_catalogue(spoiled).require(("flair", "t1ce"))


def test_four_dimensions_are_named(spoiled):
    path = _first(spoiled)
    _resave(path, change_data=lambda data: data[..., None].repeat(2, axis=-1))
    with pytest.raises(DataError, match=rf"{path.name}.*three dimensions"):
        read_catalogue(spoiled).require(("flair",))


def test_patient_twice_is_named_with_both_folders(spoiled):
    folder = _first(spoiled).parent
    shutil.copytree(folder, spoiled / "copy" / folder.name)
    with pytest.raises(DataError, match=rf"{folder.name}.*there 2 times.*copy"):
        read_catalogue(spoiled).require(("flair",))


def test_two_segmentations_are_named(spoiled):
    path = _first(spoiled, "seg")
    shutil.copy(path, path.with_name("another_seg.nii"))
    with pytest.raises(DataError, match="2 segmentations"):
        read_catalogue(spoiled).require(("flair",))


def test_problem_in_a_file_nobody_needs_stops_nobody(spoiled):
    _first(spoiled, "t2").write_text("broken")
    assert len(read_catalogue(spoiled).require(("flair", "t1ce"))) == 8


def test_unknown_modality_is_refused(phantoms):
    with pytest.raises(DataError, match=r"Unknown modalities \['ct'\]"):
        read_catalogue(phantoms).require(("ct",))


def test_modality_nobody_has_says_what_there_is(spoiled):
    for path in spoiled.rglob("*_t2.nii"):
        path.unlink()
    with pytest.raises(DataError, match=r"No patient .* has all of t2, seg.*9 have flair"):
        read_catalogue(spoiled).require(("t2",))


@pytest.mark.parametrize("copied", ["flair", "t1ce", "seg"])
def test_files_of_two_patients_in_one_folder_are_no_patient(phantoms, tmp_path, copied):
    first, second = (folder for folder in sorted(_first(phantoms).parent.parent.iterdir())[:2])
    folder = tmp_path / "P"
    folder.mkdir()
    for kind in ("flair", "t1ce", "seg"):
        shutil.copy(_first(second if kind == copied else first, kind), folder)
    with pytest.raises(DataError, match=rf"{folder}.*({first.name}|{second.name})") as caught:
        read_catalogue(tmp_path).require(("flair", "t1ce"))
    assert "bears the id" in str(caught.value) if copied == "seg" else "files of 2 patients" in str(caught.value)


def test_mask_may_have_an_odd_name_but_not_that_of_another_patient(spoiled):
    first, second = sorted(_first(spoiled).parent.parent.iterdir())[:2]
    seg = _first(first, "seg")
    odd = seg.rename(seg.with_name("by_hand_seg.nii"))
    assert read_catalogue(spoiled).require(("flair",))[0].seg == odd
    odd.rename(odd.with_name(f"{second.name}_seg.nii"))
    with pytest.raises(DataError, match=f"this mask bears the id {second.name}"):
        read_catalogue(spoiled).require(("flair",))


def test_folder_of_all_patients_flat_says_to_give_each_its_own(phantoms, tmp_path):
    for path in phantoms.rglob("*_flair.nii"):
        shutil.copy(path, tmp_path)
    with pytest.raises(DataError, match=r"files of 9 patients in one folder \(BraTS20_Training_001, .* and 6 more"):
        read_catalogue(tmp_path).require(("flair",), seg=False)


def test_linked_folders_are_read_once_and_circles_end(phantoms, tmp_path):
    elsewhere = Path(shutil.copytree(_first(phantoms).parent, tmp_path / "elsewhere" / "P1"))
    root = tmp_path / "data"
    shutil.copytree(elsewhere.parent, root)
    identity = read_catalogue(root).patients[0].id
    shutil.rmtree(root / "P1")
    for name, target in {"a": elsewhere, "b": elsewhere, "up": tmp_path, "self": root}.items():
        (root / name).symlink_to(target, target_is_directory=True)
    (patient,) = read_catalogue(root).require(("flair",))
    assert (patient.id, patient.folder) == (identity, root / "a")


def test_link_to_nothing_is_told(spoiled):
    link = spoiled / "BraTS20_Training_900"
    link.symlink_to(spoiled / "gone", target_is_directory=True)
    assert any(f"{link}: left out, a link to nothing" in note for note in read_catalogue(spoiled).notes)


def test_what_a_mac_adds_to_a_zip_is_ignored(spoiled):
    path = _first(spoiled)
    path.with_name(f"._{path.name}").write_bytes(b"Mac OS X")
    twin = spoiled / "__MACOSX" / path.parent.name
    twin.mkdir(parents=True)
    (twin / f"._{path.name}").write_bytes(b"Mac OS X")
    shutil.copy(path, twin)
    catalogue = read_catalogue(spoiled)
    assert (len(catalogue.patients), catalogue.problems, catalogue.notes) == (9, (), ())


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(",", ";").encode(),
        lambda text: text.replace(",", "\t").encode("utf-16"),
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.replace("\n", "\r\n").replace(",", " ; ").encode("latin-1"),
    ],
)
def test_grades_are_read_however_a_spreadsheet_saved_the_table(spoiled, change):
    expected = [patient.grade for patient in read_catalogue(spoiled).patients]
    table = next(spoiled.rglob("name_mapping.csv"))
    table.write_bytes(change(table.read_text()))
    assert [patient.grade for patient in read_catalogue(spoiled).patients] == expected
    assert set(expected) == {"HGG", "LGG", None}


@pytest.mark.parametrize("content", [b"", b"\0\1\2", b"Grade,Name\nHGG,P1\n", b"a,b\n1,2,3,4,5\n1\n"])
def test_table_without_grades_is_told_and_stops_nobody(spoiled, content):
    table = next(spoiled.rglob("name_mapping.csv"))
    table.write_bytes(content)
    catalogue = read_catalogue(spoiled)
    assert len(catalogue.require(("flair",))) == 8
    assert any(str(table) in note and "grades are left out" in note for note in catalogue.notes)


def test_one_bad_file_leaves_the_others_usable(spoiled):
    path = _first(spoiled)
    path.write_bytes(b"\x5c\x01\x00\x00" + bytes(range(256)) * 8)
    catalogue = read_catalogue(spoiled)
    patients, problems = catalogue.usable(("flair",))
    assert len(patients) == 7
    assert [problem.path for problem in problems] == [path]
    assert len(catalogue.usable(("t1ce",))[0]) == 8


def test_order_of_the_axes_is_told_once_for_all_patients_that_have_it(spoiled):
    for path in spoiled.rglob("*.nii"):
        image = nib.load(path)
        content = nib.Nifti1Image(np.asarray(image.dataobj).copy(), np.diag([1, 1, 1, 1]) @ np.abs(image.affine))
        path.unlink()
        nib.save(content, path)
    catalogue = read_catalogue(spoiled)
    assert catalogue.problems == ()
    (note,) = catalogue.notes
    assert "and 6 more: stored in the axis order RAS, read in that of the training set (LPS)" in note


def test_real_patients_are_read(real_data):
    catalogue = read_catalogue(real_data / "brats18")
    assert catalogue.problems == ()
    assert len(catalogue.require(("flair", "t1ce"))) == 20
    assert len(catalogue.require(MODALITIES)) == 20
    assert sorted(catalogue.table().grade.value_counts()) == [2, 18]
