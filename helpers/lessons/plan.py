"""Plans a run before anything is executed: every check that needs no kernel is made here."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import helpers
from helpers.lessons.bands import BUDGET, Band, read_baselines
from helpers.lessons.build import MEND, SOLUTIONS, Variant, build
from helpers.lessons.execute import LOG
from helpers.lessons.manifest import DATA_SETS, Course, Lesson, LessonError
from helpers.lessons.profiles import Profile, read_profile
from helpers.lessons.report import METRICS, read_metrics
from helpers.lessons.source import parameters, require_checkout
from helpers.runtime import machine
from helpers.runtime.json_files import import_jsonschema
from helpers.runtime.settings import expanded


@dataclass(frozen=True)
class Job:
    """One lesson, ready to run, with everything that its outcome depends on."""

    lesson: str
    notebook: Path
    folder: Path
    parameters: dict[str, Any]  # all that the notebook declares, with the values of this run
    overrides: dict[str, Any]  # those that this run sets
    bands: dict[str, Band]
    cell_timeout: int
    hours: dict[str, float]
    seconds: float  # that it took last time, else by its profile; 0 if neither says
    profile: str
    variant: Variant
    trainings: Path | None = None  # the folder of those that lessons share, see `helpers.lessons.shared_training`
    data: Path | None = None  # the data root: the folder that was named, else where `helpers.data.sources` looks

    @property
    def strict(self) -> bool:
        """Solutions must pass their own checks; the learner's notebook runs with its stubs unfilled."""
        return self.variant == "solution"

    @property
    def roots(self) -> dict[Path, str]:
        """Folders of this run, and what is written for each: its own are relative to the executed notebook."""
        data = {} if self.data is None else {self.data: self.data.name if self.data.name else "data"}
        shared = {} if self.trainings is None else {self.trainings: "trainings"}
        return {**data, **shared, self.folder: ".", self.folder / "files": "files"}

    @property
    def fingerprint(self) -> str:
        """Hash of the notebook, its parameters and bands, the versions and the sources of `helpers`."""
        settings = (self.overrides, self.bands, self.profile, self.cell_timeout, self.variant)
        digest = hashlib.sha256(self.notebook.read_bytes() + repr(settings).encode() + code_digest().encode())
        return digest.hexdigest()


def code_digest() -> str:
    """Hash of the sources of `helpers`, and of the versions of what they stand on."""
    digest = hashlib.sha256(repr(machine.versions()).encode())
    package = Path(helpers.__file__).parent
    for source in sorted([*package.rglob("*.py"), *package.rglob("*.mplstyle")]):
        digest.update(str(source.relative_to(package)).encode() + source.read_bytes())
    return digest.hexdigest()


def plan(
    names: Sequence[str],
    profile: str,
    out: Path,
    data: Path | None,
    variant: Variant,
    notebooks: Path,
    course: Course,
    trainings: Path | None = None,
    seed: int | None = None,
    budgets: bool = False,
) -> list[Job]:
    """Plan the jobs of a run, in the order of the course.

    Args:
        names: of lessons; none means all.
        profile: its name, such as "quick".
        out: folder of the run; each lesson gets a folder in it.
        data: folder with the data sets; None lets `helpers.data.sources` choose.
        variant: "student" or "solution".
        notebooks: the folder of the student's notebooks, with `src/`.
        course: the manifest.
        trainings: folder that the lessons share, see `helpers.lessons.shared_training`.
        seed: replaces the SEED of every lesson, and nothing is compared: bands are of the seed that lessons have.
        budgets: compare also what the lessons cost.

    Raises:
        LessonError: a lesson, notebook, parameter, profile, baseline or data folder is not in order.
    """
    wanted = [course.find(name) for name in names] or course.lessons
    data = None if data is None else expanded(data)
    for folder in (data, out):
        _check_name(folder)
    lessons = [lesson for lesson in course.lessons if lesson in wanted]
    size = read_profile(profile, course)
    # The bands were taken on the data that a run finds for itself; other data has other numbers.
    bands = read_baselines(profile, course) if data is None and seed is None else {}
    require_checkout(notebooks, course, built=variant == "student")
    built = _built(notebooks, variant, course)
    defaults = [declared(lesson, built / f"{lesson.name}.ipynb", size) for lesson in lessons]
    roots = _data(lessons, data)
    jobs = []
    for lesson, names_and_values in zip(lessons, defaults, strict=True):
        own = (out / lesson.name).resolve()
        folders = {"DATA_DIR": roots.get(lesson.needs, ""), "OUTPUT_DIR": str(own / "files")}
        given = folders if seed is None else folders | {"SEED": seed}
        overrides = size.parameters[lesson.name] | {
            name: value for name, value in given.items() if name in names_and_values
        }
        job = Job(
            lesson=lesson.name,
            notebook=built / f"{lesson.name}.ipynb",
            folder=own,
            parameters=names_and_values | overrides,
            overrides=overrides,
            bands={
                number: band for number, band in bands.get(lesson.name, {}).items() if budgets or band.kind != BUDGET
            },
            cell_timeout=size.cell_timeout,
            hours=size.hours[lesson.name],
            seconds=last["seconds"] if (last := read_metrics(own / METRICS)) else _expected(size, lesson),
            profile=profile,
            variant=variant,
            trainings=trainings,
            data=(_home() if data is None else data).resolve(),
        )
        _check_folder(own)
        jobs.append(job)
    return jobs


def _expected(profile: Profile, lesson: Lesson) -> float:
    return profile.seconds.get(lesson.name, 3600 * profile.hours[lesson.name].get("cpu", 0.0))


def _built(notebooks: Path, variant: Variant, course: Course) -> Path:
    """The folder of the variant's notebooks; solutions are built now, as git does not track them."""
    if variant == "student":
        return notebooks
    build(notebooks, "solution", course=course)
    return notebooks.parent / SOLUTIONS


def _home() -> Path:
    from helpers.data import sources

    return sources.home()


def _check_name(folder: Path | None) -> None:
    """Refuse a folder whose name no notebook can hold.

    Raises:
        LessonError: the name is not UTF-8.
    """
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise LessonError(f"The name {str(folder)!r} is not UTF-8, as notebooks are; rename the folder.") from None


def _check_folder(folder: Path) -> None:
    """Refuse a folder that a run would empty although none made it.

    Raises:
        LessonError: it holds something else, or is a file.
    """
    if not folder.exists() or any((folder / name).exists() for name in (METRICS, LOG, "files")):
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise LessonError(f"{folder} is in the way: no run of lessons left it. Move it, or name another --out.")


def declared(lesson: Lesson, notebook: Path, profile: Profile) -> dict[str, Any]:
    """Read the parameters that a notebook declares, and check that the profile sets no others.

    papermill only warns of a parameter that nothing reads, and the smallest run silently becomes the longest.

    Args:
        lesson: its entry in the manifest.
        notebook: path of the built notebook.
        profile: what the run sets.

    Returns:
        The default of each parameter by its name.

    Raises:
        LessonError: the notebook is missing, or does not declare what the profile sets.
    """
    import_jsonschema()  # which nbformat imports
    import nbformat

    if not notebook.is_file():
        raise LessonError(f"{notebook} is missing; run `{MEND}`.")
    try:
        defaults = parameters(nbformat.read(notebook, as_version=4)["cells"])
    except LessonError as error:
        raise LessonError(f"{notebook}: {error}") from None
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise LessonError(f"{notebook} is damaged ({str(error)[:200]}); run `{MEND}`, which writes it anew.") from None
    unknown = sorted(profile.parameters[lesson.name].keys() - defaults.keys())
    if unknown:
        raise LessonError(
            f"Profile {profile.name} sets {', '.join(unknown)} for {lesson.name}, which declares "
            f"{', '.join(defaults) or 'no parameters'}; correct the name in one of the two."
        )
    return defaults


def _data(lessons: list[Lesson], data: Path | None) -> dict[str, str]:
    """The data folder for each kind of data: the given one for all, else what `helpers.data.sources` finds or makes.

    Raises:
        LessonError: the given folder does not exist.
    """
    if data is not None:
        if not data.is_dir():
            raise LessonError(
                f"The data folder {data} {'is a file' if data.exists() else 'is missing'}; correct --data."
            )
        return dict.fromkeys(DATA_SETS, str(data.resolve()))
    from helpers.data import sources

    finders = {"brats": sources.brats, "chest": sources.chest}
    needed = sorted({lesson.needs for lesson in lessons} & finders.keys())
    return {need: str(finders[need]().resolve()) for need in needed}
