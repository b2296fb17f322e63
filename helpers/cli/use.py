"""What is done with a trained model, and with data before it: score, outline, report, audit."""

from json import dumps
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape
from rich.progress import Progress

from helpers.cli.console import console, print_table
from helpers.cli.parameters import choice, path_argument, path_option
from helpers.cli.tables import (
    ablation_table,
    brain_table,
    claim_table,
    comparison_table,
    gate_table,
    ladder_table,
    lungs_table,
    recipes_table,
    subsets_table,
)
from helpers.cli.train import STARTED
from helpers.runtime.backend import check_backend
from helpers.runtime.disk import atomic_path, write_json, write_text
from helpers.runtime.errors import DataError
from helpers.runtime.options import AUGMENTATIONS, METHODS
from helpers.runtime.outputs import writable_file

app = typer.Typer()

Data = Annotated[Path, path_option("--data", help="A folder that is searched for patients.")]
FIGURES = (".png", ".svg", ".pdf")
_SERIES = "Of DICOM: the SeriesInstanceUID to take, where the folder leaves it open; `dicom` lists them."
Out = Annotated[Path, path_option("--out", help="The folder to write to.")]


@app.command()
def evaluate(
    model_dir: Annotated[Path, path_argument(help="A folder that `train` left.")],
    data: Data,
    split: Annotated[
        Literal["test", "all"], typer.Option(help="The kept-out patients, or all of a new folder.")
    ] = "test",
    site: Annotated[
        Literal["montgomery", "shenzhen", "both"] | None, typer.Option(help="Of lungs: one hospital alone.")
    ] = None,
    gate: Annotated[
        Path | None,
        path_option(help="Folds of `train gate`: score those of `train brain` with and without them."),
    ] = None,
    subsets: Annotated[
        bool, typer.Option("--subsets", help="Of a brain model that takes any modalities: Dice for each set of them.")
    ] = False,
    json: Annotated[Path | None, path_option(help="Write the scores here as well.")] = None,
) -> None:
    """Score a trained model on patients it never saw."""
    check_backend()
    from helpers.learn.run_folder import read_run

    if gate:
        if site or split != "test":
            raise typer.BadParameter(
                "--gate scores each patient in the fold of its test; leave out --site and --split."
            )
        if json is None:
            raise typer.BadParameter("--gate takes hours and saves every patient: give a file by --json as well.")
        from helpers.apply.gate_ablation import evaluate_folds

        ablation_table(evaluate_folds(data, gate, model_dir, json, print))
        return
    task = read_run(model_dir)["task"]
    if site and task != "lungs":
        raise DataError(f"{model_dir} is a training of {task!r}; only one of lungs is scored by --site.")
    if subsets and task != "brain":
        raise DataError(f"{model_dir} is a training of {task!r}; --subsets is for one of brain.")
    if task == "lungs":
        from helpers.tasks.lungs.commands import evaluate_lungs

        lungs_table(evaluate_lungs(model_dir, data, split, site or "both", json, print))
    elif task == "gate":
        from helpers.tasks.gate.commands import evaluate_gate

        gate_table(evaluate_gate(model_dir, data, split, json, print))
    else:
        from helpers.tasks.brain.commands import evaluate_brain

        result = evaluate_brain(model_dir, data, split, json, print, subsets)
        brain_table(result)
        if subsets:
            subsets_table(result)


@app.command()
def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            help="A file that `evaluate --json` wrote for each model; several seeds of one joined by commas."
        ),
    ],
    json: Annotated[Path | None, path_option(help="Write the comparison here as well.")] = None,
    figure: Annotated[Path | None, path_option(help="Draw each patient under each model: .png, .svg or .pdf.")] = None,
) -> None:
    """Compare models on the patients that all were scored on: paired differences, and whether they can be told."""
    from helpers.measure.model_comparison import compare_models

    json = writable_file(json) if json else None
    if figure and figure.suffix.lower() not in FIGURES:
        raise typer.BadParameter(f"{figure} ends in {figure.suffix or 'nothing'}; a figure is .png, .svg or .pdf.")
    figure = writable_file(figure, "--figure", FIGURES) if figure else None
    comparison = compare_models(models)
    comparison_table(comparison)
    if json:
        write_json(comparison.as_json(), json)
    if figure:
        from helpers.show.comparison import draw_comparison

        figure.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(figure) as scratch:
            draw_comparison(comparison).savefig(scratch)


@app.command()
def predict(
    model_dir: Annotated[Path, path_argument(help="A folder that `train` left.")],
    patient_dirs: Annotated[
        list[Path], path_argument(help="Folders with patients, or DICOM of an archive; of lungs, with X-rays.")
    ],
    out: Out,
    flair: Annotated[str | None, typer.Option(help=_SERIES)] = None,
    t1: Annotated[str | None, typer.Option(help=_SERIES)] = None,
    t1ce: Annotated[str | None, typer.Option(help=_SERIES)] = None,
    t2: Annotated[str | None, typer.Option(help=_SERIES)] = None,
    brain_mask: Annotated[
        Path | None, path_option(help="Of DICOM with a skull: NIfTI on the grid of one of the series.")
    ] = None,
) -> None:
    """Outline tumours on each patient's own grid, or on the scanner's own series; or lungs on X-rays."""
    check_backend()
    from helpers.data.dicom.headers import holds_dicom
    from helpers.learn.run_folder import read_run

    task = read_run(model_dir)["task"]
    named = {kind: uid for kind, uid in {"flair": flair, "t1": t1, "t1ce": t1ce, "t2": t2}.items() if uid}
    dicom = [] if task == "lungs" else [folder for folder in patient_dirs if holds_dicom(folder)]
    if (named or brain_mask) and not dicom:
        raise typer.BadParameter("--flair, --t1, --t1ce, --t2 and --brain-mask are for brain models and DICOM folders.")
    if task == "lungs":
        from helpers.tasks.lungs.prediction import predict_lungs

        _, refused = predict_lungs(model_dir, patient_dirs, out, print)
        raise typer.Exit(int(bool(refused)))
    from helpers.tasks.brain.commands import predict_brain

    if dicom:
        from helpers.apply.dicom import predict_dicom

        predict_dicom(model_dir, dicom, out, named, brain_mask, print)
    if others := [folder for folder in patient_dirs if folder not in dicom]:
        predict_brain(model_dir, others, out, print)


@app.command()
def dicom(
    folder: Annotated[Path, path_argument(help="A folder as an archive exports it.")],
) -> None:
    """List the studies and series of DICOM files, what each is, and why; status 1 where files cannot be read."""
    from helpers.data.dicom.catalogue import read_archive

    archive = read_archive(folder)
    for study in archive.studies:
        print_table(
            f"{study.id} ({study.uid})",
            ("what", "images", "size", "series", "why"),
            (
                (one.kind, one.images, one.size, one.uid, "; ".join([one.reason, *one.remarks, *one.problems]))
                for one in study.series
            ),
        )
    print(*archive.problems, *[f"{archive.others} other files"] * bool(archive.others), sep="\n")
    raise typer.Exit(int(bool(archive.problems)))


@app.command()
def report(
    patient_dirs: Annotated[list[Path], path_argument(help="Folders with patients; of lungs, with X-rays.")],
    model: Annotated[Path, path_option(help="A folder that `train brain` or `train lungs` left.")],
    out: Out,
    gate: Annotated[Path | None, path_option(help="Of a brain model: a folder that `train gate` left.")] = None,
) -> None:
    """Outline tumours, or lungs, with warnings: masks, report.json and one page; status 1 where one was refused."""
    check_backend()
    from helpers.learn.run_folder import read_run

    if read_run(model)["task"] == "lungs":
        if gate:
            raise typer.BadParameter(f"{model} is a model of lungs, which has no gate; leave out --gate.")
        from helpers.apply.lung_report import report_lungs

        result = report_lungs(patient_dirs, model, out, print)
    else:
        if gate is None:
            raise typer.BadParameter("--gate is missing: the folder of a `train gate`, which a brain model needs.")
        from helpers.apply.report import report as write_report

        result = write_report(patient_dirs, gate, model, out, print)
    raise typer.Exit(int(any(one["status"] == "refused" for one in result["patients"])))


@app.command()
def adapt(
    model_dir: Annotated[Path, path_argument(help="A folder that `train lungs` left, trained at one hospital.")],
    data: Annotated[
        Path, path_option("--data", help="Chest X-rays of both; with masks for --from alone, if you like.")
    ],
    source: Annotated[Literal["montgomery", "shenzhen"], typer.Option("--from", help="Where the model was trained.")],
    target: Annotated[
        Literal["montgomery", "shenzhen"], typer.Option("--to", help="Where it shall work; --from again is a check.")
    ],
    method: Annotated[str, choice(METHODS, "adaptation", "How; lesson 10 tries them one by one.")],
    out: Out,
    minutes: Annotated[
        float | None, typer.Option(help="Wall time until the folder is finished; 400 steps without.")
    ] = None,
    augmentation: Annotated[
        str | None, choice(AUGMENTATIONS, "adaptation", "How radiographs are augmented; the method's own without.")
    ] = None,
    seed: int = 0,
) -> None:
    """Move a lung model to another hospital, whose masks are not read; `evaluate` scores it there."""
    check_backend()
    from helpers.learn.run_folder import read_metrics
    from helpers.tasks.adaptation.commands import adapt as adapt_lungs

    started = None if minutes is None else STARTED
    adapt_lungs(
        model_dir, data, source, target, method, out, minutes, augmentation=augmentation, seed=seed, started=started
    )
    lungs_table(read_metrics(out))


@app.command()
def ladder(
    data: Annotated[Path, path_option("--data", help="Chest X-rays of both hospitals, and their masks.")],
    out: Out,
    minutes: Annotated[
        float | None, typer.Option(help="Wall time of each training; 10 where no length is given.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Or its length in epochs of 20 steps, the same on every machine.")
    ] = None,
    directions: Annotated[
        str, typer.Option(help="Comma-separated; from one hospital to the other.")
    ] = "montgomery-shenzhen,shenzhen-montgomery",
    experiments: Annotated[
        str | None, typer.Option(help="Comma-separated; all without. What they start from comes too.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each experiment.")] = 1,
    size: Annotated[int, typer.Option(help="Pixels along each side of the network's input.")] = 128,
    filters: Annotated[int, typer.Option(help="Features of the U-Net's first level; the paper has 32.")] = 16,
) -> None:
    """Run the ladder of adaptation experiments between hospitals; what is finished in --out is not run again."""
    if minutes is not None and epochs is not None:
        raise typer.BadParameter(f"{minutes:g} minutes and {epochs} epochs were given; give one of the two.")
    if minutes is None and epochs is None:
        minutes = 10.0
    check_backend()
    from helpers.tasks.adaptation.ladder import EXPERIMENTS, run_ladder

    names = list(EXPERIMENTS) if experiments is None else _listed(experiments)
    table = run_ladder(data, out, _listed(directions), names, seeds, minutes, epochs, size=size, filters=filters)
    from helpers.tasks.adaptation.label_ceiling import ladder_label_ceiling, sentences

    for direction, rows in table.items():
        ladder_table(direction, rows)
        if found := ladder_label_ceiling(out, data, direction):
            print(*sentences(found, *direction.split("-")), sep="\n")


@app.command()
def audit(
    folders: Annotated[list[Path], path_argument(help="Folders that a run uses together: patients, or trainings.")],
) -> None:
    """Look for overlap, files at fault, missing masks and unused copies; status 1 where a score would mislead."""
    from helpers.data.audit import report as auditor

    with Progress(console=console(stderr=True), transient=True) as bars:
        bar = bars.add_task("")
        findings = auditor.audit(
            folders,
            lambda folder, done, total: bars.update(bar, description=escape(folder), completed=done, total=total),
        )
    errors = sum(finding.level == "error" for finding in findings)
    print_table(
        f"{errors} error(s), {len(findings) - errors} note(s)",
        ("", "check", "folder", "found"),
        (
            (one.level, one.check, one.folder, one.message + (f": {', '.join(one.names)}" if one.names else ""))
            for one in findings
        ),
        ("red" if one.level == "error" else "" for one in findings),
    )
    raise typer.Exit(1 if errors else 0)


@app.command()
def recipes(
    data: Data,
    out: Out,
    minutes: Annotated[
        float, typer.Option(help="Wall time of one training; each row trains one for each hospital.")
    ] = 5,
    rows: Annotated[str | None, typer.Option(help="Comma-separated names of the rows; all without.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each row and hospital.")] = 1,
    devices: Annotated[str, typer.Option(help="As for `train`.")] = "auto",
    json: Annotated[Path | None, path_option(help="Write the table here as well, without the patients.")] = None,
) -> None:
    """Train recipes on each hospital's others, and compare them where the next patient is from; resumes."""
    check_backend()
    from helpers.tasks.brain.recipes import compare_recipes, without_patients

    json = writable_file(json) if json else None
    result = compare_recipes(data, out, minutes, _listed(rows) if rows else (), seeds, devices)
    recipes_table(result)
    if json:
        write_json(without_patients(result), json)


@app.command()
def claim(
    accuracy: Annotated[list[str] | None, typer.Option(help="As reported, such as .994; its digits count.")] = None,
    iou: Annotated[list[str] | None, typer.Option(help="As reported; twice where two are reported.")] = None,
    dice: Annotated[list[str] | None, typer.Option(help="As reported; twice where two are reported.")] = None,
    foreground: Annotated[str | None, typer.Option(help="Share of all pixels that is foreground in truth.")] = None,
    classes: Annotated[int, typer.Option(min=2, help="Number of classes, background among them.")] = 4,
    json: Annotated[Path | None, path_option(help="Write the explanations here as well.")] = None,
) -> None:
    """Which definitions of the metrics explain reported figures together; status 1 where none does."""
    from helpers.measure.claim import as_json, explain, figure, nearest, remarks

    json = writable_file(json) if json else None
    given = {"accuracy": accuracy, "iou": iou, "dice": dice}
    figures = [figure(metric, text) for metric, texts in given.items() for text in texts or ()]
    if not figures:
        raise typer.BadParameter("Give an accuracy, an IoU or a Dice, better two of them.")
    share = None if foreground is None else figure("foreground", foreground)
    found = explain(figures, share, classes)
    closest = None if found else nearest(figures, share, classes)
    claim_table(figures, found or [closest[0]])
    print(*remarks(figures, found, closest), sep="\n")
    if json:
        write_text(dumps(as_json(figures, share, found, closest), indent=2), json)
    raise typer.Exit(int(not found))


def _listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",")]
