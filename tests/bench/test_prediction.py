"""Tests of the inference benchmark: its parts add up, and its network is the one that `train brain` builds."""

import inspect
import json

import nibabel as nib
import pytest
from typer.testing import CliRunner

from helpers.bench import cold_start, prediction
from helpers.cli import app
from helpers.data.brats import MODALITIES
from helpers.tasks.brain.commands import train_brain

COARSE = {"shape": (60, 60, 39), "spacing": (4.0, 4.0, 155 / 39)}
TINY = {"size": 16, "filters": 2}


@pytest.fixture
def here(monkeypatch, capsys):
    """No subprocess is started; its code runs in this process."""

    def fresh(module, model, out, *folders):
        assert module == "helpers.bench.cold_start"
        cold_start.main(str(model), str(out), [str(folder) for folder in folders])
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    monkeypatch.setattr(prediction, "run_fresh", fresh)


def test_the_network_is_the_one_that_train_brain_builds():
    defaults = inspect.signature(train_brain).parameters
    assert {name: defaults[name].default for name in prediction.DEFAULT} == prediction.DEFAULT


def test_cold_and_warm_patients_are_separate_and_their_parts_add_up(here, monkeypatch, tmp_path):
    found = prediction.bench_prediction(rounds=2, grid=COARSE, network=TINY)
    assert found["cold"]["all"]["n"] == 2
    assert found["warm"]["all"]["n"] == 2 * prediction.PATIENTS
    assert found["files"] == 4
    for when in ("cold", "warm"):
        parts = found[when]
        assert sum(parts[part]["low"] for part in prediction.PARTS) <= parts["all"]["low"] * 1.001
        assert parts["all"]["high"] <= sum(parts[part]["high"] for part in prediction.PARTS) * 1.001
    monkeypatch.setattr(prediction, "bench_prediction", lambda model: found)
    answer = CliRunner().invoke(app, ["bench", "predict", "--json", str(tmp_path / "predict.json")])
    assert answer.exit_code == 0, answer.output
    assert "untrained" in answer.output
    assert json.loads((tmp_path / "predict.json").read_text())["trained"] is False


def test_masks_are_written_on_the_patients_own_grid(tmp_path, capsys):
    patients = prediction.patients(None, tmp_path / "brats", 2, MODALITIES, COARSE, seg=False)
    model = prediction._untrained(tmp_path / "model", **TINY)
    cold_start.main(str(model), str(tmp_path / "out"), [str(patient.folder) for patient in patients])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(result["patients"]) == 2
    assert all(set(patient) == set(prediction.PARTS) for patient in result["patients"])
    for patient in patients:
        mask = nib.load(tmp_path / "out" / f"{patient.id}_seg.nii.gz")
        assert mask.shape == COARSE["shape"]
        assert patient.seg is None
        assert {path.suffixes[-1] for path in patient.images.values()} == {".gz"}


def test_a_model_that_was_given_is_the_one_that_is_timed(here, tmp_path):
    model = prediction._untrained(tmp_path / "model", 32, 2)
    found = prediction.bench_prediction(model, rounds=1, grid=COARSE)
    assert found["trained"] is True
    assert found["network"]["size"] == 32
