"""Laws of the trainers' settings: what cannot be trained is refused before anything is read, in a notebook as well."""

import pytest

from helpers.runtime.errors import DataError
from helpers.tasks.adaptation.commands import adapt
from helpers.tasks.adaptation.ladder import DIRECTIONS, run_ladder
from helpers.tasks.brain.commands import evaluate_brain, train_brain, train_brain_folds
from helpers.tasks.brain.recipe import Recipe
from helpers.tasks.finetuning.commands import finetune
from helpers.tasks.gate.commands import evaluate_gate, train_gate, train_gate_folds
from helpers.tasks.lungs.commands import evaluate_lungs, train_lungs

NOWHERE = "nowhere-at-all"  # of data: reading it would be the first complaint, were the settings not tried before
COMMON = [
    ({"size": 90}, "size is 90, which cannot be"),
    ({"size": 10**7}, "size is 10000000"),
    ({"size": 96.0}, "size is 96.0"),
    ({"seed": -1}, "seed is -1"),
    ({"minutes": 0}, "minutes is 0"),
    ({"minutes": float("nan")}, "minutes is nan"),
    ({"devices": "gpu"}, "devices 'gpu'"),
]
UNET = [({"filters": 0}, "filters is 0"), ({"filters": 10**6}, "filters is 1000000")]
MODALITIES = [
    ({"modalities": ("flair", "flair")}, "modality flair is given twice"),
    ({"modalities": ("pet",)}, "'pet' is no modality"),
    ({"modalities": ()}, "nothing is no modality"),
]
GATE = [
    ({"network": "resnet"}, "network 'resnet' is not known"),
    ({"augmentation": "flip"}, "augmentation 'flip' is not known"),
    ({"network": "base", "weights": NOWHERE}, "There is no file"),
]
LUNGS = [
    ({"site": "boston"}, "site 'boston'"),
    ({"epochs": 0}, "epochs is 0"),
    ({"loss": "hinge"}, "loss 'hinge' is not known"),
    ({"augmentation": "flip"}, "augmentation 'flip' is not known"),
]


def _cases():
    for train, cases in (
        (train_brain, [*COMMON, *UNET, *MODALITIES]),
        (train_brain_folds, [*COMMON, *UNET, *MODALITIES, ({"folds": 1}, "folds is 1")]),
        (train_gate, [*COMMON, *GATE]),
        (train_gate_folds, [*COMMON, *GATE, ({"folds": 0}, "folds is 0")]),
        (train_lungs, [*COMMON, *UNET, *LUNGS]),
    ):
        for settings, message in cases:
            yield pytest.param(train, settings, message, id=f"{train.__name__} {settings}")


@pytest.mark.parametrize(("train", "settings", "message"), list(_cases()))
def test_a_trainer_refuses_before_it_reads(train, settings, message, tmp_path):
    folds = {"folds": 2} if train.__name__.endswith("folds") else {}
    with pytest.raises(DataError, match=message):
        train(NOWHERE, tmp_path / "out", **{**folds, **settings})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("train", [train_brain, train_gate, train_lungs])
@pytest.mark.parametrize("place", ["file", "file/run", "/proc/nothing/run"])
def test_a_trainer_tries_its_folder_before_it_reads(train, place, tmp_path):
    (tmp_path / "file").write_text("content")
    with pytest.raises(DataError, match=r"is a file|cannot be written"):
        train(NOWHERE, tmp_path / place)
    assert (tmp_path / "file").read_text() == "content"


@pytest.mark.parametrize("evaluate", [evaluate_brain, evaluate_gate, evaluate_lungs])
def test_an_evaluation_tries_its_file_before_it_reads(evaluate, tmp_path):
    with pytest.raises(DataError, match="is a folder; name a file by --json"):
        evaluate(NOWHERE, NOWHERE, json_path=tmp_path)
    with pytest.raises(DataError, match=f"{NOWHERE} holds no finished training"):
        evaluate(NOWHERE, NOWHERE, json_path=tmp_path / "new" / "scores.json")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"directions": ["here-there"]}, "'here-there' is no direction"),
        ({"experiments": ["magic"]}, "'magic' is no experiment"),
        ({"experiments": []}, "nothing is no experiment"),
        ({"seeds": 0}, "seeds is 0"),
        ({"minutes": 0}, "minutes is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"size": 90}, "size is 90"),
        ({"filters": 0}, "filters is 0"),
        ({"depth": 3}, "depth is no setting"),
    ],
)
def test_the_ladder_refuses_before_it_reads(settings, message, tmp_path):
    with pytest.raises(DataError, match=message):
        run_ladder(NOWHERE, tmp_path / "out", **{"directions": DIRECTIONS, **settings})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "magic"}, "method 'magic' is not known"),
        ({"minutes": 0}, "minutes is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"source_site": "boston"}, "Unknown site 'boston'"),
        ({}, "holds no finished training"),
    ],
)
def test_an_adaptation_refuses_before_it_reads(settings, message, tmp_path):
    arguments = {"source_site": "montgomery", "target_site": "shenzhen", "method": "adda", **settings}
    with pytest.raises(DataError, match=message):
        adapt(NOWHERE, NOWHERE, out=tmp_path / "out", **arguments)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patients": 0}, "patients is 0"),
        ({"test": 0}, "test is 0"),
        ({"first": "magic"}, "order 'magic' is not known"),
        ({"layers": "some"}, "layers 'some' is not known"),
        ({"minutes": 0}, "minutes is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"devices": "gpu"}, "devices 'gpu'"),
        ({"rehearse": True}, "give it by --old"),
        ({}, "holds no finished training"),
    ],
)
def test_a_fine_tuning_refuses_before_it_reads(settings, message, tmp_path):
    with pytest.raises(DataError, match=message):
        finetune(NOWHERE, NOWHERE, tmp_path / "out", **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"focus": 1.5}, "focus is 1.5"),
        ({"focus": float("nan")}, "focus is nan"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"loss": "hinge"}, "loss 'hinge'"),
    ],
)
def test_a_recipe_is_checked_when_it_is_made(settings, message):
    with pytest.raises(DataError, match=message):
        Recipe(**settings)
