"""Tests of measurement in a subprocess: requests, responses, and error messages."""

import shutil
import sys
import threading
import time

import pytest

from helpers.bench import subprocess_peer

ECHO = """
from serve import serve

def begin(greeting):
    print("a library's own words")
    return (lambda **request: {"request": request}), {"greeting": greeting}

serve(begin)
"""
MISSING = """
from serve import serve

def begin(**settings):
    import a_package_that_nobody_has

serve(begin)
"""
GREEDY = """
from serve import serve

def measure(how):
    if how == "too much":
        raise MemoryError("Unable to allocate 139 GiB")
    return {"how": how}

serve(lambda: (measure, {}))
"""
SLOW = """
import subprocess, sys, time
from serve import serve

def measure():
    subprocess.run([sys.executable, "-c", "import time; time.sleep(60)"])  # as a compiler would
    return {}

serve(lambda: (measure, {}))
"""
BROKEN = "raise SystemExit('the disk is on fire')"


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A peer's script of this text."""
    shutil.copy(subprocess_peer.PEERS / "serve.py", tmp_path)
    monkeypatch.setattr(subprocess_peer, "PEERS", tmp_path)
    monkeypatch.delenv(subprocess_peer.PYTHON, raising=False)
    return lambda text: (tmp_path / "peer.py").write_text(text)


def test_a_peer_responds_line_by_line_and_its_prints_are_ignored(script):
    script(ECHO)
    with subprocess_peer.Peer("peer", greeting="good day") as peer:
        assert peer.info == {"greeting": "good day"}
        assert peer.ask(number=1) == {"request": {"number": 1}}
        assert peer.ask(number=2) == {"request": {"number": 2}}


def test_a_peer_that_is_not_installed_says_how_to_get_it(script):
    script(MISSING)
    with pytest.raises(
        subprocess_peer.NoPeerError, match=r"a_package_that_nobody_has is not installed: pip install.*\[bench\]"
    ):
        subprocess_peer.Peer("peer")


def test_a_peer_that_fails_says_why(script):
    script(BROKEN)
    with pytest.raises(RuntimeError, match="the disk is on fire"):
        subprocess_peer.Peer("peer")


def test_a_peer_that_lacks_memory_says_so_and_goes_on(script):
    script(GREEDY)
    with subprocess_peer.Peer("peer") as peer:
        with pytest.raises(subprocess_peer.OutOfMemoryError, match="139 GiB"):
            peer.ask(how="too much")
        assert peer.ask(how="modest") == {"how": "modest"}


def test_a_request_can_be_ended_with_all_that_it_started(script):
    script(SLOW)
    start = time.monotonic()
    with subprocess_peer.Peer("peer") as peer:
        threading.Timer(0.5, peer.kill).start()
        with pytest.raises(RuntimeError, match="failed"):
            peer.ask()
    assert time.monotonic() - start < 30


def test_another_python_is_used_where_one_is_named(script, tmp_path, monkeypatch):
    script(ECHO)
    other = tmp_path / "other-python"
    other.write_text(f'#!/bin/sh\ntouch "{tmp_path}/was-used"\nexec "{sys.executable}" "$@"\n')
    other.chmod(0o755)
    monkeypatch.setenv(subprocess_peer.PYTHON, str(other))
    with subprocess_peer.Peer("peer", greeting=""):
        assert (tmp_path / "was-used").exists()


def test_a_fresh_process_returns_the_last_line_it_prints(tmp_path, monkeypatch):
    (tmp_path / "printing.py").write_text("import sys; print('by the way'); print('[' + sys.argv[1] + ']')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert subprocess_peer.run_fresh("printing", 3) == [3]


def test_a_fresh_process_that_fails_says_why():
    with pytest.raises(RuntimeError, match="no_such_module"):
        subprocess_peer.run_fresh("no_such_module")
