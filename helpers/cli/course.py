"""The course itself: phantoms, downloads, notebooks, runs, Kaggle."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from helpers.cli.parameters import path_argument, path_option
from helpers.lessons.manifest import LessonError

app = typer.Typer()


@app.command()
def phantom(
    out: Annotated[Path | None, path_option(help="Default: data/phantoms/brats.")] = None,
    patients: Annotated[int | None, typer.Option(min=1)] = None,
    fine: Annotated[
        bool, typer.Option("--fine", help="1 mm voxels, as BraTS has them, instead of a coarse grid.")
    ] = False,
    seed: int = 0,
) -> None:
    """Make phantom patients, laid out as the Kaggle BraTS 2020 set."""
    from helpers.data.phantoms.brats import QUICK, make_brats
    from helpers.data.sources import home

    grid = {} if fine else QUICK
    count = {"patients": patients} if patients else {}
    print(str(make_brats(out or home() / "phantoms" / "brats", **{**grid, **count}, seed=seed)))


@app.command()
def download(
    what: Annotated[Literal["brats", "chest"], typer.Argument(help="Which data set of Kaggle.")],
    patients: Annotated[int | None, typer.Option(min=1, help="Only the first patients of BraTS, file by file.")] = None,
    to: Annotated[Path | None, path_option(help="The folder to make; below data/ without.")] = None,
) -> None:
    """Bring a data set from Kaggle; a second call takes up where the first stopped."""
    from helpers.data import sets, sources

    try:
        sources.bring({"brats": sets.BRATS, "chest": sets.CHEST}[what], patients, to)
    except KeyboardInterrupt:
        print("Stopped. The same command takes up from there.")
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
    data: Annotated[Path | None, path_option(help="A folder searched for data sets; phantoms without.")] = None,
    out: Annotated[Path, path_option(help="Executed lessons, metrics and report.html.")] = Path("runs/course"),
    variant: Annotated[
        Literal["student", "solution", "both"],
        typer.Option(help="Exercises unfilled, or solved; both puts the solved ones into the folder solved of --out."),
    ] = "student",
    again: Annotated[bool, typer.Option("--again", help="Run also what has passed unchanged.")] = False,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Lessons side by side; without, one a core, at most 4, and 1 where there is a GPU."),
    ] = None,
    regress: Annotated[
        bool, typer.Option("--regress", help="Status 1 also where a number, or what a lesson costs, has left its band.")
    ] = False,
) -> None:
    """Run lessons from start to end and write a report."""
    from helpers.lessons.run import run_lessons

    variants = ("student", "solution") if variant == "both" else (variant,)
    done = run_lessons(lessons or [], profile, out, data, variants, again, jobs, budgets=regress)
    raise typer.Exit(done.exit_code or int(regress and done.regressed))


@app.command()
def baseline(
    lessons: Annotated[list[str] | None, typer.Argument(help="Numbers or names; all without.")] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each lesson, each with a seed of its own; three at least.")] = 10,
    out: Annotated[Path, path_option(help="A folder for each seed; what has run there is not run again.")] = Path(
        "runs/baseline"
    ),
    jobs: Annotated[int | None, typer.Option(min=1, help="Lessons side by side, as `run` has it.")] = None,
) -> None:
    """Run lessons of the quick profile with many seeds, and write anew what their numbers should be."""
    from helpers.cli.tables import baseline_table
    from helpers.lessons.baseline import make_baseline

    made = make_baseline(lessons or [], seeds, out, jobs)
    baseline_table(made)
    print(f"Wrote {made.path}; look at it before you commit it.")


@app.command()
def book(
    runs: Annotated[Path, path_argument(help="What `run --out` left.")],
    out: Annotated[Path, path_option(help="The site; an older book there is replaced.")] = Path("build/book"),
) -> None:
    """Make the executed lessons into a static site, which loads nothing from elsewhere."""
    from helpers.lessons.book.make import make_book

    made = make_book(runs, out)
    for note in made.notes:
        print(note)
    check = made.check
    print(f"{check.pages} pages. {check.links:,} links within the book lead to their place.")
    print(f"{check.external} links to other sites were not requested.")
    print(f"Book: {made.index}")


@app.command("class")
def class_command(
    folder: Annotated[Path, path_argument(help="Learners' notebooks, in folders or not.")],
    csv: Annotated[Path | None, path_option(help="Write an exercise a row, for a spreadsheet.")] = None,
    json: Annotated[Path | None, path_option(help="Write the same as JSON.")] = None,
    execute: Annotated[
        bool, typer.Option("--execute", help="Run a copy of each first: the learners' code, with your rights.")
    ] = False,
) -> None:
    """Tell which exercises a class has solved, from the outputs that its notebooks were saved with."""
    from helpers.cli.console import console
    from helpers.cli.tables import class_table
    from helpers.lessons.classroom import WARNING, as_csv, as_json, read_class
    from helpers.runtime.disk import write_json, write_text
    from helpers.runtime.outputs import writable_file

    wanted = {"--csv": csv, "--json": json}
    files = {option: writable_file(path, option, [f".{option[2:]}"]) for option, path in wanted.items() if path}
    if execute:
        console(stderr=True).print(WARNING, style="yellow")
    read = read_class(folder, execute)
    class_table(read)
    if "--csv" in files:
        write_text(as_csv(read), files["--csv"])
    if "--json" in files:
        write_json(as_json(read), files["--json"])


@app.command("compare-runs")
def compare_runs_command(
    reference: Annotated[Path, path_argument(help="What `run --out` left.")],
    run: Annotated[Path, path_argument(help="The same of another run.")],
    repeat: Annotated[
        list[Path] | None, path_option(help="A further run of the reference's code; shows what changes by itself.")
    ] = None,
) -> None:
    """Compare the recorded numbers of two runs of the lessons; status 1 where one changed."""
    from helpers.cli.tables import runs_table
    from helpers.lessons.compare_runs import CHANGED, MISSING, compare_runs

    compared = compare_runs(reference, run, repeat or ())
    runs_table(compared)
    raise typer.Exit(int(compared["verdict"].isin((CHANGED, MISSING)).any()))


@app.command()
def publish(
    repository: Annotated[str, typer.Argument(help="Account and name on GitHub, such as someone/course.")],
) -> None:
    """Write the name of the course's repository wherever it stands: badges, set-up cells, links, citation."""
    import helpers
    from helpers.lessons.publish import publish as publish_course

    changed = publish_course(repository)
    for path in changed:
        print(f"Wrote {path}")
    print(f"Every file names {repository}{'' if changed else ' already'}, and nothing names another.")
    tag = f"v{helpers.__version__}"
    print(f"Kaggle and Colab install the tag {tag}: commit, `git tag {tag}`, push both.")


@app.command()
def push(
    user: Annotated[str, typer.Option(help="Your name on Kaggle.")],
    lessons: Annotated[list[str] | None, typer.Argument(help="Numbers or names; all without.")] = None,
    profile: Annotated[str, typer.Option(help="Sets the parameters of the lessons.")] = "full",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Stop once build/kaggle is written.")] = False,
    pause: Annotated[float, typer.Option(min=0, help="Seconds between two looks at a lesson that runs.")] = 30.0,
) -> None:
    """Run lessons on Kaggle's two T4, and fetch their numbers."""
    from helpers.lessons.push import push as push_lessons
    from helpers.lessons.stage import stage

    helper, staged = stage(lessons or [], user, profile)
    for folder in (helper, *(lesson.folder for lesson in staged)):
        print(f"Built {folder}")
    if not dry_run:
        results = push_lessons(helper, staged, pause=pause, log=print)
        raise typer.Exit(int(any(result.status != "passed" for result in results)))
