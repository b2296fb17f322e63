"""Scores as tables for a terminal, the trivial model's in the same table."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd


def brain_table(result: dict) -> None:
    """Scores per region beside those of the model that calls everything background."""
    table = Table(title=f"{result['n']} patients, mean and 95 % interval")
    for column in ("", "Dice", "Jaccard", "HD95\nmm", "volume error\nml", "Dice, all\nbackground"):
        table.add_column(column, no_wrap=True)
    for region, scores in result["regions"].items():
        cells = []
        for key, digits in (("dice", 3), ("jaccard", 3), ("hd95_mm", 1), ("volume_error_ml", 1)):
            mean, (low, high) = scores[key]["mean"], scores[key]["ci95"]
            cells.append(f"{mean:.{digits}f}\n\\[{low:.{digits}f}, {high:.{digits}f}]")
        table.add_row(region, *cells, f"{result['trivial'][region]['dice']['mean']:.3f}")
    Console().print(table)


def gate_table(result: dict) -> None:
    """Scores of a gate beside those of one that lets every slice with brain pass."""
    table = Table(title=f"{result['n']} patients, {result['slices']['brain']:,} slices with brain")
    for column in ("", "gate", "95 % interval", "all pass"):
        table.add_column(column, no_wrap=True)
    for name, key in (
        ("AUC", "auc"),
        ("sensitivity", "sensitivity"),
        ("specificity", "specificity"),
        ("share of all slices skipped", "skipped"),
    ):
        low, high = result[key]["ci95"]
        table.add_row(name, f"{result[key]['value']:.3f}", f"{low:.3f} to {high:.3f}", f"{result['trivial'][key]:.3f}")
    Console().print(table)


def lungs_table(result: dict) -> None:
    """Scores in each hospital beside those of the mean training mask."""
    table = Table(title=f"{result['n']} X-rays, mean and 95 % interval")
    for column in ("", "X-rays", "Dice", "Jaccard", "outlines apart\npixels"):
        table.add_column(column, no_wrap=True)
    for site in result["sites"]:
        for name, scores in ((site, result["sites"][site]), ("  the mean mask", result["trivial"][site])):
            cells = []
            for key, digits in (("dice", 3), ("jaccard", 3), ("assd_px", 1)):
                mean, (low, high) = scores[key]["mean"], scores[key]["ci95"]
                cells.append(f"{mean:.{digits}f}\n\\[{low:.{digits}f}, {high:.{digits}f}]")
            table.add_row(name, str(scores["n"]), *cells)
    Console().print(table)


def ladder_table(direction: str, rows: list[dict]) -> None:
    """The rungs between two hospitals, and what each closes of the gap."""
    from helpers.tasks.adaptation.results import as_frame

    frame = as_frame(rows)
    table = Table(title=f"{direction.replace('-', ' to ')}: means over test radiographs, 95 % intervals")
    for column in ("", *frame.columns):
        table.add_column(column.replace(", ", ",\n"), no_wrap=True)
    for name, *cells in frame.itertuples():
        table.add_row(name, *(str(cell).replace(" [", "\n\\[") for cell in cells))
    Console().print(table)


def ablation_table(result: dict) -> None:
    """Scores with and without the gate, side by side."""
    table = Table(title=f"{result['n']} patients, mean and 95 % interval")
    arms = result["gate"]
    table.add_column("")
    for arm in arms:
        table.add_column(arm, no_wrap=True)
    for name in next(iter(arms.values())):
        cells = (scores[name] for scores in arms.values())
        table.add_row(name, *(f"{cell:.2f}" if isinstance(cell, float) else cell.replace("[", "\\[") for cell in cells))
    Console().print(table)


def runs_table(compared: "pd.DataFrame") -> None:
    """How many recorded values are the same, and each that is not."""
    counts = compared["verdict"].value_counts()
    table = Table(title=", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    for column in compared.columns:
        table.add_column(column, overflow="fold")
    for row in compared[compared["verdict"] != "same"].itertuples(index=False):
        table.add_row(*(str(cell) for cell in row))
    Console().print(table)
