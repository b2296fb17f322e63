"""A course of two small lessons, written where a test wants it."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from helpers.lessons.build import build
from helpers.lessons.manifest import Course, read_manifest

ENTRY = {
    "title": "First",
    "question": "Why?",
    "objectives": ["see", "log"],
    "minutes": {"read": 1, "work": 2},
    "needs": "none",
    "prerequisites": [],
    "gpu_gb": None,
    "takeaways": ["one", "two", "three"],
    "paper": ["section 1"],
}
ENTRIES = [
    {**ENTRY, "number": "00", "slug": "first"},
    {**ENTRY, "number": "03", "slug": "second", "title": "Second", "prerequisites": ["00", "patience"]},
]

PARAMETERS = """# %% tags=["parameters"]
SEED = 0
EPOCHS = 3  # passes over the data
OUTPUT_DIR = ""
"""

EXERCISE = '''
# %% [markdown]
# ## Exercise 1
# Double the number.

# %% tags=["stub"]
def double(x):
    ...

# %% tags=["solution"]
def double(x):
    """Twice `x`."""
    return 2 * x

# %% tags=["check"]
from helpers.lessons.checks import exercise_check, filled, require

with exercise_check("Exercise 1"):
    value = filled(double(2))
    require(value == 4, f"twice 2 is 4; yours gives {value}")
'''


@dataclass
class Workshop:
    """The folder of a small course, with what tests do to it."""

    root: Path

    @property
    def notebooks(self) -> Path:
        return self.root / "notebooks"

    @property
    def course(self) -> Course:
        return read_manifest(self.root / "course.yml")

    def manifest(self, entries: list[dict]) -> None:
        content = {"title": "A course", "repository": "someone/course", "branch": "main", "lessons": entries}
        (self.root / "course.yml").write_text(yaml.safe_dump(content), encoding="utf-8")

    def source(self, name: str, text: str) -> None:
        (self.notebooks / "src" / f"{name}.py").write_text(text, encoding="utf-8")

    def profile(self, first: dict | None = None, **others: object) -> None:
        content = {
            "cell_timeout": 60,
            "lessons": {"00_first": {"parameters": first or {}}, "03_second": {"parameters": {}}},
            **others,
        }
        (self.root / "profiles" / "quick.yml").write_text(yaml.safe_dump(content), encoding="utf-8")

    def baselines(self, content: dict) -> None:
        (self.root / "baselines" / "quick.yml").write_text(yaml.safe_dump(content), encoding="utf-8")

    def build(self) -> list[Path]:
        return build(self.notebooks, course=self.course)


def make_workshop(root: Path) -> Workshop:
    """Two lessons, each with parameters, the first with an exercise; profile `quick`; nothing built."""
    made = Workshop(root)
    for folder in ("notebooks/src", "profiles", "baselines"):
        (root / folder).mkdir(parents=True)
    made.manifest(ENTRIES)
    made.source("00_first", PARAMETERS + EXERCISE)
    made.source("03_second", PARAMETERS)
    made.profile()
    return made


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """The small course."""
    return make_workshop(tmp_path)


@pytest.fixture(autouse=True)
def quick_calibration(monkeypatch):
    """A third of a second less for each lesson that a test runs."""
    monkeypatch.setattr("helpers.lessons.effort.calibration_step", lambda: 0.02)
