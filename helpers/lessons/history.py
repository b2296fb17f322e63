"""What the lessons of a folder recorded in run after run: a line of JSON each time one ends, and curves of them."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers.lessons.effort import EFFORT
from helpers.lessons.record import leaves

HISTORY = "history.jsonl"
SHOWN = 20
"""Runs that a curve shows, the last ones."""

_WIDTH, _HEIGHT = 72, 16  # pixels


def remember(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Append what a lesson recorded to the folder's history.

    Args:
        folder: of the run.
        metrics: the lesson's `metrics.json`.
    """
    kept = {name: metrics[name] for name in ("lesson", "finished", "commit", EFFORT)}
    line = json.dumps(kept | {"values": dict(leaves(metrics["values"]))})
    with (folder / HISTORY).open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def recall(folder: Path) -> dict[str, dict[str, list[float]]]:
    """Read the numbers of all runs, oldest first, by lesson and name; lines that no run wrote are left out.

    Args:
        folder: of the run.
    """
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    path = folder / HISTORY
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []:
        try:
            entry = json.loads(line)
            lesson, values = entry["lesson"], {EFFORT: entry[EFFORT], **entry["values"]}
        except (ValueError, KeyError, TypeError):  # half a line, of a run that was killed
            continue
        for name, value in values.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                found[lesson][name].append(value)
    return {lesson: dict(numbers) for lesson, numbers in found.items()}


def curve(values: Sequence[float], low: float | None = None, high: float | None = None) -> dict[str, Any] | None:
    """The points of a small curve of the last `SHOWN` runs, with the band behind it.

    Args:
        values: oldest first.
        low: lower end of the band; None where it is open.
        high: upper end.

    Returns:
        `width`, `height`, `points` as SVG has them, `last` (x, y), and `band` (y, height) or None, all in pixels; None
        for fewer than two runs.
    """
    values = list(values)[-SHOWN:]
    if len(values) < 2:
        return None
    ends = [end for end in (low, high) if end is not None]
    bottom, top = min([*values, *ends]), max([*values, *ends])
    scale = (_HEIGHT - 4) / (top - bottom) if top > bottom else 0.0

    def y(value: float) -> float:
        return round(_HEIGHT - 2 - (value - bottom) * scale, 1) if scale else _HEIGHT / 2

    places = [(round(2 + i * (_WIDTH - 4) / (len(values) - 1), 1), y(value)) for i, value in enumerate(values)]
    band = None
    if ends and scale:
        upper = y(high) if high is not None else 0.0
        lower = y(low) if low is not None else float(_HEIGHT)
        band = (upper, round(lower - upper, 1))
    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "points": " ".join(f"{x},{y}" for x, y in places),
        "last": places[-1],
        "band": band,
    }
