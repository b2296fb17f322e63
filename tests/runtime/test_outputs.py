"""Laws of output folders: tried before the work, with nothing left behind, whoever was killed."""

import os
import platform
import subprocess
import sys

import pytest

from helpers.runtime.errors import DataError
from helpers.runtime.outputs import scratch_folder, writable_file, writable_folder


def test_a_new_folder_is_tried_without_being_made(tmp_path):
    assert writable_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["scan.nii.gz", "thesis.docx", "scores"])
def test_a_file_of_another_kind_is_not_replaced(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(DataError, match=rf"{name} is there already and does not end in \.json, so it is not replaced"):
        writable_file(tmp_path / name)


def test_a_file_of_the_same_kind_is_replaced_and_a_new_one_may_have_any_name(tmp_path):
    (tmp_path / "old.JSON").write_text("{}")
    assert writable_file(tmp_path / "old.JSON") == tmp_path / "old.JSON"
    assert writable_file(tmp_path / "new.txt") == tmp_path / "new.txt"


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert writable_folder("~/runs") == tmp_path / "runs"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("file.txt", "file.txt is a file"),
        ("file.txt/a/b", "file.txt is a file"),
        ("dangling", "a link to nothing"),
        ("dangling/a", "a link to nothing"),
        ("x" * 300, "name too long"),
        ("a/" + "x" * 300, "name too long"),
        ("loop/a", "."),
    ],
)
def test_what_is_in_the_way_is_named(tmp_path, path, reason):
    (tmp_path / "file.txt").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(DataError, match=rf"(?i)cannot be (made|written).*{reason}.* by --there"):
        writable_folder(tmp_path / path, "--there")


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_folder_that_may_not_be_written_to_is_refused(tmp_path):
    if os.geteuid() == 0:
        place = "/sys/kernel/course"  # where root may not either
    else:
        (tmp_path / "closed").mkdir(mode=0o555)
        place = tmp_path / "closed" / "course"
    with pytest.raises(DataError, match=r"(?i)cannot be written \(.*(permit|permission|read-only)"):
        writable_folder(place)


def test_nobodys_home_is_refused():
    with pytest.raises(DataError, match="cannot be written"):
        writable_folder("~nobody-of-this-name/runs")


def test_what_is_built_beside_needs_no_right_in_the_folder_itself(tmp_path):
    (tmp_path / "set").touch()
    assert writable_folder(tmp_path / "set", beside=True) == tmp_path / "set"


def test_scratch_folders_of_killed_processes_go_and_those_of_living_ones_stay(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    final = tmp_path / "set [old]"
    left, other = (tmp_path / f".set [old]-{platform.node()}-{process}-abc" for process in (dead.pid, os.getppid()))
    foreign = tmp_path / f".set-{platform.node()}-{dead.pid}-abc"  # of another set
    for folder in (left, other, foreign):
        folder.mkdir()
    with scratch_folder(final) as scratch:
        assert scratch.parent == tmp_path
        assert sorted(tmp_path.iterdir()) == sorted([scratch, other, foreign])
    assert sorted(tmp_path.iterdir()) == sorted([other, foreign])
