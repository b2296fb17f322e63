"""Do two runs of the lessons record the same numbers? Asked after every change that should change none."""

import json
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.lessons.manifest import LessonError
from helpers.lessons.record import leaves

if TYPE_CHECKING:
    import pandas as pd

SAME, NOISE, CHANGED, MISSING = "same", "within noise", "changed", "in one run only"


def compare_runs(reference: Path, run: Path, repeats: Sequence[Path] = ()) -> "pd.DataFrame":
    """Hold every recorded value of a run against that of a reference.

    Args:
        reference: what `python -m helpers run --out` left.
        run: the same of another run.
        repeats: further runs of the reference's own code, which show how much a value changes by itself.

    Returns:
        One row a value, those inside lists and dicts each by itself: `lesson`, `name`, `reference`, `run`, and
        `verdict`: "same", to the last digit; "within noise", a number no further from the reference than the repeats
        are from each other or from it; "changed"; "in one run only".

    Raises:
        LessonError: a folder holds no run.
    """
    values, others = _values(reference), _values(run)
    noise = [_values(repeat) for repeat in repeats]
    import pandas as pd

    rows = []
    for key in {**values, **others}:
        old, new = values.get(key), others.get(key)
        if key not in values or key not in others:
            verdict = MISSING
        elif old == new:
            verdict = SAME
        else:
            verdict = NOISE if _within(old, new, [held[key] for held in noise if key in held]) else CHANGED
        rows.append({"lesson": key[0], "name": key[1], "reference": old, "run": new, "verdict": verdict})
    return pd.DataFrame(rows)


def _within(old: Any, new: Any, repeats: Sequence[Any]) -> bool:
    known = [old, *repeats]
    if not all(isinstance(value, Real) for value in [*known, new]):
        return new in known
    return abs(new - old) <= max(known) - min(known)


def _values(folder: Path) -> dict[tuple[str, str], Any]:
    found = {}
    for path in sorted(folder.glob("*/metrics.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        found |= {(content["lesson"], name): value for name, value in leaves(content["values"])}
    if not found:
        raise LessonError(f"{folder} holds no run of lessons; expected what `python -m helpers run --out` leaves.")
    return found
