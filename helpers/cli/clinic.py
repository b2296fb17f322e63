"""A trained model at a new hospital: whom to outline first, and what it learns from them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from helpers.cli.parameters import choice, path_argument, path_option
from helpers.cli.tables import curve_table, finetuning_table, order_table
from helpers.cli.train import STARTED, Devices, check_one_length
from helpers.runtime.backend import check_backend
from helpers.runtime.options import LAYERS, ORDERS

app = typer.Typer()

Model = Annotated[Path, path_argument(help="A folder that `train`, `adapt` or `finetune` left.")]
Data = Annotated[Path, path_option("--data", help="A folder that is searched for the new hospital's patients.")]
Out = Annotated[Path, path_option("--out", help="The folder to write to.")]
Site = Annotated[
    str | None, typer.Option(help="The new hospital, where the folder holds several: CBICA, shenzhen, others ...")
]
Test = Annotated[int | None, typer.Option(min=1, help="New patients kept for the test; a fifth without.")]
Old = Annotated[Path | None, path_option(help="The old hospital's patients: what is forgotten there is measured.")]
Minutes = Annotated[float | None, typer.Option(help="Wall time until the folder is finished; 500 steps without.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Or the length of a training in epochs of 20 steps.")]


First = Annotated[str, choice(ORDERS, "finetuning", "Whom to outline first.")]
_LAYERS = "; ".join(f"{name}: {option.help}" for name, option in LAYERS.items())


@app.command()
def finetune(
    model_dir: Model,
    data: Data,
    out: Out,
    patients: Annotated[int | None, typer.Option(min=1, help="Learn from so many; from all without.")] = None,
    first: First = "random",
    layers: Annotated[
        str, typer.Option(metavar="NAME", help=f"auto: tried on folds of the patients; or {_LAYERS}.")
    ] = "auto",
    site: Site = None,
    test: Test = None,
    old: Old = None,
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Draw half of each batch from the old patients it learned from.")
    ] = False,
    minutes: Minutes = None,
    epochs: Epochs = None,
    seed: int = 0,
    devices: Devices = "auto",
) -> None:
    """Go on with a trained model at a new hospital, from a few of its patients, and score it there and at the old."""
    check_one_length(minutes, epochs)
    check_backend()
    from helpers.tasks.finetuning.commands import finetune as finetune_model

    finetune_model(
        model_dir, data, out, patients, first, layers, site, test, old, rehearse, minutes, epochs, seed,
        None if minutes is None else STARTED, devices=devices,
    )  # fmt: skip
    finetuning_table(out)


@app.command("learning-curve")
def learning_curve(
    data: Data,
    out: Out,
    model: Annotated[
        Path | None, path_option(help="To go on with; without, a brain model of the other sites is trained first.")
    ] = None,
    site: Site = None,
    counts: Annotated[str, typer.Option(help="Comma-separated: patients to learn from.")] = "1,2,4,8",
    draws: Annotated[int, typer.Option(min=1, help="Of patients by chance, for each count.")] = 3,
    orders: Annotated[str, typer.Option(help="Comma-separated: whom to outline first.")] = "random,unsure,different",
    layers: Annotated[str, typer.Option(metavar="NAME", help=f"{_LAYERS}.")] = "graded",
    test: Test = None,
    old: Old = None,
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Add a curve with old patients in half of each batch.")
    ] = False,
    minutes: Annotated[float | None, typer.Option(help="Wall time of each training; 500 steps without.")] = None,
    epochs: Epochs = None,
    seed: int = 0,
    devices: Devices = "auto",
) -> None:
    """What 1, 2, 4, 8 patients of a new site are worth, from a model and from nothing; resumes."""
    check_one_length(minutes, epochs)
    check_backend()
    from helpers.tasks.finetuning.curve import learning_curve as run_curve

    whole = [int(count) if count.strip().isdecimal() else count for count in counts.split(",")]
    names = [name.strip() for name in orders.split(",")]
    table = run_curve(
        data, out, model, site, whole, draws, names, layers, test, old, rehearse, minutes, epochs, seed, devices=devices
    )
    curve_table(table)
    from helpers.show.learning_curve import learning_curve as draw_curve

    draw_curve(table).savefig(out / "curve.png")
    print(f"Drawn: {out / 'curve.png'}")


@app.command()
def export(
    model_dir: Model,
    to: Annotated[Literal["onnx", "savedmodel"], typer.Option(help="The format.")],
    out: Annotated[Path, path_option("--out", help="A file that ends in .onnx, or the folder of a SavedModel.")],
    licence: Annotated[str | None, typer.Option(help="Under which the weights are passed on, for the card.")] = None,
) -> None:
    """Write a model for other programs, z-score and window inside, with a model card beside it."""
    check_backend()
    from helpers.apply.export import export as export_model

    export_model(model_dir, to, out, licence)


@app.command("outline-first")
def outline_first(
    model_dir: Model,
    data: Annotated[Path, path_option("--data", help="A folder with the new hospital's patients; no mask is needed.")],
    first: First = "unsure",
    patients: Annotated[int | None, typer.Option(min=1, help="How many to name; all without.")] = None,
    site: Site = None,
    seed: int = 0,
) -> None:
    """Name the patients whose outlines a model is to learn from, the first to be outlined first."""
    check_backend()
    from helpers.tasks.finetuning.outline_first import outline_first as order_patients

    order_table(order_patients(model_dir, data, first, site, seed)[:patients], first)
