"""Laws of the gate: its input and its predictions."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from helpers.data.brats import read_catalogue
from helpers.data.resample import Grid
from helpers.data.volumes import read_scan
from helpers.models.convnet import convnet
from helpers.models.transformer import Shape, transformer
from helpers.runtime.errors import DataError
from helpers.tasks.gate.inference import Gate, predict_case


@pytest.fixture(scope="module")
def scan(phantoms):
    return read_scan(read_catalogue(phantoms).patients[0], ("flair", "t1ce", "t2"))


@pytest.fixture(scope="module")
def gate():
    """Untrained, so that every channel counts."""
    return Gate(convnet(32, 3, filters=4), ("flair", "t1ce", "t2"), Grid(32))


def _without(scan, modality):
    present = [kind for kind in scan.modalities if kind != modality]
    images = np.stack([scan.image(kind) for kind in present], axis=-1)
    return dataclasses.replace(scan, images=images, modalities=tuple(present))


def test_answers_come_one_a_slice_in_file_order(gate, scan):
    predicted = gate.probabilities(scan)
    assert predicted.shape == scan.images.shape[2:3]
    assert predicted.dtype == np.float32
    upside_down = dataclasses.replace(scan, images=scan.images[:, :, ::-1])
    np.testing.assert_allclose(gate.probabilities(upside_down), predicted[::-1], atol=1e-5)


def test_order_in_which_modalities_were_read_does_not_matter(gate, scan):
    other = dataclasses.replace(scan, images=scan.images[..., ::-1], modalities=scan.modalities[::-1])
    np.testing.assert_allclose(gate.probabilities(other), gate.probabilities(scan), atol=1e-5)


def test_mirrored_head_gets_the_same_answers(gate, scan):
    mirrored = dataclasses.replace(scan, images=scan.images[::-1])
    np.testing.assert_allclose(gate.probabilities(mirrored), gate.probabilities(scan), atol=1e-4)


def test_network_is_asked_once_a_slice_and_mirror(gate, scan, monkeypatch):
    asked = []
    predict = gate.network.predict_on_batch
    monkeypatch.setattr(gate.network, "predict_on_batch", lambda batch: asked.extend(batch) or predict(batch))
    gate.probabilities(scan)
    shown = [image.tobytes() for image in asked if image.any()]
    brain = int(scan.images.any(axis=(0, 1, 3)).sum())
    assert len(shown) == len(set(shown)) == 2 * brain
    assert {image.tobytes() for image in asked if image.any()} == {
        image[::-1].tobytes() for image in asked if image.any()
    }


def test_missing_t2_is_shown_as_zeros(gate, scan):
    blank = dataclasses.replace(scan, images=scan.images * np.array([1, 1, 0], np.float32))
    predicted = gate.probabilities(_without(scan, "t2"))
    np.testing.assert_array_equal(predicted, gate.probabilities(blank))
    assert not np.allclose(predicted, gate.probabilities(scan))


def test_missing_flair_is_refused(gate, scan):
    with pytest.raises(DataError, match="wants flair, t1ce, t2; flair is missing"):
        gate.probabilities(_without(scan, "flair"))


def test_slices_without_brain_never_pass(gate, scan):
    open_gate = dataclasses.replace(gate, threshold=0.0)
    brain = scan.images.any(axis=(0, 1, 3))
    assert not brain.all()
    np.testing.assert_array_equal(open_gate.predict(scan), brain)


def test_answers_hold_the_truth_of_every_slice_with_brain(gate, phantoms, scan):
    patient = read_catalogue(phantoms).patients[0]
    predicted = predict_case(gate, patient)
    brain = scan.images.any(axis=(0, 1, 3))
    np.testing.assert_array_equal(predicted.truth, scan.seg.any(axis=(0, 1))[brain])
    np.testing.assert_array_equal(predicted.probabilities, gate.probabilities(scan)[brain])
    assert predicted.without_brain == (~brain).sum()


def test_training_of_another_task_is_refused(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"task": "brain"}))
    with pytest.raises(DataError, match="'brain'; expected one of 'gate'"):
        Gate.load(tmp_path)


def test_saved_transformer_loads_in_a_process_that_knows_only_the_gate(tmp_path):
    transformer(32, 3, 2, Shape(8, 16, 1, heads=2, stem=True)).save(tmp_path / "model.keras")
    parameters = {"modalities": ["flair", "t1ce", "t2"], "size": 32, "extent_mm": 192.0}
    (tmp_path / "run.json").write_text(json.dumps({"task": "gate", "parameters": parameters, "threshold": 0.1}))
    code = f"from helpers.tasks.gate.inference import Gate; print(Gate.load({str(tmp_path)!r}).threshold)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "0.1", done.stderr
