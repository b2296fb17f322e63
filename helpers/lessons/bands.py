"""What a recorded number should be: exactly one value, inside a band, or within a budget; read from `baselines/`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

from helpers.lessons.manifest import Course, LessonError, read_yaml

EXACT, BAND, BUDGET, NOT_COMPARED = "exact", "band", "budget", "not compared"
SAME, WORSE, BETTER = "same", "worse", "better"
Direction = Literal["higher", "lower", "neither"]

_FIELDS = {
    EXACT: {"value", "runs", "trivial"},
    BAND: {"value", "spread", "runs", "better", "min", "max", "trivial"},
    BUDGET: {"value", "spread", "runs", "better", "min", "max"},
    NOT_COMPARED: {"because"},
}
_ENDS = {"higher": ["min"], "lower": ["max"], "neither": ["min", "max"]}  # beyond these a number is worse


@dataclass(frozen=True)
class Band:
    """What one recorded number is held to.

    Attributes:
        kind: `EXACT`, the same in every run; `BAND`, between two ends; `BUDGET`, the same for what a lesson costs;
            `NOT_COMPARED`.
        better: of a band, which way a number may leave it and be an improvement; "neither" where both ways are worse.
        value: the exact one, or the middle of the band.
        min: lower end, itself included; minus infinity where it is open.
        max: upper end, itself included.
        trivial: what the predictor that knows nothing would record; None where there is no such predictor.
        spread: standard deviation of the runs.
        runs: how many the numbers come from; 0 where people wrote them.
        because: why it is not compared.
    """

    kind: str = BAND
    better: Direction = "neither"
    value: Any = None
    min: float = -math.inf
    max: float = math.inf
    trivial: float | None = None
    spread: float | None = None
    runs: int = 0
    because: str | None = None

    @property
    def in_json(self) -> dict[str, Any]:
        """The band in JSON, which knows no infinity: an open end is null."""
        return {name: _finite(value) for name, value in vars(self).items()}

    def judge(self, value: Any) -> str:
        """Tell `SAME`, `WORSE` or `BETTER` of a recorded value.

        Args:
            value: as it was recorded; None where it was not, or was not finite.
        """
        if self.kind == NOT_COMPARED or (self.kind == BUDGET and value is None):  # Windows does not tell
            return SAME
        if self.kind == EXACT:
            return SAME if _equal(value, self.value) else WORSE
        if not _is_number(value):
            return WORSE
        if self.min <= value <= self.max:
            return SAME
        return BETTER if (value > self.max, self.better) in ((True, "higher"), (False, "lower")) else WORSE

    def admits(self, value: float) -> bool:
        """Tell whether a predictor that recorded `value` would not be noticed."""
        return self.judge(value) != WORSE

    def __str__(self) -> str:
        if self.kind == NOT_COMPARED:
            return "not compared"
        if self.kind == EXACT:
            return f"exactly {_short(self.value)}"
        if math.isinf(self.max):
            return f"{self.min:.4g} or more"
        return f"{self.max:.4g} or less" if math.isinf(self.min) else f"{self.min:.4g} to {self.max:.4g}"


def judge_all(bands: Mapping[str, Band], values: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Judge all numbers of a lesson.

    Args:
        bands: by name.
        values: what was recorded, by name, lists and dicts taken apart by `helpers.lessons.record.leaves`.

    Returns:
        For `WORSE` and `BETTER` a sentence for each number that is, by its name.
    """
    said: dict[str, dict[str, str]] = {WORSE: {}, BETTER: {}}
    for name, band in bands.items():
        verdict = band.judge(values.get(name))
        if verdict != SAME:
            wanted = "it should be" if band.kind == EXACT else "the band is"
            given = f"{name} is {_short(values[name])}" if name in values else f"{name} was not recorded"
            said[verdict][name] = f"{given}; {wanted} {band}"
    return said


def read_baselines(profile: str, course: Course) -> dict[str, dict[str, Band]]:
    """Read the bands of a profile.

    Args:
        profile: its name.
        course: the manifest.

    Returns:
        Bands by lesson name and number; empty for a profile that has none.

    Raises:
        LessonError: an unknown lesson, or a band that is none or that lets the trivial predictor pass.
    """
    path = course.folder / "baselines" / f"{profile}.yml"
    entries = (read_yaml(path) if path.is_file() else None) or {}
    bands = {}
    for lesson, numbers in entries.items():
        course.find(lesson)
        where = f"{path.name}: {lesson}"
        bands[lesson] = {name: make_band(entry, f"{where}, {name}") for name, entry in numbers.items()}
    return bands


def make_band(entry: Mapping[str, Any], where: str) -> Band:
    """Make a band of its entry in a baseline.

    Args:
        entry: its fields by their names in `Band`.
        where: file, lesson and number, for messages.

    Raises:
        LessonError: fields are missing or unknown, or no run of a trivial predictor could leave the band.
    """
    kind = entry.get("kind") if isinstance(entry, Mapping) else None
    if kind not in _FIELDS:
        raise LessonError(f"{where} holds {entry!r}; it needs a kind: {', '.join(_FIELDS)}.")
    better = entry.get("better", "higher" if kind == EXACT else None)
    needed = {EXACT: ["value"], NOT_COMPARED: ["because"]}.get(kind, ["better", *_ENDS.get(better, [])])
    lacking, foreign = sorted(set(needed) - entry.keys()), sorted(entry.keys() - _FIELDS[kind] - {"kind"})
    if lacking or foreign or (kind in (BAND, BUDGET) and better not in _ENDS):
        ways = f"; better is one of {', '.join(_ENDS)}" if "better" in needed else ""
        raise LessonError(f"{where}, of kind {kind}, lacks {lacking} and has unknown fields {foreign}{ways}.")
    band = Band(**entry)
    if not band.min <= band.max:
        raise LessonError(f"{where}: min {band.min} lies above max {band.max}.")
    if band.trivial is not None and band.admits(band.trivial):
        raise LessonError(
            f"{where}: {band} lets the trivial predictor pass ({band.trivial:g}); a lesson that learnt nothing would "
            "go unnoticed. Narrow it."
        )
    return band


def _equal(value: Any, wanted: Any) -> bool:
    if _is_number(value) and _is_number(wanted):
        return math.isclose(value, wanted, rel_tol=1e-6)  # another processor rounds another way
    return value == wanted


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
