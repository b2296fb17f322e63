"""A browser, a JupyterLab that shows copies of the lessons, and a folder for screenshots."""

import os
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from helpers.bench.browser import NoBrowserError, chromium, jupyterlab, notebook, run_all
from helpers.data.volumes import read_scan
from helpers.lessons.build import NOTEBOOKS
from helpers.lessons.manifest import read_manifest
from helpers.lessons.profiles import read_profile

PATIENCE = 1800.0  # seconds for a lesson: a minute on an idle machine, more on a busy one
MODALITIES = ("flair", "t1", "t1ce", "t2")


@pytest.fixture(scope="session")
def browser():
    try:
        with chromium() as opened:
            yield opened
    except NoBrowserError as missing:  # asked for by name, so this is no reason to skip
        pytest.exit(str(missing), returncode=1)


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    with jupyterlab(tmp_path_factory.mktemp("notebooks"), {"COURSE_DATA": str(home / "data")}) as running:
        yield running


@pytest.fixture(scope="session")
def open_lesson(browser, lab, phantoms):
    """Opens a copy of a lesson on the tests' own phantoms, in its quick size or less, and runs all its cells."""
    course = read_manifest()
    parameters = read_profile("quick", course).parameters

    @contextmanager
    def opened(number, less=()):
        name = course.find(number).name
        lesson = load_notebook_node(str(NOTEBOOKS / f"{name}.ipynb"))
        lesson = parameterize_notebook(lesson, {**parameters[name], **dict(less), "DATA_DIR": str(phantoms)})
        nbformat.write(lesson, lab.root / f"{name}.ipynb")
        with notebook(browser, lab, f"{name}.ipynb") as page:
            assert run_all(page, PATIENCE) == []
            yield page

    return opened


@pytest.fixture(scope="session")
def scan(phantoms):
    """The patient that the lessons show, with all four modalities and the mask."""
    from helpers.data.brats import read_catalogue

    return read_scan(read_catalogue(phantoms).require(MODALITIES)[0], MODALITIES)


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory):
    """Folder for screenshots of the viewers, for visual inspection: `$COURSE_SCREENSHOTS`, or pytest's own folder."""
    folder = Path(os.environ.get("COURSE_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
