"""Records the numbers of a run: `record` writes one into a notebook's output, `collect` reads them all back.

The value is an output with a MIME type of its own, which no front end draws and which papermill saves.
"""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from helpers.runtime.disk import write_text

T = TypeVar("T")

MIME = "application/vnd.biomedseg.metric+json"

_recorded: dict[str, Any] = {}  # in this notebook, for `write_metrics`


def record(name: str, value: T) -> T:
    """Record a value under a name in the run's `metrics.json`, and return it unchanged.

    Outside a notebook nothing is recorded.

    Args:
        name: what the number is, with its unit where it has one: `dice_wt`, `hd95_wt_mm`.
        value: a number, text, truth value, or a list or dict of these; NumPy's will do. A number that is not
            finite becomes null, since JSON has no other word for it.

    Raises:
        ValueError: the value is of another type.
    """
    plain = _plain(name, value)
    # IPython is loaded in every notebook, and nothing else has to load it.
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        _recorded[name] = plain
        ipython.display.display({MIME: {"name": name, "value": plain}}, raw=True)
    return value


def write_metrics(lesson: str, token: str, folder: Path = Path()) -> Path:
    """Write what this notebook has recorded to `metrics.json`, where no runner of ours collects it, as on Kaggle.

    Args:
        lesson: its name.
        token: written with the numbers, to distinguish this run from others.
        folder: by default the notebook's working folder, which Kaggle saves.

    Returns:
        The path of the file.
    """
    from helpers.runtime import machine

    content = {
        "lesson": lesson,
        "token": token,
        "values": _recorded,
        "versions": machine.versions(),
        "device": machine.device(),
    }
    path = folder / "metrics.json"
    write_text(json.dumps(content, indent=2), path)
    return path


def collect(notebook: dict) -> dict[str, Any]:
    """Collect the recorded values of an executed notebook, by name, in their order.

    Args:
        notebook: as nbformat or JSON reads it.

    Raises:
        ValueError: a name was recorded twice, so that one of the two values would be lost.
    """
    values: dict[str, Any] = {}
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            entry = output.get("data", {}).get(MIME)
            if entry is None:
                continue
            if entry["name"] in values:
                raise ValueError(f"'{entry['name']}' is recorded twice; give each value a name of its own.")
            values[entry["name"]] = entry["value"]
    return values


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Take lists and dicts apart: {"dice": {"WT": [0.8]}} gives 0.8 under the name dice.WT.0.

    Args:
        value: of any type that `record` takes.
        name: of the whole; what is inside gets it in front.
    """
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _plain(name: str, value: Any) -> Any:
    """Convert `value` to the types that JSON has.

    Raises:
        ValueError: it holds something else.
    """
    if hasattr(value, "tolist"):  # NumPy arrays and scalars
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(name, entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    raise ValueError(f"record('{name}', …) got a {type(value).__name__}; it takes numbers, text, lists, dicts.")
