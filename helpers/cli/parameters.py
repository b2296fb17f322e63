"""Parameters of commands: paths whose `~` is expanded, and names from the tables in `helpers.runtime.options`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from helpers.runtime.options import Option, current_name, names
from helpers.runtime.settings import expanded


def path_option(*names: str, **settings: Any) -> Any:
    """An option whose value is a path.

    Args:
        names: such as "--out"; that of the parameter without.
        settings: of `typer.Option`.

    Returns:
        What `Annotated[Path, ...]` takes.
    """
    return typer.Option(*names, callback=_expand, **settings)


def path_argument(**settings: Any) -> Any:
    """An argument whose value is a path, or several.

    Args:
        settings: of `typer.Argument`.

    Returns:
        What `Annotated[Path, ...]` takes.
    """
    return typer.Argument(callback=_expand, **settings)


def _expand(value: Path | list[Path] | None) -> Path | list[Path] | None:
    if isinstance(value, list | tuple):
        return [expanded(one) for one in value]
    return None if value is None else expanded(value)


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
