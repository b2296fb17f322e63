"""`bench …`: how fast the course's tools are, beside a peer in the same run."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="How fast the course's tools are, beside a peer in the same run.")


@app.command("viewer")
def bench_viewer_command(
    json: Annotated[Path | None, typer.Option(help="Write the figures here as well.")] = None,
) -> None:
    """From a slider's step to the new slice, in the kernel and in a browser, beside `interact` with matplotlib."""
    from helpers.bench import report, viewer

    result = viewer.bench_viewer()
    viewer.show(result)
    if json:
        report.write(result, json)
