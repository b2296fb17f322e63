"""Laws of outlining lungs: on the radiograph's own grid, with its greys made others' where the training says so."""

import json

import keras
import numpy as np
import pytest

from helpers.data.radiographs import preprocess
from helpers.learn.run_folder import save_model
from helpers.prepare.histogram_matching import histogram, match_histogram
from helpers.runtime.errors import DataError
from helpers.tasks.lungs.inference import LungSegmenter


@pytest.fixture
def bright():
    """Calls lung what is brighter than the radiograph's mean."""
    inputs = keras.Input((32, 32, 1))
    layer = keras.layers.Conv2D(1, 1, activation="sigmoid", kernel_initializer=keras.initializers.Constant(50.0))
    return keras.Model(inputs, layer(inputs))


@pytest.fixture
def radiograph():
    rows, columns = np.mgrid[:120, :80]
    bright = np.hypot(rows - 40, columns - 50) < 42  # half the radiograph, so that its mean lies between the two greys
    return np.where(bright, 200, 60).astype(np.uint8)


def _folder(tmp_path, network, **further):
    save_model(network, tmp_path / "model.keras")
    (tmp_path / "run.json").write_text(json.dumps({"task": "lungs", "parameters": {"size": 32}, **further}))
    return tmp_path


def test_mask_lies_where_the_radiograph_shows_it(bright, radiograph):
    mask = LungSegmenter(bright, 32).predict(radiograph)
    assert mask.shape == radiograph.shape
    assert (mask ^ (radiograph == 200)).sum() < 0.05 * (radiograph == 200).sum()


def test_loaded_segmenter_answers_the_same(bright, radiograph, tmp_path):
    loaded = LungSegmenter.load(_folder(tmp_path, bright))
    np.testing.assert_allclose(
        loaded.probabilities(radiograph), LungSegmenter(bright, 32).probabilities(radiograph), atol=1e-6
    )


def test_greys_are_made_those_of_the_training_where_it_says_so(bright, radiograph, tmp_path, rng):
    counts = histogram([rng.integers(0, 100, (50, 50), np.uint8)])
    loaded = LungSegmenter.load(_folder(tmp_path, bright, prepare={"histogram": counts.tolist()}))
    np.testing.assert_allclose(loaded.preprocess(radiograph), preprocess(match_histogram(radiograph, counts), 32))


def test_preparation_that_is_not_known_is_refused(bright, tmp_path):
    with pytest.raises(DataError, match="prepared by polish"):
        LungSegmenter.load(_folder(tmp_path, bright, prepare={"polish": 1}))


def test_training_of_something_else_is_refused(bright, tmp_path):
    folder = _folder(tmp_path, bright)
    (folder / "run.json").write_text(json.dumps({"task": "gate", "parameters": {}}))
    with pytest.raises(DataError, match="expected one of 'lungs'"):
        LungSegmenter.load(folder)
