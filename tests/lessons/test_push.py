"""Laws of pushing lessons, shown with Kaggle's real client against a server on this machine."""

import json
import os
import subprocess
import sys

import pytest

from helpers.lessons.manifest import LessonError
from helpers.lessons.push import push
from helpers.lessons.stage import Staged
from tests.kaggle_server import TOKEN

SAVE = "KernelsApiService/SaveKernel"
BAND = {"00_first": {"dice": {"kind": "band", "better": "neither", "min": 0.5, "max": 1.0, "trivial": 0.0}}}


@pytest.fixture
def staged(kaggle, tmp_path, monkeypatch):
    """A wheel and a lesson, as `stage` leaves them, and a Kaggle that lets them run well."""
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    helper, folder = tmp_path / "helpers", tmp_path / "00_first"
    helper.mkdir()
    (helper / "biomedseg_course-1.0-py3-none-any.whl").write_bytes(b"the wheel")
    metadata = {"id": "someone/biomedseg-helpers", "title": "Biomedseg helpers", "licenses": [{"name": "apache-2.0"}]}
    (helper / "dataset-metadata.json").write_text(json.dumps(metadata))
    folder.mkdir()
    (folder / "00_first.ipynb").write_text(
        json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    )
    kernel = {
        "id": "someone/biomedseg-00-first",
        "title": "Biomedseg 00 first",
        "code_file": "00_first.ipynb",
        "language": "python",
        "kernel_type": "notebook",
        "enable_internet": False,
        "machine_shape": "NvidiaTeslaT4",
        "dataset_sources": ["someone/biomedseg-helpers"],
    }
    (folder / "kernel-metadata.json").write_text(json.dumps(kernel))
    kaggle.statuses = ["QUEUED", "RUNNING", "COMPLETE"]
    kaggle.outputs = {"metrics.json": metrics(0.8), "model.keras": b"large"}
    return helper, [Staged("00_first", folder, kernel["id"], "abc")]


def metrics(dice: float, token: str = "abc") -> bytes:
    return json.dumps({"lesson": "00_first", "token": token, "values": {"dice": dice}}).encode()


def pushed(staged, workshop, tmp_path):
    """The one result of a push."""
    (result,) = push(*staged, tmp_path / "out", 0.01, workshop.course, log=lambda _: None)
    return result


def baseline(workshop, content=BAND):
    import yaml

    (workshop.root / "baselines" / "kaggle_t4x2.yml").write_text(yaml.safe_dump(content))


def test_a_lesson_goes_up_is_waited_for_and_its_numbers_come_back(kaggle, staged, workshop, tmp_path):
    baseline(workshop)
    result = pushed(staged, workshop, tmp_path)
    assert (result.status, result.message) == ("passed", "")
    assert kaggle.uploads == [b"the wheel"]
    (body,) = kaggle.bodies(SAVE)
    assert body["machineShape"] == "NvidiaTeslaT4"
    assert body["datasetDataSources"] == ["someone/biomedseg-helpers"]
    assert not body.get("enableInternet")
    kept = tmp_path / "out" / "00_first"
    assert [path.name for path in kept.iterdir()] == ["metrics.json"]
    assert kaggle.statuses == ["COMPLETE"]


def test_the_wheel_is_up_before_the_lesson_and_a_second_time_as_a_new_version(kaggle, staged, workshop, tmp_path):
    pushed(staged, workshop, tmp_path)
    routes = kaggle.routes()
    assert routes.index("DatasetApiService/CreateDataset") < routes.index(SAVE)
    kaggle.asked.clear()
    pushed(staged, workshop, tmp_path)
    assert "DatasetApiService/CreateDatasetVersion" in kaggle.routes()
    assert "DatasetApiService/CreateDataset" not in kaggle.routes()


def test_numbers_outside_their_band_are_told(kaggle, staged, workshop, tmp_path):
    baseline(workshop)
    kaggle.outputs["metrics.json"] = metrics(0.4)
    result = pushed(staged, workshop, tmp_path)
    assert result.status == "out of band"
    assert "dice is 0.4; the band is 0.5 to 1" in result.message


def test_without_a_baseline_it_is_said_that_nothing_was_compared(kaggle, staged, workshop, tmp_path):
    assert "no baseline kaggle_t4x2" in pushed(staged, workshop, tmp_path).message


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"error": "Maximum batch GPU session count of 2 reached."}, "session count of 2 reached"),
        ({"invalidDatasetSources": ["someone/biomedseg-helpers"]}, "without dataset sources .*biomedseg-helpers"),
        ({"versionNumber": 0}, "no version number"),
    ],
)
def test_an_error_behind_exit_status_0_is_an_error(kaggle, staged, workshop, tmp_path, answer, message):
    kaggle.save_kernel |= answer
    with pytest.raises(LessonError, match=message):
        pushed(staged, workshop, tmp_path)
    assert not (tmp_path / "out").exists()


def test_the_command_line_client_does_exit_0_on_it(kaggle, staged):
    """Why the answer is read: this test fails on the day the client mends it."""
    kaggle.save_kernel["error"] = "Maximum batch GPU session count of 2 reached."
    command = [sys.executable, "-m", "kaggle", "kernels", "push", "-p", str(staged[1][0].folder)]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0
    assert "Kernel push error" in answer.stdout


def test_a_refused_data_set_stops_before_the_lesson(kaggle, staged, workshop, tmp_path):
    kaggle.create_dataset = {"status": "error", "error": "The slug is in use", "url": ""}
    with pytest.raises(LessonError, match="slug is in use"):
        pushed(staged, workshop, tmp_path)
    assert SAVE not in kaggle.routes()


@pytest.mark.parametrize("status", ["ERROR", "CANCEL_ACKNOWLEDGED"])
def test_a_lesson_that_fails_there_has_failed(kaggle, staged, workshop, tmp_path, status):
    kaggle.statuses, kaggle.failure_message = ["RUNNING", status], "Notebook ran out of memory"
    result = pushed(staged, workshop, tmp_path)
    assert result.status == "failed"
    assert "ran out of memory" in result.message


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"metrics.json": metrics(0.8, token="older")}, "that of another run"),
        ({"metrics.json": b"<html>expired</html>"}, "did not come"),
        ({"model.keras": b""}, "did not come"),
    ],
)
def test_numbers_that_are_not_this_runs_are_refused(kaggle, staged, workshop, tmp_path, outputs, message):
    kaggle.outputs = outputs
    with pytest.raises(LessonError, match=message):
        pushed(staged, workshop, tmp_path)
    assert not (tmp_path / "out" / "00_first" / "metrics.json").exists()


@pytest.mark.parametrize(
    ("status", "advice"), [(401, "Get a token"), (403, "--user"), (404, "--user"), (429, "wait"), (500, "later")]
)
def test_a_refusal_says_what_to_do_and_repeats_no_secret(
    kaggle, staged, workshop, tmp_path, capfd, caplog, status, advice
):
    kaggle.fail[SAVE] = status
    with pytest.raises(LessonError) as caught:
        pushed(staged, workshop, tmp_path)
    message = str(caught.value)
    assert str(status) in message
    assert advice in message
    printed = capfd.readouterr()
    assert TOKEN not in message + printed.out + printed.err + caplog.text
    assert kaggle.headers(SAVE)[0]["Authorization"] == f"Bearer {TOKEN}"


def test_without_an_account_the_command_says_how_to_get_a_token(kaggle, staged, tmp_path):
    code = (
        "import sys; from pathlib import Path; from helpers.lessons.push import push\n"
        "from helpers.lessons.manifest import LessonError\n"
        "try: push(Path(sys.argv[1]), [])\n"
        "except LessonError as error: sys.exit(str(error))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "KAGGLE_API_TOKEN"}
    command = [sys.executable, "-c", code, str(staged[0])]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert answer.returncode == 1
    assert "finds no account" in answer.stderr
    assert "create a new token" in answer.stderr
    assert kaggle.uploads == []


def test_the_package_never_imports_the_client_by_itself():
    code = "import sys, helpers.cli, helpers.data.sources, helpers.data.download, helpers.lessons.push; "
    code += "sys.exit(any(name in sys.modules for name in ('kaggle', 'kagglehub')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(("status", "advice"), [(407, "a user name and a password"), (418, "update its clients")])
def test_what_is_not_kaggles_fault_is_not_called_so(kaggle, staged, workshop, tmp_path, status, advice):
    kaggle.fail["KernelsApiService/SaveKernel"] = kaggle.fail["SaveKernel"] = status
    for route in ("KernelsApiService/SaveKernel", "DatasetApiService/GetDatasetStatus"):
        kaggle.fail[route] = status
    with pytest.raises(LessonError, match=advice) as caught:
        pushed(staged, workshop, tmp_path)
    assert "on its side" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "advice"),
    [
        (
            "http_proxy",
            "http://someone:secret@127.0.0.1:9",
            r"proxy .* does not answer.*http_proxy names 127\.0\.0\.1:9",
        ),
        ("http_proxy", "socks5://127.0.0.1:9", "Correct HTTPS_PROXY"),
    ],
)
def test_what_stands_on_the_way_is_named_without_its_password(
    kaggle, staged, workshop, tmp_path, monkeypatch, variable, value, advice
):
    monkeypatch.setenv(variable, value)
    with pytest.raises(LessonError, match=f"(?s){advice}") as caught:
        pushed(staged, workshop, tmp_path)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_file_of_certificates_that_is_not_there_is_told_by_its_variable(tmp_path, name):
    code = "from helpers.lessons.push import _signed_in\nwith _signed_in() as api: api.dataset_status('a/b')"
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "PYTHONPATH")}
    environment = {**kept, "HOME": str(tmp_path), "KAGGLE_API_TOKEN": TOKEN, name: "/none.pem"}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert f"LessonError: The file with certificates that {name} names is not there." in answer.stderr


@pytest.mark.parametrize("pause", [-1.0, float("nan"), 1e9])
def test_a_pause_out_of_range_is_refused(staged, workshop, tmp_path, pause):
    with pytest.raises(LessonError, match=r"--pause .* expected 0 to 3600 seconds"):
        push(*staged, tmp_path / "out", pause, workshop.course)
