"""Published weights: each publisher's file gives the same network as an independent implementation of it."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.special import softmax
from scipy.stats import norm

from helpers.models import imagenet
from helpers.models.transformer import Shape, transformer
from helpers.runtime.errors import DataError

SMALL = Shape(patch=8, width=16, depth=2, heads=2)
D = 8  # features of a head
# torch is no dependency of the course: name a Python that has torch, torchvision and transformers, or have them here.
TORCH = os.environ.get("COURSE_TORCH_PYTHON") or (sys.executable if importlib.util.find_spec("transformers") else None)
needs_torch = pytest.mark.skipif(not TORCH, reason="COURSE_TORCH_PYTHON names no Python with torchvision, transformers")


def images(size: int = 32, n: int = 2) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(n, size, size, 3)).astype(np.float32)


def google(blocks: int = 2, side: int = 4, classes: int = 1000, seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays as in Google's `ViT-B_16.npz`, of a smaller network."""
    shapes = {
        "cls": (1, 1, 16),
        "embedding/kernel": (8, 8, 3, 16),
        "embedding/bias": (16,),
        "Transformer/posembed_input/pos_embedding": (1, 1 + side**2, 16),
        "Transformer/encoder_norm/scale": (16,),
        "Transformer/encoder_norm/bias": (16,),
        "head/kernel": (16, classes),
        "head/bias": (classes,),
    }
    for i in range(blocks):
        block = f"Transformer/encoderblock_{i}"
        for part in ("query", "key", "value"):
            shapes[f"{block}/MultiHeadDotProductAttention_1/{part}/kernel"] = (16, 2, D)
            shapes[f"{block}/MultiHeadDotProductAttention_1/{part}/bias"] = (2, D)
        shapes[f"{block}/MultiHeadDotProductAttention_1/out/kernel"] = (2, D, 16)
        shapes[f"{block}/MultiHeadDotProductAttention_1/out/bias"] = (16,)
        for part in ("LayerNorm_0", "LayerNorm_2"):
            shapes[f"{block}/{part}/scale"] = shapes[f"{block}/{part}/bias"] = (16,)
        shapes[f"{block}/MlpBlock_3/Dense_0/kernel"], shapes[f"{block}/MlpBlock_3/Dense_0/bias"] = (16, 64), (64,)
        shapes[f"{block}/MlpBlock_3/Dense_1/kernel"], shapes[f"{block}/MlpBlock_3/Dense_1/bias"] = (64, 16), (16,)
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.4, shape).astype(np.float32) for name, shape in shapes.items()}


def reference_output(arrays: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """The output of the network of these arrays for images (n, 32, 32, 3), with NumPy from the paper's equations."""
    n = len(x)

    def normed(z: np.ndarray, name: str) -> np.ndarray:
        z = (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-6)
        return z * arrays[f"{name}/scale"] + arrays[f"{name}/bias"]

    cut = x.reshape(n, 4, 8, 4, 8, 3).transpose(0, 1, 3, 2, 4, 5).reshape(n, 16, -1).astype(np.float64)
    z = cut @ arrays["embedding/kernel"].reshape(-1, 16) + arrays["embedding/bias"]
    z = np.concatenate([np.repeat(arrays["cls"], n, axis=0), z], axis=1)
    z = z + arrays["Transformer/posembed_input/pos_embedding"]
    for i in range(2):
        block = f"Transformer/encoderblock_{i}"
        attention, y = f"{block}/MultiHeadDotProductAttention_1", normed(z, f"{block}/LayerNorm_0")
        q, k, v = (
            np.einsum("ntw,whd->nhtd", y, arrays[f"{attention}/{part}/kernel"])
            + arrays[f"{attention}/{part}/bias"][None, :, None]
            for part in ("query", "key", "value")
        )
        mixed = softmax(np.einsum("nhtd,nhsd->nhts", q, k) / D**0.5, axis=-1) @ v
        z = z + np.einsum("nhtd,hdw->ntw", mixed, arrays[f"{attention}/out/kernel"]) + arrays[f"{attention}/out/bias"]
        y = normed(z, f"{block}/LayerNorm_2") @ arrays[f"{block}/MlpBlock_3/Dense_0/kernel"]
        y = y + arrays[f"{block}/MlpBlock_3/Dense_0/bias"]
        z = z + (y * norm.cdf(y)) @ arrays[f"{block}/MlpBlock_3/Dense_1/kernel"]
        z = z + arrays[f"{block}/MlpBlock_3/Dense_1/bias"]
    z = normed(z, "Transformer/encoder_norm")[:, 0]
    return softmax(z @ arrays["head/kernel"] + arrays["head/bias"], axis=-1)


def hugging_face(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Google's arrays under Hugging Face's names, kernels with the output first."""
    names = {
        "cls": "vit.embeddings.cls_token",
        "embedding/": "vit.embeddings.patch_embeddings.projection.",
        "Transformer/posembed_input/pos_embedding": "vit.embeddings.position_embeddings",
        "Transformer/encoder_norm/": "vit.layernorm.",
        "head/": "classifier.",
        "LayerNorm_0/": "layernorm_before.",
        "LayerNorm_2/": "layernorm_after.",
        "MlpBlock_3/Dense_0/": "intermediate.dense.",
        "MlpBlock_3/Dense_1/": "output.dense.",
        "MultiHeadDotProductAttention_1/out/": "attention.output.dense.",
        "kernel": "weight",
        "scale": "weight",
    }
    out = {}
    for name, array in arrays.items():
        array = array.reshape(16, 16) if "Attention" in name and "kernel" in name else array
        array = array.reshape(16) if "Attention" in name and "bias" in name else array
        if "kernel" in name:
            array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
        for theirs, other in names.items():
            name = name.replace(theirs, other)
        name = re.sub(r"MultiHeadDotProductAttention_1/(query|key|value)/", r"attention.attention.\1.", name)
        name = re.sub(r"Transformer/encoderblock_(\d)/", r"vit.encoder.layer.\1.", name)
        out[name] = np.ascontiguousarray(array)
    return out


def keras_hub(arrays: dict[str, np.ndarray], file: Path) -> Path:
    """Google's arrays in the layout that KerasHub's ViTBackbone is saved in (seen in a file of version 0.32)."""
    root = "layers/vi_t_patching_and_embedding"
    layout = {
        f"{root}/vars/0": arrays["cls"],
        f"{root}/patch_embedding/vars/0": arrays["embedding/kernel"],
        f"{root}/patch_embedding/vars/1": arrays["embedding/bias"],
        f"{root}/position_embedding/vars/0": arrays["Transformer/posembed_input/pos_embedding"][0],
        "layers/vi_t_encoder/layer_norm/vars/0": arrays["Transformer/encoder_norm/scale"],
        "layers/vi_t_encoder/layer_norm/vars/1": arrays["Transformer/encoder_norm/bias"],
    }
    parts = {
        "layer_norm_1": ("LayerNorm_0", "scale"),
        "layer_norm_2": ("LayerNorm_2", "scale"),
        "mlp/dense_1": ("MlpBlock_3/Dense_0", "kernel"),
        "mlp/dense_2": ("MlpBlock_3/Dense_1", "kernel"),
        **{
            f"mha/{part if part != 'out' else 'output'}_dense": (f"MultiHeadDotProductAttention_1/{part}", "kernel")
            for part in ("query", "key", "value", "out")
        },
    }
    for i, block in enumerate(("vi_t_encoder_block", "vi_t_encoder_block_1")):
        for part, (theirs, first) in parts.items():
            for number, kind in enumerate((first, "bias")):
                layout[f"layers/vi_t_encoder/encoder_layers/{block}/{part}/vars/{number}"] = arrays[
                    f"Transformer/encoderblock_{i}/{theirs}/{kind}"
                ]
    with h5py.File(file, "w") as out:
        for name, array in layout.items():
            out[name] = array
    return file


def write(arrays: dict[str, np.ndarray], folder: Path, publisher: str) -> Path:
    if publisher == "google":
        np.savez(folder / "ViT-B_16.npz", **arrays)
        return folder / "ViT-B_16.npz"
    if publisher == "hugging face":
        save_file(hugging_face(arrays), folder / "model.safetensors")
        return folder / "model.safetensors"
    return keras_hub(arrays, folder / "model.weights.h5")


PUBLISHERS = pytest.mark.parametrize("publisher", ["google", "hugging face", "keras hub"])


@pytest.mark.parametrize("publisher", ["google", "hugging face"])
def test_a_published_file_gives_the_network_computed_with_numpy(publisher, tmp_path):
    arrays = google()
    model = transformer(32, 3, 1000, SMALL)
    assert imagenet.load(model, write(arrays, tmp_path, publisher))
    np.testing.assert_allclose(model.predict(images(), verbose=0), reference_output(arrays, images()), atol=1e-5)


def test_kerashubs_file_gives_the_same_features_as_googles(tmp_path):
    arrays, features = google(), []
    for publisher in ("google", "keras hub"):
        model = transformer(32, 3, 2, SMALL)
        assert imagenet.load(model, write(arrays, tmp_path, publisher))
        features.append(keras.Model(model.input, model.get_layer("norm").output).predict(images(), verbose=0))
    np.testing.assert_allclose(*features, atol=1e-6)


@PUBLISHERS
def test_a_head_for_other_classes_stays_our_own(publisher, tmp_path):
    model, messages = transformer(32, 3, 2, SMALL), []
    head = model.get_layer("head").get_weights()
    imagenet.load(model, write(google(), tmp_path, publisher), messages.append)
    for before, after in zip(head, model.get_layer("head").get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert "a head of its own, untrained" in messages[0]


def test_without_a_file_the_same_call_says_from_scratch_and_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(imagenet, "KAGGLE_INPUT", tmp_path)
    model, messages = transformer(32, 3, 2, SMALL), []
    before = model.get_weights()
    assert not imagenet.load(model, log=messages.append)
    assert "from scratch" in messages[0]
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("mount", ["models/google/vit/transformers/base/1", "vit/keras/vit_base_patch16_224/2"])
def test_what_kaggle_attached_is_found_in_both_layouts(mount, tmp_path, monkeypatch):
    monkeypatch.setattr(imagenet, "KAGGLE_INPUT", tmp_path)
    folder = tmp_path / mount
    folder.mkdir(parents=True)
    file, messages = write(google(), folder, "hugging face"), []
    assert imagenet.load(transformer(32, 3, 2, SMALL), log=messages.append)
    assert str(file) in messages[0]


def test_positions_are_interpolated_to_another_grid_and_the_class_tokens_is_kept(tmp_path):
    arrays = google(side=4)
    table = arrays["Transformer/posembed_input/pos_embedding"]
    table[0, 1:] = np.repeat(np.arange(4), 4)[:, None]  # the row of the patch
    model = transformer(64, 3, 2, SMALL)  # 8 x 8 patches
    imagenet.load(model, write(arrays, tmp_path, "google"))
    got = keras.ops.convert_to_numpy(model.get_layer("positions").table)[0]
    np.testing.assert_array_equal(got[0], table[0, 0])
    rows = got[1:].reshape(8, 8, 16)
    np.testing.assert_allclose(rows, np.broadcast_to(rows[:, :1, :1], rows.shape), atol=1e-5)  # columns do not matter
    np.testing.assert_allclose(rows[3:5, 0, 0], [1.25, 1.75], atol=0.05)  # halfway up, at the pixels' middles


@pytest.mark.parametrize("name", ["weights.pth", "pytorch_model.bin", "model.ckpt"])
def test_a_pickle_is_refused_unopened_with_the_reason(name, tmp_path):
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    for path in (tmp_path / name, tmp_path):
        with pytest.raises(DataError, match=rf"{name}: .*can run any code.*safetensors"):
            imagenet.load(transformer(32, 3, 2, SMALL), path)


def test_a_pickled_array_inside_an_npz_is_refused(tmp_path):
    np.savez(tmp_path / "ViT.npz", cls=np.array([{}], dtype=object))
    with pytest.raises(DataError, match=r"ViT\.npz: cannot be read as weights"):
        imagenet.load(transformer(32, 3, 2, SMALL), tmp_path / "ViT.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("embedding/bias"), "ViT-B_16.npz: tensor embedding/bias is missing"),
        (
            lambda arrays: arrays.update({"embedding/kernel": np.zeros((16, 16, 3, 16), np.float32)}),
            r"tensor embedding/kernel has shape \(16, 16, 3, 16\); this model wants \(8, 8, 3, 16\)",
        ),
        (
            lambda arrays: arrays.update(
                {
                    "Transformer/encoderblock_1/MultiHeadDotProductAttention_1/key/kernel": np.zeros(
                        (16, 4, 4), np.float32
                    )
                }
            ),
            r"key/kernel has shape \(16, 4, 4\); this model wants \(16, 2, 8\)",  # other heads: as many numbers
        ),
        (lambda arrays: arrays.update(google(blocks=3)), "more blocks than the 2 of this model"),
        (
            lambda arrays: arrays.update(
                {"Transformer/posembed_input/pos_embedding": np.zeros((1, 15, 16), np.float32)}
            ),
            r"pos_embedding has shape \(1, 15, 16\)",  # no class token and a square
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_tensor_and_leaves_the_model_as_it_was(change, message, tmp_path):
    arrays, model = google(), transformer(32, 3, 2, SMALL)
    change(arrays)
    before = model.get_weights()
    with pytest.raises(DataError, match=message):
        imagenet.load(model, write(arrays, tmp_path, "google"))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("name", ["model.safetensors", "ViT.npz", "model.weights.h5", "notes.txt"])
def test_a_file_that_is_none_is_refused_by_name(name, tmp_path):
    (tmp_path / name).write_text("not weights")
    with pytest.raises(DataError, match=name):
        imagenet.load(transformer(32, 3, 2, SMALL), tmp_path / name)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="no weights in this folder"):
        imagenet.load(transformer(32, 3, 2, SMALL), tmp_path)


def test_a_network_with_a_stem_cannot_take_published_patches(tmp_path):
    model = transformer(32, 3, 2, Shape(8, 16, 2, 2, stem=True))
    with pytest.raises(DataError, match=r"embedding/kernel.*no stem"):
        imagenet.load(model, write(google(), tmp_path, "google"))


HF_REFERENCE = """
import sys, torch, numpy as np
from transformers import ViTConfig, ViTForImageClassification
torch.manual_seed(0); torch.set_num_threads(2)
config = ViTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32,
                   patch_size=8, num_labels=5)
model = ViTForImageClassification(config).eval()
for p in model.parameters(): torch.nn.init.normal_(p, std=0.4)
model.save_pretrained(sys.argv[1])
x = torch.from_numpy(np.load(sys.argv[1] + "/x.npy")).permute(0, 3, 1, 2)
with torch.no_grad(): np.save(sys.argv[1] + "/y.npy", model(x).logits.softmax(-1).numpy())
"""

TORCHVISION_REFERENCE = """
import re, sys, torch, numpy as np
from safetensors.torch import save_file
from torchvision.models import vit_b_16
torch.manual_seed(0); torch.set_num_threads(2)
model = vit_b_16().eval()
for name, p in model.named_parameters():
    torch.nn.init.normal_(p, mean=float("ln" in name and name.endswith("weight")), std=0.04)
x = torch.from_numpy(np.load(sys.argv[1] + "/x.npy")).permute(0, 3, 1, 2)
with torch.no_grad(): np.save(sys.argv[1] + "/y.npy", model(x).numpy())
names = {"class_token": "embeddings.cls_token", "conv_proj": "embeddings.patch_embeddings.projection",
         "encoder.pos_embedding": "embeddings.position_embeddings", "encoder.ln.": "layernorm.",
         "heads.head": "classifier", "ln_1": "layernorm_before", "ln_2": "layernorm_after",
         "self_attention.out_proj": "attention.output.dense", "mlp.0": "intermediate.dense", "mlp.3": "output.dense"}
out = {}
for name, tensor in model.state_dict().items():
    for theirs, other in names.items(): name = name.replace(theirs, other)
    name = re.sub(r"encoder.layers.encoder_layer_(\\d+)", r"encoder.layer.\\1", name)
    if "in_proj_" in name:
        base, kind = name.split("self_attention.in_proj_")
        for part, piece in zip(("query", "key", "value"), tensor.chunk(3)):
            out[f"{base}attention.attention.{part}.{kind}"] = piece.clone()
    else:
        out[name] = tensor.clone()
save_file(out, sys.argv[1] + "/model.safetensors")
"""


def reference(script: str, folder: Path, x: np.ndarray) -> np.ndarray:
    """Let torch write a checkpoint into the folder, in a process of its own, and return its output for x."""
    np.save(folder / "x.npy", x)
    subprocess.run([TORCH, "-c", script, str(folder)], check=True, capture_output=True)
    return np.load(folder / "y.npy")


@needs_torch
def test_hugging_faces_network_and_ours_agree_from_its_own_file(tmp_path):
    expected = reference(HF_REFERENCE, tmp_path, images())
    model = transformer(32, 3, 5, SMALL)
    imagenet.load(model, tmp_path)
    np.testing.assert_allclose(model.predict(images(), verbose=0), expected, atol=1e-4)


@needs_torch
def test_torchvisions_vit_b_16_and_our_base_agree_with_the_same_weights(tmp_path):
    x = images(224, n=1)
    expected = reference(TORCHVISION_REFERENCE, tmp_path, x)
    model = transformer(classes=1000)
    imagenet.load(model, tmp_path)
    scores = keras.Model(model.input, model.get_layer("head").output).predict(x, verbose=0)
    assert expected.std() > 0.1  # or agreement would mean little
    np.testing.assert_allclose(scores, expected, atol=1e-4)
