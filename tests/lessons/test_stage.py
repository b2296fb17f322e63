"""Laws of what goes up to Kaggle."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from helpers.lessons.manifest import LessonError
from helpers.lessons.setup_cell import lacking, setup_cell
from helpers.lessons.source import parameters
from helpers.lessons.stage import complaints, stage

ROOT = Path(__file__).parents[2]
LESSON = "04_build_the_unet"


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    """The folder with the wheel, and lesson 04 of this course."""
    helper, (lesson,) = stage(["04"], "someone", "full", tmp_path_factory.mktemp("kaggle"), ROOT / "notebooks")
    return helper, lesson


@pytest.fixture(scope="module")
def kernel(staged):
    return json.loads((staged[1].folder / "kernel-metadata.json").read_text(encoding="utf-8"))


def test_a_kernel_folder_holds_what_the_client_looks_for_and_nothing_else(staged, kernel):
    names = {path.name for path in staged[1].folder.iterdir()}
    assert names == {"kernel-metadata.json", f"{LESSON}.ipynb"}
    assert kernel["code_file"] == f"{LESSON}.ipynb"
    assert kernel["id"] == staged[1].kernel == "someone/biomedseg-04-build-the-unet"


def test_a_kernel_gets_two_t4_no_internet_its_data_and_the_wheel(kernel):
    assert kernel["machine_shape"] == "NvidiaTeslaT4"
    assert kernel["enable_internet"] is False
    assert kernel["is_private"] is True
    assert kernel["dataset_sources"] == ["awsaf49/brats20-dataset-training-validation", "someone/biomedseg-helpers"]


def test_the_staged_notebook_has_the_profiles_values_and_ends_with_its_numbers(staged):
    notebook = nbformat.read(staged[1].folder / f"{LESSON}.ipynb", as_version=4)
    nbformat.validate(notebook)
    tags = [cell.metadata.get("tags", []) for cell in notebook.cells]
    at = tags.index(["parameters"])
    assert tags[at + 1] == ["injected-parameters"]
    assert "PATIENTS = 60" in notebook.cells[at + 1].source
    assert parameters(notebook.cells)["PATIENTS"] == 20
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert "pip" in first.source
    assert f'write_metrics("{LESSON}", "{staged[1].token}")' in notebook.cells[-1].source


def test_the_wheel_holds_every_file_of_the_package(staged):
    import zipfile

    (wheel,) = staged[0].glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    package = {path for path in (ROOT / "helpers").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {path.relative_to(ROOT).as_posix() for path in package} <= inside


@pytest.mark.parametrize("layout", ["biomedseg-helpers", "datasets/someone/biomedseg-helpers"])
def test_the_first_cell_installs_the_attached_wheel_without_a_network(staged, tmp_path, layout):
    mount = tmp_path / "input" / layout
    mount.mkdir(parents=True)
    (wheel,) = staged[0].glob("*.whl")
    os.link(wheel, mount / wheel.name)
    mount.chmod(stat.S_IRUSR | stat.S_IXUSR)
    answer = run_setup(tmp_path)
    mount.chmod(0o755)
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "site" / "helpers" / "lessons" / "course.yml").is_file()


def test_the_first_cell_says_what_to_attach_where_there_is_nothing(tmp_path):
    answer = run_setup(tmp_path)
    assert answer.returncode == 1
    assert "Attach the data set biomedseg-helpers" in answer.stderr


def test_the_first_cell_leaves_an_installed_course_alone(tmp_path):
    answer = subprocess.run(
        [sys.executable, "-c", setup_cell("someone/course") + "\nprint('subprocess' in dir() and 'pip' not in dir())"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert answer.stdout.strip() == "True", answer.stderr


@pytest.fixture(scope="module")
def tagged_repository(tmp_path_factory):
    """A git repository with what the package is built from, at the tag that the first cell names."""
    import helpers

    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = tmp_path_factory.mktemp("repository")
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-lessons"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "helpers", folder / "helpers", ignore=shutil.ignore_patterns("__pycache__"))
    identity = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"], ["tag", f"v{helpers.__version__}"]):
        subprocess.run(["git", *identity, *words], cwd=folder, check=True)
    return folder


def test_the_first_cell_installs_the_tag_of_the_repository_where_there_is_no_kaggle(tagged_repository, tmp_path):
    """As on Colab; git is told that github.com/someone/course lies on this machine."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "PIP_TARGET": str(tmp_path / "site"),
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's way of saying: without isolation, for which it would need an index
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{tagged_repository.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/someone/course",
    }
    cell = setup_cell("someone/course").replace("found is None", "True")
    found = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, 'site')\n{cell}\nprint(_.__file__)"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1] == str(tmp_path / "site" / "helpers" / "__init__.py")


def test_what_the_course_needs_is_lacking_only_where_no_version_of_it_is_there(tmp_path, monkeypatch):
    record = tmp_path / "some_course-1.0.dist-info"
    record.mkdir()
    wanted = ["numpy>=999", "no.such-package >=2,<3", "jupyterlab>=999", "nor-this; extra == 'more'"]
    lines = ["Metadata-Version: 2.1", "Name: some-course", "Version: 1.0", *(f"Requires-Dist: {it}" for it in wanted)]
    (record / "METADATA").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    assert lacking("some-course") == ["no.such-package >=2,<3"]


def run_cell_in(folder: Path, path: Path | None = None) -> subprocess.CompletedProcess:
    """The first cell, unchanged, run in a folder, as Jupyter does, with a further entry of the path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, filter(None, [folder, path])))}
    environment |= {"PIP_NO_INDEX": "1", "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    command = [sys.executable, "-c", setup_cell("someone/course")]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)


def test_the_first_cell_names_another_helpers_that_hides_the_course(tmp_path):
    (tmp_path / "helpers.py").write_text("raise SystemExit('imported')")
    answer = run_cell_in(tmp_path, ROOT)
    assert answer.returncode == 1
    assert f"ImportError: {tmp_path / 'helpers.py'} hides the course's helpers: rename or move it" in answer.stderr
    assert "imported" not in answer.stderr


def test_the_first_cell_names_another_package_too(tmp_path):
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "__init__.py").touch()
    assert f"{tmp_path / 'helpers' / '__init__.py'} hides" in run_cell_in(tmp_path, ROOT).stderr


def test_a_bare_folder_of_that_name_hides_nothing(tmp_path):
    (tmp_path / "helpers").mkdir()
    answer = run_cell_in(tmp_path, ROOT)
    assert answer.returncode == 0, answer.stderr


def run_setup(folder: Path) -> subprocess.CompletedProcess:
    """The first cell, where `helpers` is not installed, /kaggle/input is folder/input, and no network answers."""
    cell = setup_cell("someone/course").replace("/kaggle/input", str(folder / "input"))
    cell = cell.replace("found is None", "True")
    environment = {
        **os.environ,
        "PIP_TARGET": str(folder / "site"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "https_proxy": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "GIT_TERMINAL_PROMPT": "0",
    }
    return subprocess.run([sys.executable, "-c", cell], capture_output=True, text=True, env=environment, cwd=folder)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"enable_gpus": True}, "enable_gpus"),
        ({"machine_shape": None}, "machine_shape"),
        ({"machine_shape": "NvidiaTeslaP100"}, "machine_shape"),
        ({"enable_internet": "false"}, "enable_internet"),
        ({"id": "biomedseg-04-build-the-unet"}, "id"),
        ({"title": "Another title"}, "second kernel"),
        ({"dataset_sources": ["brats20"]}, "dataset_sources"),
        ({"model_sources": ["keras/vit"]}, "model_sources"),
    ],
)
def test_our_schema_finds_what_the_client_would_swallow(kernel, change, complaint):
    assert complaints(kernel, "kernel") == []
    changed = {name: value for name, value in (kernel | change).items() if value is not None}
    (found,) = complaints(changed, "kernel")
    assert complaint in found


def test_the_data_set_needs_a_licence():
    good = {"id": "someone/biomedseg-helpers", "title": "Biomedseg helpers", "licenses": [{"name": "apache-2.0"}]}
    assert complaints(good, "dataset") == []
    assert complaints(good | {"licenses": []}, "dataset")


def test_a_name_that_is_none_is_refused(tmp_path):
    with pytest.raises(LessonError, match="--user"):
        stage(["04"], "some one", "full", tmp_path, ROOT / "notebooks")


def test_another_folder_than_the_checkout_is_told_so(tmp_path):
    (tmp_path / "notebooks").mkdir()
    with pytest.raises(LessonError, match="holds no lesson of the course; run this from the checkout, "):
        stage(["04"], "someone", "full", tmp_path / "kaggle", tmp_path / "notebooks")
    assert not (tmp_path / "kaggle").exists()
