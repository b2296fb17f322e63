"""Phantom X-rays of two hospitals, and a small model of the one."""

import pytest

from helpers.data.phantoms.chest import make_chest
from helpers.learn.budget import Budget
from helpers.tasks.lungs.commands import train_lungs

SETTINGS = {"size": 32, "filters": 2, "augmentation": "none", "log": lambda _: None}


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory):
    """Twelve X-rays from Montgomery, fourteen from Shenzhen, two of these without a mask; 64 pixels."""
    return make_chest(tmp_path_factory.mktemp("hospitals") / "chest", montgomery=12, shenzhen=14, size=64, seed=2)


@pytest.fixture(scope="module")
def short(shallow):
    """Trainings of two epochs, of shallow networks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Budget, "of", lambda *_, **__: Budget(epochs=2))
        yield


@pytest.fixture(scope="module")
def trained(hospitals, short, tmp_path_factory):
    return train_lungs(hospitals, tmp_path_factory.mktemp("lungs") / "run", "montgomery", **SETTINGS)
