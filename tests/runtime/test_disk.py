"""Laws of writing: whole or absent, and a full disk reported in one line."""

import errno
import json
import os
import subprocess
import sys
import threading
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.runtime import disk
from helpers.runtime.disk import allocate_arrays, atomic_path, explain_full_disk, is_running, write_json, write_text
from helpers.runtime.errors import DataError


def _full_disk():
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _write_half(path, error, wanted=0):
    with atomic_path(path, wanted) as scratch:
        scratch.write_text("half")
        raise error


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_is_replaced_when_the_block_ends(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_path(path) as scratch:
        scratch.write_text("new")
        assert path.read_text() == "old"
        assert scratch.name.endswith("a.txt")
    assert path.read_text() == "new"
    assert _names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_file_that_could_not_be_written_leaves_the_old_one_alone(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error):
        _write_half(path, error)
    assert path.read_text() == "old"
    assert _names(tmp_path) == ["a.txt"]


def test_full_disk_is_reported_with_the_file_and_the_missing_space(tmp_path, monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=2_000_000))
    path = tmp_path / "a.npz"
    path.write_text("old")
    with pytest.raises(DataError, match=r"a\.npz cannot.*\(5\.5 MB are wanted, 2\.0 MB free, 3\.5 MB missing\)"):
        _write_half(path, _full_disk(), wanted=5_500_000)
    assert path.read_text() == "old"
    assert _names(tmp_path) == ["a.npz"]


def test_full_disk_is_recognised_under_other_errors(tmp_path):
    """A zip file that cannot be closed, because it could not be written, says the former."""
    error = ValueError("Can't close the ZIP file while there is an open writing handle on it.")
    error.__context__ = _full_disk()
    with pytest.raises(DataError, match="is full"):
        _write_half(tmp_path / "a", error)


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "no"), zipfile.BadZipFile("no")])
def test_other_errors_stay_what_they_are(tmp_path, error):
    with pytest.raises(type(error), match="no"):
        _write_half(tmp_path / "a", error)


def test_space_of_an_array_is_allocated_before_it_is_written_to(tmp_path):
    """A memory map of a file with holes ends the process when the disk is full."""
    images, soft_labels = allocate_arrays(
        tmp_path, images=(np.float16, (300, 8, 8, 2)), soft_labels=(np.uint8, (300, 8, 8, 4))
    )
    assert (images.dtype, soft_labels.shape) == (np.float16, (300, 8, 8, 4))
    assert not images.any()
    if hasattr(os, "posix_fallocate"):
        status = (tmp_path / "images.npy").stat()
        assert 512 * status.st_blocks >= images.nbytes


@pytest.mark.parametrize("allocates", [True, False])
def test_arrays_without_space_are_reported_with_all_the_space_they_need(tmp_path, monkeypatch, allocates):
    """Before anything is written where that can be asked; with the first block where a quota is smaller."""
    if allocates:
        if not hasattr(os, "posix_fallocate"):
            pytest.skip("this system has no posix_fallocate")

        def full(*_):
            raise _full_disk()

        monkeypatch.setattr(os, "posix_fallocate", full)
    else:
        monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    folder, arrays = (
        tmp_path / "slices",
        {"images": (np.float16, (1000, 1000)), "soft_labels": (np.uint8, (1000, 1000))},
    )
    with pytest.raises(DataError, match=r"slices cannot be written.*3\.0 MB are wanted"), explain_full_disk(folder):
        allocate_arrays(tmp_path, **arrays)


WRITER = """
import sys
from pathlib import Path
from helpers.runtime.disk import write_text
for number in range(300):
    write_text(f"{sys.argv[2]} " * 2000 + str(number), Path(sys.argv[1]))
"""


def test_two_processes_may_write_one_file_at_once(tmp_path):
    """2 times 300 writes: no error, and whoever reads meanwhile finds a whole file."""
    path, torn = tmp_path / "scores.csv", []
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, path, who], stderr=subprocess.PIPE) for who in "ab"]
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            words = path.read_text().split()
            if len(words) != 2001 or len(set(words[:-1])) != 1:
                torn.append(words)
    assert [(writer.returncode, writer.stderr.read()) for writer in writers] == [(0, b"")] * 2
    assert not torn
    assert path.read_text().endswith(" 299")
    assert _names(tmp_path) == ["scores.csv"]


def test_threads_may_write_one_file_at_once(tmp_path):
    def write(number):
        for _ in range(30):
            write_json({"who": number, "filling": "x" * 1000}, tmp_path / "a.json")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert json.loads((tmp_path / "a.json").read_text())["who"] in range(4)
    assert _names(tmp_path) == ["a.json"]


KILLED = """
import os, sys
from pathlib import Path
from helpers.runtime.disk import atomic_path
with atomic_path(Path(sys.argv[1])) as scratch:
    scratch.write_text("half")
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_left_goes_with_the_next_write_of_the_same_file(tmp_path):
    path, other = tmp_path / "a.txt", tmp_path / "b.a.txt"
    for one in (path, other):
        assert subprocess.run([sys.executable, "-c", KILLED, one]).returncode == -9
    assert len(_names(tmp_path)) == 2
    write_text("whole", path)
    assert [name for name in _names(tmp_path) if not name.endswith(".b.a.txt")] == ["a.txt"]
    write_text("whole", other)
    assert _names(tmp_path) == ["a.txt", "b.a.txt"]


def test_what_a_running_process_writes_is_left_alone(tmp_path):
    with atomic_path(tmp_path / "a.txt") as outer:
        outer.write_text("outer")
        write_text("inner", tmp_path / "a.txt")
        assert outer.exists()
    assert (tmp_path / "a.txt").read_text() == "outer"


def test_processes_are_told_from_those_that_have_ended():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert is_running(os.getpid())
    assert is_running(1)  # another user's, perhaps
    assert not is_running(ended.pid)
    assert not is_running(2**70)


def test_text_is_utf_8_whatever_the_locale(tmp_path, monkeypatch):
    wanted = []
    real = disk.atomic_path
    monkeypatch.setattr(disk, "atomic_path", lambda path, count: wanted.append(count) or real(path, count))
    write_text("Dice: größer\n", tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_bytes() == "Dice: größer\n".encode()
    assert wanted == [15]  # bytes, of 13 letters
    write_text("half a letter: \udce4", tmp_path / "a.txt")  # as `os.listdir` returns a name in Latin-1
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "half a letter: \\udce4"


def test_full_disk_is_reported_once_however_many_blocks_explain_it(tmp_path):
    with pytest.raises(DataError, match=r"inner.*5\.5 MB are wanted"), explain_full_disk(tmp_path / "outer"):
        _write_half(tmp_path / "inner", _full_disk(), wanted=5_500_000)
