"""Scores as tables for a terminal, the trivial model's in the same table; 80 columns are enough for each."""

from typing import TYPE_CHECKING

from helpers.cli.console import print_table

if TYPE_CHECKING:
    import pandas as pd

_BRAIN = {
    "dice": ("Dice", 3),
    "jaccard": ("Jaccard", 3),
    "hd95_mm": ("HD95, mm", 1),
    "volume_error_ml": ("volume error, ml", 1),
}
_LUNGS = {"dice": ("Dice", 3), "jaccard": ("Jaccard", 3), "assd_px": ("ASSD, pixels", 1)}
_GATE = {
    "auc": "AUC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "skipped": "share of all slices skipped",
}


def brain_table(result: dict) -> None:
    """Scores per region beside those of the model that calls everything background."""
    print_table(
        f"{result['n']} patients, mean and 95 % interval",
        ("region", "score", "mean", "95 % interval", "all background"),
        (
            (region, name, *_with_interval(scores[key], digits), f"{result['trivial'][region][key]['mean']:.{digits}f}")
            for region, scores in result["regions"].items()
            for key, (name, digits) in _BRAIN.items()
        ),
    )


def gate_table(result: dict) -> None:
    """Scores of a gate beside those of one that lets every slice with brain pass."""
    print_table(
        f"{result['n']} patients, {result['slices']['brain']:,} slices with brain",
        ("score", "gate", "95 % interval", "all pass"),
        (
            (name, f"{result[key]['value']:.3f}", _interval(result[key]["ci95"], 3), f"{result['trivial'][key]:.3f}")
            for key, name in _GATE.items()
        ),
    )


def lungs_table(result: dict) -> None:
    """Scores in each hospital beside those of the mean training mask."""
    print_table(
        f"{result['n']} X-rays, mean and 95 % interval",
        ("hospital", "X-rays", "score", "mean", "95 % interval", "mean mask"),
        (
            (
                site,
                scores["n"],
                name,
                *_with_interval(scores[key], digits),
                f"{result['trivial'][site][key]['mean']:.{digits}f}",
            )
            for site, scores in result["sites"].items()
            for key, (name, digits) in _LUNGS.items()
        ),
    )


def ladder_table(direction: str, rows: list[dict]) -> None:
    """The experiments between two hospitals: their scores, and below what each closes of the gap."""
    from helpers.tasks.adaptation.results import as_frame

    frame = as_frame(rows)
    where = direction.replace("-", " to ")
    scores, rest = ["seeds", "Dice, source", "Dice, target"], ["gap closed", "change at home", "oracle"]
    print_table(
        f"{where}: means over test radiographs, 95 % intervals",
        ("experiment", *scores),
        frame[scores].itertuples(name=None),
    )
    print_table(
        f"{where}: what each experiment changes",
        ("experiment", *rest),
        ((name, *(str(cell).replace(" [", "\n[") for cell in cells)) for name, *cells in frame[rest].itertuples()),
    )


def ablation_table(result: dict) -> None:
    """Scores with and without the gate, side by side."""
    arms = result["gate"]
    print_table(
        f"{result['n']} patients, mean and 95 % interval",
        ("", *arms),
        (
            (name, *(f"{arm[name]:.2f}" if isinstance(arm[name], float) else arm[name] for arm in arms.values()))
            for name in next(iter(arms.values()))
        ),
    )


def runs_table(compared: "pd.DataFrame") -> None:
    """How many recorded values are the same, and each that is not."""
    counts = compared["verdict"].value_counts()
    differing = compared[compared["verdict"] != "same"]
    print_table(
        ", ".join(f"{count} {verdict}" for verdict, count in counts.items()),
        tuple(compared.columns),
        differing.itertuples(index=False),
    )


def _with_interval(score: dict, digits: int) -> tuple[str, str]:
    return f"{score['mean']:.{digits}f}", _interval(score["ci95"], digits)


def _interval(bounds: list[float], digits: int) -> str:
    return f"[{bounds[0]:.{digits}f}, {bounds[1]:.{digits}f}]"
