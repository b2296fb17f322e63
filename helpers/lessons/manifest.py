"""The manifest of the course (`course.yml`), read and checked."""

import re
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

MANIFEST = Path(__file__).with_name("course.yml")
DATA_SETS = ("brats", "chest", "none")
PLACEHOLDER = "OWNER/REPO"
"""What stands in `course.yml` while the course has no repository."""


class LessonError(ValueError):
    """Something about a lesson, its notebook or its profile is wrong; the message says how to mend it."""


@dataclass(frozen=True)
class Lesson:
    """One entry of `course.yml`; the comments there say what each field holds."""

    number: str
    slug: str
    title: str
    question: str
    objectives: tuple[str, ...]
    minutes: dict[str, int]
    needs: str
    prerequisites: tuple[str, ...]
    gpu_gb: float | None
    takeaways: tuple[str, ...]
    paper: tuple[str, ...]
    models: tuple[str, ...] = ()
    further: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """File name without suffix, such as `04_build_the_unet`."""
        return f"{self.number}_{self.slug}"

    @property
    def label(self) -> str:
        """Text of a link to the lesson, such as `04 Build the U-Net`."""
        return f"{self.number} {self.title}"


@dataclass(frozen=True)
class Course:
    """The lessons in their order, and the GitHub repository that the badges point to.

    `folder` holds the manifest, and beside it `profiles/` and `baselines/`.
    """

    title: str
    repository: str
    branch: str
    lessons: tuple[Lesson, ...]
    folder: Path

    def find(self, name: str) -> Lesson:
        """Find a lesson by any of its names.

        Args:
            name: such as "04", "4", "build_the_unet" or "04_build_the_unet".

        Raises:
            LessonError: no lesson has that name; the message lists those there are.
        """
        wanted = name.zfill(2) if name.isdecimal() else name
        for lesson in self.lessons:
            if wanted in (lesson.number, lesson.slug, lesson.name):
                return lesson
        known = ", ".join(lesson.name for lesson in self.lessons)
        raise LessonError(f"There is no lesson '{name}'. The course has: {known}.")

    def neighbours(self, lesson: Lesson) -> tuple[Lesson | None, Lesson | None]:
        """Find the lessons before and after `lesson`; None at either end of the course."""
        i = self.lessons.index(lesson)
        before = self.lessons[i - 1] if i > 0 else None
        return before, self.lessons[i + 1] if i + 1 < len(self.lessons) else None

    @property
    def published(self) -> bool:
        """Whether the course has a repository, to which badges can lead."""
        return self.repository != PLACEHOLDER

    def notebook_path(self, lesson: Lesson) -> str:
        """Give the place of the lesson's notebook below github.com."""
        return f"{self.repository}/blob/{self.branch}/notebooks/{lesson.name}.ipynb"


def read_manifest(path: Path = MANIFEST) -> Course:
    """Read and check the manifest.

    Args:
        path: the file; by default that of the package.

    Raises:
        LessonError: an entry lacks a field, has one too many, or a value outside its rule.
    """
    entries = read_yaml(path)
    lessons = tuple(_lesson(entry, path) for entry in entries["lessons"])
    numbers = [lesson.number for lesson in lessons]
    if numbers != sorted(set(numbers)):
        raise LessonError(f"{path.name}: lesson numbers must rise, each once; they are {', '.join(numbers)}.")
    for lesson in lessons:
        for wanted in lesson.prerequisites:
            if wanted.isdecimal() and wanted not in numbers[: numbers.index(lesson.number)]:
                raise LessonError(f"{path.name}: {lesson.name} needs lesson {wanted}, which is not before it.")
    return Course(entries["title"], entries["repository"], entries["branch"], lessons, path.parent)


def read_yaml(path: Path) -> Any:
    """Read a YAML file of the course.

    Args:
        path: the file.

    Raises:
        LessonError: it is damaged.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise LessonError(f"{path} is damaged ({reason}); restore it.") from error


def _lesson(entry: dict, path: Path) -> Lesson:
    where = f"{path.name}: lesson {entry.get('number')} {entry.get('slug')}"
    names = {field.name for field in fields(Lesson)}
    needed = {field.name for field in fields(Lesson) if field.default is MISSING}
    if not needed <= entry.keys() <= names:
        lacking, foreign = sorted(needed - entry.keys()), sorted(entry.keys() - names)
        raise LessonError(f"{where} lacks the fields {lacking} and has unknown fields {foreign}.")
    rules = {
        'number is two digits in quotes, such as "04"': re.fullmatch(r"\d\d", str(entry["number"]))
        and isinstance(entry["number"], str),
        "slug is lower case words joined by _": re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", entry["slug"]),
        "objectives are two to four": 2 <= len(entry["objectives"]) <= 4,
        "takeaways are three": len(entry["takeaways"]) == 3,
        "minutes hold read and work": set(entry["minutes"]) == {"read", "work"},
        f"needs is one of {DATA_SETS}": entry["needs"] in DATA_SETS,
    }
    for rule, holds in rules.items():
        if not holds:
            raise LessonError(f"{where} breaks a rule: {rule}.")
    return Lesson(**{name: tuple(text) if isinstance(text, list) else text for name, text in entry.items()})
