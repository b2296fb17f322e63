"""Tests of the training benchmark: both networks are the same, and so are the units of a ratio."""

import importlib
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from helpers.bench import subprocess_peer, training
from helpers.cli import app
from helpers.models.unet import unet

TINY = {"size": 16, "channels": 2, "classes": 4, "filters": 2, "depth": 2, "dropout": 0.2}
# torch is no dependency of the course: name a Python that has it, or have it here.
TORCH = os.environ.get(subprocess_peer.PYTHON) or (sys.executable if importlib.util.find_spec("torch") else None)
needs_torch = pytest.mark.skipif(not TORCH, reason=f"{subprocess_peer.PYTHON} names no Python with PyTorch")


@pytest.fixture
def peer_script(monkeypatch):
    """The peer's module; it needs no PyTorch to be imported."""
    monkeypatch.syspath_prepend(str(subprocess_peer.PEERS))
    return importlib.import_module("unet_step")


@pytest.fixture
def pytorch(monkeypatch):
    """A peer that takes 0.25 s for a step in float32, and half of that otherwise; `parameters` may be changed."""

    class Stub:
        parameters = unet(**TINY).count_params()

        def __init__(self, script, batch, **network):
            assert (script, batch, network) == ("unet_step", 2, TINY)
            self.info = {"version": "0", "threads": 1, "parameters": self.parameters}

        def ask(self, precision, steps):
            return {"seconds": steps * (0.25 if precision == "float32" else 0.125)}

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(training, "Peer", Stub)
    return Stub


def tiny(**further):
    return training.bench_training(rounds=2, seconds=0.01, network=TINY, batch=2, side=64, **further)


@pytest.mark.parametrize(("filters", "depth", "channels"), [(32, 4, 2), (16, 4, 4), (4, 2, 1)])
def test_both_networks_have_as_many_parameters(peer_script, filters, depth, channels):
    plan = peer_script.convolutions(channels, 4, filters, depth)
    counted = sum(side**2 * inward * outward + outward for side, inward, outward in plan)
    assert counted == unet(64, channels, filters=filters, depth=depth).count_params()


def test_the_papers_network_takes_20_gflop_to_train_on_a_slice():
    assert training.flops(unet()) == pytest.approx(20.5e9, rel=0.01)


def test_a_convolution_counts_two_for_every_multiplication_and_thrice_for_training():
    model = keras.Sequential([keras.Input((8, 6, 3)), keras.layers.Conv2D(5, 2, padding="same")])
    assert training.flops(model) == 3 * 2 * (8 * 6) * (2 * 2 * 3) * 5


def test_rates_and_ratios_are_those_of_one_run(pytorch):
    result = tiny(precisions=("float32", "bfloat16"))
    assert result["rates"]["float32"]["pytorch"]["median"] == pytest.approx(8)
    assert result["rates"]["bfloat16"]["pytorch"]["median"] == pytest.approx(16)
    for precision in ("float32", "bfloat16"):
        rates, ratios = result["rates"][precision], result["ratios"][precision]
        assert rates["ours"]["n"] == 2
        assert ratios["pytorch"]["high"] == pytest.approx(rates["ours"]["high"] / rates["pytorch"]["median"])
        assert ratios["matmul"]["median"] > 0
    assert keras.config.dtype_policy().name == "float32"


def test_another_network_is_no_peer(pytorch):
    pytorch.parameters = 7
    with pytest.raises(RuntimeError, match="7 parameters in PyTorch"):
        tiny(precisions=("float32",))


def test_without_pytorch_ours_is_still_measured_beside_the_matrix_product(monkeypatch, tmp_path):
    def missing(*_, **__):
        raise subprocess_peer.NoPeerError("torch is not installed: …")

    monkeypatch.setattr(training, "Peer", missing)
    found = tiny(precisions=("float32",))
    monkeypatch.setattr(training, "bench_training", lambda: found)
    answer = CliRunner().invoke(app, ["bench", "train", "--json", str(tmp_path / "train.json")])
    assert answer.exit_code == 0, answer.output
    assert "PyTorch was not measured. torch is not installed" in answer.output
    assert set(json.loads((tmp_path / "train.json").read_text())["rates"]["float32"]) == {"ours", "matmul"}


SAME = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np, torch
from unet_step import loss, network
arrays = np.load(sys.argv[2])
model = network(2, 4, 2, 2, 0.2).eval()
for number, layer in enumerate(model.layers):
    layer.weight.data = torch.from_numpy(arrays[f"kernel_{number}"]).permute(3, 2, 0, 1).contiguous()
    layer.bias.data = torch.from_numpy(arrays[f"bias_{number}"])
first = lambda name: torch.from_numpy(arrays[name]).permute(0, 3, 1, 2)
logits = model(first("images"))
probabilities = logits.softmax(1).permute(0, 2, 3, 1).detach().numpy()
np.savez(sys.argv[3], probabilities=probabilities, loss=loss(first("truth"), logits).item())
"""


@needs_torch
def test_with_the_same_weights_both_networks_and_losses_give_the_same(tmp_path):
    keras.utils.set_random_seed(0)
    model, rng = unet(**TINY), np.random.default_rng(0)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    arrays = {"images": rng.standard_normal((3, 16, 16, 2), np.float32)}
    arrays["truth"] = rng.dirichlet(np.ones(4), (3, 16, 16)).astype(np.float32)
    for number, layer in enumerate(convolutions):
        layer.bias.assign(rng.standard_normal(layer.bias.shape))
        arrays[f"kernel_{number}"], arrays[f"bias_{number}"] = layer.get_weights()
    np.savez(tmp_path / "in.npz", **arrays)
    subprocess.run([TORCH, "-c", SAME, subprocess_peer.PEERS, tmp_path / "in.npz", tmp_path / "out.npz"], check=True)
    found, ours = np.load(tmp_path / "out.npz"), model.predict(arrays["images"], verbose=0)
    np.testing.assert_allclose(found["probabilities"], ours, atol=1e-5)
    mean = float(np.mean(training.DiceCrossEntropy(reduction=None)(arrays["truth"], ours)))
    assert float(found["loss"]) == pytest.approx(mean, rel=1e-5)


@needs_torch
def test_pytorch_takes_its_turns(monkeypatch):
    monkeypatch.setenv(subprocess_peer.PYTHON, TORCH)
    result = tiny(precisions=("float32",))
    assert result["pytorch"]["parameters"] == result["parameters"]
    assert result["rates"]["float32"]["pytorch"]["low"] > 0
