"""Writes one self-contained page from a run's folder: what passed, how long it took, numbers and pictures."""

import json
from pathlib import Path
from typing import Any

from helpers.lessons.bands import EXACT, NOT_COMPARED
from helpers.lessons.effort import EFFORT
from helpers.lessons.history import curve, recall
from helpers.lessons.manifest import Course, Lesson
from helpers.lessons.pictures import inline, pictures
from helpers.lessons.record import leaves
from helpers.runtime.disk import write_text
from helpers.runtime.errors import DataError
from helpers.runtime.json_files import read_json
from helpers.runtime.threads import map_threads

METRICS = "metrics.json"
TEMPLATE = Path(__file__).with_name("report.html.j2")
_ENTRIES = {
    "status": {"enum": ["passed", "out of band", "failed"]},
    "error": {"type": ["string", "null"]},
    "values": {"type": "object"},
    "bands": {"type": "object", "additionalProperties": {"type": "object", "required": ["min", "max", "trivial"]}},
    "seconds": {"type": "number"},
    "cells": {
        "type": "array",
        "items": {
            "properties": {"seconds": {"type": "number"}, "line": {"type": "string"}},
            "required": ["seconds", "line"],
        },
    },
    "profile": {"type": "string"},
    "variant": {"type": "string"},
    "versions": {"type": "object"},
    "device": {"type": "string"},
    "commit": {"type": ["string", "null"]},
    "finished": {"type": "string"},
    "fingerprint": {"type": "string"},
}
_LATER = {  # a run of an older state of the code lacks these, and can be shown all the same
    "worse": {"type": "object", "additionalProperties": {"type": "string"}},
    "improved": {"type": "object", "additionalProperties": {"type": "string"}},
    "effort": {"type": ["number", "null"]},
}
_SCHEMA = {"type": "object", "required": list(_ENTRIES), "properties": _ENTRIES | _LATER}
KEY_NUMBERS = 3  # of each lesson, in the table at the top


def write_report(out: Path, course: Course) -> Path:
    """Write OUT/report.html from the lessons that left a `metrics.json` there.

    Args:
        out: folder of the run.
        course: the manifest.

    Returns:
        The path of the page.
    """
    from jinja2 import Environment, StrictUndefined

    lessons = [_entry(lesson, course, out / lesson.name) for lesson in course.lessons]
    ran = [entry for entry in lessons if entry["metrics"]]
    past = recall(out)
    for entry in ran:
        entry["numbers"] = _numbers(entry["metrics"], past.get(entry["lesson"].name, {}))
    found = [picture for entry in ran for picture in entry["pictures"]]
    encoded = map_threads(lambda picture: inline(picture.pop("png"), len(found)), found)
    for picture, (uri, width) in zip(found, encoded, strict=True):
        picture |= {"uri": uri, "width": width}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "clock": clock}
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        course=course,
        lessons=lessons,
        passed=sum(entry["status"] == "passed" for entry in lessons),
        seconds=sum(entry["metrics"]["seconds"] for entry in ran),
        # Reused lessons may come from another day; the machine is that of the newest.
        last=max((entry["metrics"] for entry in ran), key=lambda metrics: metrics["finished"], default=None),
    )
    write_text(page, out / "report.html")
    return out / "report.html"


def read_metrics(path: Path) -> dict[str, Any] | None:
    """Read the `metrics.json` of a lesson; None where there is none, or none that a run wrote and nobody edited.

    Args:
        path: the file.
    """
    try:
        metrics = read_json(path, _SCHEMA)
    except DataError:
        return None
    return metrics


def number(value: Any) -> str:
    """Format a recorded value: four digits of a fraction, thousands separated, lists in a row."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "not finite"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(number(entry) for entry in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {number(entry)}" for name, entry in value.items())
    return str(value)


def clock(seconds: float) -> str:
    """Format seconds as 8.2 s, 3 min 05 s or 2 h 10 min."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


def _numbers(metrics: dict[str, Any], past: dict[str, list[float]]) -> list[dict[str, Any]]:
    """A row for each recorded number: value, what it is held to, what the trivial predictor gets, and its curve."""
    values = dict(leaves(metrics["values"]))
    if EFFORT in metrics["bands"]:
        values[EFFORT] = metrics.get(EFFORT)
    rows = []
    for name in {**values, **metrics["bands"]}:
        band = metrics["bands"].get(name)
        low, high = (band["min"], band["max"]) if band else (None, None)
        verdict = next((word for word in ("worse", "improved") if name in metrics.get(word, {})), "")
        rows.append(
            {
                "name": name,
                "value": number(values[name]) if name in values else "not recorded",
                "band": _wanted(band) if band else "",
                "trivial": number(band["trivial"]) if band and band["trivial"] is not None else "",
                "verdict": verdict,
                "curve": curve(past.get(name, []), low, high),
            }
        )
    return rows


def _wanted(band: dict[str, Any]) -> str:
    if band.get("kind") == NOT_COMPARED:
        return NOT_COMPARED
    if band.get("kind") == EXACT:
        return f"exactly {number(band['value'])}"
    low, high = (number(end) if end is not None else "any" for end in (band["min"], band["max"]))
    ways = {"higher": ", more is better", "lower": ", less is better"}
    return f"{low} to {high}{ways.get(band.get('better'), '')}"


def _entry(lesson: Lesson, course: Course, folder: Path) -> dict[str, Any]:
    """The page's entry of one lesson; a lesson without metrics was not run."""
    metrics = read_metrics(folder / METRICS)
    if not metrics:
        return {"lesson": lesson, "status": "not run", "metrics": None}
    try:
        found = pictures(json.loads((folder / f"{lesson.name}.ipynb").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # the executed notebook is gone, or damaged
        found = []
    return {
        "lesson": lesson,
        "status": metrics["status"],
        "metrics": metrics,
        "improved": list(metrics.get("improved", {}).values()),
        "slowest": max(metrics["cells"], key=lambda cell: cell["seconds"], default=None),
        "key": dict(list(metrics["values"].items())[:KEY_NUMBERS]),
        "pictures": found,
    }
