"""Laws of training on several devices: the weights are those of one."""

import json
import os
import socket
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from helpers.data.splits import save_split
from helpers.runtime.options import LOSSES
from tests.learn.two_devices import NETWORKS

TOLERANCE = 1e-5
"""How far a weight may end from that of one device, after ten steps of gradient descent that move it a thousand times
as far: sums in float32 are taken in another order."""

BY_ADAM = 2e-3
"""The same after some epochs of Adam, which makes steps of full size of gradients that are next to nothing."""


@pytest.fixture(scope="module")
def written(store, split, tmp_path_factory):
    save_split(split, path := tmp_path_factory.mktemp("split") / "split.json")
    return [str(store.folder), str(path)]


@pytest.fixture(scope="module")
def found(written, tmp_path_factory):
    """What `two_devices.py` finds out; in a process of its own, since a CPU is divided before TensorFlow starts."""
    folder = tmp_path_factory.mktemp("devices")
    _finish(_start("two_devices", [*written, str(folder)], KERAS_BACKEND="tensorflow"))
    return json.loads((folder / "found.json").read_text())


@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_takes_the_same_ten_steps(found, name):
    _same(found["losses"][name])


@pytest.mark.parametrize("name", NETWORKS)
def test_each_network_takes_the_same_ten_steps(found, name):
    _same(found["networks"][name])


def test_loss_that_is_one_number_would_take_twice_the_step(found):
    assert found["one number"]["came"] / found["one number"]["moved"] == pytest.approx(2, rel=1e-3)


def test_each_device_answers_for_its_part(found):
    predictions = found["predictions"]
    assert predictions["shape"] == [5, 16, 16, 4]
    assert predictions["few"] == [1, 16, 16, 4]
    assert predictions["apart"] < 1e-6
    assert predictions["replicas"] == [2, 1]
    assert predictions["obvious"] == [10, 16, 16, 4]  # what `predict_distributed` is for


def test_overflow_on_the_second_device_skips_the_step(found):
    assert found["overflow"]["ours"] == {"finite": True, "moved": 0, "scale": 1}


def test_network_that_was_built_outside_trains_where_it_was_built(found):
    assert found["built outside"] == 1


def test_what_cannot_be_is_refused_in_words(found):
    assert "give batches of 10" in found["refused"]["uneven batch"]
    assert "cpu:3" in found["refused"]["too many"]
    assert "restart the kernel" in found["refused"]["too late"]


def test_whole_training_ends_as_on_one_device(found):
    """Validation and the choice of the best epoch included."""
    _histories(*found["training"]["histories"])
    assert found["training"]["apart"] < BY_ADAM


def test_training_on_two_devices_goes_on_where_it_stopped(found):
    _histories(*found["stopped"]["histories"], tolerance=1e-6)
    assert found["stopped"]["apart"] < 1e-6


@pytest.mark.skipif(not find_spec("jax") or sys.platform != "linux", reason="JAX and gloo are wanted")
def test_jax_trains_the_same_on_two_devices_and_in_two_processes(written, tmp_path):
    """Two processes on loopback, as two machines would."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    runs = {"one": {}, "two": {}}
    for number in range(2):
        runs[f"process_{number}"] = {
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": address,
            "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
            "KERAS_DISTRIBUTION_PROCESS_ID": str(number),
        }
    started = []
    for name, variables in runs.items():
        (tmp_path / name).mkdir()
        devices = "cpu:2" if name == "two" else "cpu"
        started.append(
            _start("two_processes", [*written, str(tmp_path / name), devices], KERAS_BACKEND="jax", **variables)
        )
    for process in started:
        _finish(process)
    results = {name: json.loads((tmp_path / name / "history.json").read_text()) for name in runs}
    assert [results[name]["replicas"] for name in runs] == [1, 2, 2, 2]
    assert results["one"]["moved"] > 0.01
    for name in list(runs)[1:]:
        _histories(results["one"]["rows"], results[name]["rows"])
        with np.load(tmp_path / "one" / "weights.npz") as one, np.load(tmp_path / name / "weights.npz") as other:
            assert max(np.abs(one[key] - other[key]).max() for key in one) < BY_ADAM


def _start(script: str, arguments: list[str], **variables: str) -> subprocess.Popen:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2", **variables}
    command = [sys.executable, "-m", f"tests.learn.{script}", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _finish(process: subprocess.Popen) -> None:
    output, _ = process.communicate(timeout=1200)
    assert process.returncode == 0, output[-4000:]


def _same(case: dict) -> None:
    assert case["apart"] < TOLERANCE
    assert case["moved"] > 100 * TOLERANCE
    assert case["losses"][0] == pytest.approx(case["losses"][1], rel=1e-5)


def _histories(one: dict, other: dict, tolerance: float = 1e-2) -> None:
    assert list(one) == list(other)
    for name in one:
        assert other[name] == pytest.approx(one[name], rel=tolerance, abs=tolerance), name
