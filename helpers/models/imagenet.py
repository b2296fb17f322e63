"""Pretrained weights: start a vision transformer from ImageNet, where a checkpoint is available.

Three kinds of file hold the published ViT-B/16, and all are read as plain arrays: Hugging Face's `model.safetensors`
(google/vit-base-patch16-224), Google's `ViT-B_16.npz`, and KerasHub's `model.weights.h5` (Kaggle's keras/vit). A `.pth`
or `.bin` is a pickle, which runs code when it is opened; those are refused.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
from keras import ops

from helpers.data.sets import KAGGLE_INPUT
from helpers.models.published import GOOGLE, HUGGING_FACE, KERAS_HUB, Format
from helpers.runtime.errors import DataError

PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".pkl")
_FILES = ("*.safetensors", "*.npz", "model.weights.h5")


def load(model: keras.Model, path: str | os.PathLike | None = None, log: Callable[[str], None] = print) -> bool:
    """Load pretrained ImageNet weights into a `transformer`, if there are any, and log where they come from.

    Position embeddings are interpolated where the model's grid of patches has another size. The head is not loaded,
    unless it has as many classes as the file.

    Args:
        model: a `transformer` of the file's shape, without a stem, with three channels.
        path: a file, or a folder with one; without it (None or ""), what Kaggle has attached, and else nothing is
            loaded.
        log: called with a line that says where the weights come from.

    Returns:
        Whether weights were loaded; else the model is unchanged.

    Raises:
        DataError: the file is a pickle, is unreadable, lacks a tensor or has one of another shape; the model is then
            unchanged.
    """
    file = _find(path)
    if file is None:
        log("ImageNet weights: none attached, so the transformer learns from scratch")
        return False
    arrays, form = _read(file)
    slots = _slots(model)
    values = _fit(slots, arrays, form, model.get_layer("block_0_attention").heads, file)
    for slot, value in values.items():
        slots[slot].assign(value)
    head = "ImageNet's head" if "head/kernel" in values else "a head of its own, untrained"
    log(f"ImageNet weights: {len(values)} tensors from {file} ({form.title}'s names), and {head}")
    return True


def _fit(
    slots: Mapping[str, keras.Variable], arrays: Mapping[str, np.ndarray], form: Format, heads: int, file: Path
) -> dict[str, np.ndarray]:
    """The value for every slot that the file has; all checked before the first is assigned.

    Raises:
        DataError: a tensor is missing or has another shape, or the file has more blocks than the model.
    """
    blocks = sum(slot.endswith("query/kernel") for slot in slots)
    if form.name(f"block_{blocks}/norm_1/gamma") in arrays:
        raise DataError(
            f"{file}: has more blocks than the {blocks} of this model; choose the shape that fits the file."
        )
    values = {}
    for slot, variable in slots.items():
        name, ours = form.name(slot), tuple(variable.shape)
        expected = form.shape(slot, ours, heads)
        array = arrays.get(name)
        if slot.startswith("head/") and (array is None or array.shape != expected):
            continue
        if array is None:
            raise DataError(
                f"{file}: tensor {name} is missing; expected a whole vision transformer in {form.title}'s names."
            )
        if slot == "positions":
            array = _positions(array, ours)
        if array.shape != expected:
            raise DataError(
                f"{file}: tensor {name} has shape {array.shape}; this model wants {expected} ({slot}). Choose the "
                "shape that fits the file, with three channels and no stem."
            )
        values[slot] = form.ours(array, ours)
    return values


def _positions(array: np.ndarray, ours: tuple[int, ...]) -> np.ndarray:
    """Position embeddings (1, 1 + patches, width) interpolated to our grid of patches; the class token's stays."""
    array = array.reshape(-1, array.shape[-1])  # KerasHub has no first axis
    file_side, side = (round((n - 1) ** 0.5) for n in (len(array), ours[1]))
    if file_side != side and file_side**2 + 1 == len(array):
        grid = array[1:].astype(np.float32).reshape(1, file_side, file_side, -1)
        grid = ops.convert_to_numpy(ops.image.resize(grid, (side, side), interpolation="bicubic"))
        array = np.concatenate([array[:1], grid.reshape(side**2, -1)])
    return array[None]


def _find(path: str | os.PathLike | None) -> Path | None:
    """The checkpoint that `load` reads, None where nothing is attached.

    Raises:
        DataError: a folder without weights, or a pickle.
    """
    if not path:
        # Mounts, new and old: models/owner/model/framework/variation/version, and model/framework/variation/version.
        folders = [*KAGGLE_INPUT.glob("models/*/*/*/*/*"), *KAGGLE_INPUT.glob("*vit*/*/*/[0-9]*")]
        found = [file for folder in sorted(folders) if "vit" in str(folder).lower() for file in _candidates(folder)]
        return found[0] if found else None
    path = Path(path)
    if path.is_dir():
        found = _candidates(path)
        pickles = sorted(file for file in path.iterdir() if file.suffix in PICKLES)
        path = found[0] if found else pickles[0] if pickles else path
        if path.is_dir():
            raise DataError(f"{path}: no weights in this folder; expected one of {', '.join(_FILES)}.")
    if path.suffix in PICKLES:
        raise DataError(
            f"{path}: a {path.suffix} file is a pickle, and a pickle can run any code when it is opened. Take the same "
            "weights as .safetensors (Hugging Face offers them beside it), .npz or .weights.h5."
        )
    return path


def _candidates(folder: Path) -> list[Path]:
    return [file for pattern in _FILES for file in sorted(folder.glob(pattern))]


def _read(file: Path) -> tuple[dict[str, np.ndarray], Format]:
    """All tensors of a file by name, and the format of the names.

    Raises:
        DataError: the file is unreadable, or of no known format.
    """
    try:
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                return dict(arrays), GOOGLE
        if file.suffix == ".h5":
            return _read_h5(file), KERAS_HUB
        if file.suffix == ".safetensors":
            from safetensors.numpy import load_file

            # A classifier's file calls its transformer `vit.`, a bare transformer's does not.
            return {name.removeprefix("vit."): array for name, array in load_file(file).items()}, HUGGING_FACE
    except Exception as error:  # each library has errors of its own
        raise DataError(f"{file}: cannot be read as weights ({error}); copy or download it again.") from error
    raise DataError(f"{file}: not a known file of weights; expected .safetensors, .npz or .weights.h5.")


def _read_h5(file: Path) -> dict[str, np.ndarray]:
    """All tensors of an HDF5 file by path."""
    import h5py

    arrays = {}
    with h5py.File(file) as opened:
        opened.visititems(
            lambda name, item: arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
    return arrays


def _slots(model: keras.Model) -> dict[str, keras.Variable]:
    """The model's variables by slot, our name of a tensor."""
    layer = model.get_layer
    slots = {"class_token": layer("class_token").token, "positions": layer("positions").table}
    named = {"patches": layer("patches"), "norm": layer("norm"), "head": layer("head")}
    attentions = [one.name for one in model.layers if one.name.endswith("_attention")]
    for name in attentions:
        block = name.removesuffix("_attention")
        named |= {f"{block}/{part}": layer(f"{block}_{part}") for part in ("norm_1", "norm_2", "mlp_1", "mlp_2")}
        named |= {f"{block}/{part}": getattr(layer(name), part) for part in ("query", "key", "value", "out")}
    for name, owner in named.items():
        variables = ("gamma", "beta") if "norm" in name else ("kernel", "bias")
        slots |= {f"{name}/{variable}": getattr(owner, variable) for variable in variables}
    return slots
