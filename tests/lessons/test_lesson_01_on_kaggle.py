"""Lesson 01 as a learner meets it who sets DOWNLOAD = True, with the real kagglehub and a server on this machine."""

from pathlib import Path

from helpers.data.brats import read_catalogue
from helpers.data.phantoms.brats import make_brats
from helpers.data.sets import brats_files
from helpers.lessons.execute import execute
from helpers.lessons.private_paths import machine_roots, without_roots
from tests.kaggle_server import tree

LESSON = Path(__file__).parents[2] / "notebooks" / "01_get_the_data.ipynb"
PATIENTS = 10  # as many as the lesson brings


def test_lesson_01_runs_on_patients_that_it_downloads(kaggle, tmp_path, monkeypatch):
    grid = {"shape": (60, 60, 39), "spacing": (4.0, 4.0, 155 / 39)}
    served = make_brats(tmp_path / "served", patients=PATIENTS + 1, validation=0, **grid)  # the last is always 355
    wanted = dict.fromkeys(brats_files(PATIENTS), b"")
    kaggle.files = wanted | {name: data for name, data in tree(served).items() if name in wanted}
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))

    parameters = {"DOWNLOAD": True, "OUTPUT_DIR": str(tmp_path / "lesson")}
    run = execute(LESSON, tmp_path / "copy.ipynb", parameters, cell_timeout=120, strict=False)

    assert run.error is None, run.error
    downloaded = tmp_path / "data" / f"brats2020_first_{PATIENTS}"
    assert len(read_catalogue(downloaded).patients) == PATIENTS
    said = "".join(
        output.get("text", "")
        for cell in run.notebook["cells"]
        if cell["cell_type"] == "code"
        for output in cell["outputs"]
    )
    assert f"BraTS 2020: {without_roots(str(downloaded), machine_roots())}\n" in said
    assert "phantom patients" not in said
    assert sorted(body["fileName"] for body in kaggle.bodies("DatasetApiService/DownloadDataset")) == sorted(wanted)
