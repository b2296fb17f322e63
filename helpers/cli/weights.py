"""Trainings that are passed on: one file with a passport, written here and opened elsewhere."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from helpers.cli.console import console
from helpers.cli.parameters import path_argument, path_option
from helpers.cli.tables import brain_table, gate_table, lungs_table
from helpers.runtime.disk import write_text

app = typer.Typer(no_args_is_help=True, help="Pass a trained model on as one file, and open one.")

_TABLES = {"brain": brain_table, "gate": gate_table, "lungs": lungs_table}


@app.command()
def pack(
    model_dir: Annotated[Path, path_argument(help="A folder that `train` left.")],
    out: Annotated[Path, path_option("--out", help="The file to write.")],
    licence: Annotated[str, typer.Option(help="Under which the weights are passed on, and what their data asks for.")],
) -> None:
    """Write weights, recipe, scores and licence as one file, and a model card; names stay here unless public."""
    from helpers.apply.model_card import model_card
    from helpers.learn.passport import pack_weights

    passport = pack_weights(model_dir, out, licence)
    write_text(model_card(model_dir, licence), out.with_name(f"{out.name}.md"))
    withheld = f"{passport['withheld']} names of patients and sites are withheld, pseudonyms stand for them."
    _print(f"{out}: {out.stat().st_size / 1e6:.1f} MB. {withheld}", passport)


@app.command(name="open")
def open_file(
    file: Annotated[Path, path_argument(help="That `weights pack` wrote.")],
    out: Annotated[Path, path_option("--out", help="The folder to write; `predict` and `report` take it.")],
) -> None:
    """Check a packed model, and write its folder; what was altered since it was packed is refused."""
    from helpers.learn.passport import open_weights

    passport = open_weights(file, out)
    _TABLES[passport["task"]](passport["scores"]["."])
    _print(f"{out} holds a model of {passport['task']}. Licence: {passport['licence']}", passport)


def _print(line: str, passport: dict) -> None:
    for one in (line, f"SHA-256 of the file: {passport['sha256']}. Compare it on another way than the file came."):
        console().print(Text(one))
