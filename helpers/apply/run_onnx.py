"""Run a model that `python -m helpers export --to onnx` wrote. This file needs NumPy and ONNX Runtime, nothing else.

    python run_onnx.py MODEL.onnx INPUT.npz OUTPUT.npy

Beside MODEL.onnx lies MODEL.json, which says what goes in and what comes out. INPUT.npz holds, for a brain or a gate,
one array (rows, columns, slices) for each modality by its name, 0 outside the brain, and `spacing`, millimetres per
voxel along rows and columns; for lungs `radiograph`, (rows, columns) of grey levels 0 to 255. Rows run to the
patient's left, columns to the back, slices to the head. OUTPUT.npy receives the labels, the slices that pass the gate,
or the mask of the lungs.

This is not a medical device.
"""

import json
import sys
from pathlib import Path

import numpy as np


def run(model: str, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """The result for one patient.

    Args:
        model: the file that ends in `.onnx`.
        arrays: by name, as this file's head describes them; (rows, columns, slices) each, or (rows, columns).

    Returns:
        (rows, columns, slices) uint8 labels; (slices,) uint8; or (rows, columns) uint8.
    """
    import onnxruntime

    about = json.loads(Path(model).with_suffix(".json").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    feed = dict(zip((one.name for one in session.get_inputs()), inputs(about, arrays), strict=True))
    found = dict(zip(about["outputs"], session.run(None, feed), strict=True))
    if about["task"] == "lungs":
        return found["mask"]
    if about["task"] == "gate":
        return found["passes"]
    return found["labels"] if about["decision"] == "argmax" else decide(about, found)


def inputs(about: dict, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """What the network is given, after the checks that the graph cannot make.

    Args:
        about: the content of the JSON file.
        arrays: as in `run`, (rows, columns, slices) each, or (rows, columns).

    Returns:
        The volume (rows, columns, slices, modalities) and the spacing (2,), or the radiograph (rows, columns).

    Raises:
        ValueError: a modality is missing, or the brain does not fit the window.
    """
    if about["task"] == "lungs":
        return [np.asarray(arrays["radiograph"], np.float32)]
    spacing = np.asarray(arrays["spacing"], np.float32)[:2]
    missing = [name for name in about["modalities"] if name not in arrays]
    if set(missing) - set(about["may_be_missing"]) or len(missing) == len(about["modalities"]):
        raise ValueError(f"{', '.join(missing)} is missing; this model wants {', '.join(about['modalities'])}.")
    there = next(np.asarray(arrays[name]) for name in about["modalities"] if name in arrays)
    images = [np.asarray(arrays.get(name, np.zeros(there.shape)), np.float32) for name in about["modalities"]]
    volume = np.stack(images, axis=-1)
    for axis in (0, 1):
        inside = np.flatnonzero((volume != 0).any(axis=tuple(other for other in range(4) if other != axis)))
        extent = (inside[-1] + 1 - inside[0]) * spacing[axis] if len(inside) else 0
        low, high = about["brain_mm"]
        if not low <= extent <= high:
            raise ValueError(f"The brain spans {extent:.0f} mm along axis {axis}; expected {low:g} to {high:g} mm.")
    return [volume, spacing]


def decide(about: dict, found: dict[str, np.ndarray]) -> np.ndarray:
    """Labels whose nested regions have the highest expected Dice, without the islands that do not stay.

    Args:
        about: the content of the JSON file.
        found: `probabilities` (slices, size, size, 4), and the matrices back to the patient's grid, `rows` (rows, size)
            and `columns` (columns, size).

    Returns:
        (rows, columns, slices) uint8: 0 background, 1 core without enhancement, 2 oedema, 3 enhancing tumour.
    """
    probabilities = found["probabilities"]
    core = probabilities[..., 1] + probabilities[..., 3]
    thresholds = [best_threshold(one) for one in (core + probabilities[..., 2], core, probabilities[..., 3])]
    share, certainty = about["islands"]["min_share"], about["islands"]["min_certainty"]
    if share:
        sure = probabilities[..., 1:].sum(axis=-1)
        parts = connected(labels_above(probabilities[..., 1:], thresholds) > 0)
        sums, counts = (np.bincount(parts.ravel(), weights)[1:] for weights in (sure.ravel(), None))
        kept = sums >= share * (sums.max() if len(sums) else 0)
        if certainty is not None:
            kept |= sums / counts >= certainty
        probabilities = np.where(np.append(False, ~kept)[parts][..., None], np.float32([1, 0, 0, 0]), probabilities)
    shown = labels_above(probabilities[..., 1:], thresholds).any(axis=(1, 2))
    labels = np.zeros((len(found["rows"]), len(found["columns"]), len(probabilities)), np.uint8)
    for place in np.flatnonzero(shown):
        tumour = np.moveaxis(probabilities[place, ..., 1:], -1, 0)  # (3, size, size)
        native = found["rows"] @ tumour @ found["columns"].T
        labels[..., place] = labels_above(np.moveaxis(native, 0, -1), thresholds)
    return labels


def labels_above(tumour: np.ndarray, thresholds: list[float]) -> np.ndarray:
    """Labels of the nested regions, each where its probability is above a threshold.

    Args:
        tumour: (..., 3), core without enhancement, oedema, enhancing.
        thresholds: of whole tumour, tumour core and enhancing tumour.

    Returns:
        (...) uint8.
    """
    core = tumour[..., 0] + tumour[..., 2]
    whole = core + tumour[..., 1] > thresholds[0]
    core = whole & (core > thresholds[1])
    return np.array([0, 2, 1, 3], np.uint8)[whole.astype(np.uint8) + core + (core & (tumour[..., 2] > thresholds[2]))]


def best_threshold(chances: np.ndarray) -> float:
    """Half of the best expected Dice of a region (Dinkelbach 1967); one half where it may have no voxel.

    Args:
        chances: the probability of each voxel to be of the region, any shape.
    """
    total, best = float(chances.sum(dtype=np.float64)), 0.0
    for _ in range(50):
        above = chances > best / 2
        higher = 2 * float(chances[above].sum(dtype=np.float64)) / max(np.count_nonzero(above) + total, 1e-9)
        if higher <= best:
            break
        best = higher
    return best / 2 if best else 0.5


def connected(mask: np.ndarray) -> np.ndarray:
    """The number of the part that each voxel belongs to; voxels that meet at a corner are of one part.

    Args:
        mask: (slices, rows, columns) bool.

    Returns:
        The same shape, int: 0 outside of the mask, parts from 1 on.
    """
    parts = np.pad(np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0), 1)
    inside = parts > 0
    while True:  # each voxel takes the highest number among its neighbours, until none changes
        spread = parts
        for axis in range(3):
            spread = np.maximum(spread, np.maximum(np.roll(spread, 1, axis), np.roll(spread, -1, axis)))
        spread = np.where(inside, spread, 0)
        if np.array_equal(spread, parts):
            break
        parts = spread
    return np.unique(parts[1:-1, 1:-1, 1:-1], return_inverse=True)[1].reshape(mask.shape) + bool(mask.all())


if __name__ == "__main__":
    with np.load(sys.argv[2]) as stored:
        result = run(sys.argv[1], dict(stored))
    np.save(sys.argv[3], result)
    for label, count in zip(*np.unique(result, return_counts=True), strict=True):
        print(f"{label}: {count}")
