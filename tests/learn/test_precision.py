"""Laws of half precision."""

import keras
import numpy as np
import pytest

from helpers.learn import precision
from helpers.models.convnet import convnet
from helpers.models.transformer import Shape, transformer
from helpers.models.unet import sharp_unet, unet
from helpers.runtime.options import LOSSES

NETWORKS = {
    "unet": lambda: unet(16, 2, filters=2, depth=2),
    "one class": lambda: unet(16, 1, 1, filters=2, depth=2),
    "sharp_unet": lambda: sharp_unet(16, 2, filters=2, depth=2),
    "transformer": lambda: transformer(16, 2, shape=Shape(4, 8, 1, 2, 2, stem=True)),
    "convnet": lambda: convnet(16, 2, filters=2),
}
HALVES = ("mixed_float16", "mixed_bfloat16")


@pytest.fixture(params=HALVES)
def half(request):
    keras.mixed_precision.set_global_policy(request.param)
    yield request.param
    keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize(
    ("chip", "policy"),
    [((6, 0), "float32"), ((7, 0), "mixed_float16"), ((7, 5), "mixed_float16"), ((8, 0), "mixed_bfloat16"),
     ((8, 9), "mixed_bfloat16"), ((9, 0), "mixed_bfloat16")],
)  # fmt: skip
def test_nvidia_chip_has_its_precision(chip, policy):
    assert precision.policy_for(chip, frozenset({"avx512_bf16"}), lambda: False) == policy


@pytest.mark.parametrize(
    ("flags", "gains", "policy"),
    [({"avx2"}, True, "float32"), ({"avx512_bf16"}, False, "float32"), ({"avx512_bf16"}, True, "mixed_bfloat16"),
     ({"amx_bf16"}, True, "mixed_bfloat16")],
)  # fmt: skip
def test_cpu_has_half_precision_where_it_can_and_gains(flags, gains, policy):
    assert precision.policy_for(None, frozenset(flags), lambda: gains) == policy


def test_cpu_that_cannot_is_not_tried():
    def tried():
        raise RuntimeError("tried")

    assert precision.policy_for(None, frozenset(), tried) == "float32"


def test_flags_are_those_of_linux(tmp_path):
    (tmp_path / "cpuinfo").write_text("model name\t: X\nflags\t\t: fpu avx512_bf16 amx_bf16\n\nflags\t: other\n")
    assert precision.cpu_flags(tmp_path / "cpuinfo") == {"fpu", "avx512_bf16", "amx_bf16"}
    assert precision.cpu_flags(tmp_path / "none") == frozenset()


def test_policy_is_the_chips_inside_and_as_before_outside(monkeypatch):
    monkeypatch.setattr(precision, "select_policy", lambda: "mixed_bfloat16")
    with precision.policy_scope() as name:
        assert name == keras.mixed_precision.global_policy().name == "mixed_bfloat16"
    assert keras.mixed_precision.global_policy().name == "float32"


def test_policy_that_somebody_set_is_kept(monkeypatch, half):
    monkeypatch.setattr(precision, "select_policy", lambda: "float32")
    with precision.policy_scope() as name:
        assert name == half
    assert keras.mixed_precision.global_policy().name == half


@pytest.mark.parametrize("name", NETWORKS)
def test_probabilities_and_weights_are_whole(half, name):
    """The last layers and all weights are float32; what lies between is not."""
    network = NETWORKS[name]()
    assert network.output.dtype == "float32"
    assert network.layers[-1].compute_dtype == "float32"
    assert {weight.dtype for weight in network.trainable_weights} == {"float32"}
    assert half.removeprefix("mixed_") in {layer.compute_dtype for layer in network.layers}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_sum_in_float32(name, dtype):
    """A sum over 512 x 512 pixels overflows float16, and bfloat16 stops counting at 256."""
    rng = np.random.default_rng(0)
    truth = np.eye(4, dtype=np.float32)[rng.integers(0, 4, (1, 512, 512))]
    predicted = keras.ops.cast(keras.ops.softmax(keras.ops.convert_to_tensor(2 * truth)), dtype)
    loss = LOSSES[name].load()().call(truth, predicted)
    expected = LOSSES[name].load()().call(truth, keras.ops.cast(predicted, "float32"))
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    assert float(loss[0]) == pytest.approx(float(expected[0]), rel=1e-4)


def test_float16_alone_has_its_loss_scaled():
    adam = keras.optimizers.Adam()
    assert precision.with_loss_scaling(adam, NETWORKS["unet"]()) is adam
    for policy, scaled in {"mixed_float16": True, "mixed_bfloat16": False}.items():
        keras.mixed_precision.set_global_policy(policy)
        try:
            network = NETWORKS["unet"]()
        finally:
            keras.mixed_precision.set_global_policy("float32")
        assert isinstance(precision.with_loss_scaling(keras.optimizers.Adam(), network), precision.LossScale) == scaled


def test_network_from_another_chip_gets_this_ones_precision(monkeypatch, tmp_path, half, rng):
    monkeypatch.setattr(precision, "select_policy", lambda: "float32")
    network = NETWORKS["transformer"]()
    network.save(tmp_path / "model.keras")
    loaded = precision.cast_model(keras.models.load_model(tmp_path / "model.keras", compile=False))
    assert {layer.compute_dtype for layer in loaded.layers} == {"float32"}
    images = rng.normal(size=(2, 16, 16, 2)).astype(np.float32)
    np.testing.assert_allclose(loaded.predict_on_batch(images), network.predict_on_batch(images), atol=0.02)


def test_network_in_float32_stays_as_it_is():
    network = NETWORKS["unet"]()
    assert precision.cast_model(network) is network
