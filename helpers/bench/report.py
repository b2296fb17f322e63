"""Results of a benchmark: our figures beside the peers', their spread, and the machine; as a table or as JSON."""

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
    """Compare two series of times.

    Args:
        ours: times in milliseconds.
        peer: times in milliseconds.

    Returns:
        `ours` and `peer`, each as `summary`, and `ratio`: the peer's median over ours.
    """
    result: dict[str, Any] = {"ours": summary(ours), "peer": summary(peer)}
    return {**result, "ratio": round(float(np.median(peer) / np.median(ours)), 2)}


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, lowest and highest of some measurements, and their number `n`."""
    return {
        "median": float(np.median(values)),
        "low": float(min(values)),
        "high": float(max(values)),
        "n": len(values),
    }


def ratio(ours: Sequence[float], peer: Sequence[float]) -> dict[str, Any]:
    """Spread of the ratio of ours to the peer's, taken round by round, so that a slow phase of the machine cancels out.

    Args:
        ours: one measurement per round.
        peer: one measurement per round.

    Raises:
        ValueError: the numbers of rounds differ.

    Example:
        >>> ratio(ours=[300, 100, 320], peer=[30, 10, 20])
        {'median': 10.0, 'low': 10.0, 'high': 16.0, 'n': 3}
    """
    return spread([one / other for one, other in zip(ours, peer, strict=True)])


def about(packages: Sequence[str]) -> dict[str, Any]:
    """The machine, and the versions of Python and of `packages`; None for a package that is not installed."""
    return {"machine": machine.device(), "versions": {"python": platform.python_version(), **_versions(packages)}}


def show(result: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]], title: str, notes: Sequence[str]) -> None:
    """Print a table of comparisons, the machine under it, and notes.

    Args:
        result: has `machine` and `versions`, from `about`.
        rows: name of each measurement, and its comparison, from `compare`.
        title: of the table.
        notes: one line each.
    """
    table = Table(title=title)
    for column in ("", "ours, ms\nmedian", "ours, ms\n95 %", "peer, ms\nmedian", "peer, ms\n95 %", "peer /\nours"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for name, compared in rows.items():
        times = [f"{compared[one][key]:.1f}" for one in ("ours", "peer") for key in ("median_ms", "p95_ms")]
        table.add_row(name, *times, f"{compared['ratio']:.1f}")
    show_table(result, table, notes)


def show_table(result: Mapping[str, Any], table: Table, notes: Sequence[str]) -> None:
    """Print a table, the notes and the machine.

    Args:
        result: has `machine` and `versions`, from `about`.
        table: what to print first.
        notes: one line each.
    """
    console = Console()
    if not console.is_terminal:
        console.width = 100  # in a file; at the default of 80, figures would be cut off
    for column in table.columns:  # in a narrow terminal a figure goes on in the next line, and is not cut off
        column.no_wrap, column.overflow = False, "fold"
    console.print(table)
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items() if version)
    for line in (*notes, f"{result['machine']}; {versions}"):
        console.print(line, highlight=False, soft_wrap=True)


def cells(spread: Mapping[str, Any], digits: int = 0) -> tuple[str, str]:
    """Two cells of a table: the median, and lowest to highest.

    Args:
        spread: from the function of that name.
        digits: after the decimal point.
    """
    return f"{spread['median']:,.{digits}f}", f"{spread['low']:,.{digits}f} to {spread['high']:,.{digits}f}"


def write(result: Mapping[str, Any], path: Path) -> None:
    """Write a result as JSON; missing folders are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def summary(times: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile of times in milliseconds."""
    median, high = np.percentile(times, [50, 95])
    return {"median_ms": round(float(median), 2), "p95_ms": round(float(high), 2)}


def _versions(packages: Sequence[str]) -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions
