"""Laws of finding the data."""

import os
import shutil
import stat
from pathlib import Path

import pytest

from helpers.data import sets, sources
from helpers.data.brats import read_catalogue
from helpers.data.phantoms.chest import make_chest
from helpers.runtime.errors import DataError


@pytest.fixture(scope="module")
def xrays(tmp_path_factory) -> Path:
    return make_chest(tmp_path_factory.mktemp("xrays") / "chest", montgomery=1, shenzhen=1, size=64)


@pytest.fixture
def nowhere(tmp_path, monkeypatch) -> Path:
    """A machine with no data and no Kaggle; the folder that stands for /kaggle/input."""
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(sets, "KAGGLE_INPUT", tmp_path / "input")
    return tmp_path / "input"


def mount(content: Path, place: Path) -> Path:
    """A read-only copy of `content` at `place`."""
    shutil.copytree(content, place)
    for path in [place, *place.rglob("*")]:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    return place


def unmount(place: Path) -> None:
    for folder, _, _ in os.walk(place):
        Path(folder).chmod(0o755)


def test_named_folder_is_taken(phantoms, xrays, capsys):
    assert sources.brats(phantoms) == phantoms
    assert sources.chest(xrays) == xrays
    assert str(phantoms) in capsys.readouterr().out


def test_named_folder_without_patients_is_refused(tmp_path):
    with pytest.raises(DataError, match="No BraTS patient"):
        sources.brats(tmp_path)
    with pytest.raises(DataError, match="No chest X-rays"):
        sources.chest(tmp_path)


@pytest.mark.parametrize("owner", ["", "datasets/{owner}/"])
@pytest.mark.parametrize("name", ["brats", "chest"])
def test_both_layouts_of_kaggles_mounts_are_found(nowhere, phantoms, xrays, name, owner, capsys):
    data, content = {"brats": (sets.BRATS, phantoms), "chest": (sets.CHEST, xrays)}[name]
    place = mount(content, nowhere / owner.format(owner=data.owner) / data.slug)
    before = sorted(place.rglob("*"))
    assert getattr(sources, name)() == place
    assert sorted(place.rglob("*")) == before
    assert "the Kaggle set at" in capsys.readouterr().out
    if name == "brats":
        assert len(read_catalogue(place).patients) == len(read_catalogue(phantoms).patients)
    unmount(place)


def test_a_mount_without_its_files_is_passed_over_and_named(nowhere, phantoms, capsys):
    (nowhere / sets.BRATS.slug).mkdir(parents=True)
    place = mount(phantoms, nowhere / "datasets" / "another" / sets.BRATS.slug)
    assert sources.brats() == place
    assert "not as expected" in capsys.readouterr().out
    unmount(place)


def test_the_sentinel_is_not_looked_for_at_any_depth(phantoms, tmp_path):
    deep = tmp_path / "1" / "2" / "3" / "4"
    shutil.copytree(phantoms, deep)
    assert not sets.BRATS.held_by(tmp_path)
    assert sets.BRATS.held_by(deep)


def test_a_download_comes_before_phantoms_and_the_whole_before_a_part(nowhere, phantoms):
    data = nowhere.parent / "data"
    for name, more in (("brats2020_first_2", "brats2020_first_10"), ("brats2020_first_10", "brats2020")):
        shutil.copytree(phantoms, data / name)
        assert sources.brats() == data / name
        shutil.copytree(phantoms, data / more, dirs_exist_ok=True)
        assert sources.brats() == data / more
        shutil.rmtree(data / more)


def test_brats_2019_is_found_whoever_owns_it(nowhere, tmp_path):
    assert sources.find(sets.BRATS_2019) is None
    place = nowhere / "datasets" / "someone" / "miccaibrats2019"
    doubled = "MICCAI_BraTS_2019_Data_Training/" * 2
    file = place / doubled / "HGG" / "BraTS19_2013_10_1" / "BraTS19_2013_10_1_flair.nii"
    file.parent.mkdir(parents=True)
    file.touch()
    assert sources.find(sets.BRATS_2019) == place


def test_without_data_phantoms_are_made_and_called_so(nowhere, monkeypatch, capsys):
    monkeypatch.setattr(
        sources, "QUICK", {"patients": 2, "validation": 1, "shape": (40, 40, 26), "spacing": (6.0, 6.0, 155 / 26)}
    )
    monkeypatch.setattr(sources, "QUICK_CHEST", {"montgomery": 1, "shenzhen": 1, "size": 64})
    assert len(read_catalogue(sources.brats("")).patients) == 3
    assert "phantom patients" in capsys.readouterr().out
    assert sets.CHEST.held_by(sources.chest())
    assert "phantom X-rays" in capsys.readouterr().out
