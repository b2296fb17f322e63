"""Every command computes in both half precisions, whatever chip this is; all other tests compute in float32."""

import json

import keras
import numpy as np
import pytest

from helpers.apply.report import report
from helpers.data.brats import read_catalogue
from helpers.data.splits import Split
from helpers.learn import precision
from helpers.learn.budget import Budget
from helpers.learn.run_folder import read_split
from helpers.runtime import options
from helpers.runtime.errors import DataError
from helpers.tasks.adaptation import methods
from helpers.tasks.adaptation.commands import adapt
from helpers.tasks.brain.commands import evaluate_brain, predict_brain, train_brain
from helpers.tasks.finetuning import commands as finetuning
from helpers.tasks.finetuning.commands import finetune
from helpers.tasks.gate.commands import evaluate_gate, train_gate
from helpers.tasks.lungs import training as lungs_training
from helpers.tasks.lungs.commands import evaluate_lungs, train_lungs
from tests.tasks.small import shallow_networks

SIZE = 32
POLICIES = pytest.mark.parametrize("policy", [name for name in precision.POLICIES if name != "float32"], scope="module")


def quiet(line):
    """Takes the lines that a command logs."""


@pytest.fixture(scope="module")
def home(policy, tmp_path_factory):
    """A folder for what is trained in this precision, in trainings of two steps, of shallow networks."""
    with pytest.MonkeyPatch.context() as patch, shallow_networks():
        patch.setenv("COURSE_PRECISION", policy)
        patch.setattr(Budget, "of", lambda *_, **__: Budget(epochs=1))
        patch.setattr(methods, "STEPS_PER_EPOCH", 2)
        patch.setattr(finetuning, "STEPS", 2)
        patch.setattr(lungs_training.fit_lungs, "__defaults__", (*lungs_training.fit_lungs.__defaults__[:-1], 2))
        precision.select_policy.cache_clear()
        yield tmp_path_factory.mktemp(policy)
    precision.select_policy.cache_clear()


def _trained_in(folder, policy):
    run = json.loads((folder / "run.json").read_text())
    history = np.genfromtxt(folder / "history.csv", delimiter=",", names=True)
    assert run["precision"] == policy
    assert np.isfinite(np.atleast_1d(history["loss"])).all()
    return folder


@pytest.fixture(scope="module")
def brain(home, policy, phantoms):
    return _trained_in(train_brain(phantoms, home / "brain", size=SIZE, filters=2, log=quiet), policy)


@pytest.fixture(scope="module")
def lungs(home, policy, chests):
    settings = {"site": "montgomery", "size": SIZE, "filters": 2, "normalisation": "batch"}
    return _trained_in(train_lungs(chests, home / "lungs", **settings, log=quiet), policy)


@pytest.fixture(scope="module")
def gate(home, policy, phantoms):
    return _trained_in(train_gate(phantoms, home / "gate", size=SIZE, log=quiet), policy)


@POLICIES
def test_a_gate_is_trained_and_scored(home, policy, phantoms, gate):
    """The transformer's head on patches once met a mixed policy with a type error."""
    assert 0 <= evaluate_gate(gate, phantoms, log=quiet)["auc"]["value"] <= 1


@POLICIES
def test_a_brain_model_is_trained_scored_and_predicts(home, policy, phantoms, brain):
    assert evaluate_brain(brain, phantoms, log=quiet)["n"] > 0
    patient = next(one for one in read_catalogue(phantoms).patients if one.seg is None)
    assert predict_brain(brain, [patient.folder], home / "masks", quiet)[0].exists()


@POLICIES
def test_a_patient_is_reported(home, policy, phantoms, brain, gate):
    patient = next(one for one in read_catalogue(phantoms).patients if one.seg is None)
    result = report([patient.folder], gate, brain, home / "report", quiet)
    assert result["patients"][0]["status"] in ("outlined", "no tumour found")


@pytest.mark.parametrize("policy", precision.POLICIES, scope="module")
@pytest.mark.parametrize("task", ["brain", "gate", "lungs"], scope="module")
def test_a_model_of_each_task_is_fine_tuned_and_scored(home, policy, phantoms, chests, task, request):
    model = request.getfixturevalue(task)
    if task == "lungs":
        data, whom = chests, {"site": "shenzhen", "patients": 2, "test": 2}
    else:
        unseen = read_split(model).test
        data, whom = phantoms, {"split": Split(unseen[:1], (), unseen[1:2], 0)}
    tuned = finetune(model, data, home / f"tuned_{task}", layers="graded", epochs=1, log=quiet, **whom)
    weights = keras.models.load_model(_trained_in(tuned, policy) / "model.keras", compile=False).get_weights()
    assert all(np.isfinite(weight).all() for weight in weights)
    after = json.loads((tuned / "finetuning.json").read_text())["new"]["after"]
    assert set(after) == set(read_split(tuned).test)
    assert all(0 <= score <= 1 for score in after.values())


@POLICIES
@pytest.mark.parametrize("method", options.METHODS)
def test_a_lung_model_is_adapted_by_every_method(home, policy, chests, lungs, method):
    folder = adapt(lungs, chests, "montgomery", "shenzhen", method, home / method, log=quiet)
    assert evaluate_lungs(folder, chests, site="shenzhen", log=quiet)["n"] > 0
    weights = keras.models.load_model(folder / "model.keras", compile=False).get_weights()
    assert all(np.isfinite(weight).all() for weight in weights)


def test_another_precision_is_refused(monkeypatch):
    monkeypatch.setenv("COURSE_PRECISION", "float8")
    precision.select_policy.cache_clear()
    with pytest.raises(DataError, match="COURSE_PRECISION is 'float8'; expected float32, mixed_bfloat16, mixed_float"):
        precision.select_policy()
    precision.select_policy.cache_clear()
