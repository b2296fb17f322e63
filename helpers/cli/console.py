"""What commands print: tables that lose nothing whatever the width, and text in which brackets are brackets."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_FILE_WIDTH = 200  # where nobody's window cuts lines
_ANY_WIDTH = 10_000  # for words that are longer


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
    """Print a table; what is too wide goes on in the next line, in a file or a pipe without breaking a word.

    Args:
        title: stands above it.
        columns: their names.
        rows: cells, one for each column.
        styles: of the rows, as rich names them.
    """
    table = Table(title=Text(title), box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    rows = [[str(cell) for cell in row] for row in rows]
    made = console()
    for number, column in enumerate(columns):
        # a path that is cut in two is found by nobody who searches the file for it
        longest = max((len(word) for row in rows for word in row[number].split()), default=0)
        table.add_column(Text(column), overflow="fold", min_width=None if made.is_terminal else longest)
    for row, style in zip(rows, styles or [""] * len(rows), strict=True):
        table.add_row(*map(Text, row), style=style)
    if made.is_terminal:
        made.print(table)
    else:
        Console(width=_ANY_WIDTH).print(table, width=_FILE_WIDTH)


def print_error(message: str) -> None:
    """Print a message on standard error, marked as an error.

    Args:
        message: any text; it is not read as markup.
    """
    console(stderr=True).print(Text("Error", style="bold red") + Text(f": {message}"), soft_wrap=True)
