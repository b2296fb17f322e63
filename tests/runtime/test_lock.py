"""Laws of the lock: one process at a time, told who it is; it ends with the process, and leaves no file."""

import os
import signal
import subprocess
import sys
import time

import pytest
from filelock import FileLock

from helpers.runtime.errors import DataError
from helpers.runtime.lock import LOCK, lock_folder

HOLDER = """
import sys, time
from pathlib import Path
from helpers.runtime.lock import lock_folder
with lock_folder(Path(sys.argv[1]), "trains into"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that works in the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path / "out"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_second_process_is_told_of_the_first_and_loses_the_wait(tmp_path, holder):
    begun = time.monotonic()
    message = rf"Another process \(process {holder.pid}\) trains into .*out; wait until it has finished, or choose"
    with pytest.raises(DataError, match=message), lock_folder(tmp_path / "out", "trains into"):
        pytest.fail("went on")
    assert time.monotonic() - begun < 1
    with pytest.raises(DataError, match=message), lock_folder(tmp_path / "out", "trains into"):
        pytest.fail("asking has broken the lock")


def test_lock_ends_with_the_process(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with lock_folder(tmp_path / "out", "trains into"):
        assert (tmp_path / "out" / LOCK).read_text() == str(os.getpid())
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("error", [DataError, KeyboardInterrupt])
def test_lock_ends_with_an_error(tmp_path, error):
    with pytest.raises(error), lock_folder(tmp_path, "trains into"):
        raise error
    assert not list(tmp_path.iterdir())


def test_who_waits_gets_the_lock_in_its_turn(tmp_path):
    holders = [subprocess.Popen([sys.executable, "-c", TURNS, tmp_path]) for _ in range(2)]
    assert [holder.wait() for holder in holders] == [0, 0]
    assert (tmp_path / "count").read_text() == "100"


TURNS = """
import sys
from pathlib import Path
from helpers.runtime.lock import lock_folder
count = Path(sys.argv[1]) / "count"
for _ in range(50):
    with lock_folder(count.parent, "counts in", wait=60):
        count.write_text(str(int(count.read_text()) + 1 if count.exists() else 1))
"""


def test_folder_without_locks_is_worked_in_all_the_same(tmp_path, monkeypatch):
    def refuse(self, timeout):
        raise NotImplementedError

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with lock_folder(tmp_path, "trains into"):
        pass
    assert not list(tmp_path.iterdir())
