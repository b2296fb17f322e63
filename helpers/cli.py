"""`python -m helpers …`: every command is a thin door to a function of the package."""

import os
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from helpers.data.errors import DataError
from helpers.lessons.manifest import LessonError

_STARTED = time.monotonic()  # --minutes counts from here: TensorFlow is imported later, inside the commands

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Biomedical image segmentation: the course and its tools.",
)
train_app = typer.Typer(no_args_is_help=True, help="Train on a folder of your own patients.")
app.add_typer(train_app, name="train")
bench_app = typer.Typer(no_args_is_help=True, help="How fast the course's tools are, beside a peer in the same run.")
app.add_typer(bench_app, name="bench")

Data = Annotated[Path, typer.Option("--data", help="A folder that is searched for patients.")]
Out = Annotated[Path, typer.Option("--out", help="The folder to write to.")]


def _say(text: str) -> None:
    print(text, flush=True)


@app.command()
def phantom(
    out: Annotated[Path | None, typer.Option(help="Default: data/phantoms/brats.")] = None,
    patients: Annotated[int | None, typer.Option(min=1)] = None,
    fine: Annotated[
        bool, typer.Option("--fine", help="1 mm voxels, as BraTS has them, instead of a coarse grid.")
    ] = False,
    seed: int = 0,
) -> None:
    """Make phantom patients, laid out as the Kaggle BraTS 2020 set."""
    from helpers.data.phantom import QUICK, make_brats
    from helpers.data.sources import home

    grid = {} if fine else QUICK
    count = {"patients": patients} if patients else {}
    _say(str(make_brats(out or home() / "phantoms" / "brats", **{**grid, **count}, seed=seed)))


@app.command()
def download(
    what: Annotated[Literal["brats", "chest"], typer.Argument(help="Which data set of Kaggle.")],
    patients: Annotated[int | None, typer.Option(min=1, help="Only the first patients of BraTS, file by file.")] = None,
    to: Annotated[Path | None, typer.Option(help="The folder to make; below data/ without.")] = None,
) -> None:
    """Bring a data set from Kaggle; a second call takes up where the first stopped."""
    from helpers.data import sets, sources

    try:
        sources.bring({"brats": sets.BRATS, "chest": sets.CHEST}[what], patients, to)
    except KeyboardInterrupt:
        _say("Stopped. The same command takes up from there.")
        raise typer.Exit(130) from None


@app.command()
def build(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; fail where a notebook is stale.")] = False,
) -> None:
    """Write the notebooks from notebooks/src."""
    from helpers.lessons import build as builder

    if not check:
        builder.build()
    elif complaints := builder.check():
        raise LessonError("\n".join(complaints))


@app.command()
def run(
    lessons: Annotated[list[str] | None, typer.Argument(help="Numbers or names; all without.")] = None,
    profile: str = "quick",
    data: Annotated[Path | None, typer.Option(help="A folder searched for data sets; phantoms without.")] = None,
    out: Annotated[Path, typer.Option(help="Executed lessons, metrics and report.html.")] = Path("runs/course"),
    variant: Annotated[Literal["student", "solution"], typer.Option(help="Exercises unfilled, or solved.")] = "student",
    again: Annotated[bool, typer.Option("--again", help="Run also what has passed unchanged.")] = False,
) -> None:
    """Run lessons from start to end and write a report."""
    from helpers.lessons.run import run_lessons

    raise typer.Exit(run_lessons(lessons or [], profile, out, data, variant, again).exit_code)


@app.command()
def push(
    user: Annotated[str, typer.Option(help="Your name on Kaggle.")],
    lessons: Annotated[list[str] | None, typer.Argument(help="Numbers or names; all without.")] = None,
    profile: Annotated[str, typer.Option(help="Sets the parameters of the lessons.")] = "full",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Stop once build/kaggle is written.")] = False,
    pause: Annotated[float, typer.Option(help="Seconds between two looks at a lesson that runs.")] = 30.0,
) -> None:
    """Run lessons on Kaggle's two T4, and fetch their numbers."""
    from helpers.lessons.push import push as push_lessons
    from helpers.lessons.stage import stage

    helper, staged = stage(lessons or [], user, profile)
    for folder in (helper, *(lesson.folder for lesson in staged)):
        _say(f"Built {folder}")
    if not dry_run:
        results = push_lessons(helper, staged, pause=pause, say=_say)
        raise typer.Exit(int(any(result.status != "passed" for result in results)))


@train_app.command("brain")
def train_brain_command(
    data: Data,
    out: Out,
    minutes: Annotated[
        float | None, typer.Option(help="Wall time until the folder is finished; 30 epochs without.")
    ] = None,
    filters: Annotated[int, typer.Option(help="Features of the U-Net's first level; the paper has 32.")] = 16,
    size: Annotated[int, typer.Option(help="Pixels along each side of the 192 mm window; the paper has 128.")] = 96,
    modalities: Annotated[str, typer.Option(help="Comma-separated, of flair, t1, t1ce, t2.")] = "flair,t1ce",
    loss: Annotated[
        str,
        typer.Option(
            help="One of cross-entropy, weighted-cross-entropy, focal, dice, tversky, dice+cross-entropy, "
            "focal-tversky+cross-entropy."
        ),
    ] = "dice+cross-entropy",
    augmentation: Annotated[str, typer.Option(help="How slices are varied: none, usual or all.")] = "usual",
    focus: Annotated[float, typer.Option(help="Share of a batch drawn from slices with tumour.")] = 0.5,
    seed: int = 0,
    folds: Annotated[int, typer.Option(help="Train this many models, so that each patient is tested once.")] = 1,
) -> None:
    """Train the U-Net on brain tumours, and score it on patients kept out."""
    from helpers.learn.brain import train_brain, train_brain_folds
    from helpers.learn.train import Recipe

    recipe = Recipe(loss, augmentation, focus)
    settings = {"size": size, "filters": filters, "minutes": minutes, "recipe": recipe, "seed": seed, "say": _say}
    names = tuple(name.strip() for name in modalities.lower().split(","))
    if folds > 1:
        _table(train_brain_folds(data, out, folds, names, **settings))
    else:
        import json

        train_brain(data, out, names, started=_STARTED, **settings)
        _table(json.loads((out / "metrics.json").read_text()))


@train_app.command("gate")
def train_gate_command(
    data: Data,
    out: Out,
    minutes: Annotated[
        float | None, typer.Option(help="Wall time until the folder is finished; 30 epochs without.")
    ] = None,
    network: Annotated[
        Literal["compact", "base", "cnn"],
        typer.Option(help="compact (a small transformer), base (ViT-B/16, for a GPU) or cnn (the row to beat)."),
    ] = "compact",
    size: Annotated[
        int | None, typer.Option(help="Pixels along each side of the 192 mm window; 96, or 224 for base.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="ImageNet weights for base.")] = None,
    augmentation: Annotated[str, typer.Option(help="How slices are varied: none, usual or all.")] = "usual",
    seed: int = 0,
    folds: Annotated[int, typer.Option(help="Train this many gates, so that each patient is tested once.")] = 1,
) -> None:
    """Train the gate that says which slices hold tumour, and score it on patients kept out."""
    from helpers.learn.screening import train_gate, train_gate_folds

    settings = {
        "network": network,
        "size": size,
        "weights": weights,
        "minutes": minutes,
        "augmentation": augmentation,
        "seed": seed,
    }
    if folds > 1:
        _gate_table(train_gate_folds(data, out, folds, say=_say, **settings))
    else:
        import json

        train_gate(data, out, started=_STARTED, say=_say, **settings)
        _gate_table(json.loads((out / "metrics.json").read_text()))


@app.command()
def evaluate(
    model_dir: Annotated[Path, typer.Argument(help="A folder that `train` left.")],
    data: Data,
    split: Annotated[
        Literal["test", "all"], typer.Option(help="The kept-out patients, or all of a new folder.")
    ] = "test",
    json: Annotated[Path | None, typer.Option(help="Write the scores here as well.")] = None,
) -> None:
    """Score a trained model on patients it never saw."""
    from helpers.learn.trained import read_run

    if read_run(model_dir)["task"] == "gate":
        from helpers.learn.screening import evaluate_gate

        _gate_table(evaluate_gate(model_dir, data, split, json, _say))
    else:
        from helpers.learn.brain import evaluate_brain

        _table(evaluate_brain(model_dir, data, split, json, _say))


@app.command()
def predict(
    model_dir: Annotated[Path, typer.Argument(help="A folder that `train` left.")],
    patient_dirs: Annotated[list[Path], typer.Argument(help="Folders with patients.")],
    out: Out,
) -> None:
    """Outline tumours: writes <patient>_seg.nii.gz on each patient's own grid."""
    from helpers.learn.brain import predict_brain

    predict_brain(model_dir, patient_dirs, out, _say)


@app.command()
def report(
    patient_dirs: Annotated[list[Path], typer.Argument(help="Folders with patients.")],
    gate: Annotated[Path, typer.Option(help="A folder that `train gate` left.")],
    model: Annotated[Path, typer.Option(help="A folder that `train brain` left.")],
    out: Out,
) -> None:
    """Outline tumours and say how sure: masks, report.json and one page; status 1 where a patient was refused."""
    from helpers.apply.report import report as write_report

    result = write_report(patient_dirs, gate, model, out, _say)
    raise typer.Exit(int(any(patient["status"] == "refused" for patient in result["patients"])))


@app.command()
def audit(
    folders: Annotated[list[Path], typer.Argument(help="Folders that a run uses together: patients, or trainings.")],
) -> None:
    """Look for overlap, files at fault, missing masks and unused copies; status 1 where a score would mislead."""
    from rich.progress import Progress
    from rich.table import Table

    from helpers.data import audit as auditor

    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("")
        findings = auditor.audit(
            folders, lambda folder, done, total: bars.update(bar, description=folder, completed=done, total=total)
        )
    errors = sum(finding.level == "error" for finding in findings)
    table = Table(title=f"{errors} error(s), {len(findings) - errors} note(s)", show_lines=True)
    for column in ("", "check", "folder", "found"):
        table.add_column(column, overflow="fold")
    for one in findings:
        found = one.message + (f": {', '.join(one.names)}" if one.names else "")
        table.add_row(one.level, one.check, one.folder, found, style="red" if one.level == "error" else "")
    Console().print(table)
    raise typer.Exit(1 if errors else 0)


@bench_app.command("viewer")
def bench_viewer_command(
    json: Annotated[Path | None, typer.Option(help="Write the figures here as well.")] = None,
) -> None:
    """From a slider's step to the new slice, in the kernel and in a browser, beside `interact` with matplotlib."""
    from helpers.bench import report, viewer

    result = viewer.bench_viewer()
    viewer.show(result)
    if json:
        report.write(result, json)


def _table(result: dict) -> None:
    """Scores per region beside those of the model that calls everything background."""
    from rich.table import Table

    table = Table(title=f"{result['n']} patients, mean and 95 % interval")
    for column in ("", "Dice", "Jaccard", "HD95\nmm", "volume error\nml", "Dice, all\nbackground"):
        table.add_column(column, no_wrap=True)
    for region, scores in result["regions"].items():
        cells = []
        for key, digits in (("dice", 3), ("jaccard", 3), ("hd95_mm", 1), ("volume_error_ml", 1)):
            mean, (low, high) = scores[key]["mean"], scores[key]["ci95"]
            cells.append(f"{mean:.{digits}f}\n\\[{low:.{digits}f}, {high:.{digits}f}]")
        table.add_row(region, *cells, f"{result['trivial'][region]['dice']['mean']:.3f}")
    Console().print(table)


def _gate_table(result: dict) -> None:
    """Scores of a gate beside those of one that lets every slice with brain pass."""
    from rich.table import Table

    table = Table(title=f"{result['n']} patients, {result['slices']['brain']:,} slices with brain")
    for column in ("", "gate", "95 % interval", "all pass"):
        table.add_column(column, no_wrap=True)
    for name, key in (
        ("AUC", "auc"),
        ("sensitivity", "sensitivity"),
        ("specificity", "specificity"),
        ("share of all slices skipped", "skipped"),
    ):
        low, high = result[key]["ci95"]
        table.add_row(name, f"{result[key]['value']:.3f}", f"{low:.3f} to {high:.3f}", f"{result['trivial'][key]:.3f}")
    Console().print(table)


def main() -> None:
    """Run the command line; a user's mistake ends in one clear message, not in a traceback."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's greetings are not for learners
    try:
        app()
    except (DataError, LessonError, FileExistsError) as error:
        Console(stderr=True).print(f"[bold red]Error[/]: {error}", highlight=False, soft_wrap=True)
        sys.exit(1)
