"""The numbers of a run: `record` writes one into a notebook's output, `collect` reads them all back.

The value travels as an output of a type of its own, which no front end draws and which papermill keeps.
"""

import json
import math
import os
import sys
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

MIME = "application/vnd.biomedseg.metric+json"

_kept: dict[str, Any] = {}  # of this notebook, for `write_metrics`


def record(name: str, value: T) -> T:
    """Keep `value` under `name` in the run's `metrics.json`; return it unchanged.

    Outside a notebook there is nowhere to keep it, and only the value comes back.

    Args:
        name: what the number is, with its unit where it has one: `dice_wt`, `hd95_wt_mm`.
        value: a number, text, truth value, or a list or dict of these; NumPy's will do. A number that is not
            finite is kept as null, since JSON has no other word for it.
    """
    kept = _plain(name, value)
    # IPython is loaded in every notebook, and nothing else has to load it.
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        _kept[name] = kept
        ipython.display.display({MIME: {"name": name, "value": kept}}, raw=True)
    return value


def write_metrics(lesson: str, token: str, folder: Path = Path()) -> Path:
    """Write what this notebook has recorded to `metrics.json`: where no runner of ours collects it, as on Kaggle.

    Args:
        lesson: its name.
        token: comes back with the numbers, to tell this run from another.
        folder: by default where the notebook works; on Kaggle that is kept.
    """
    from helpers.runtime import machine

    content = {
        "lesson": lesson,
        "token": token,
        "values": _kept,
        "versions": machine.versions(),
        "device": machine.device(),
    }
    path = folder / "metrics.json"
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(content, indent=2), encoding="utf-8")
    os.replace(beside, path)
    return path


def collect(notebook: dict) -> dict[str, Any]:
    """All recorded values of an executed notebook, by name, in their order.

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


def _plain(name: str, value: Any) -> Any:
    """`value` in the types JSON has."""
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
    raise ValueError(f"record('{name}', …) got a {type(value).__name__}; it keeps numbers, text, lists, dicts.")
