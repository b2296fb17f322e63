"""Scores as tables for a terminal, the trivial model's in the same table; 80 columns are enough for each."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from helpers.cli.console import console, print_table
from helpers.measure.statistics import MIN_PATIENTS, mean_interval
from helpers.runtime.json_files import read_json
from helpers.runtime.options import ORDERS

if TYPE_CHECKING:
    import pandas as pd

    from helpers.lessons.baseline import Baseline
    from helpers.lessons.handed_in import ExerciseState, HandedIn
    from helpers.measure.claim import Explanation, Figure
    from helpers.measure.model_comparison import Comparison
    from helpers.measure.statistics import PairedComparison

_BRAIN = {
    "dice": ("Dice", 3),
    "jaccard": ("Jaccard", 3),
    "sensitivity": ("sensitivity", 3),
    "precision": ("precision", 3),
    "hd95_mm": ("HD95, mm", 1),
    "assd_mm": ("ASSD, mm", 1),
    "nsd_1mm": ("NSD at 1 mm", 3),
    "volume_error_ml": ("volume error, ml", 1),
    "absolute_volume_error_ml": ("absolute, ml", 1),
    "lesion_recall": ("lesion recall", 3),
    "lesion_precision": ("lesion precision", 3),
}
_LUNGS = {"dice": ("Dice", 3), "jaccard": ("Jaccard", 3), "assd_px": ("ASSD, pixels", 1)}
_CLAIMED = {"accuracy": "accuracy", "iou": "IoU", "dice": "Dice"}
_LONGEST = 300  # letters of a check's words on a screen; files have them whole
_GATE = {
    "auc": "AUC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "skipped": "share of all slices skipped",
}


def brain_table(result: dict) -> None:
    """Scores per region beside those of the model that calls everything background, and Dice per site."""
    spread = _spread(result["n"])
    print_table(
        f"{result['n']} patients, mean and {spread}",
        ("region", "score", "mean", spread, "all background"),
        (
            (
                region,
                name,
                *_with_spread(scores[key], digits, result["n"]),
                _mean(result["trivial"][region][key], digits),
            )
            for region, scores in result["regions"].items()
            for key, (name, digits) in _BRAIN.items()
            if key in scores
        ),
    )
    for line in _exceptions(result):
        console().print(Text(line))
    if result.get("sites"):
        print_table(
            "Dice by site: mean over its patients",
            ("site", "patients", *result["regions"]),
            (
                (site, part["n"], *(_mean(scores["dice"], 3) for scores in part["regions"].values()))
                for site, part in result["sites"].items()
            ),
        )


def _exceptions(result: dict) -> Iterator[str]:
    """What a mean of distances holds, and what other means leave out."""
    for region, scores in result["regions"].items():
        if diagonals := scores["hd95_mm"].get("diagonals"):
            yield (
                f"{region}: for {diagonals} of {result['n']} patients one mask alone is empty; their HD95 and ASSD are "
                "the diagonal of the volume, and the means hold them."
            )
        undefined = {name: scores[key]["undefined"] for key, (name, _) in _BRAIN.items() if key in scores
                     and scores[key].get("undefined")}  # fmt: skip
        if undefined:
            listed = ", ".join(f"{name} ({count})" for name, count in undefined.items())
            yield f"{region}: not defined, and left out of the mean, for some patients: {listed}."


def comparison_table(comparison: "Comparison") -> None:
    """Every pair of models in every region: the paired difference, its interval, and whether it can be told."""
    spread = _spread(len(comparison.patients))
    print_table(
        f"{len(comparison.patients)} patients: Dice, second model minus first",
        ("first", "second", "region", "means", "difference", spread, "p (Holm)", "told"),
        (
            (
                row.first,
                row.second,
                row.region,
                f"{row.means[0]:.3f} {row.means[1]:.3f}",
                f"{row.paired.difference:+.3f}",
                _differences(row.paired),
                f"{row.paired.p_adjusted:.2g}",
                "yes" if row.paired.is_told else "no",
            )
            for row in comparison.rows
        ),
    )
    spreads = {
        (name, row.region): value
        for row in comparison.rows
        for name, value in zip((row.first, row.second), row.paired.spread_between_seeds, strict=True)
        if value is not None
    }
    for (name, region), value in spreads.items():
        console().print(Text(f"{name}, {region}: standard deviation of the mean between seeds {value:.3f}."))
    for file, patients in comparison.left_out.items():
        console().print(Text(f"{file}: left out, for other files lack them: {', '.join(patients)}."))
    for line in (*comparison.notes, *comparison.sentences()):
        console().print(Text(line))


def _differences(paired: "PairedComparison") -> str:
    low, high = paired.interval or (min(paired.differences), max(paired.differences))
    return f"[{low:+.3f}, {high:+.3f}]" if paired.interval else f"{low:+.3f} to {high:+.3f}"


def gate_table(result: dict) -> None:
    """Scores of a gate beside those of one that lets every slice with brain pass."""
    print_table(
        f"{result['n']} patients, {result['slices']['brain']:,} slices with brain",
        ("score", "gate", "95 % interval", "all pass"),
        (
            (
                name,
                f"{result[key]['value']:.3f}",
                _interval(result[key]["ci95"], 3) if result["n"] >= MIN_PATIENTS else "too few patients",
                f"{result['trivial'][key]:.3f}",
            )
            for key, name in _GATE.items()
        ),
    )


def lungs_table(result: dict) -> None:
    """Scores in each hospital beside those of the mean training mask."""
    spread = _spread(min(scores["n"] for scores in result["sites"].values()))
    print_table(
        f"{result['n']} X-rays, mean and {spread}",
        ("hospital", "X-rays", "score", "mean", spread, "mean mask"),
        (
            (
                site,
                scores["n"],
                name,
                *_with_spread(scores[key], digits, scores["n"]),
                _mean(result["trivial"][site][key], digits),
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
        f"{where}: means over test radiographs, and 95 % intervals from {MIN_PATIENTS} radiographs on",
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


def subsets_table(result: dict) -> None:
    """Mean Dice of a model for each set of modalities that it may be given."""
    print_table(
        f"{result['n']} patients: mean Dice by what the model is given",
        ("modalities", *result["regions"]),
        ((names, *(f"{dice:.3f}" for dice in means.values())) for names, means in result["subsets"].items()),
    )


def recipes_table(result: dict) -> None:
    """Recipes on hospitals they never saw: mean Dice, and the paired difference to the first row."""
    regions = list(result["rows"][0]["regions"])
    print_table(
        f"{result['n']} patients, each of a hospital that the model never saw; {len(result['rows'])} recipes, "
        f"{result['seeds']} seed(s), {result['minutes']:g} minutes a training",
        ("recipe", *(f"{region} Dice" for region in regions)),
        [
            *((row["name"], *(_against_first(row["regions"][region]) for region in regions)) for row in result["rows"]),
            ("all background", *(f"{result['trivial'][region]:.3f}" for region in regions)),
        ],
    )
    for row in result["rows"]:
        console().print(Text(f"{row['name']}: {row['help']}"))


def _against_first(scores: dict) -> str:
    difference = scores.get("difference")
    if difference is None:
        return f"{scores['mean']:.3f}"
    told = "" if difference["told"] else ", not told"
    spread = "too few" if difference["interval"] is None else "{:+.3f}, {:+.3f}".format(*difference["interval"])
    return f"{scores['mean']:.3f}\n{difference['mean']:+.3f} [{spread}]{told}"


def finetuning_table(out: Path) -> None:
    """A fine-tuned model beside what it was, at the new hospital and at the old one."""
    table = read_json(out / "finetuning.json", {"type": "object", "description": "an object"})
    hospitals = [(name, table[name]) for name in ("new", "old") if table.get(name)]
    print_table(
        f"Learned from {len(table['patients'])}, layers: {table['layers']}; {table['score']}",
        ("", *(f"{name} hospital, n = {len(scores['after'])}" for name, scores in hospitals)),
        (
            (words, *(_of_patients(scores[key].values()) for _, scores in hospitals))
            for words, key in (("as it was", "before"), ("fine-tuned", "after"), ("trivial", "trivial"))
        ),
    )


def curve_table(table: dict) -> None:
    """A learning curve: the mean over the test patients by how many were learned from, at the new site and the old."""
    from helpers.show.learning_curve import CURVES, by_patient

    rows = []
    for key, (words, *_) in CURVES.items():
        for count in sorted({row["k"] for row in table["rows"] if (row["start"], row["order"]) == key}):
            known = [
                by_patient(table, key, count, side) if _scored(table, key, side) else [] for side in ("new", "old")
            ]
            rows.append((words, count, *map(_of_patients, known)))
    old = table.get("old_base", {})
    rows.append(("the model as it was", 0, _of_patients(table["base"].values()), _of_patients(old.values())))
    rows.append(("trivial", 0, _of_patients(table["trivial"].values()), "-"))
    columns = (f"new site, n = {len(table['base'])}", f"old sites, n = {len(old)}")
    print_table(f"{table['score']}; layers: {table['layers']}", ("", "patients", *columns), rows)


def _scored(table: dict, key: tuple[str, str], side: str) -> bool:
    return any((row["start"], row["order"]) == key and row[side] for row in table["rows"])


def order_table(ids: list[str], name: str) -> None:
    """Whom to outline first."""
    print_table(f"To outline, in this order: {ORDERS[name].help}", ("", "patient"), enumerate(ids, start=1))


def _of_patients(values: Iterable[float | None]) -> str:
    """Mean and interval; below eight patients their range."""
    found = [value for value in values if value is not None]
    if not found:
        return "-"
    spread = mean_interval(found)
    words = f"{spread[0]:.3f}, {spread[1]:.3f}" if spread else f"range {min(found):.3f}, {max(found):.3f}"
    return f"{sum(found) / len(found):.3f} [{words}]"


def runs_table(compared: "pd.DataFrame") -> None:
    """How many recorded values are the same, and each that is not."""
    counts = compared["verdict"].value_counts()
    differing = compared[compared["verdict"] != "same"]
    print_table(
        ", ".join(f"{count} {verdict}" for verdict, count in counts.items()),
        tuple(compared.columns),
        differing.itertuples(index=False),
    )


def claim_table(figures: "list[Figure]", explanations: "list[Explanation]") -> None:
    """What each reported figure may be, and which Dice that leaves; then the formulas."""
    print_table(
        f"{' and '.join(f'{_CLAIMED[one.metric]} {one.text}' for one in figures)}: what they may be together",
        (
            "classes",
            *(f"{_CLAIMED[one.metric]} {one.text}" for one in figures if one.metric != "accuracy"),
            "foreground Dice",
            "mean of its classes",
            "foreground",
        ),
        (
            (
                one.classes,
                *(definition.name for definition in one.definitions if definition.metric != "accuracy"),
                *(f"{low:.2f} to {high:.2f}" for low, high in (one.foreground_dice, one.class_dice)),
                f"{one.foreground[0]:.1%} to {one.foreground[1]:.1%}",
            )
            for one in explanations
        ),
    )
    used = dict.fromkeys(definition for one in explanations for definition in one.definitions)
    print_table(
        "e: share of wrong pixels; t, u: pixels that are foreground in either mask, in one alone; K classes",
        ("", "definition", "formula", "source"),
        ((_CLAIMED[one.metric], one.name, one.formula, one.source) for one in used),
    )


def class_table(read: Sequence["HandedIn"]) -> None:
    """Each notebook of a class: how many exercises are solved, and of the others what their checks say."""
    print_table(
        f"{len(read)} notebooks, as their outputs say",
        ("notebook", "lesson", "solved", "what the checks say, and what puts it in doubt"),
        (
            (
                one.file,
                one.lesson.partition("_")[0] if one.lesson else "none",
                f"{one.solved} of {len(one.exercises)}" if one.exercises else "-",
                "\n".join((*one.remarks, *filter(None, map(_exercise, one.exercises if one.was_run else ())))),
            )
            for one in read
        ),
    )


def _exercise(exercise: "ExerciseState") -> str | None:
    """A line on an exercise that is not solved, or whose check is in doubt."""
    words = exercise.words if len(exercise.words) <= _LONGEST else f"{exercise.words[:_LONGEST]}…"
    said = f"{exercise.task}, {exercise.state}{': ' * bool(words)}{words}"
    if exercise.remarks:
        return f"{said} ({'; '.join(exercise.remarks)})"
    return None if exercise.state == "solved" else said


def _spread(n: int) -> str:
    return "95 % interval" if n >= MIN_PATIENTS else "lowest to highest"


def _with_spread(score: dict, digits: int, n: int) -> tuple[str, str]:
    """The mean, and its interval; for few patients their range. Files of older versions have the interval alone."""
    if score["mean"] is None:
        return "-", "-"
    if n >= MIN_PATIENTS and score.get("interval", score["ci95"]):
        return _mean(score, digits), _interval(score["ci95"], digits)
    low, high = score.get("range", (None, None))
    return _mean(score, digits), "-" if low is None else f"{low:.{digits}f} to {high:.{digits}f}"


def _mean(score: dict, digits: int) -> str:
    return "-" if score["mean"] is None else f"{score['mean']:.{digits}f}"


def _interval(bounds: list[float], digits: int) -> str:
    return f"[{bounds[0]:.{digits}f}, {bounds[1]:.{digits}f}]"


def baseline_table(made: "Baseline") -> None:
    """The band of each number before and now, and a mark where it has changed."""
    rows = [
        (lesson, name, *("-" if band is None else str(band) for band in (old, new)), "" if old == new else "changed")
        for lesson, name, old, new in made.rows
    ]
    print_table(
        f"{len(rows)} numbers; {sum(row[-1] == 'changed' for row in rows)} bands have changed",
        ("lesson", "number", "before", "now", ""),
        rows,
    )
