"""Tests of the benchmark for GPUs, on a CPU: what it makes of a machine's limits, and that both sides train."""

import importlib.util
import json
import os
import sys
import time

import pytest
from typer.testing import CliRunner

from helpers.bench import gpu, subprocess_peer, training
from helpers.bench.gpu_tables import STEPS, markdown
from helpers.cli import app
from helpers.runtime import machine
from helpers.runtime.errors import DataError

SMALL = {"shape": (60, 60, 39), "spacing": (4.0, 4.0, 155 / 39)}
TINY = gpu.Plan(
    sizes=(32,),
    precisions=("float32",),
    batches=(2, 4),
    filters=2,
    depth=2,
    rounds=2,
    seconds=0.01,
    side=64,
    grid=SMALL,
    gpu=False,
)
TORCH = os.environ.get(subprocess_peer.PYTHON) or (sys.executable if importlib.util.find_spec("torch") else None)
needs_torch = pytest.mark.skipif(not TORCH, reason=f"{subprocess_peer.PYTHON} names no Python with PyTorch")

# Python finds everything but TensorFlow.
WITHOUT_TENSORFLOW = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] == "tensorflow" else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
"""


class Stub:
    """A process that takes 1 ms for a step with each slice; `trouble` has what it raises, by what it is asked for."""

    info = {  # noqa: RUF012 - nobody changes it
        "version": "0",
        "parameters": 5,
        "gpus": ["a card"],
        "gflop_per_slice": 2.0,
        "loader": "threads",
    }
    trouble: dict = {}  # noqa: RUF012 - each test has its own
    started = 0
    asked: list = []  # noqa: RUF012 - each test has its own

    def __init__(self, *_, **__):
        type(self).started += 1

    def ask(self, **request):
        self.asked.append(request)
        name = request.get("what", "steps"), request.get("batch")
        if name in self.trouble:
            raise self.trouble[name]
        if "what" in request and request["what"] != "steps":
            return {"values": [4.0, 5.0]}
        return {"seconds": request["steps"] * 0.001 * request.get("batch", 0), "peak_mb": 1500.0}

    def kill(self):
        pass

    def close(self):
        pass


@pytest.fixture
def stubs(monkeypatch):
    """Stubs in the place of both processes, Keras's first; no patients are made."""
    keras = type("KerasStub", (Stub,), {"trouble": {}, "asked": []})
    pytorch = type("PyTorchStub", (Stub,), {"trouble": {}, "asked": []})
    monkeypatch.setattr(gpu, "Process", keras)
    monkeypatch.setattr(gpu, "Peer", pytorch)
    monkeypatch.setattr(gpu, "patients", lambda *_: None)
    return keras, pytorch


def cells(text):
    """The rows of the first table in a Markdown file, without its head."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if len(row) == len(STEPS)][2:]


def test_a_machine_without_a_gpu_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(machine, "gpus", lambda: [])
    monkeypatch.setattr(machine, "_cpu", lambda: "A CPU")
    with pytest.raises(DataError, match=r"nvidia-smi names none; this machine is A CPU, .* no GPU"):
        gpu.bench_gpu()


def test_a_gpu_that_the_backend_does_not_see_is_no_gpu(monkeypatch, stubs):
    monkeypatch.setattr(machine, "gpus", lambda: ["NVIDIA T4"])
    stubs[0].info = {**Stub.info, "gpus": []}
    with pytest.raises(DataError, match=r"NVIDIA T4 is there, and Keras on \w+ does not see it"):
        gpu.bench_gpu()


@pytest.mark.parametrize(
    ("variable", "installed", "backend"),
    [
        (None, {"keras", "tensorflow", "jax"}, "tensorflow"),
        (None, {"keras", "jax"}, "jax"),
        ("jax", {"keras", "jax"}, "jax"),
        ("jax", {"keras", "tensorflow", "jax"}, "jax"),
    ],
)
def test_keras_runs_on_jax_where_tensorflow_is_missing(monkeypatch, variable, installed, backend):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if variable:
        monkeypatch.setenv("KERAS_BACKEND", variable)
    for module in (gpu, sys.modules["helpers.runtime.backend"]):
        monkeypatch.setattr(module, "find_spec", lambda name: name if name in installed else None)
    assert gpu.select_backend(gpu=False) == backend


@pytest.mark.parametrize("variable", [None, "jax", "tensorflow"])
def test_without_any_backend_the_error_says_how_to_install_one(monkeypatch, variable):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if variable:
        monkeypatch.setenv("KERAS_BACKEND", variable)
    for module in (gpu, sys.modules["helpers.runtime.backend"]):
        monkeypatch.setattr(module, "find_spec", lambda name: name if name == "keras" else None)
    with pytest.raises(DataError, match="not installed"):
        gpu.select_backend(gpu=False)


def test_the_network_is_that_of_the_benchmark_of_training():
    assert {"size": 128, **gpu.Plan().network} == training.NETWORK


def test_what_does_not_fit_into_memory_is_a_row_and_nothing_larger_is_tried(stubs):
    stubs[0].trouble = {("steps", 4): subprocess_peer.OutOfMemoryError("RESOURCE_EXHAUSTED")}
    result = gpu.bench_gpu(plan=gpu.Plan(**{**vars(TINY), "batches": (8, 2, 4)}))
    assert [row["batch"] for row in result["steps"]] == [2, 4, 8]
    assert result["steps"][0]["keras"]["spread"]["median"] == pytest.approx(1000)
    assert [row["keras"].get("note") for row in result["steps"]] == [None, "out of memory", "out of memory"]
    assert all("spread" in row["pytorch"] for row in result["steps"])
    assert "spread" in result["matmul"][0]
    assert {request.get("batch") for request in stubs[0].asked if request["what"] == "steps"} == {2, 4}
    assert stubs[0].started == 1


def test_what_fails_is_a_row_and_the_next_measurement_has_a_new_process(stubs):
    stubs[0].trouble = {("steps", 2): RuntimeError("It failed.\nInternalError: no algorithm worked")}
    result = gpu.bench_gpu(plan=TINY)
    assert [row["keras"]["note"] for row in result["steps"]] == ["failed", gpu.NOT_TRIED]
    assert "spread" in result["prediction"][0]
    assert stubs[0].started == 2
    assert "keras, 32, float32, 2: InternalError: no algorithm worked" in markdown(result)


def test_what_takes_too_long_is_ended(stubs, monkeypatch):
    class Endless(Stub):
        ended = False

        def ask(self, **_):
            while not self.ended:
                time.sleep(0.01)
            raise RuntimeError("killed")

        def kill(self):
            self.ended = True

    monkeypatch.setattr(gpu, "Process", Endless)
    result = gpu.bench_gpu(plan=gpu.Plan(**{**vars(TINY), "limit": 0.05}))
    assert [row["keras"]["note"] for row in result["steps"]] == ["ended after 0.05 s", gpu.NOT_TRIED]
    assert all("spread" in row["compiled"] for row in result["steps"])


def test_after_the_last_minute_no_measurement_begins(stubs):
    result = gpu.bench_gpu(plan=gpu.Plan(**{**vars(TINY), "minutes": 0}))
    rows = [row[way] for row in result["steps"] for way in ("keras", "pytorch", "compiled")]
    rows += [row for kind in ("matmul", "prediction", "loading") for row in result[kind]]
    assert {row["note"] for row in rows} == {gpu.LATE}
    assert stubs[0].started == 0


def test_each_measurement_is_on_the_disk_before_the_next_begins(stubs, tmp_path):
    path, written = tmp_path / "gpu.json", []

    def progress(doing, done, total):
        if path.exists():
            result = json.loads(path.read_text())
            rows = [row for kind in ("matmul", "prediction", "loading") for row in result[kind]]
            rows += [row[way] for row in result["steps"] for way in ("keras", "pytorch", "compiled") if way in row]
            written.append((sum("spread" in row for row in rows), done))
            assert cells(gpu.tables_path(path).read_text())
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gpu.bench_gpu(path, TINY, progress)
    assert written == [(number, number) for number in range(1, 7)]
    assert json.loads(path.read_text())["steps"][0]["pytorch"]["peak_mb"] == 1500


def test_pytorch_gives_its_memory_back_before_keras_goes_on(stubs):
    gpu.bench_gpu(plan=TINY)
    assert stubs[1].asked[-1] == {"steps": 0}
    assert {request["compiled"] for request in stubs[1].asked[:-1]} == {False, True}


def test_another_network_is_no_peer(stubs):
    stubs[1].info = {"version": "0", "parameters": 7}
    with pytest.raises(RuntimeError, match="7 parameters in PyTorch, 5 in Keras"):
        gpu.bench_gpu(plan=TINY)


def test_tables_have_the_cards_name_shares_and_ratios(stubs, monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "gpus", lambda: ["NVIDIA H200", "NVIDIA H200"])
    result = gpu.bench_gpu(plan=TINY)
    text = markdown(result)
    assert text.startswith("### NVIDIA H200\n")
    row = dict(zip(range(len(STEPS)), cells(text)[0], strict=True))
    assert row[3] == row[6] == row[8] == "1,000 (1,000 to 1,000)"
    assert row[4] == row[7] == "1.5"
    assert row[5] == f"{1000 * 2 / 4.5:.0%}"
    assert row[10] == "1.00"
    assert row[11] == f"{4.5 / 1000:.1f}"


def test_without_pytorch_its_columns_are_empty_and_a_line_says_how_to_get_it(stubs, monkeypatch, tmp_path):
    def missing(*_, **__):
        raise subprocess_peer.NoPeerError("torch is not installed: … COURSE_TORCH_PYTHON.")

    monkeypatch.setattr(gpu, "Peer", missing)
    found = gpu.bench_gpu(plan=TINY)
    monkeypatch.setattr(gpu, "bench_gpu", lambda path, progress: found)
    answer = CliRunner().invoke(app, ["bench", "gpu", "--json", str(tmp_path / "gpu.json")])
    assert answer.exit_code == 0, answer.output
    assert "PyTorch was not measured. torch is not installed: … COURSE_TORCH_PYTHON." in answer.output
    assert cells(answer.output)[0][6:11] == [""] * 5


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_keras_measures_everything_in_a_tiny_size(monkeypatch, tmp_path, backend):
    def missing(*_, **__):
        raise subprocess_peer.NoPeerError("not here")

    if backend == "jax":
        if not importlib.util.find_spec("jax"):
            pytest.skip("jax is not installed")
        (tmp_path / "sitecustomize.py").write_text(WITHOUT_TENSORFLOW)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.setattr(gpu, "Peer", missing)
    result = gpu.bench_gpu(plan=TINY)
    found = [row["keras"] for row in result["steps"]]
    found += [row for kind in ("matmul", "prediction", "loading") for row in result[kind]]
    assert not [one for one in found if "note" in one]
    assert all(one["spread"]["low"] > 0 and one["spread"]["n"] == TINY.rounds for one in found)
    assert [one["peak_mb"] for one in found[:2]] == [None, None]  # a CPU's is not known
    assert result["loader"] == ("threads" if backend == "jax" else "tf.data")


@needs_torch
def test_pytorch_measures_each_size_precision_and_batch_compiled_or_not(monkeypatch):
    monkeypatch.setenv(subprocess_peer.PYTHON, TORCH)
    with subprocess_peer.Peer("unet_cells", **TINY.network) as peer:
        for compiled in (False, True):
            for batch in (2, 4):
                cell = {"size": 32, "batch": batch, "precision": "bfloat16", "compiled": compiled}
                response = peer.ask(**cell, steps=2)
                assert response["seconds"] > 0
                assert response["peak_mb"] is None
        assert peer.ask(steps=0) == {}
