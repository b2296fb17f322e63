"""What the repository's own files promise each other, and the reader."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]

# The rooms of the package, lowest first: a room imports only from itself and from those before it.
ROOMS = "runtime, data, measure, prepare, models, lessons, show, learn, tasks, apply, bench, cli"
TASKS = {  # of which others each may import
    "brain": set(),
    "gate": set(),
    "lungs": set(),
    "finetuning": {"brain", "gate", "lungs"},
    "adaptation": {"lungs", "finetuning"},
}

# What is imported without a network: these rooms whole, of the others these modules. So a command refuses at once,
# and a lesson without a network starts at once.
WITHOUT_KERAS = {
    **{room: {"*"} for room in ("runtime", "data", "measure", "lessons", "show", "cli")},
    "prepare": {
        "brain_extraction", "histogram_matching", "network_space", "paper", "preprocess", "public_kernel",
        "radiograph_artifacts", "registration", "sampling",
    },
    "learn": {
        "budget", "checkpoint", "cross_validation", "finetuning", "parallel", "passport", "public_names", "run_folder",
        "run_schema", "test_cases",
    },
    "tasks": {
        "commands", "curve", "ladder", "outline_first", "prediction", "prediction_record", "recipe", "results", "tools"
    },
    "apply": {
        "dicom", "export", "gate_ablation", "model_card", "recorded_scores", "report", "run_onnx", "system",
        "uncertainty",
    },
}  # fmt: skip
HEAVY = {"tensorflow", "keras", "jax", "torch", "seaborn"}

PAGES = ("README.md", "RESULTS.md", "CONTRIBUTING.md", "GLOSSARY.md", "data/README.md", "notebooks/PAPER.md")

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
    """What the project needs by itself and with some extras, those that an extra names in turn included."""
    lists = [PROJECT["dependencies"], *(EXTRAS[extra] for extra in extras)]
    found = [Requirement(line) for lines in lists for line in lines]
    named = [Requirement(line) for one in found if one.name == PROJECT["name"] for extra in one.extras
             for line in EXTRAS[extra]]  # fmt: skip
    return [one for one in found + named if one.name != PROJECT["name"]]


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


def test_readme_takes_three_minutes():
    words = re.sub(r"\]\(.*?\)", "]", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(words.splitlines()) < 150
    assert not re.search(r"python -c", words)


def test_readme_shows_pictures_first_each_described_and_small():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"!\[(.*?)\]\(([^)]+)\)", readme.partition("\n## ")[0])
    assert 2 <= len(found) <= 3
    for alt, path in found:
        assert len(alt) > 20, path
        assert (ROOT / path).read_bytes().startswith(b"\x89PNG"), path
        assert (ROOT / path).stat().st_size < 200_000, path
    assert {Path(path).name for _, path in found} == {path.name for path in (ROOT / "notebooks/figures").glob("*.png")}
    assert "python notebooks/figures/take.py" in readme


def test_readmes_links_to_github_name_the_course():
    """`publish` writes the course's repository into each of them."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    repository = yaml.safe_load((ROOT / "helpers/lessons/course.yml").read_text(encoding="utf-8"))["repository"]
    links = re.findall(r"https://(?:github\.com|codespaces\.new)/([\w.-]+/[\w.-]*[\w-])", readme)
    assert set(links) == {repository}
    assert f"git clone https://github.com/{repository} " in readme


def test_the_pictures_of_the_readme_are_below_headings_that_the_lessons_have():
    tree = syntax(ROOT / "notebooks/figures/take.py")
    table = next(node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "WANTED")
    for lesson, heading, _ in ast.literal_eval(table).values():
        assert f"\n# ## {heading}\n" in (ROOT / f"notebooks/src/{lesson}.py").read_text(encoding="utf-8")


def test_the_dev_container_has_a_python_of_the_course_and_installs_it_with_make():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert container["image"] == "mcr.microsoft.com/devcontainers/python:3.12"
    assert SpecifierSet(PROJECT["requires-python"]).contains("3.12")
    make, target = container["postCreateCommand"].split()
    assert make == "make"
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    known = {"name", "image", "hostRequirements", "postCreateCommand", "customizations"}  # of its schema
    assert container.keys() == known
    assert container["hostRequirements"].keys() == {"cpus", "memory", "storage"}
    editor = container["customizations"]["vscode"]
    assert editor["settings"]["python.defaultInterpreterPath"].endswith("/.venv/bin/python")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        if re.match(r"https?:|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings of a page, and Jupyter of those of a notebook."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        headings = re.findall(r"^#+ (.*)$", "\n".join("".join(cell["source"]) for cell in cells), re.MULTILINE)
        return {heading.replace(" ", "-") for heading in headings}
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_only_commands_and_options_that_exist(page):
    faults = [fault for words in commands_in(ROOT / page) for fault in unknown(words)]
    assert not faults, "\n".join(faults)


def test_readme_shows_every_command():
    shown = {words[0] for words in commands_in(ROOT / "README.md")}
    assert shown | {"build", "phantom"} == set(command_line().commands)


def commands_in(page: Path) -> list[list[str]]:
    """The words after `python -m helpers`, wherever a page has it."""
    text = page.read_text(encoding="utf-8")
    return [line.split("#")[0].split() for line in re.findall(r"python -m helpers +([^`\n]*)", text)]


@cache
def command_line():
    import typer

    from helpers.cli import app

    return typer.main.get_command(app)


ANY_SITE = ("finetune", "learning-curve", "outline-first")
"""The commands for a hospital of one's own, of whatever name."""


def unknown(words: list[str]) -> Iterator[str]:
    """What a command of a page names, and the command line has not."""
    line, groups = " ".join(words), [command_line()]
    while words and groups and hasattr(groups[0], "commands"):
        names, words = words[0].split("|"), words[1:]
        if absent := [name for name in names if any(name not in group.commands for group in groups)]:
            yield f"{line}: there is no command {', '.join(absent)}"
            return
        groups = [group.commands[name] for group in groups for name in names]
    for command in groups:
        options = {name for parameter in command.params for name in parameter.opts}
        for word, value in pairwise([*words, ""]):
            if word.startswith("--") and word not in options:
                yield f"{line}: {command.name} has no option {word}"
            if word == "--site" and command.name in ANY_SITE:
                continue
            if value not in chosen_by_name().get(word, [value]):
                yield f"{line}: {word} is one of {', '.join(chosen_by_name()[word])}, and not {value}"


@cache
def chosen_by_name() -> dict[str, list[str]]:
    """The options whose value is a name, and the names."""
    from helpers.data.chest import PREFIXES
    from helpers.runtime import options

    tables = {
        "--augmentation": options.AUGMENTATIONS,
        "--loss": options.LOSSES,
        "--first": options.ORDERS,
        "--method": options.METHODS,
        "--network": options.NETWORKS,
        "--site": {**PREFIXES, "both": ""},
    }
    return {option: list(table) for option, table in tables.items()}


def test_glossary_has_one_line_a_term_in_order_and_names_what_exists():
    lines = (ROOT / "GLOSSARY.md").read_text(encoding="utf-8").splitlines()[4:]
    entries = [re.match(r'- <a id="(.+?)"></a>\*\*(.+?)\*\*: ', line) for line in lines]
    terms = [entry[2].casefold() for entry in entries]
    assert [entry[1] for entry in entries] == [re.sub("[^a-z0-9]+", "-", term).strip("-") for term in terms]
    assert terms == sorted(set(terms))
    assert {"dice", "ema", "ground truth", "inference", "out-of-distribution", "radiograph"} <= set(terms)
    for line in lines:
        assert re.search(r"`helpers\.", line), line


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_only_modules_and_files_that_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert not [name for name in re.findall(r"`(helpers(?:\.\w+)+)`", text) if not defined(name)]
    paths = re.findall(r"`((?:helpers|tests|notebooks)/[\w./]+)`", text)
    assert not [path for path in paths if "NN_" not in path and not (ROOT / path).exists()]


def defined(name: str) -> bool:
    """Whether there is such a module, or a class, function or constant of one."""
    if module_file(name):
        return True
    module, _, attribute = name.rpartition(".")
    if not (path := module_file(module)):
        return False
    body = syntax(path).body
    named = {node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    assigned = {
        target.id for node in body if isinstance(node, ast.Assign) for target in node.targets if hasattr(target, "id")
    }
    annotated = {node.target.id for node in body if isinstance(node, ast.AnnAssign)}
    return attribute in named | assigned | annotated


def test_the_order_of_the_rooms_stands_in_both_places_and_in_the_readmes_tree():
    import helpers

    assert ROOMS in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert ROOMS in re.sub(r"\s+", " ", helpers.__doc__.replace("`", ""))
    tree = re.findall(r"^      ([a-z]+)/ ", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert tree == ROOMS.split(", ")
    folders = {path.parent.name for path in (ROOT / "helpers").glob("*/__init__.py")}
    assert folders == set(ROOMS.split(", "))


def test_a_room_imports_only_from_itself_and_from_rooms_before_it():
    order, faults = ROOMS.split(", "), []
    for path, line, name in package_imports():
        above = path.parts[1] if len(path.parts) > 2 else None  # `helpers/__main__.py` stands outside of all rooms
        room = name.split(".")[1]
        if above in order and order.index(room) > order.index(above):
            faults.append(f"{path}:{line}: {above} imports {name}, which comes after it")
    assert not faults, "\n".join(faults)


def test_tasks_do_not_import_each_other():
    """Fine-tuning serves all three; adaptation starts from a model of lungs, and a rung of its ladder is tuned."""
    faults = []
    for path, line, name in package_imports():
        one, other = path.parts[1:3], name.split(".")[1:3]
        if one[0] == "tasks" == other[0] and one[1] in TASKS and other[1] not in {one[1], *TASKS[one[1]]}:
            faults.append(f"{path}:{line}: {one[1]} imports {name}")
    assert not faults, "\n".join(faults)
    assert TASKS.keys() == {path.parent.name for path in (ROOT / "helpers/tasks").glob("*/__init__.py")}


def test_rooms_that_need_no_keras_load_none():
    """Modules are followed from import to import, as far as they import when they are imported themselves."""
    faults = []
    for name in modules_without_keras():
        faults += [f"{name} loads {package}, by {' > '.join(way)}" for package, way in heavy_imports(name)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("lesson", ["01_get_the_data", "02_see_the_scans"])
def test_lessons_without_a_network_load_no_keras(lesson):
    source = ast.parse((ROOT / f"notebooks/src/{lesson}.py").read_text(encoding="utf-8"))
    names = [name for node in ast.walk(source) for name in imported(node)]
    assert not HEAVY & {name.split(".")[0] for name in names}
    faults = {name: list(heavy_imports(name)) for name in names if module_file(name)}
    assert len(faults) > 5
    assert not {name: found for name, found in faults.items() if found}


@pytest.mark.parametrize("room", WITHOUT_KERAS)
def test_importing_modules_that_need_no_keras_loads_none(room):
    """Whatever a package of others loads by itself is seen here, in the very process."""
    modules = [name for name in modules_without_keras() if name.split(".")[1] == room]
    assert modules
    assert not {name: loaded_by_imports()[name] for name in modules if loaded_by_imports()[name]}


def modules_without_keras() -> list[str]:
    """The modules of `WITHOUT_KERAS`, by their full names."""
    names = [module_name(path) for path in sorted((ROOT / "helpers").rglob("*.py"))]
    split = [(name, name.split(".")) for name in names]
    return [name for name, parts in split if len(parts) > 1 and WITHOUT_KERAS.get(parts[1], set()) & {"*", parts[-1]}]


@cache
def loaded_by_imports() -> dict[str, list[str]]:
    """What each of these modules loads of `HEAVY`, imported one after the other in one process."""
    code = f"""
import importlib, json, sys
found = {{}}
for name in {modules_without_keras()!r}:
    before = set(sys.modules)
    importlib.import_module(name)
    found[name] = sorted({HEAVY!r} & (set(sys.modules) - before))
print(json.dumps(found))
"""
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def package_imports() -> Iterator[tuple[Path, int, str]]:
    """Every import of a module of `helpers` in `helpers`, wherever in the file: file, line, module."""
    for path in sorted((ROOT / "helpers").rglob("*.py")):
        for node in ast.walk(syntax(path)):
            for name in imported(node):
                if name.startswith("helpers.") and module_file(name):
                    yield path.relative_to(ROOT), node.lineno, name


def heavy_imports(name: str) -> Iterator[tuple[str, list[str]]]:
    """What importing a module loads of Keras, TensorFlow, JAX and seaborn, each with the chain of modules."""
    waiting, seen = [[name]], {name}
    while waiting:
        way = waiting.pop()
        for target in (name for node in at_import(syntax(module_file(way[-1])).body) for name in imported(node)):
            if target.split(".")[0] in HEAVY:
                yield target, way
            parents = [target.rsplit(".", depth)[0] for depth in range(target.count("."))]
            for module in parents if target.startswith("helpers.") else ():
                if module_file(module) and module not in seen:
                    seen.add(module)
                    waiting.append([*way, module])


def at_import(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported; those for type checkers alone do not."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from at_import(child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt))


def imported(node: ast.AST) -> list[str]:
    """The modules that a statement imports, by their full names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    assert not node.level, "imports are absolute"
    names = [f"{node.module}.{alias.name}" for alias in node.names]
    return [name if module_file(name) else node.module for name in names]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def module_file(name: str) -> Path | None:
    """The file of a module of this repository, or None."""
    path = ROOT.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@cache
def syntax(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


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
    "path", ["data/phantoms/a.nii", "runs/quick/report.html", "build/a.ipynb", ".venv", "kaggle.json"]
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
