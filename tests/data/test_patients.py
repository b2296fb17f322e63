"""Laws of selecting patients from several folders: each is usable, or refused by name."""

import shutil

import pytest

from helpers.data.brats import read_catalogue
from helpers.data.patients import select_patients
from helpers.runtime.errors import DataError


@pytest.fixture
def folders(phantoms, tmp_path):
    """The folders of three patients that a test may spoil."""
    sources = [patient.folder for patient in read_catalogue(phantoms).patients[:3]]
    return [shutil.copytree(source, tmp_path / "in" / source.name) for source in sources]


def test_every_patient_is_usable_or_refused_by_name(folders, tmp_path):
    next(folders[0].glob("*_t1ce.nii*")).write_text("an error page")
    next(folders[1].glob("*_flair.nii*")).unlink()
    given = [tmp_path / "in", tmp_path / "gone"]
    selection = select_patients(given, ("flair", "t1ce"), tmp_path / "out")
    assert [patient.id for patient in selection.patients] == [folders[2].name]
    assert {one.id for one in selection.refused} == {folders[0].name, folders[1].name, "gone"}
    for one in selection.refused:
        assert one.id in one.message
    assert [one.message for one in selection.refused if "flair is missing. Add the file" in one.message]


def test_problems_of_files_that_are_not_needed_do_not_matter(folders, tmp_path):
    next(folders[0].glob("*_t2.nii*")).write_text("an error page")
    next(folders[1].glob("*_seg.nii*")).write_text("an error page")
    selection = select_patients(folders, ("flair", "t1ce"), tmp_path / "out")
    assert len(selection.patients) == 3
    assert not selection.refused


def test_one_patient_twice_is_a_mistake_of_the_command(folders, tmp_path):
    with pytest.raises(DataError, match=f"{folders[0].name} is there twice.*give one"):
        select_patients([folders[0], tmp_path / "in"], ("flair",), tmp_path / "out")


def test_masks_do_not_go_into_a_patients_folder_by_any_way(folders, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(folders[0])
    for out in (folders[0], folders[0] / "new", link, folders[0] / ".." / folders[0].name):
        with pytest.raises(DataError, match=r"second mask.*--out"):
            select_patients(folders[:1], ("flair",), out)
    assert select_patients(folders, ("flair",), tmp_path / "in").patients
