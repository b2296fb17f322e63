"""What several tests share: phantom patients on disk, made once, and copies of them to spoil."""

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from helpers.data.brats import read_catalogue
from helpers.data.phantoms.brats import make_brats
from helpers.data.phantoms.chest import make_chest
from helpers.data.resample import Grid
from helpers.data.splits import make_split
from helpers.data.store import open_store
from helpers.runtime.json_files import import_jsonschema
from tests.kaggle_server import kaggle  # noqa: F401 - a fixture

import_jsonschema()  # before a test imports nbformat
os.environ["COURSE_PRECISION"] = "float32"  # the same on every chip; `tests/tasks/test_precisions.py` has the others
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # JAX compiles longer than a test then computes

MODALITIES = ("flair", "t1ce")
LONGEST = (
    "tests/tasks/test_precisions.py",
    "tests/learn/test_devices.py",
    "tests/tasks/adaptation/test_commands.py",
    "tests/faults/test_faults.py",
    "tests/models/test_unet.py",
    "tests/tasks/finetuning/test_curve.py",
    "tests/tasks/finetuning/test_commands.py",
    "tests/tasks/adaptation/test_adversarial.py",
    "tests/tasks/lungs/test_commands.py",
    "tests/learn/test_checkpoint.py",
    "tests/tasks/gate/test_commands.py",
    "tests/lessons/test_run.py",
)
"""The files that take longest, in this order: begun last, one would leave all other processes waiting for it."""


def pytest_collection_modifyitems(items):
    """Run the longest files first; `make test` hands whole files to processes, in the order of the tests."""
    order = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.nodeid.partition("::")[0], len(LONGEST)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Seed every test, before its fixtures: what it draws without a seed is the same alone and after others.

    That is the first weights of a network too: Keras draws the seeds that nobody gave from Python's `random`. Unseeded,
    a law that holds for nearly all networks fails once in a while.
    """
    random.seed(0)
    np.random.seed(0)


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """Eight training patients and one without segmentation, on a 4 mm grid."""
    root = tmp_path_factory.mktemp("phantoms") / "brats"
    return make_brats(root, patients=8, validation=1, shape=(60, 60, 39), spacing=(4.0, 4.0, 155 / 39), seed=1)


@pytest.fixture
def spoiled(phantoms, tmp_path):
    """A copy of the phantoms that a test may damage."""
    return Path(shutil.copytree(phantoms, tmp_path / "brats"))


@pytest.fixture(scope="session")
def chests(tmp_path_factory):
    """Six X-rays from Montgomery, eight from Shenzhen, one of these without a mask; 96 pixels."""
    return make_chest(tmp_path_factory.mktemp("chests") / "chest", montgomery=6, shenzhen=8, size=96, seed=1)


@pytest.fixture
def spoiled_chests(chests, tmp_path):
    """A copy of the phantom X-rays that a test may damage."""
    return Path(shutil.copytree(chests, tmp_path / "chest"))


@pytest.fixture(scope="session")
def patients(phantoms):
    return read_catalogue(phantoms).require(MODALITIES)


@pytest.fixture(scope="session")
def store(patients, tmp_path_factory):
    return open_store(patients, tmp_path_factory.mktemp("store") / "slices", MODALITIES, Grid(32))


@pytest.fixture(scope="session")
def split(patients):
    return make_split(patients, seed=0, folds=4)


@pytest.fixture(scope="session")
def real_data():
    """The folder of real patients; tests that need it skip without."""
    folder = os.environ.get("COURSE_REAL_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("COURSE_REAL_DATA names no folder of real patients")
    return Path(folder)


@pytest.fixture
def rng():
    return np.random.default_rng(0)
