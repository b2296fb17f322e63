"""`python -m helpers …`: every command is a thin door to a function of the package."""

import os
import sys

import typer
from typer.core import TyperGroup

from helpers.cli import bench, clinic, course, dicom, train, use, weights
from helpers.cli.console import print_error
from helpers.lessons.manifest import LessonError
from helpers.runtime.backend import backend_missing
from helpers.runtime.errors import DataError
from helpers.runtime.interrupt import Terminated, terminate_as_interrupt

_OUT_OF_MEMORY = ("ResourceExhaustedError", "InternalError", "XlaRuntimeError", "JaxRuntimeError")
"""What TensorFlow and JAX raise where memory runs out; neither is imported here."""


class _Stoppable(TyperGroup):
    """Ctrl-C ends any command in one line and status 130, SIGTERM with status 143; a training says what it kept."""

    def invoke(self, ctx: typer.Context) -> object:
        try:
            with terminate_as_interrupt():
                return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            print(f"\n{stop}" if str(stop) else "\nStopped.")
            raise typer.Exit(143 if isinstance(stop, Terminated) else 130) from None


app = typer.Typer(
    cls=_Stoppable,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Biomedical image segmentation: the course and its tools.",
)
for _part in (course.app, use.app, clinic.app, dicom.app):
    app.add_typer(_part)
app.add_typer(train.app, name="train")
app.add_typer(weights.app, name="weights")
app.add_typer(bench.app, name="bench")


def main() -> None:
    """Run the command line; a user's mistake ends in one clear message, not in a traceback."""
    for stream in (sys.stdout, sys.stderr):  # an old console may lack a letter, which is no reason to stop
        stream.reconfigure(errors="replace")
    sys.stdout.reconfigure(line_buffering=True)  # a log file shows progress as a terminal does
    try:
        app()
    except BrokenPipeError:  # whoever read the output, as `head` does, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor does Python complain when it ends
        sys.exit(1)
    except Exception as error:
        if (message := explain(error)) is None:
            raise
        print_error(message)
        sys.exit(1)


def explain(error: Exception) -> str | None:
    """What to tell a user of an error; None for a fault of ours, which needs its traceback.

    A ValueError is a user's mistake where this package raised it: it says what was given, what was expected and how to
    mend it. A file that cannot be read or written is the system's word, which names the file.

    Args:
        error: what a command ended in.
    """
    if isinstance(error, DataError | LessonError):
        return str(error)
    if isinstance(error, FileExistsError) and not error.args[1:]:
        return str(error)
    if isinstance(error, MemoryError) or (type(error).__name__ in _OUT_OF_MEMORY and "memory" in str(error).lower()):
        first = (str(error).splitlines() or [""])[0]
        return f"There is not enough memory for this ({first}). Close other programs, or ask for something smaller."
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    if isinstance(error, ImportError):
        return backend_missing(error.name)
    if isinstance(error, ValueError) and _raised_in(error).startswith("helpers."):
        return str(error)
    return None


def _raised_in(error: Exception) -> str:
    """The name of the module that raised an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else trace.tb_frame.f_globals.get("__name__", "")
