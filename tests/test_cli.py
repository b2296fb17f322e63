"""Laws of the command line: every command answers to --help, and a mistake ends in one clear message."""

import subprocess
import sys

import pytest


def _run(*arguments):
    return subprocess.run([sys.executable, "-m", "helpers", *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.parametrize(
    "command",
    [
        ["phantom"],
        ["download"],
        ["build"],
        ["run"],
        ["push"],
        ["train", "brain"],
        ["evaluate"],
        ["predict"],
        ["audit"],
        ["ladder"],
        ["bench", "viewer"],
    ],
)
def test_every_command_answers_help(command):
    from typer.testing import CliRunner

    from helpers.cli import app

    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_a_mistake_ends_in_a_message_and_status_1(tmp_path):
    result = _run("evaluate", tmp_path, "--data", tmp_path)
    assert result.returncode == 1
    assert "holds no finished training" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("said", ["Stopped after 3 epochs; the same command goes on from there.", ""])
def test_ctrl_c_ends_in_a_line_and_status_130(monkeypatch, said):
    from typer.testing import CliRunner

    from helpers.cli import app

    def stopped(*_, **__):
        raise KeyboardInterrupt(*[said] * bool(said))

    monkeypatch.setattr("helpers.data.phantoms.brats.make_brats", stopped)
    result = CliRunner().invoke(app, ["phantom"])
    assert result.exit_code == 130
    assert result.output.strip() == (said or "Stopped.")


def test_help_does_not_wait_for_tensorflow():
    code = "import sys, helpers.cli; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
