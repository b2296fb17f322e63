"""Laws of finding the data."""

import pytest

from helpers.data import sources
from helpers.data.brats import read_catalogue
from helpers.data.errors import DataError


def test_named_folder_is_taken(phantoms, capsys):
    assert sources.brats(phantoms) == phantoms
    assert str(phantoms) in capsys.readouterr().out


def test_named_folder_without_patients_is_refused(tmp_path):
    with pytest.raises(DataError, match="No BraTS patient"):
        sources.brats(tmp_path)


def test_kaggle_mount_comes_before_phantoms(phantoms, monkeypatch):
    monkeypatch.setattr(sources, "_KAGGLE", ("/nowhere", str(phantoms)))
    assert sources.brats() == phantoms


def test_without_data_phantoms_are_made_and_called_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    monkeypatch.setattr(
        sources, "QUICK", {"patients": 2, "validation": 1, "shape": (40, 40, 26), "spacing": (6.0, 6.0, 155 / 26)}
    )
    assert len(read_catalogue(sources.brats("")).patients) == 3
    assert "phantom patients" in capsys.readouterr().out
