"""What a hospital's own files ask for: names out of DICOM, and a course of 40 faults for whatever reads them."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from helpers.cli.console import console, print_table
from helpers.cli.parameters import path_argument, path_option
from helpers.runtime.disk import write_json
from helpers.runtime.outputs import writable_file

app = typer.Typer()
obstacles = typer.Typer(no_args_is_help=True, help="A phantom hospital with 40 faults, and the score of a reader.")
app.add_typer(obstacles, name="obstacles")


@app.command()
def deidentify(
    dicom_dir: Annotated[Path, path_argument(help="A folder with DICOM files, in whatever order.")],
    out: Annotated[Path, path_option("--out", help="The folder to make; nothing may be there.")],
    key: Annotated[
        Path | None,
        path_option(help="A file away from --out with the key of the pseudonyms, made if it is not there."),
    ] = None,
) -> None:
    """Take names out of DICOM files (PS3.15 Annex E) into a new folder; status 1 where an image was refused."""
    from helpers.data.deidentify.folder import deidentify as clean
    from helpers.data.deidentify.folder import in_words

    with Progress(console=console(stderr=True), transient=True) as bars:
        bar = bars.add_task("files")
        report = clean(dicom_dir, out, key, lambda done, total: bars.update(bar, completed=done, total=total))
    print(*in_words(report), sep="\n")
    raise typer.Exit(int(bool(report["images_refused"])))


@obstacles.command("make")
def obstacles_make(
    folder: Annotated[Path, path_argument(metavar="DIR", help="The folder to make.")], seed: int = 0
) -> None:
    """Write 40 phantom patients as DICOM, one fault each, and the key (key.json)."""
    from helpers.bench.obstacles.course import KEY, PATIENTS, make_course

    made = make_course(folder, seed)
    print(f"Give {made / PATIENTS} to a reader, a folder for each patient; {made / KEY} scores its log.")


@obstacles.command("run")
def obstacles_run(
    folder: Annotated[Path, path_argument(metavar="DIR", help="What `obstacles make` left.")],
    out: Annotated[Path, path_option("--out", help="The folder for volumes and log.jsonl.")],
    reader: Annotated[str, typer.Option(help="ours, simpleitk or dcm2niix.")] = "ours",
) -> None:
    """Let a reader read the course, and write its log."""
    from helpers.bench.obstacles.readers import run_reader

    print(
        f"Score it by: python -m helpers obstacles score --key {folder / 'key.json'} --log "
        f"{run_reader(folder, out, reader)}"
    )


@obstacles.command("score")
def obstacles_score(
    key: Annotated[Path, path_option("--key", help="The key.json of the course.")],
    log: Annotated[
        Path, path_option("--log", help="A line of JSON a patient: id, outcome (mended, refused), message, nifti.")
    ],
    json: Annotated[Path | None, path_option(help="Write the scores here as well.")] = None,
) -> None:
    """Score any reader by its log: mended, refused by name, or silently wrong; status 1 where one is silently wrong."""
    from helpers.bench.obstacles.score import NOTHING, WRONG, counts, score_log

    json = writable_file(json) if json else None
    scores = score_log(key, log)
    found = counts(scores)
    title = ", ".join(f"{count} {outcome}" for outcome, count in found.items() if count)
    rows = [(one.id, one.fault, one.outcome, one.why) for one in scores]
    bad = {WRONG: "red", NOTHING: "red"}
    print_table(title, ("id", "fault", "outcome", "why"), rows, [bad.get(one.outcome, "") for one in scores])
    if json:
        write_json({"counts": found, "patients": [asdict(one) for one in scores]}, json)
    raise typer.Exit(int(bool(found[WRONG] or found[NOTHING])))
