"""What is done with a trained model, and with data before it: score, outline, report, audit."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from helpers.cli.tables import brain_table, gate_table

app = typer.Typer()

Data = Annotated[Path, typer.Option("--data", help="A folder that is searched for patients.")]
Out = Annotated[Path, typer.Option("--out", help="The folder to write to.")]


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

        gate_table(evaluate_gate(model_dir, data, split, json, print))
    else:
        from helpers.learn.brain import evaluate_brain

        brain_table(evaluate_brain(model_dir, data, split, json, print))


@app.command()
def predict(
    model_dir: Annotated[Path, typer.Argument(help="A folder that `train` left.")],
    patient_dirs: Annotated[list[Path], typer.Argument(help="Folders with patients.")],
    out: Out,
) -> None:
    """Outline tumours: writes <patient>_seg.nii.gz on each patient's own grid."""
    from helpers.learn.brain import predict_brain

    predict_brain(model_dir, patient_dirs, out, print)


@app.command()
def report(
    patient_dirs: Annotated[list[Path], typer.Argument(help="Folders with patients.")],
    gate: Annotated[Path, typer.Option(help="A folder that `train gate` left.")],
    model: Annotated[Path, typer.Option(help="A folder that `train brain` left.")],
    out: Out,
) -> None:
    """Outline tumours and say how sure: masks, report.json and one page; status 1 where a patient was refused."""
    from helpers.apply.report import report as write_report

    result = write_report(patient_dirs, gate, model, out, print)
    raise typer.Exit(int(any(patient["status"] == "refused" for patient in result["patients"])))


@app.command()
def audit(
    folders: Annotated[list[Path], typer.Argument(help="Folders that a run uses together: patients, or trainings.")],
) -> None:
    """Look for overlap, files at fault, missing masks and unused copies; status 1 where a score would mislead."""
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
