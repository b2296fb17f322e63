"""Laws of the tables of names: they and the code name the same things, and the command line offers them."""

import subprocess
import sys
from collections.abc import Callable

import keras
import pytest
import typer

from helpers.cli import app
from helpers.cli.parameters import choice
from helpers.learn import losses
from helpers.prepare.augment import TRANSFORMS
from helpers.runtime import options
from helpers.runtime.errors import DataError
from helpers.tasks.adaptation import methods
from helpers.tasks.gate import recipe

TABLES = {
    "loss": options.LOSSES,
    "augmentation": options.AUGMENTATIONS,
    "network": options.NETWORKS,
    "method": options.METHODS,
}
EVERY = [pytest.param(option, id=f"{kind} {name}") for kind, table in TABLES.items() for name, option in table.items()]


def _defined(module, kind) -> set[object]:
    """What a module defines of a kind; one of each, whatever its names are."""
    return {id(value): value for value in vars(module).values() if kind(value)}.values()


@pytest.mark.parametrize("option", EVERY)
def test_every_name_stands_for_something_and_says_what(option):
    assert option.load() is not None
    assert option.help
    assert not option.help.endswith(".")


def test_every_loss_has_a_name():
    def is_loss(value):
        return isinstance(value, type) and issubclass(value, keras.losses.Loss) and value is not losses.PrecomputedLoss

    assert {option.load() for option in options.LOSSES.values()} == set(_defined(losses, is_loss))


def test_every_method_that_trains_has_a_name():
    named = [option.load() for option in options.METHODS.values()]
    defined = _defined(methods, lambda value: isinstance(value, methods.Method))
    assert {id(one) for one in named if isinstance(one, methods.Method)} == {id(one) for one in defined}
    assert all(isinstance(one, methods.Method | Callable) for one in named)


def test_every_network_of_the_gate_has_a_name():
    defined = _defined(recipe, lambda value: isinstance(value, recipe.GateNetwork))
    assert {id(option.load()) for option in options.NETWORKS.values()} == {id(one) for one in defined}


def test_augmentations_are_made_of_transforms():
    for name, option in options.AUGMENTATIONS.items():
        assert set(option.load()) <= set(TRANSFORMS), name


@pytest.mark.parametrize(
    ("command", "option", "table", "task"),
    [
        (("train", "brain"), "loss", options.LOSSES, "brain"),
        (("train", "lungs"), "loss", options.LOSSES, "lungs"),
        (("train", "brain"), "augmentation", options.AUGMENTATIONS, "brain"),
        (("train", "gate"), "augmentation", options.AUGMENTATIONS, "gate"),
        (("train", "lungs"), "augmentation", options.AUGMENTATIONS, "lungs"),
        (("adapt",), "augmentation", options.AUGMENTATIONS, "adaptation"),
        (("train", "gate"), "network", options.NETWORKS, "gate"),
        (("adapt",), "method", options.METHODS, "adaptation"),
    ],
)
def test_the_command_line_offers_every_name_of_its_task(command, option, table, task):
    found = typer.main.get_command(app)
    for part in command:
        found = found.commands[part]
    parameter = next(one for one in found.params if one.name == option)
    offered = options.names(table, task)
    assert "; ".join(f"{name}: {table[name].help}" for name in offered) in parameter.help
    assert parameter.default in (None, *offered)


def test_names_of_older_versions_are_understood():
    assert options.load(options.AUGMENTATIONS, "films", "augmentation") is options.AUGMENTATIONS["xray"].load()
    assert choice(options.AUGMENTATIONS, "lungs", "").parser("films") == "xray"


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(DataError, match="loss 'hinge' is not known; there are cross-entropy, weighted-cross-entropy"):
        options.check(options.LOSSES, "hinge", "loss")


def test_the_tables_need_no_keras():
    code = "import sys, helpers.cli; sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
