"""Laws of the orders in which patients are outlined: no mask is read, the least sure and the farthest come first."""

import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from helpers.cli import app
from helpers.data.chest import read_chest
from helpers.runtime.errors import DataError
from helpers.tasks.finetuning import outline_first as orders
from helpers.tasks.finetuning.outline_first import in_order, k_centre, outline_first

pytestmark = pytest.mark.usefixtures("short")


def quiet(line):
    """Takes the lines that a function logs."""


@pytest.fixture(scope="module")
def xrays(hospitals):
    return read_chest(hospitals).require("shenzhen")


@pytest.mark.parametrize("name", ["random", "unsure", "different"])
def test_an_order_names_each_patient_once_without_a_mask(name, lungs, hospitals, tmp_path, xrays):
    root = shutil.copytree(hospitals, tmp_path / "chest", ignore=shutil.ignore_patterns("masks"))
    found = outline_first(lungs, root, name, "shenzhen", log=quiet)
    assert len(found) == len(set(found)) == 14
    assert outline_first(lungs, root, name, "shenzhen", log=quiet) == found


def test_whom_the_model_is_least_sure_of_comes_first(lungs, xrays):
    _, entropies = orders._look(lungs, xrays, quiet)
    found = in_order("unsure", lungs, xrays, log=quiet)
    by = dict(zip((one.id for one in xrays), entropies, strict=True))
    assert [by[one] for one in found] == sorted(entropies, reverse=True)
    assert 0 <= min(entropies) <= max(entropies) <= 1


def test_chance_differs_by_seed(lungs, xrays):
    assert in_order("random", lungs, xrays, 0, quiet) != in_order("random", lungs, xrays, 1, quiet)


@given(st.integers(2, 12), st.integers(0, 99))
def test_k_centre_covers_within_twice_the_best_radius(count, seed):
    """The greedy choice leaves nobody farther from it than twice as far as the best choice would (Gonzalez 1985)."""
    points = np.random.default_rng(seed).normal(size=(count, 2))
    order = k_centre(points)
    assert sorted(order) == list(range(count))
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    radius = distances[:, order[:2]].min(axis=1).max()
    best = min(distances[:, [i, j]].min(axis=1).max() for i in range(count) for j in range(i))
    assert radius <= 2 * best + 1e-9


def test_patients_that_the_model_knows_are_refused(lungs, hospitals):
    with pytest.raises(DataError, match="name the new one by --site"):
        outline_first(lungs, hospitals, "unsure", log=quiet)


def test_the_command_lists_so_many(lungs, hospitals):
    words = ["outline-first", str(lungs), "--data", str(hospitals), "--site", "shenzhen", "--patients", "3"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert result.output.count("CHNCXR") == 3
