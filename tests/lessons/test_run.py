"""The runner. Guards that need no kernel are tested without one; the others share as few as they can."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from helpers.lessons import execute as execution
from helpers.lessons.manifest import LessonError
from helpers.lessons.run import run_lessons

from .conftest import ENTRIES, EXERCISE, PARAMETERS

RECORD = """
# %%
import os
from pathlib import Path

from helpers.lessons.record import record

record("epochs", EPOCHS)
record("env", [os.environ[name] for name in ("COURSE_STATIC", "COURSE_STRICT", "TF_CPP_MIN_LOG_LEVEL")])
record("empty", list(Path(OUTPUT_DIR).iterdir()) == [])
(Path(OUTPUT_DIR) / "kept.txt").touch()
Path("scratch.txt").touch()
"""


@pytest.fixture
def run(workshop):
    """Run lessons of the workshop into its folder `out`."""

    def go(*names, **options):
        options = {"profile": "quick", "out": workshop.root / "out", "course": workshop.course, **options}
        return run_lessons(names, notebooks=workshop.notebooks, **options)

    return go


@pytest.fixture
def no_kernel(monkeypatch):
    """A test under which starting a kernel is a failure: the guard must act before anything runs."""
    monkeypatch.setattr("helpers.lessons.run.execute", lambda *_: pytest.fail("a kernel was started"))


def metrics(workshop, name):
    return json.loads((workshop.root / "out" / name / "metrics.json").read_text(encoding="utf-8"))


# -- before anything runs


@pytest.mark.usefixtures("no_kernel")
def test_an_unknown_parameter_is_refused(workshop, run):
    workshop.build()
    workshop.profile(first={"EPOCS": 1})
    with pytest.raises(LessonError, match="sets EPOCS for 00_first, which declares SEED, EPOCHS, OUTPUT_DIR"):
        run()


@pytest.mark.usefixtures("no_kernel")
def test_a_notebook_without_a_parameters_cell_is_refused(workshop, run):
    path = workshop.build()[1]
    path.write_text(path.read_text(encoding="utf-8").replace('"parameters"', '"other"'), encoding="utf-8")
    with pytest.raises(LessonError, match=r"03_second\.ipynb: 0 cells are tagged 'parameters'"):
        run()


@pytest.mark.usefixtures("no_kernel")
def test_a_notebook_that_the_manifest_does_not_list_is_refused(workshop, run):
    path = workshop.build()[0]
    path.with_name("05_fifth.ipynb").write_bytes(path.read_bytes())
    with pytest.raises(LessonError, match=r"05_fifth\.ipynb is no lesson of course\.yml"):
        run()


@pytest.mark.usefixtures("no_kernel")
def test_a_lesson_without_a_notebook_is_refused_with_the_mending_command(run):
    with pytest.raises(LessonError, match=r"00_first\.ipynb is missing; run `python -m helpers build`"):
        run("0")


@pytest.mark.usefixtures("no_kernel")
def test_a_missing_data_folder_is_refused(workshop, run):
    workshop.build()
    with pytest.raises(LessonError, match="nowhere is missing"):
        run(data=workshop.root / "nowhere")


# -- with a kernel


def test_a_run_leaves_values_parameters_and_seconds(workshop, run):
    workshop.source("00_first", PARAMETERS + RECORD + EXERCISE)
    workshop.profile(first={"EPOCHS": 7})
    workshop.build()
    result = run("00")
    assert (result.exit_code, result.lessons[0].status) == (0, "passed"), result.lessons[0].error

    left = metrics(workshop, "00_first")
    assert left["values"] == {"epochs": 7, "env": ["1", "0", "2"], "empty": True}
    files = workshop.root / "out" / "00_first" / "files"
    assert left["parameters"] == {"SEED": 0, "EPOCHS": 7, "OUTPUT_DIR": str(files)}
    assert left["seconds"] > sum(cell["seconds"] for cell in left["cells"]) > 0
    assert {"SEED = 0", "import os"} <= {cell["line"] for cell in left["cells"]}
    assert not any(cell["line"].startswith("# 00") for cell in left["cells"])
    assert left["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert (files / "kept.txt").is_file()
    assert not Path("scratch.txt").exists()
    executed = (workshop.root / "out" / "00_first" / "00_first.ipynb").read_text(encoding="utf-8")
    assert "Exercise 1, not yet" in executed
    assert "COURSE_STATIC" not in os.environ


def test_an_error_and_an_early_sys_exit_0_both_fail_and_neither_stops_the_run(workshop, run):
    workshop.source("00_first", PARAMETERS + "\n# %%\nraise RuntimeError('the scan is upside down')\n")
    # No source may say sys.exit, hence getattr: a library that a lesson calls still can.
    workshop.source("03_second", PARAMETERS + "\n# %%\nimport sys\ngetattr(sys, 'ex' + 'it')(0)\n\n# %%\n1 + 1\n")
    workshop.build()
    result = run()
    assert [lesson.status for lesson in result.lessons] == ["failed", "failed"]
    assert result.exit_code == 1
    assert "RuntimeError: the scan is upside down" in metrics(workshop, "00_first")["error"]
    assert "left the notebook with sys.exit" in metrics(workshop, "03_second")["error"]
    assert "the scan is upside down" in result.report.read_text(encoding="utf-8")


def test_a_cell_that_hangs_is_stopped_and_named_as_a_time_out(workshop, run):
    workshop.source("03_second", PARAMETERS + "\n# %%\nimport time\n\ntime.sleep(60)\n")
    workshop.profile(cell_timeout=1)
    workshop.build()
    start = time.perf_counter()
    assert run("03").exit_code == 1
    assert time.perf_counter() - start < 30
    assert "CellTimeoutError" in metrics(workshop, "03_second")["error"]


def test_the_solutions_run_strictly(workshop, run):
    workshop.source("00_first", PARAMETERS + EXERCISE.replace("return 2 * x", "return 3 * x"))
    assert run("00", variant="solution").exit_code == 1
    assert "NotYetError: twice 2 is 4; yours gives 6" in metrics(workshop, "00_first")["error"]


# -- with papermill played by a test


@pytest.fixture
def papermill(monkeypatch):
    """Stands in for papermill: the notebooks it was given, and the errors it will give."""
    calls, errors = [], []

    def play(notebook, copy, *_):
        calls.append(notebook)
        content = json.loads(notebook.read_text(encoding="utf-8"))
        for cell in content["cells"]:
            if cell["cell_type"] == "code":
                cell["execution_count"] = 1
        copy.write_text(json.dumps(content), encoding="utf-8")
        return errors.pop(0) if errors else None

    monkeypatch.setattr(execution, "_papermill", play)
    return calls, errors


@pytest.mark.parametrize(("variant", "name"), [("student", "03_second "), ("solution", "03_second, solved ")])
def test_a_solved_lessons_line_says_so(workshop, run, papermill, capsys, variant, name):
    workshop.build()
    run("03", variant=variant)
    assert capsys.readouterr().out.startswith(name)


@pytest.mark.parametrize(
    ("errors", "calls", "status"),
    [
        ([f"RuntimeError: {execution.START_RACE}"], 2, "passed"),
        ([f"RuntimeError: {execution.START_RACE}"] * 2, 2, "failed"),
        (["DeadKernelError: Kernel died"], 1, "failed"),
    ],
)
def test_the_start_race_and_nothing_else_is_tried_once_more(workshop, run, papermill, errors, calls, status):
    workshop.build()
    papermill[1].extend(errors)
    assert run("03").lessons[0].status == status
    assert len(papermill[0]) == calls


def test_a_number_outside_its_band_or_missing_is_out_of_band(workshop, run, papermill, monkeypatch):
    workshop.build()
    workshop.baselines({"03_second": {name: {"min": 0.5, "trivial": 0.0} for name in ("good", "bad", "missing")}})
    monkeypatch.setattr("helpers.lessons.run.collect", lambda _: {"good": 0.6, "bad": 0.4})
    result = run("03")
    assert (result.exit_code, result.lessons[0].status) == (1, "out of band")
    assert result.lessons[0].error == "bad is 0.4; the band is 0.5 to inf\nmissing is None; the band is 0.5 to inf"
    # Bands were taken on the data a run finds for itself.
    assert run("03", data=workshop.root).exit_code == 0


def test_what_did_not_pass_is_not_reused_and_again_runs_all(workshop, run, papermill):
    workshop.build()
    papermill[1].append("CellTimeoutError: too long")
    outcomes = [run("03"), run("03"), run("03"), run("03", again=True)]
    assert [outcome.lessons[0].reused for outcome in outcomes] == [False, False, True, False]


@pytest.mark.parametrize("change", ["notebook", "parameters", "helpers"])
def test_a_change_of_what_decides_the_outcome_is_run_again(workshop, run, papermill, monkeypatch, change):
    workshop.build()
    run("00")
    stale = workshop.root / "out" / "00_first" / "files" / "stale.txt"
    stale.touch()
    if change == "notebook":
        workshop.source("00_first", PARAMETERS.replace("EPOCHS = 3", "EPOCHS = 4"))
        workshop.build()
    elif change == "parameters":
        workshop.profile(first={"EPOCHS": 8})
    else:
        (workshop.root / "other.py").touch()
        monkeypatch.setattr("helpers.__file__", str(workshop.root / "__init__.py"))
    assert run("00").lessons[0].reused is False
    assert not stale.exists()


def test_ctrl_c_keeps_what_is_done_and_the_next_run_goes_on(workshop, run, papermill, monkeypatch):
    workshop.build()
    played = execution._papermill

    def stop_at_the_second(notebook, *rest):
        if notebook.stem == "03_second":
            raise KeyboardInterrupt
        return played(notebook, *rest)

    monkeypatch.setattr(execution, "_papermill", stop_at_the_second)
    stopped = run()
    assert (stopped.exit_code, [lesson.lesson for lesson in stopped.lessons]) == (130, ["00_first"])
    assert stopped.report.is_file()
    assert not (workshop.root / "out" / "03_second" / "metrics.json").exists()
    monkeypatch.setattr(execution, "_papermill", played)
    assert [lesson.reused for lesson in run().lessons] == [True, False]


def test_the_data_folder_reaches_the_lesson_that_declares_it(workshop, run, papermill):
    workshop.source("03_second", PARAMETERS + 'DATA_DIR = ""\n')
    workshop.build()
    run(data=workshop.root)
    assert metrics(workshop, "03_second")["parameters"]["DATA_DIR"] == str(workshop.root.resolve())
    assert "DATA_DIR" not in metrics(workshop, "00_first")["parameters"]


def test_each_lesson_gets_the_data_it_needs(workshop, run, papermill, monkeypatch):
    entries = [{**ENTRIES[0], "needs": "brats"}, {**ENTRIES[1], "needs": "chest"}]
    workshop.manifest(entries)
    for name in ("00_first", "03_second"):
        workshop.source(name, PARAMETERS + 'DATA_DIR = ""\n')
    workshop.build()
    for need in ("brats", "chest"):
        monkeypatch.setattr(f"helpers.data.sources.{need}", lambda need=need: workshop.root / need)
    run()
    given = {name: metrics(workshop, name)["parameters"]["DATA_DIR"] for name in ("00_first", "03_second")}
    found = {"00_first": workshop.root / "brats", "03_second": workshop.root / "chest"}
    assert given == {name: str(path.resolve()) for name, path in found.items()}


@pytest.mark.parametrize(("gpus", "said"), [([], True), (["Tesla T4", "Tesla T4"], False)])
def test_the_hours_are_said_before_a_long_run_without_gpu(workshop, run, papermill, monkeypatch, capsys, gpus, said):
    workshop.build()
    hours = {name: {"parameters": {}, "hours": {"cpu": 2, "t4x2": 0.5}} for name in ("00_first", "03_second")}
    workshop.profile(lessons=hours)
    monkeypatch.setattr("helpers.runtime.machine.gpus", lambda: gpus)
    run()
    printed = " ".join(capsys.readouterr().out.split())
    assert ("Expect about 4.0 hours for these 2 lessons (an estimate; 1.0 on Kaggle's two T4)" in printed) is said


def test_what_tensorflow_says_on_its_own_is_left_out_and_errors_stay():
    """oneDNN reports that it leaves float16 to others as if it were an error; a GPU that fails to start is one."""
    noise = "E0000 00:00:17.2 7210 util.cc:131] oneDNN supports DT_HALF only on platforms with AVX-512. Falling back\n"
    fault = "E0000 00:00:17.2 7210 cuda_platform.cc:51] failed call to cuInit\n"
    said = [{"output_type": "stream", "name": "stderr", "text": text} for text in (noise, noise + fault)]
    cell = {"outputs": said}
    execution._drop_start_messages({"cells": [cell]})
    assert [output["text"] for output in cell["outputs"]] == [fault]
