"""Processes side by side. What they are given is defined in this module, which they import."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from helpers.runtime import machine
from helpers.runtime.processes import DeadProcessError, _shares, map_processes


def act(item):
    """Whatever a process may meet."""
    match item:
        case "raise":
            raise ValueError("not this one")
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case Path():
            try:
                child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
                item.write_text(f"{os.getpid()} {child.pid}")
                time.sleep(100)
            except KeyboardInterrupt:
                item.with_suffix(".ended").touch()
                child.kill()
                raise
    return item


def test_each_item_comes_back_with_its_result_or_its_error_and_a_death_is_no_neighbours():
    outcomes = dict(map_processes(act, ["a", "raise", "die", "b", "c"], at_once=2))
    assert {name: outcomes[name] for name in "abc"} == {"a": "a", "b": "b", "c": "c"}
    assert isinstance(outcomes["raise"], ValueError)
    assert isinstance(outcomes["die"], DeadProcessError)
    assert "signal 9" in str(outcomes["die"])


def test_no_items_start_no_process():
    assert list(map_processes(act, [], at_once=4)) == []


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
def test_all_cores_are_dealt_out_and_nobody_gets_none(monkeypatch, processes):
    monkeypatch.setattr(machine, "cores", lambda: [0, 1, 4])
    shares = _shares(processes)
    assert len(shares) == processes
    assert all(shares)
    assert {core for share in shares for core in share} == {0, 1, 4}
    if processes <= 3:
        assert sum(len(share) for share in shares) == 3


def test_whoever_stops_early_leaves_no_process_and_each_ends_what_it_started(tmp_path):
    for outcome in map_processes(act, ["a", tmp_path / "pids"], at_once=2):
        assert outcome == ("a", "a")
        wait_for(tmp_path / "pids")
        break
    assert (tmp_path / "pids.ended").exists()
    gone(tmp_path / "pids")


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_where_the_caller_is_killed_its_processes_and_theirs_end_too(tmp_path):
    code = (
        "from pathlib import Path; from helpers.runtime.processes import map_processes; "
        "from tests.runtime.test_processes import act; "
        f"list(map_processes(act, [Path({str(tmp_path / 'pids')!r})], 2))"
    )
    caller = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    wait_for(tmp_path / "pids")
    caller.kill()
    caller.wait()
    gone(tmp_path / "pids")


def wait_for(path):
    start = time.monotonic()
    while not (path.is_file() and len(path.read_text().split()) == 2):
        assert time.monotonic() - start < 60
        time.sleep(0.05)


def gone(path):
    processes = [psutil.Process(int(pid)) for pid in path.read_text().split() if psutil.pid_exists(int(pid))]
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert alive == []
