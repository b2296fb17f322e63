"""`train …`: a model from a folder of your own patients."""

import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from helpers.cli.parameters import choice, path_option
from helpers.cli.tables import brain_table, gate_table, lungs_table
from helpers.runtime.backend import check_backend
from helpers.runtime.options import AUGMENTATIONS, DECISIONS, LOSSES, NETWORKS, NORMALISATIONS
from helpers.tasks.brain.recipe import DEFAULT

STARTED = time.monotonic()  # --minutes counts from here: TensorFlow is imported later, inside the commands

app = typer.Typer(no_args_is_help=True, help="Train on a folder of your own patients.")

Data = Annotated[Path, path_option("--data", help="A folder that is searched for patients.")]
Out = Annotated[Path, path_option("--out", help="The folder to write to.")]
Minutes = Annotated[float | None, typer.Option(help="Wall time until the folder is finished; 30 epochs without.")]
Loss = Annotated[str, choice(LOSSES, "brain", "What training minimises.")]
Augmentation = Annotated[str, choice(AUGMENTATIONS, "brain", "How slices are augmented.")]
XRayAugmentation = Annotated[str, choice(AUGMENTATIONS, "lungs", "How radiographs are augmented.")]
Devices = Annotated[
    str, typer.Option(help="Where to train: auto, a number of GPUs, cpu, or cpu:2 (two devices made of the CPU).")
]

Folds = Annotated[
    int, typer.Option(min=1, help="Train so many models that each patient is tested once; they are one ensemble.")
]
By = Annotated[
    Literal["site"] | None, typer.Option(help="One fold for each hospital, tested by a model of the others.")
]
Final = Annotated[
    bool, typer.Option("--final", help="With folds: train one more on everybody, as long as the folds found best.")
]


def _folds(folds: int, by: str | None, final: bool) -> int | str:
    if final and folds == 1 and not by:
        raise typer.BadParameter(
            "--final was given without --folds; only folds can say how long to train on everybody."
        )
    if by and folds > 1:
        raise typer.BadParameter(f"--by {by} and --folds {folds} were given; give one of the two.")
    return by or folds


def _sixteenths(size: int) -> int:
    if size % 16:
        raise typer.BadParameter(f"{size} cannot be halved four times; give a multiple of 16.")
    return size


@app.command("brain")
def train_brain_command(
    data: Data,
    out: Out,
    minutes: Minutes = None,
    filters: Annotated[int, typer.Option(help="Features of the U-Net's first level; the paper has 32.")] = 16,
    size: Annotated[int, typer.Option(help="Pixels along each side of the 192 mm window; the paper has 128.")] = 96,
    modalities: Annotated[str, typer.Option(help="Comma-separated, of flair, t1, t1ce, t2.")] = "flair,t1ce",
    loss: Loss = DEFAULT.loss,
    augmentation: Augmentation = DEFAULT.augmentation,
    focus: Annotated[
        float, typer.Option(min=0, max=1, help="Share of a batch drawn from slices with tumour.")
    ] = DEFAULT.focus,
    normalisation: Annotated[
        str, choice(NORMALISATIONS, "brain", "What follows a convolution.")
    ] = DEFAULT.normalisation,
    residual: Annotated[
        bool, typer.Option("--residual", help="With a way round every two convolutions.")
    ] = DEFAULT.residual,
    reach: Annotated[
        int, typer.Option(min=0, max=4, help="Neighbouring slices to each side, seen too (2.5-D).")
    ] = DEFAULT.reach,
    modality_dropout: Annotated[
        float, typer.Option(min=0, max=0.9, help="Chance of a modality to be missing; then any of them will do.")
    ] = DEFAULT.modality_dropout,
    crop: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the window's side that a step sees, at a random place.")
    ] = DEFAULT.crop,
    decision: Annotated[str, choice(DECISIONS, "brain", "How probabilities become a mask.")] = DEFAULT.decision,
    seed: int = 0,
    folds: Folds = 1,
    by: By = None,
    final: Final = False,
    devices: Devices = "auto",
) -> None:
    """Train the U-Net on brain tumours, and score it on patients kept out."""
    parts = _folds(folds, by, final)
    check_backend()
    from helpers.learn.run_folder import read_metrics
    from helpers.tasks.brain.commands import train_brain, train_brain_folds
    from helpers.tasks.brain.recipe import Recipe

    recipe = Recipe(
        loss,
        augmentation,
        focus,
        normalisation=normalisation,
        residual=residual,
        reach=reach,
        modality_dropout=modality_dropout,
        crop=crop,
        decision=decision,
    )
    settings = {"size": size, "filters": filters, "minutes": minutes, "recipe": recipe, "seed": seed}
    settings |= {"devices": devices, "log": print}
    names = tuple(name.strip() for name in modalities.lower().split(","))
    if parts != 1:
        brain_table(train_brain_folds(data, out, parts, names, final=final, started=STARTED, **settings))
    else:
        train_brain(data, out, names, started=STARTED, **settings)
        brain_table(read_metrics(out))


@app.command("gate")
def train_gate_command(
    data: Data,
    out: Out,
    minutes: Minutes = None,
    network: Annotated[str, choice(NETWORKS, "gate", "What the gate is.")] = "compact",
    size: Annotated[
        int | None, typer.Option(help="Pixels along each side of the 192 mm window; 96, or 224 for base.")
    ] = None,
    weights: Annotated[Path | None, path_option(help="ImageNet weights for base.")] = None,
    augmentation: Augmentation = "usual",
    seed: int = 0,
    folds: Folds = 1,
    by: By = None,
    final: Final = False,
    devices: Devices = "auto",
) -> None:
    """Train the gate that says which slices hold tumour, and score it on patients kept out."""
    parts = _folds(folds, by, final)
    check_backend()
    from helpers.learn.run_folder import read_metrics
    from helpers.tasks.gate.commands import train_gate, train_gate_folds

    settings = {
        "network": network,
        "size": size,
        "weights": weights,
        "minutes": minutes,
        "augmentation": augmentation,
        "seed": seed,
        "devices": devices,
    }
    if parts != 1:
        gate_table(train_gate_folds(data, out, parts, final=final, log=print, started=STARTED, **settings))
    else:
        train_gate(data, out, started=STARTED, log=print, **settings)
        gate_table(read_metrics(out))


@app.command("lungs")
def train_lungs_command(
    data: Annotated[Path, path_option("--data", help="A folder that holds chest X-rays and their masks.")],
    out: Out,
    site: Annotated[
        Literal["montgomery", "shenzhen", "both"], typer.Option(help="The hospital to learn from.")
    ] = "both",
    minutes: Annotated[
        float | None, typer.Option(help="Wall time until the folder is finished; 500 steps without.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Or its length in epochs of 20 steps, the same on every machine.")
    ] = None,
    filters: Annotated[int, typer.Option(min=1, help="Features of the U-Net's first level; the paper has 32.")] = 16,
    size: Annotated[
        int, typer.Option(min=16, callback=_sixteenths, help="Pixels along each side of the square that is seen.")
    ] = 128,
    normalisation: Annotated[str, choice(NORMALISATIONS, "lungs", "What follows a convolution.")] = "none",
    loss: Loss = "dice+cross-entropy",
    augmentation: XRayAugmentation = "xray",
    seed: int = 0,
    folds: Folds = 1,
    final: Final = False,
    devices: Devices = "auto",
) -> None:
    """Train the U-Net on the lungs of one hospital or of both, and score it on X-rays kept out."""
    check_one_length(minutes, epochs)
    parts = _folds(folds, None, final)
    check_backend()
    from helpers.learn.run_folder import read_metrics
    from helpers.tasks.lungs.commands import train_lungs, train_lungs_folds

    settings = {
        "size": size,
        "filters": filters,
        "normalisation": normalisation,
        "augmentation": augmentation,
        "loss": loss,
        "minutes": minutes,
        "epochs": epochs,
        "seed": seed,
        "devices": devices,
    }
    if parts != 1:
        train_lungs_folds(data, out, parts, site, final=final, started=STARTED, log=print, **settings)
    else:
        train_lungs(data, out, site, started=STARTED, log=print, **settings)
    lungs_table(read_metrics(out))


def check_one_length(minutes: float | None, epochs: int | None) -> None:
    """Refuse minutes and epochs together.

    Args:
        minutes: that were given, or None.
        epochs: that were given, or None.
    """
    if minutes is not None and epochs is not None:
        raise typer.BadParameter(f"{minutes:g} minutes and {epochs} epochs were given; give one of the two.")
