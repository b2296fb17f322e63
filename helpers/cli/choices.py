"""Options of the command line that are fed from the tables in `helpers.runtime.options`."""

from collections.abc import Mapping
from typing import Any

import typer

from helpers.runtime.options import Option, current_name, names


def choice(options: Mapping[str, Option], task: str, about: str) -> Any:
    """An option of a command whose value is a name in a table; names of older versions are understood.

    Args:
        options: the table.
        task: the command's; it offers the names that its task can use.
        about: the first words of its help; each name follows with its own line.

    Returns:
        What `Annotated[str, ...]` takes.
    """
    offered = names(options, task)

    def parse(name: str) -> str:
        if (name := current_name(name)) not in offered:
            raise typer.BadParameter(f"{name!r} is not one of {', '.join(offered)}.")
        return name

    listed = "; ".join(f"{name}: {options[name].help}" for name in offered)
    return typer.Option(parser=parse, metavar="NAME", help=f"{about} {listed}.")
