"""The result of `helpers.bench.gpu` as Markdown, which `RESULTS.md` takes as it is."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from helpers.bench import report

STEPS = (
    "pixels",
    "precision",
    "batch",
    "Keras",
    "GB",
    "of the matrix product",
    "PyTorch",
    "GB",
    "PyTorch, compiled",
    "GB",
    "Keras over the faster",
    "loader over Keras",
)
"""Columns of the training steps."""


def markdown(result: Mapping[str, Any]) -> str:
    """The result of `bench_gpu`, finished or not, as Markdown.

    Args:
        result: of `helpers.bench.gpu.bench_gpu`; the cell of a measurement that is not there yet is empty.
    """
    further = zip(result["matmul"], result["prediction"], strict=True)
    lines = [
        f"### {result['card']}",
        "",
        *_table(STEPS, (_step(row, result) for row in result["steps"])),
        "",
        *_notes(result),
        "",
        *_table(
            ("pixels", "precision", "matrix product, TFLOP/s", "a patient, s"),
            ((row["size"], row["precision"], _cell(row, 1, 1e-3), _cell(patient, 2)) for row, patient in further),
        ),
        "",
        *_table(("pixels", "loader, slices/s"), ((row["size"], _cell(row)) for row in result["loading"])),
    ]
    return "\n".join(lines) + "\n"


def _step(row: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[object]:
    """The cells of a row of training steps."""
    keras, *peers = (row.get(way, {}) for way in ("keras", "pytorch", "compiled"))
    rate = _median(keras)
    products = [_median(one) for one in result["matmul"] if one["precision"] == row["precision"] and "spread" in one]
    loading = next(_median(one) for one in result["loading"] if one["size"] == row["size"])
    fastest = max(filter(None, map(_median, peers)), default=None)
    yield from (row["size"], row["precision"], row["batch"], _cell(keras), _gigabytes(keras))
    gflop = result["gflop_per_slice"].get(str(row["size"]))
    yield f"{rate * gflop / median(products):.0%}" if rate and products else ""
    for peer in peers:
        yield from (_cell(peer), _gigabytes(peer))
    yield f"{rate / fastest:.2f}" if rate and fastest else ""
    yield f"{loading / rate:.1f}" if rate and loading else ""


def _notes(result: Mapping[str, Any]) -> Iterator[str]:
    """What was compared, how, on what, and what failed."""
    rows, columns, slices = result["plan"]["grid"]["shape"]
    work = ", ".join(
        f"{value:,.1f} GFLOP a slice of {size} pixels" for size, value in result["gflop_per_slice"].items()
    )
    parameters = f"{result['parameters']:,} parameters" if result["parameters"] else ""
    yield f"Training steps in slices/s, median (lowest to highest); {', '.join(filter(None, (parameters, work)))}."
    yield "A batch stays on the card. float32 is what each framework makes of it by default."
    yield "GB: the most memory in use, the trials of algorithms included."
    if result["pytorch"]:
        yield f"PyTorch {result['pytorch']['version']}: channels last, autocast; compiled: network and loss."
    elif "why" in result:
        yield f"PyTorch was not measured. {result['why'].splitlines()[-1]}"
    yield f"A patient: {rows}x{columns}x{slices}, from volumes in memory to a mask on their grid."
    yield f"The loader augments{' by tf.data' if result['loader'] == 'tf.data' else '; two threads, no tf.data'}."
    for kind in ("steps", "matmul", "prediction", "loading"):
        for row in result[kind]:
            for way, found in (("", row), *((way, row[way]) for way in ("keras", "pytorch", "compiled") if way in row)):
                if "error" in found:
                    place = ", ".join(str(row[name]) for name in ("size", "precision", "batch") if name in row)
                    yield f"{way or kind}, {place}: {found['error'].splitlines()[-1]}"
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items() if version)
    yield f"Keras on {result['backend']}; {result['machine']}; {versions}; {result['seconds']:,.0f} s in all."


def _table(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    for cells in (columns, ["---"] * len(columns), *rows):
        yield f"| {' | '.join(map(str, cells))} |"


def _cell(found: Mapping[str, Any], digits: int = 0, scale: float = 1) -> str:
    """Median (lowest to highest), or why there is none."""
    if "spread" not in found:
        return found.get("note", "")
    scaled = {key: scale * found["spread"][key] for key in ("median", "low", "high")}
    return "{} ({})".format(*report.cells(scaled, digits))


def _gigabytes(found: Mapping[str, Any]) -> str:
    return f"{found['peak_mb'] / 1000:.1f}" if found.get("peak_mb") else ""


def _median(found: Mapping[str, Any]) -> float | None:
    return found["spread"]["median"] if "spread" in found else None
