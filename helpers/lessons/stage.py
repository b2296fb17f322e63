"""Prepares lessons for Kaggle: a folder each, as its client expects it, and one with the wheel of `helpers`.

A kernel holds one notebook and nothing else, so the package is uploaded as a data set.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from helpers.data.sets import BRATS, CHEST
from helpers.lessons.build import NOTEBOOKS, render
from helpers.lessons.manifest import Course, Lesson, LessonError, read_manifest
from helpers.lessons.plan import declared
from helpers.lessons.profiles import Profile, read_profile
from helpers.lessons.setup_cell import HELPERS
from helpers.runtime.json_files import import_jsonschema

TEMPLATE = "kaggle-kernel-metadata.json"  # at the top of the checkout
KERNEL, DATASET = "kernel-metadata.json", "dataset-metadata.json"  # the names the client looks for
SOURCES = {"brats": [BRATS], "chest": [CHEST], "none": []}
_SCHEMAS = Path(__file__).with_name("kaggle.schema.yml")
_WHEEL = ("pyproject.toml", "README.md", "LICENSE", "LICENSE-lessons", "helpers")


@dataclass(frozen=True)
class Staged:
    """One lesson, ready to go up.

    Attributes:
        lesson: its name, such as `04_build_the_unet`.
        folder: what the client is given.
        kernel: owner and slug on Kaggle.
        token: is in the notebook and comes back with its numbers, so that those of an older run are recognised.
    """

    lesson: str
    folder: Path
    kernel: str
    token: str


def stage(
    names: Sequence[str],
    user: str,
    profile: str = "full",
    out: Path = Path("build/kaggle"),
    notebooks: Path = NOTEBOOKS,
    course: Course | None = None,
) -> tuple[Path, list[Staged]]:
    """Write the folder with the wheel and one for each lesson.

    Args:
        names: lessons; none means all.
        user: the owner on Kaggle.
        profile: sets the notebooks' parameters.
        out: receives the folders.
        notebooks: the folder of the student's notebooks, with `src/`.
        course: the manifest; by default that of the package.

    Returns:
        The folder with the wheel, and the staged lessons.

    Raises:
        LessonError: a lesson, its source, the profile or the metadata is not in order.
    """
    if found := complaints(_helpers_metadata(user), "dataset"):
        raise LessonError("\n".join([f"{user!r} is no name on Kaggle; correct --user:", *found]))
    course = course or read_manifest()
    wanted = [course.find(name) for name in names] or course.lessons
    texts, size = render(notebooks, "student", course), read_profile(profile, course)
    checkout = notebooks.resolve().parent
    helper = _stage_helpers(checkout, user, out / "helpers")
    lessons = [lesson for lesson in course.lessons if lesson in wanted]
    return helper, [
        _stage_lesson(lesson, texts[f"{lesson.name}.ipynb"], user, size, out, checkout) for lesson in lessons
    ]


def complaints(metadata: dict[str, Any], kind: str) -> list[str]:
    """List what is wrong with the metadata of a kernel or a data set.

    Args:
        metadata: as Kaggle's client reads it.
        kind: "kernel" or "dataset".

    Returns:
        One sentence each; empty when there is nothing.
    """
    import_jsonschema()
    from jsonschema import Draft202012Validator

    schema = yaml.safe_load(_SCHEMAS.read_text(encoding="utf-8"))[kind]
    errors = Draft202012Validator(schema).iter_errors(metadata)
    found = [f"{error.json_path[2:] or kind}: {error.message}" for error in errors]
    if not found and kind == "kernel":
        slug = re.sub(r"[^a-z0-9]+", "-", metadata["title"].lower()).strip("-")
        if metadata["id"].partition("/")[2] != slug:
            found.append(f"title: gives the name {slug}, and id another; Kaggle would make a second kernel.")
    return found


def _stage_helpers(checkout: Path, user: str, folder: Path) -> Path:
    """Write the data set: the wheel and its metadata.

    Raises:
        LessonError: there is no checkout to build from, or the wheel could not be built.
    """
    if not (checkout / "pyproject.toml").is_file():
        raise LessonError(f"{checkout} is no checkout of the course: the wheel is built there. Run from a checkout.")
    _empty(folder)
    _write(folder / DATASET, _helpers_metadata(user), "dataset")
    with TemporaryDirectory() as scratch:  # setuptools would put what it built last time into the wheel as well
        for name in _WHEEL:
            copy = shutil.copytree if (checkout / name).is_dir() else shutil.copy
            copy(checkout / name, Path(scratch) / name)
        hook = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
        command = [sys.executable, "-c", hook, str(folder.resolve())]
        answer = subprocess.run(command, cwd=scratch, capture_output=True, text=True, errors="replace", check=False)
    if answer.returncode or not list(folder.glob("*.whl")):
        raise LessonError(f"The wheel of helpers could not be built (it needs setuptools 77):\n{answer.stderr[-2000:]}")
    return folder


def _helpers_metadata(user: str) -> dict[str, Any]:
    return {
        "id": f"{user}/{HELPERS}",
        "title": "Biomedseg helpers",
        "subtitle": "The package that the lessons of the course import",
        "licenses": [{"name": "apache-2.0"}],
    }


def _stage_lesson(lesson: Lesson, text: str, user: str, profile: Profile, out: Path, checkout: Path) -> Staged:
    import_jsonschema()  # which nbformat imports
    import nbformat
    from nbformat import v4
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    folder = out / lesson.name
    _empty(folder)
    path = folder / f"{lesson.name}.ipynb"
    path.write_text(text, encoding="utf-8")
    declared(lesson, path, profile)
    notebook = load_notebook_node(str(path))
    if values := profile.parameters[lesson.name]:
        notebook = parameterize_notebook(notebook, values, comment=f"Profile {profile.name}")
    token = hashlib.sha256(nbformat.writes(notebook).encode()).hexdigest()[:12]
    last = f'from helpers.lessons.record import write_metrics\n\nwrite_metrics("{lesson.name}", "{token}")'
    notebook.cells.append(v4.new_code_cell(last))
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell{i}"
    path.write_text(nbformat.writes(notebook), encoding="utf-8")

    slug = f"biomedseg-{lesson.name.replace('_', '-')}"
    metadata = json.loads((checkout / TEMPLATE).read_text(encoding="utf-8")) | {
        "id": f"{user}/{slug}",
        "title": slug.replace("-", " ").capitalize(),
        "code_file": path.name,
        "dataset_sources": [*(f"{it.owner}/{it.slug}" for it in SOURCES[lesson.needs]), f"{user}/{HELPERS}"],
        "model_sources": list(lesson.models),
    }
    _write(folder / KERNEL, metadata, "kernel")
    return Staged(lesson.name, folder, metadata["id"], token)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _write(path: Path, metadata: dict[str, Any], kind: str) -> None:
    if found := complaints(metadata, kind):
        raise LessonError("\n".join([f"{path} would not be in order; mend {TEMPLATE} or --user:", *found]))
    path.write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
