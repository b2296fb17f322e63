"""Two small models, of a hospital each, and trainings of two steps."""

from contextlib import contextmanager

import pytest

from helpers.data.phantoms.brats import make_brats
from helpers.data.phantoms.chest import make_chest
from helpers.learn.budget import Budget
from helpers.tasks.finetuning import commands
from helpers.tasks.lungs import training
from helpers.tasks.lungs.commands import train_lungs
from tests.tasks.small import shallow_networks


@contextmanager
def _shortened():
    with pytest.MonkeyPatch.context() as patch, shallow_networks():
        patch.setattr(Budget, "of", lambda *_, **__: Budget(epochs=1))
        patch.setattr(commands, "STEPS", 2)
        patch.setattr(training.fit_lungs, "__defaults__", (*training.fit_lungs.__defaults__[:-1], 2))
        yield


@pytest.fixture(scope="module")
def short():
    """Trainings of one epoch of two steps, of shallow networks; other tests of the process need what this replaces."""
    with _shortened():
        yield


@pytest.fixture(scope="package")
def hospitals(tmp_path_factory):
    """Twelve X-rays from Montgomery, fourteen from Shenzhen, two of these without a mask; 64 pixels."""
    return make_chest(tmp_path_factory.mktemp("hospitals") / "chest", montgomery=12, shenzhen=14, size=64, seed=2)


@pytest.fixture(scope="package")
def lungs(hospitals, tmp_path_factory):
    """A model of Montgomery."""
    settings = {"size": 32, "filters": 2, "augmentation": "none", "log": lambda _: None}
    with _shortened():
        return train_lungs(hospitals, tmp_path_factory.mktemp("lungs") / "run", "montgomery", **settings)


@pytest.fixture(scope="package")
def brats(tmp_path_factory):
    """Eleven patients, three of them from TCIA01, on a 4 mm grid."""
    root = tmp_path_factory.mktemp("brats") / "brats"
    return make_brats(root, patients=11, validation=1, shape=(60, 60, 39), spacing=(4.0, 4.0, 155 / 39), seed=1)
