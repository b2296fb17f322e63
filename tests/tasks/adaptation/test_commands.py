"""Laws of moving a lung model to another hospital."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.data.chest import list_radiographs
from helpers.data.radiographs import split_radiographs
from helpers.learn.run_folder import read_run, save_model, write_run
from helpers.models.unet import unet
from helpers.runtime.errors import DataError
from helpers.tasks.adaptation import commands as adapting_command
from helpers.tasks.adaptation import methods
from helpers.tasks.adaptation.commands import adapt
from helpers.tasks.lungs.commands import evaluate_lungs
from tests.tasks.adaptation.both_hospitals import COMPARED, ready, ten_steps

pytestmark = pytest.mark.usefixtures("shallow")
SIZE = 32
PARAMETERS = {"site": "montgomery", "size": SIZE, "filters": 2, "normalisation": "none", "seed": 0}


def model_folder(root, data, normalisation="none"):
    """What `train lungs` leaves, with an untrained network."""
    keras.utils.set_random_seed(0)
    split = split_radiographs(list_radiographs(data), seed=0)
    ids = [identity for identity in (*split.train, *split.validation) if identity.startswith("MCUCXR")]
    learned_from = {identity: {"radiograph": identity} for identity in ids}
    write_run(root, "lungs", {**PARAMETERS, "normalisation": normalisation, "split": split.digest}, split, learned_from)
    save_model(unet(SIZE, 1, 1, filters=2, normalisation=normalisation), root / "model.keras")
    Image.fromarray(np.full((SIZE, SIZE), 200, np.uint8)).save(root / "mean_mask.png")
    return root


@pytest.fixture
def model(chests, tmp_path):
    (tmp_path / "model").mkdir()
    return model_folder(tmp_path / "model", chests)


@pytest.fixture
def short(monkeypatch):
    """Epochs of two steps, batches of two radiographs."""
    monkeypatch.setattr(methods, "STEPS_PER_EPOCH", 2)
    monkeypatch.setattr(adapting_command, "BATCH", 2)


def weights_of(folder):
    return keras.models.load_model(folder / "model.keras", compile=False).get_weights()


def moved(model, data, out, method="adda", **settings):
    keras.utils.set_random_seed(3)  # whatever was drawn before
    return adapt(model, data, "montgomery", "shenzhen", method, out, log=lambda text: None, **settings)


def masks_of(data, prefix):
    """The files of a hospital's masks, in both copies of the set."""
    paths = sorted(Path(data).rglob(f"masks/{prefix}*.png"))
    assert paths
    return paths


def furthest(ones, others):
    return max(np.abs(one - other).max() for one, other in zip(ones, others, strict=True))


def test_the_targets_masks_play_no_part(model, spoiled_chests, tmp_path, short):
    """There, garbage of another shape or no picture at all, gone: the same weights. The source's masks change them.

    The same to a hundredth of the way that the furthest weight went: beside other work one of these trainings, alike in
    all else, ended a six-thousandth away. Adam takes steps of full size, so another mask shows at once.
    """

    def adapted(name):
        return weights_of(moved(model, spoiled_chests, tmp_path / name, "adda+anchor", epochs=2))

    expected = adapted("with")
    way = furthest(expected, weights_of(model))
    assert way > 1e-7
    targets, sources = masks_of(spoiled_chests, "CHNCXR"), masks_of(spoiled_chests, "MCUCXR")
    garbage = np.random.default_rng(0).integers(0, 2, (7, 9), np.uint8) * 255
    for number, path in enumerate(targets):
        Image.fromarray(garbage).save(path) if number % 2 else path.write_bytes(b"no picture")
    assert furthest(adapted("spoiled"), expected) < 1e-2 * way
    for path in targets:
        path.unlink()
    assert furthest(adapted("gone"), expected) < 1e-2 * way
    for path in sources:
        Image.fromarray(np.asarray(Image.open(path))[::-1]).save(path)
    assert furthest(adapted("source"), expected) > 1e-1 * way


def test_what_comes_out_is_a_model_of_lungs(model, chests, tmp_path, short):
    out = moved(model, chests, tmp_path / "out", "mean-teacher", epochs=3)
    run = read_run(out, "lungs")
    assert {key: run["parameters"][key] for key in PARAMETERS} == PARAMETERS
    assert run["parameters"]["adapted"]["method"] == "mean-teacher"
    split = json.loads((out / "split.json").read_text())
    assert {identity for identity in run["learned_from"] if identity.startswith("CHN")} == {
        identity for identity in split["train"] if identity.startswith("CHN")
    }
    scores = evaluate_lungs(out, chests, site="shenzhen", log=lambda text: None)
    assert scores["sites"]["shenzhen"]["n"] >= 1
    lines = []
    again = adapt(model, chests, "montgomery", "shenzhen", "mean-teacher", out, epochs=3, log=lines.append)
    assert again == out
    assert "nothing to do" in lines[0]
    assert not (out / "slices").exists()


def test_the_checkpoint_with_the_highest_choice_is_kept(model, chests, tmp_path, short):
    out = moved(model, chests, tmp_path / "out", "reversal", epochs=12)
    history = pd.read_csv(out / "history.csv")
    assert list(history.epoch) == list(range(13))
    assert {
        "segmentation",
        "discriminator",
        "accuracy",
        "val_dice",
        "relative_entropy_gap",
        "implausible_fraction",
        "selection_score",
    } <= set(history.columns)
    saved = history[history.saved > 0]
    assert len(saved) == len(list((out / "checkpoints").iterdir())) == 10
    network = keras.models.load_model(out / "model.keras", compile=False)
    network.load_weights(out / "checkpoints" / f"epoch_{saved.epoch[saved.selection_score.idxmax()]:04d}.weights.h5")
    for one, other in zip(network.get_weights(), weights_of(out), strict=True):
        np.testing.assert_array_equal(one, other)


def test_histogram_changes_the_radiographs_and_not_the_network(model, chests, tmp_path):
    out = moved(model, chests, tmp_path / "out", "histogram")
    for one, other in zip(weights_of(out), weights_of(model), strict=True):
        np.testing.assert_array_equal(one, other)
    greys = read_run(out)["prepare"]["histogram"]
    assert len(greys) == 256
    assert sum(greys) == pytest.approx(1)


def test_statistics_are_refused_by_a_network_that_has_none(model, chests, tmp_path):
    with pytest.raises(DataError, match="no batch normalisation"):
        moved(model, chests, tmp_path / "out", "statistics")


def test_statistics_change_no_weight_that_learns(chests, tmp_path):
    (tmp_path / "model").mkdir()
    model = model_folder(tmp_path / "model", chests, normalisation="batch")
    out = moved(model, chests, tmp_path / "out", "statistics")
    before, after = (keras.models.load_model(f / "model.keras", compile=False) for f in (model, out))
    for one, other in zip(before.trainable_variables, after.trainable_variables, strict=True):
        np.testing.assert_array_equal(one, other)
    pairs = zip(before.non_trainable_variables, after.non_trainable_variables, strict=True)
    assert any(not np.array_equal(one, other) for one, other in pairs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "magic"}, "method 'magic' is not known; there are histogram, statistics, tent, fourier, reversal"),
        ({"source_site": "shenzhen"}, "was trained at montgomery; it can be adapted from there, not from shenzhen"),
        ({"target_site": "chicago"}, "Unknown site 'chicago'; this set has montgomery and shenzhen"),
        ({"augmentation": "magic"}, "augmentation 'magic' is not known"),
        ({"method": "mean-teacher", "shuffled": True}, "has no discriminator"),
        ({"settings": {"strenth": 1}}, "strenth"),
    ],
)
def test_what_cannot_be_is_refused(change, message, model, chests, tmp_path):
    arguments = {"source_site": "montgomery", "target_site": "shenzhen", "method": "adda"} | change
    with pytest.raises(DataError, match=message):
        adapt(model, chests, out=tmp_path / "out", log=lambda text: None, **arguments)


def test_a_folder_without_the_target_is_refused(model, spoiled_chests, tmp_path):
    for path in Path(spoiled_chests).rglob("CHNCXR*"):
        path.unlink()
    with pytest.raises(DataError, match="X-ray of shenzhen"):
        moved(model, spoiled_chests, tmp_path / "out")


def test_an_adaptation_starts_from_a_model_of_one_hospital(model, chests, tmp_path):
    out = moved(model, chests, tmp_path / "out", "histogram")
    with pytest.raises(DataError, match="is an adaptation itself"):
        moved(out, chests, tmp_path / "again")


@pytest.fixture(scope="module")
def ours():
    """All weights of each method after ten steps, here and on one device; and how far the furthest has gone."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow is compared with others")
    ended = {name: ten_steps(name) for name in COMPARED}
    begun = {name: [keras.ops.convert_to_numpy(weight) for weight in ready(name).weights] for name in COMPARED}
    return {
        name: (weights, max(np.abs(w - b).max() for w, b in zip(weights, begun[name], strict=True)))
        for name, weights in ended.items()
    }


@pytest.mark.parametrize(("where", "backend"), [("cpu:2", "tensorflow"), ("cpu", "jax")], ids=["two devices", "JAX"])
def test_ten_steps_are_the_same_elsewhere(where, backend, ours, tmp_path):
    """No weight is further from its twin than a thousandth of the way that the furthest one went."""
    pytest.importorskip(backend)
    done = subprocess.run(
        [sys.executable, "-m", "tests.tasks.adaptation.both_hospitals", tmp_path / "theirs.npz", where],
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == backend
    theirs = np.load(tmp_path / "theirs.npz")
    for name, (weights, way) in ours.items():
        assert 1e-3 < way < 10
        for number, weight in enumerate(weights):
            np.testing.assert_allclose(theirs[f"{name}/{number:03d}"], weight, atol=1e-3 * way, rtol=0, err_msg=name)
