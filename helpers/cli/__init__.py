"""`python -m helpers …`: every command is a thin door to a function of the package."""

import sys

import typer
from rich.console import Console
from typer.core import TyperGroup

from helpers.cli import bench, course, train, use
from helpers.lessons.manifest import LessonError
from helpers.runtime.errors import DataError


class _Stoppable(TyperGroup):
    """Ctrl-C ends any command in one line and status 130; a training says what it kept."""

    def invoke(self, ctx: typer.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            print(f"\n{stop}" if str(stop) else "\nStopped.")
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Stoppable,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Biomedical image segmentation: the course and its tools.",
)
for _part in (course.app, use.app):
    app.add_typer(_part)
app.add_typer(train.app, name="train")
app.add_typer(bench.app, name="bench")


def main() -> None:
    """Run the command line; a user's mistake ends in one clear message, not in a traceback."""
    sys.stdout.reconfigure(line_buffering=True)  # a log file shows progress as a terminal does
    try:
        app()
    except (DataError, LessonError, FileExistsError) as error:
        Console(stderr=True).print(f"[bold red]Error[/]: {error}", highlight=False, soft_wrap=True)
        sys.exit(1)
