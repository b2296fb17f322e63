"""What commands print: tables that lose nothing whatever the width, and text in which brackets are brackets."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_FILE_WIDTH = 200  # where nobody's window cuts lines


def console(stderr: bool = False) -> Console:
    """A console as wide as its terminal; in a file or a pipe so wide that no table is cut.

    Args:
        stderr: print to standard error.
    """
    made = Console(stderr=stderr)
    return made if made.is_terminal else Console(stderr=stderr, width=_FILE_WIDTH)


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], styles: Iterable[str] | None = None
) -> None:
    """Print a table; what is too wide goes on in the next line.

    Args:
        title: stands above it.
        columns: their names.
        rows: cells, one for each column.
        styles: of the rows, as rich names them.
    """
    table = Table(title=Text(title), box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    rows = list(rows)
    for row, style in zip(rows, styles or [""] * len(rows), strict=True):
        table.add_row(*(Text(str(cell)) for cell in row), style=style)
    console().print(table)


def print_error(message: str) -> None:
    """Print a message on standard error, marked as an error.

    Args:
        message: any text; it is not read as markup.
    """
    console(stderr=True).print(Text("Error", style="bold red") + Text(f": {message}"), soft_wrap=True)
