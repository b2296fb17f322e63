"""A trained model with its preprocessing as one TensorFlow function, ready for a SavedModel or ONNX.

What `helpers.tasks` does in NumPy around a network is written here once more in TensorFlow: the z-score over the brain,
the window round its middle, and the way back. The tests hold both to each other.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from helpers.learn.run_folder import load_network, read_run
from helpers.measure.calibration import LEAST
from helpers.models.ensemble import members
from helpers.tasks.brain import inference as brain
from helpers.tasks.brain.calibration import Calibration
from helpers.tasks.brain.inference import Segmenter
from helpers.tasks.gate import inference as gate
from helpers.tasks.lungs import inference as lungs

Outputs = dict[str, tf.Tensor]
Axis = tuple[tf.Tensor, tf.Tensor, tf.Tensor]
"""Number of pixels, millimetres per pixel, and millimetres at the first edge."""

_CHUNK = 16
"""Slices that the network sees at once: all of a volume would take gigabytes."""
_CLIP = 5.0
_EXACT = tf.float64  # sums over a million voxels, and positions in millimetres


def exported(model_dir: str | os.PathLike) -> tuple[Callable[..., Outputs], list[tf.TensorSpec]]:
    """A model from its raw input to its output, in float32, and the shapes of the input.

    Args:
        model_dir: of a finished training, or of an ensemble.

    Returns:
        The function, whose arguments and results `helpers.apply.export.contract` describes; and its arguments.
    """
    run = read_run(model_dir)
    parameters = run["parameters"]
    if run["task"] == "lungs":
        network = _networks(model_dir, lungs.build_network, parameters)
        return _Radiograph(network, parameters["size"]), [tf.TensorSpec([None, None], tf.float32, "radiograph")]
    volume = tf.TensorSpec([None, None, None, len(parameters["modalities"])], tf.float32, "volume")
    arguments = [volume, tf.TensorSpec([2], tf.float32, "spacing")]
    window = _Window(parameters["size"], parameters["extent_mm"])
    if run["task"] == "gate":
        return _Slices(_networks(model_dir, gate.build_network, parameters), window, run["threshold"]), arguments
    segmenter = Segmenter.load(model_dir)
    networks = _networks(model_dir, brain.build_network, parameters)
    return _Volume(networks, window, segmenter.reach, segmenter.decision, segmenter.calibration), arguments


def _networks(
    model_dir: str | os.PathLike, build: Callable[[Mapping[str, Any]], keras.Model], parameters: Mapping[str, Any]
) -> list[keras.Model]:
    """The networks of a model in float32, whatever the precision of this chip."""
    copies = []
    for network in members(load_network(model_dir, build)):
        copy = build(parameters)
        copy.set_weights(network.get_weights())
        copies.append(copy)
    return copies


def _mean(networks: Sequence[keras.Model], images: tf.Tensor) -> tf.Tensor:
    """The mean output of several networks."""
    return _sum(networks, images) / len(networks)


def _sum(networks: Sequence[keras.Model], images: tf.Tensor) -> tf.Tensor:
    """The sum of the outputs of several networks."""
    outputs = [network(images, training=False) for network in networks]
    return sum(outputs[1:], outputs[0])


def _in_chunks(images: tf.Tensor, predict: Callable[[tf.Tensor], tf.Tensor], shape: Sequence[int]) -> tf.Tensor:
    """Apply a function from (16, ...) to (16, *shape) to (slices, ...); its shape is given, for ONNX loses it."""
    count = tf.shape(images)[0]
    missing = (_CHUNK - count % _CHUNK) % _CHUNK  # of a negative number, TensorFlow and ONNX have different remainders
    padded = tf.pad(images, [[0, missing], [0, 0], [0, 0], [0, 0]])
    chunks = tf.reshape(padded, [-1, _CHUNK, *images.shape[1:]])
    results = tf.map_fn(predict, chunks, fn_output_signature=tf.TensorSpec([_CHUNK, *shape], tf.float32))
    return tf.reshape(results, [-1, *shape])[:count]


def _zscore(images: tf.Tensor) -> tf.Tensor:
    """As `helpers.data.normalise.zscore`: (rows, columns, slices, modalities) float32."""
    exact = tf.cast(images, _EXACT)
    brain = tf.not_equal(images, 0)
    count = tf.maximum(tf.reduce_sum(tf.cast(brain, _EXACT), axis=[0, 1, 2]), 1)
    mean = tf.reduce_sum(exact, axis=[0, 1, 2]) / count
    off = tf.where(brain, exact - mean, tf.zeros_like(exact))
    spread = tf.sqrt(tf.reduce_sum(off * off, axis=[0, 1, 2]) / count)
    scaled = off / tf.where(spread > 0, spread, tf.ones_like(spread))
    return tf.cast(tf.minimum(tf.maximum(scaled, -_CLIP), _CLIP), tf.float32)


def _axis_weights(source: Axis, target: Axis) -> tf.Tensor:
    """As `helpers.data.resample.axis_weights`: (target pixels, source pixels) float32."""
    (n, mm, start), (target_n, target_mm, target_start) = source, target
    count = tf.cast(n, _EXACT)
    pixels = tf.cast(tf.range(n), _EXACT)
    edges = (start + mm * pixels)[None]
    target_edges = (target_start + target_mm * tf.cast(tf.range(target_n), _EXACT))[:, None]
    left, right = tf.maximum(edges, target_edges), tf.minimum(edges + mm, target_edges + target_mm)
    area = tf.maximum(right - left, 0) / target_mm
    position = (target_edges + target_mm / 2 - start) / mm - 0.5
    inside = tf.logical_and(position >= -0.5, position <= count - 0.5)
    nearest = tf.minimum(tf.maximum(position, 0), count - 1)
    linear = tf.maximum(1 - tf.abs(nearest - pixels[None]), 0) * tf.cast(inside, _EXACT)
    larger = tf.cast(target_mm >= mm, _EXACT)
    return tf.cast(larger * area + (1 - larger) * linear, tf.float32)


def _resample(rows: tf.Tensor, columns: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Apply one matrix to the rows and one to the columns of (slices, channels, rows, columns)."""
    return tf.matmul(tf.matmul(rows, images), columns, transpose_b=True)


def _mirrored(images: tf.Tensor) -> tf.Tensor:
    """(slices, rows, ...) with the rows in reverse order, by their numbers, for which ONNX has an operation."""
    return tf.gather(images, list(reversed(range(images.shape[1]))), axis=1)


class _Window:
    """The window of a network, as `helpers.data.resample.Grid` has it."""

    def __init__(self, size: int, extent_mm: float) -> None:
        self.size, self.extent_mm = size, extent_mm

    def axes(self, volume: tf.Tensor, spacing: tf.Tensor) -> list[tuple[Axis, Axis]]:
        """For rows and columns the pixels of the patient and of the window."""
        brain, pairs = tf.reduce_any(tf.not_equal(volume, 0), axis=[2, 3]), []
        for axis in (0, 1):
            inside = tf.where(tf.reduce_any(brain, axis=1 - axis))[:, 0]
            mm = tf.cast(spacing[axis], _EXACT)
            ends = tf.cast(tf.reduce_min(inside), _EXACT) + tf.cast(tf.reduce_max(inside), _EXACT) + 1
            first = ends * mm / 2 - self.extent_mm / 2
            zero, pixel = tf.constant(0, _EXACT), tf.constant(self.extent_mm / self.size, _EXACT)
            pairs.append(((tf.shape(volume)[axis], mm, zero), (tf.constant(self.size), pixel, first)))
        return pairs

    def down(self, volume: tf.Tensor, axes: list[tuple[Axis, Axis]]) -> tf.Tensor:
        """The z-scored slices in the window, (slices, size, size, modalities)."""
        rows, columns = (_axis_weights(patient, window) for patient, window in axes)
        slices = _resample(rows, columns, tf.transpose(_zscore(volume), [2, 3, 0, 1]))
        return tf.ensure_shape(tf.transpose(slices, [0, 2, 3, 1]), [None, self.size, self.size, volume.shape[-1]])


class _Volume:
    """A brain model: a volume to labels or, where the decision takes more than that, to what the page decides by."""

    def __init__(
        self, networks: list[keras.Model], window: _Window, reach: int, decision: str, calibration: Calibration
    ) -> None:
        self.networks, self.window, self.reach, self.decision = networks, window, reach, decision
        self.temperature = calibration.temperature if decision == "dice" else 1.0

    def __call__(self, volume: tf.Tensor, spacing: tf.Tensor) -> Outputs:
        axes = self.window.axes(volume, spacing)
        slices = self.window.down(volume, axes)
        brain = tf.reduce_any(tf.not_equal(slices, 0), axis=-1, keepdims=True)
        shown = tf.cast(brain, tf.float32)
        probabilities = _in_chunks(self._slabs(slices), self._predict, self.networks[0].output_shape[1:])
        probabilities = shown * probabilities + (1 - shown) * tf.constant([1.0, 0.0, 0.0, 0.0])
        if self.temperature != 1:
            scaled = tf.maximum(tf.cast(probabilities, _EXACT), LEAST) ** (1 / self.temperature)
            probabilities = tf.cast(scaled / tf.reduce_sum(scaled, axis=-1, keepdims=True), tf.float32)
        rows, columns = (_axis_weights(window, patient) for patient, window in axes)
        if self.decision == "dice":
            return {"probabilities": probabilities, "rows": rows, "columns": columns}
        tumour = _resample(rows, columns, tf.transpose(probabilities[..., 1:], [0, 3, 1, 2]))
        tumour = tf.transpose(tumour, [2, 3, 0, 1])
        return {"labels": _largest(tumour), "tumour": tumour}

    def _slabs(self, slices: tf.Tensor) -> tf.Tensor:
        """Each slice with its neighbours as further channels, as `helpers.data.slabs`."""
        if not self.reach:
            return slices
        last, rows = tf.shape(slices)[0] - 1, tf.range(tf.shape(slices)[0])
        offsets = range(-self.reach, self.reach + 1)
        shifted = [tf.gather(slices, tf.minimum(tf.maximum(rows + offset, 0), last)) for offset in offsets]
        return tf.concat(shifted, axis=-1)

    def _predict(self, images: tf.Tensor) -> tf.Tensor:
        """The mean of both heads; of an ensemble every second member sees the mirrored one, as in `Segmenter`."""
        if len(self.networks) > 1:
            mirrored = _mirrored(_sum(self.networks[1::2], _mirrored(images)))
            return (_sum(self.networks[::2], images) + mirrored) / len(self.networks)
        both = _mean(self.networks, tf.concat([images, _mirrored(images)], axis=0))
        return (both[:_CHUNK] + _mirrored(both[_CHUNK:])) / 2


def _largest(tumour: tf.Tensor) -> tf.Tensor:
    """Probabilities of the three tumour classes (..., 3) to network labels; the rest is that of the background."""
    background = 1 - tf.reduce_sum(tumour, axis=-1)
    first, second, third = (tumour[..., index] for index in range(3))
    one, highest = tf.ones_like(first), tf.maximum(first, second)
    labels = tf.where(second > first, 2 * one, one)
    labels = tf.where(third > highest, 3 * one, labels)
    return tf.cast(tf.where(tf.maximum(highest, third) <= background, 0 * one, labels), tf.uint8)


class _Slices:
    """A gate: a volume to the probability of tumour in each slice, and whether it passes."""

    def __init__(self, networks: list[keras.Model], window: _Window, threshold: float) -> None:
        self.networks, self.window, self.threshold = networks, window, threshold

    def __call__(self, volume: tf.Tensor, spacing: tf.Tensor) -> Outputs:
        slices = self.window.down(volume, self.window.axes(volume, spacing))
        brain = tf.reduce_any(tf.not_equal(slices, 0), axis=[1, 2, 3])
        found = _in_chunks(slices, self._predict, self.networks[0].output_shape[1:])[:, 1]
        found = found * tf.cast(brain, tf.float32)
        passes = tf.logical_and(found >= self.threshold, brain)
        return {"probabilities": found, "passes": tf.cast(passes, tf.uint8)}

    def _predict(self, images: tf.Tensor) -> tf.Tensor:
        both = _mean(self.networks, tf.concat([images, _mirrored(images)], axis=0))
        return (both[:_CHUNK] + both[_CHUNK:]) / 2


class _Radiograph:
    """A lung model: a radiograph to the lungs on its own pixels."""

    def __init__(self, networks: list[keras.Model], size: int) -> None:
        self.networks, self.size = networks, size

    def __call__(self, radiograph: tf.Tensor) -> Outputs:
        shape = tf.shape(radiograph)
        extent = tf.cast(tf.reduce_max(shape), _EXACT)
        one, zero, size = tf.constant(1, _EXACT), tf.constant(0, _EXACT), tf.constant(self.size)
        pairs = [
            ((shape[axis], one, zero), (size, extent / self.size, (tf.cast(shape[axis], _EXACT) - extent) / 2))
            for axis in (0, 1)
        ]
        rows, columns = (_axis_weights(image, square) for image, square in pairs)
        covered = tf.reduce_sum(rows, axis=1)[:, None] * tf.reduce_sum(columns, axis=1)[None]
        levels = tf.matmul(tf.matmul(rows, radiograph), columns, transpose_b=True) / tf.maximum(covered, 0.5)
        shown = tf.where(covered > 0.5, levels + 1, tf.zeros_like(levels))
        image = tf.reshape(_zscore(shown[..., None, None]), [1, self.size, self.size, 1])
        square = _mean(self.networks, image)[0, ..., 0]
        rows, columns = (_axis_weights(square_axis, image_axis) for image_axis, square_axis in pairs)
        probability = tf.matmul(tf.matmul(rows, square), columns, transpose_b=True)
        return {"mask": tf.cast(probability > lungs.THRESHOLD, tf.uint8), "probability": probability}
