"""Paths of the command line: a leading `~` is the user's folder, also in `--out=~/runs`."""

from pathlib import Path
from typing import Any

import typer

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
