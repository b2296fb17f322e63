"""What a benchmark tells: ours and the peers' figures side by side, their spread, and the machine."""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from helpers.runtime import machine


def compare(ours: Sequence[float], peer: Sequence[float]) -> dict[str, Any]:
    """Median and 95th percentile of times in milliseconds, and `ratio`: the peer's median over ours."""
    result: dict[str, Any] = {"ours": summary(ours), "peer": summary(peer)}
    return {**result, "ratio": round(float(np.median(peer) / np.median(ours)), 2)}


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, lowest and highest of what was measured, and how often it was."""
    return {
        "median": float(np.median(values)),
        "low": float(min(values)),
        "high": float(max(values)),
        "n": len(values),
    }


def ratio(ours: Sequence[float], peer: Sequence[float]) -> dict[str, Any]:
    """How many times the peer's figure ours is, as `spread`: ours and the peer's of one round make one ratio, so that
    a machine which is slow for a while is so for both.

    Raises:
        ValueError: there are not as many of the one as of the other.
    """
    return spread([one / other for one, other in zip(ours, peer, strict=True)])


def about(packages: Sequence[str]) -> dict[str, Any]:
    """The machine, and the versions of Python and of the named packages; None for one that is not installed."""
    return {"machine": machine.device(), "versions": {"python": platform.python_version(), **_versions(packages)}}


def show(result: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]], title: str, notes: Sequence[str]) -> None:
    """Print a table of comparisons, the machine under it, and notes.

    Args:
        result: holds `machine` and `versions`, from `about`.
        rows: what was measured, and its comparison, from `compare`.
        title: over the table.
        notes: one line each.
    """
    table = Table(title=title)
    for column in ("", "ours, ms\nmedian", "ours, ms\n95 %", "peer, ms\nmedian", "peer, ms\n95 %", "peer /\nours"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for name, found in rows.items():
        times = [f"{found[one][key]:.1f}" for one in ("ours", "peer") for key in ("median_ms", "p95_ms")]
        table.add_row(name, *times, f"{found['ratio']:.1f}")
    show_table(result, table, notes)


def show_table(result: Mapping[str, Any], table: Table, notes: Sequence[str]) -> None:
    """Print a table, notes of one line each, and the machine."""
    console = Console()
    if not console.is_terminal:
        console.width = 100  # a file has room; 80 cut figures off
    console.print(table)
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items() if version)
    for line in (*notes, f"{result['machine']}; {versions}"):
        console.print(line, highlight=False, soft_wrap=True)


def cells(found: Mapping[str, Any], digits: int = 0) -> tuple[str, str]:
    """Median, and lowest to highest, of what `spread` made: two cells of a table."""
    return f"{found['median']:,.{digits}f}", f"{found['low']:,.{digits}f} to {found['high']:,.{digits}f}"


def write(result: Mapping[str, Any], path: Path) -> None:
    """The result as JSON; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def summary(times: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile of times in milliseconds."""
    median, high = np.percentile(times, [50, 95])
    return {"median_ms": round(float(median), 2), "p95_ms": round(float(high), 2)}


def _versions(packages: Sequence[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found
