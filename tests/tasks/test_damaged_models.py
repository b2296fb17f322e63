"""A flipped bit, or a cut, in a file of a trained folder is refused, or changes nothing that is used."""

import json

import keras
import numpy as np
import pytest

from helpers.data.splits import Split
from helpers.learn.checkpoint import Checkpoint
from helpers.learn.run_folder import read_run, read_split, save_model, write_run
from helpers.runtime.errors import DataError
from helpers.tasks.brain.inference import Segmenter, build_network

SPLIT = Split(("p1", "p2"), ("p3",), ("p4",), seed=0)
PARAMETERS = {"modalities": ["flair"], "size": 16, "extent_mm": 192.0, "filters": 1, "split": SPLIT.digest}


@pytest.fixture
def folder(tmp_path):
    save_model(build_network(PARAMETERS), tmp_path / "model.keras")
    write_run(tmp_path, "brain", PARAMETERS, SPLIT, {name: {"flair": name} for name in ("p1", "p2", "p3")})
    return tmp_path


def _spoiled(path, rng, count):
    """The file with one bit flipped, or cut, again and again; at the ends as often as between."""
    whole = path.read_bytes()
    n = len(whole)
    for number in range(count):
        place = int([rng.integers(n), rng.integers(min(64, n)), n - 1 - rng.integers(min(400, n))][number % 3])
        content = bytearray(whole)
        content[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(content if number % 5 else content[:place])
        yield
    path.write_bytes(whole)


def test_weights_are_those_that_were_saved_or_refused(folder, rng):
    saved, refused = [w.copy() for w in Segmenter.load(folder).network.get_weights()], []
    for _ in _spoiled(folder / "model.keras", rng, 12):
        try:
            found = Segmenter.load(folder).network.get_weights()
        except DataError as error:
            refused.append(str(error))
        else:
            for one, other in zip(saved, found, strict=True):
                np.testing.assert_array_equal(one, other)
    assert len(refused) > 4
    assert all("model.keras cannot be loaded" in message for message in refused)


def test_what_run_json_and_split_json_hold_is_used_or_refused(folder, rng):
    run, split = read_run(folder), read_split(folder)
    for name in ("run.json", "split.json"):
        refused = []
        for _ in _spoiled(folder / name, rng, 60):
            try:
                found = read_run(folder), read_split(folder)
            except DataError as error:
                refused.append(str(error))
            else:  # in a name of the digest, which older versions had not; in a seed that nothing depends on
                assert found[0]["parameters"] == run["parameters"]
                assert found[1].digest == split.digest
        assert all(name in message for message in refused)


def test_a_checkpoint_goes_on_as_it_was_saved_or_is_refused(tmp_path, rng):
    def trainer():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        model.compile("adam", "mse")
        model.optimizer.build(model.trainable_variables)
        return model

    def restored():
        model, checkpoint = trainer(), Checkpoint(tmp_path, {"a": 1}, lambda _: None)
        checkpoint.precision()
        seconds = checkpoint.read(5)
        checkpoint.restore(model)
        weights = [w.tolist() for w in model.get_weights()]
        return json.dumps([weights, checkpoint.history, checkpoint.step, checkpoint.finished, seconds])

    checkpoint = Checkpoint(tmp_path, {"a": 1}, lambda _: None)
    checkpoint.step, checkpoint.history[:] = 3, [{"epoch": 1, "loss": 0.5}]
    checkpoint.save(trainer(), 3.0, within_epoch=False)
    saved, refused = restored(), []
    for _ in _spoiled(tmp_path / "checkpoint.npz", rng, 40):
        try:
            assert restored() == saved
        except DataError as error:
            refused.append(str(error))
    assert len(refused) > 10
    assert all("checkpoint.npz" in message for message in refused)
