"""What the repository's own files promise each other, and the reader."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]

# The fields that the Kaggle client reads; it ignores any other without a word, so a slip of the pen is lost.
# fmt: off
KERNEL_FIELDS = {
    "id", "id_no", "title", "code_file", "language", "kernel_type", "is_private",
    "enable_gpu", "enable_tpu", "enable_internet", "machine_shape",
    "dataset_sources", "competition_sources", "kernel_sources", "model_sources",
    "keywords", "docker_image", "docker_image_pinning_type",
}
# fmt: on


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted(*extras: str) -> list[Requirement]:
    lists = [PROJECT["dependencies"], *(EXTRAS[extra] for extra in extras)]
    return [Requirement(line) for lines in lists for line in lines]


def pins(path: Path) -> list[tuple[Requirement, str]]:
    """The `name==version` lines of a constraints file, each with its version."""
    lines = [line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    found = [Requirement(line) for line in lines if line]
    return [(pin, next(iter(pin.specifier)).version) for pin in found]


def git(*arguments: str) -> subprocess.CompletedProcess:
    """git's answer; the test is skipped where the tree is no git checkout."""
    try:
        inside = subprocess.run(["git", "rev-parse", "--show-toplevel"], cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    if inside.returncode or Path(inside.stdout.strip()).resolve() != ROOT.resolve():
        pytest.skip("not a git checkout")
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_version_stands_in_one_place_and_reaches_the_citation():
    import helpers

    assert "version" in PROJECT["dynamic"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == helpers.__version__


def test_conda_environment_has_the_projects_python_and_the_project_itself():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python, pip, project = environment["dependencies"]
    assert SpecifierSet(python.removeprefix("python")) == SpecifierSet(PROJECT["requires-python"])
    assert pip == "pip"
    assert project == {"pip": ["-e .[cpu]"]}


def test_tensorflow_is_an_extra_and_no_base_dependency():
    base = {canonical(requirement.name) for requirement in wanted()}
    assert not base & {"tensorflow", "tensorflow-cpu", "keras"}
    assert {canonical(Requirement(line).name) for line in EXTRAS["cpu"]} == {
        "tensorflow",
        "tensorflow-cpu",
        "keras",
    }
    assert {canonical(Requirement(line).name) for line in EXTRAS["gpu"]} == {"tensorflow", "keras"}


@pytest.mark.parametrize(
    ("system", "machine", "package"),
    [
        ("linux", "x86_64", "tensorflow-cpu"),
        ("win32", "AMD64", "tensorflow-cpu"),
        ("linux", "aarch64", "tensorflow"),
        ("darwin", "arm64", "tensorflow"),
    ],
)
def test_cpu_extra_installs_one_tensorflow_per_platform(system, machine, package):
    here = {**default_environment(), "sys_platform": system, "platform_machine": machine}
    chosen = [Requirement(line) for line in EXTRAS["cpu"] if "tensorflow" in line]
    assert [requirement.name for requirement in chosen if requirement.marker.evaluate(here)] == [package]


def test_kaggle_versions_are_within_the_bounds():
    versions = {canonical(pin.name): version for pin, version in pins(ROOT / "constraints/kaggle.txt")}
    bound = [r for r in wanted("cpu", "gpu") if canonical(r.name) in versions]
    assert {"tensorflow", "keras", "numpy", "nibabel"} <= {canonical(r.name) for r in bound}
    outside = [
        f"{r} but {versions[canonical(r.name)]}" for r in bound if versions[canonical(r.name)] not in r.specifier
    ]
    assert not outside


def test_lock_holds_every_dependency_within_its_bounds():
    locked = pins(ROOT / "constraints/lock.txt")
    for requirement in wanted("cpu", "test"):
        versions = [version for pin, version in locked if canonical(pin.name) == canonical(requirement.name)]
        assert versions, f"{requirement.name} is not in the lock; run `make lock`"
        assert all(version in requirement.specifier for version in versions), f"{requirement}: {versions}"


def test_make_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE).group(1).split())
    listed = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    assert targets == listed
    assert {"help", "env", "course", "test", "clean"} <= targets
    try:
        answer = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("make is not installed")
    assert set(re.findall(r"^  make ([a-z-]+) ", answer.stdout, re.MULTILINE)) == targets


def test_readme_gives_both_commands_and_names_every_lesson():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make course" in readme
    assert "make test" in readme
    course = yaml.safe_load((ROOT / "helpers/lessons/course.yml").read_text(encoding="utf-8"))
    for lesson in course["lessons"]:
        name = f"{lesson['number']}_{lesson['slug']}"
        row = f"| {lesson['number']} | [{lesson['title']}](notebooks/{name}.ipynb) |"
        assert row in readme
        assert lesson["question"] in readme


def test_continuous_integration_runs_the_readmes_commands():
    workflow = (ROOT / ".github/workflows/course.yml").read_text(encoding="utf-8")
    assert "run: make course" in workflow
    assert "run: .ci/run" in workflow
    commands = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()[-2:]
    assert [command.split()[:2] for command in commands] == [["make", "test"], ["make", "test-browser"]]


@pytest.mark.parametrize("path", ["helpers/data/brats.py", "tests/data/test_brats.py", "data/README.md"])
def test_git_keeps(path):
    assert git("check-ignore", "--no-index", "--quiet", path).returncode == 1


@pytest.mark.parametrize(
    "path", ["data/phantoms/a.nii", "runs/quick/report.html", "build/a.ipynb", ".venv/a", "kaggle.json"]
)
def test_git_ignores(path):
    assert git("check-ignore", "--no-index", "--quiet", path).returncode == 0


def test_tracked_notebooks_have_no_outputs():
    for name in git("ls-files", "*.ipynb").stdout.splitlines():
        cells = json.loads((ROOT / name).read_text(encoding="utf-8"))["cells"]
        assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")], name


def test_tracked_files_are_small():
    tracked = [ROOT / name for name in git("ls-files").stdout.splitlines()]
    assert not [path for path in tracked if path.is_file() and path.stat().st_size > 600_000]


@pytest.mark.parametrize("package", ["helpers", "helpers.data", "helpers.measure", "helpers.show"])
def test_import_loads_neither_tensorflow_nor_seaborn(package):
    heavy = "{'tensorflow', 'keras', 'seaborn'} & set(sys.modules)"
    code = f"import importlib, sys; importlib.import_module({package!r}); print(sorted({heavy}))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stderr


def test_kernel_metadata_says_what_kaggle_would_otherwise_guess():
    kernel = json.loads((ROOT / "kaggle-kernel-metadata.json").read_text(encoding="utf-8"))
    assert kernel.keys() <= KERNEL_FIELDS
    assert kernel["machine_shape"] == "NvidiaTeslaT4"  # two T4; enable_gpu alone leaves the choice to Kaggle
    assert kernel["is_private"] is True
    assert kernel["enable_internet"] is False
    assert kernel["dataset_sources"] == [
        "awsaf49/brats20-dataset-training-validation",
        "nikhilpandey360/chest-xray-masks-and-labels",
    ]
    slug = re.sub(r"[^a-z0-9]+", "-", kernel["title"].lower())
    assert kernel["id"].split("/")[1] == slug  # or Kaggle makes a second kernel under the title's own slug
    assert (ROOT / kernel["code_file"]).is_file()


@pytest.mark.parametrize(
    ("name", "heading", "ending"),
    [
        ("LICENSE", "Apache License", "END OF TERMS AND CONDITIONS"),
        (
            "LICENSE-lessons",
            "Creative Commons Attribution 4.0 International Public License",
            "creativecommons.org.",
        ),
    ],
)
def test_licence_is_there_in_full(name, heading, ending):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert heading in text
    assert ending in text
    assert name in PROJECT["license-files"]


def test_every_attached_data_set_has_a_card():
    cards = (ROOT / "data/README.md").read_text(encoding="utf-8")
    kernel = json.loads((ROOT / "kaggle-kernel-metadata.json").read_text(encoding="utf-8"))
    assert all(source in cards for source in kernel["dataset_sources"])
