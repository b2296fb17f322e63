"""Laws of measuring in a process of its own: a question, an answer, and a reason where there is none."""

import shutil
import sys

import pytest

from helpers.bench import subprocess_peer

ECHO = """
from serve import serve

def begin(greeting):
    print("a library's own words")
    return (lambda **question: {"asked": question}), {"greeting": greeting}

serve(begin)
"""
MISSING = """
from serve import serve

def begin(**settings):
    import a_package_that_nobody_has

serve(begin)
"""
BROKEN = "raise SystemExit('the disk is on fire')"


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A peer's script of this text."""
    shutil.copy(subprocess_peer.PEERS / "serve.py", tmp_path)
    monkeypatch.setattr(subprocess_peer, "PEERS", tmp_path)
    monkeypatch.delenv(subprocess_peer.PYTHON, raising=False)
    return lambda text: (tmp_path / "peer.py").write_text(text)


def test_a_peer_answers_line_by_line_and_what_it_prints_is_no_answer(script):
    script(ECHO)
    with subprocess_peer.Peer("peer", greeting="good day") as peer:
        assert peer.told == {"greeting": "good day"}
        assert peer.ask(number=1) == {"asked": {"number": 1}}
        assert peer.ask(number=2) == {"asked": {"number": 2}}


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


def test_another_python_is_asked_where_one_is_named(script, tmp_path, monkeypatch):
    script(ECHO)
    other = tmp_path / "other-python"
    other.write_text(f'#!/bin/sh\ntouch "{tmp_path}/was-asked"\nexec "{sys.executable}" "$@"\n')
    other.chmod(0o755)
    monkeypatch.setenv(subprocess_peer.PYTHON, str(other))
    with subprocess_peer.Peer("peer", greeting=""):
        assert (tmp_path / "was-asked").exists()


def test_a_fresh_process_tells_what_it_prints_last(tmp_path, monkeypatch):
    (tmp_path / "told.py").write_text("import sys; print('by the way'); print('[' + sys.argv[1] + ']')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert subprocess_peer.run_fresh("told", 3) == [3]


def test_a_fresh_process_that_fails_says_why():
    with pytest.raises(RuntimeError, match="no_such_module"):
        subprocess_peer.run_fresh("no_such_module")
