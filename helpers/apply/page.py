"""What pages of results share: one HTML file that holds its pictures, is written whole and names no path."""

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.learn.run_folder import read_run
from helpers.runtime.disk import explain_full_disk
from helpers.runtime.outputs import scratch_folder, writable_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PURPOSE = "for teaching and research; not a medical device"
_TEMPLATES = Path(__file__).parent


def new_folder(out: str | os.PathLike) -> Path:
    """See that a report can be written, before anything is read.

    Args:
        out: a folder that does not exist yet, or is empty.

    Returns:
        The path, expanded.

    Raises:
        DataError: it may not be written to.
        FileExistsError: it is not empty; nothing is overwritten.
    """
    out = writable_folder(out, beside=True)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} is there already and is not overwritten; choose another --out.")
    return out


@contextmanager
def written_whole(out: Path) -> Iterator[Path]:
    """A folder beside `out` to write to, which becomes `out` at the end; after an error nothing is left.

    Args:
        out: as `new_folder` gives it.

    Yields:
        The folder, empty.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    try:
        with explain_full_disk(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            with scratch_folder(out) as scratch:
                folder = scratch / "report"
                folder.mkdir()  # readable by others, unlike the scratch folder
                yield folder
                if out.exists():
                    out.rmdir()
                folder.replace(out)
    except KeyboardInterrupt as stop:
        raise type(stop)("Stopped; nothing was written. The same command begins anew.") from None


def picture(figure: "Figure", caption: str) -> dict[str, str]:
    """A figure as a page holds it: `uri`, `alt` and `caption`.

    Args:
        figure: with an alternative text, see `helpers.show.style.alt`.
        caption: stands below it.
    """
    data, metadata = figure._repr_mimebundle_()
    uri = f"data:image/png;base64,{base64.b64encode(data['image/png']).decode()}"
    return {"uri": uri, "alt": metadata["image/png"]["alt"], "caption": caption}


def without_roots(entry: Mapping[str, Any], roots: Sequence[str | os.PathLike]) -> dict[str, Any]:
    """An entry of a report whose warnings have paths relative to the folders that were given: it leaves the machine.

    Args:
        entry: with `warnings`.
        roots: the folders.
    """
    warnings = list(entry["warnings"])
    for root in map(Path, roots):
        for path in {str(root), str(root.absolute()), str(root.resolve())}:
            if os.sep in path.rstrip(os.sep):
                warnings = [warning.replace(path, root.resolve().name) for warning in warnings]
    return {**entry, "warnings": warnings}


def origin(folder: str | os.PathLike) -> dict[str, Any]:
    """How a model was trained, without its patients.

    Args:
        folder: of the training.
    """
    run = read_run(folder)
    return {key: run[key] for key in ("task", "parameters", "precision", "versions", "device")}


def render(template: str, **content: Any) -> str:
    """A page as HTML.

    Args:
        template: the name of a file beside this module.
        content: what the template asks for.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FileSystemLoader(_TEMPLATES),
    )
    return environment.get_template(template).render(**content)
