"""The runner. Guards that need no kernel are tested without one; the others share as few as they can."""

import errno
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from helpers.cli import app
from helpers.lessons import execute as execution
from helpers.lessons.manifest import LessonError
from helpers.lessons.run import LessonRun, RunResult, lessons_at_once, run_lessons
from helpers.runtime import machine
from helpers.runtime.errors import DataError
from helpers.runtime.processes import DeadProcessError

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
        defaults = {"profile": "quick", "out": workshop.root / "out", "course": workshop.course, "at_once": 1}
        options = {**defaults, **options}
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
@pytest.mark.parametrize("variant", ["student", "solution"])
def test_another_folder_than_the_checkout_is_told_so(workshop, run, monkeypatch, tmp_path, variant):
    (tmp_path / "elsewhere" / "notebooks").mkdir(parents=True)
    (tmp_path / "elsewhere" / "notebooks" / "thesis.ipynb").touch()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(LessonError, match="holds no lesson of the course; run this from the checkout"):
        run_lessons(["0"], "quick", tmp_path / "out", variants=[variant], course=workshop.course)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_kernel")
def test_an_output_that_cannot_be_written_is_refused(workshop, run, tmp_path):
    workshop.build()
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file is a file"):
        run(out=tmp_path / "file" / "run")


@pytest.mark.usefixtures("no_kernel")
def test_a_folder_that_no_run_left_is_not_emptied(workshop, run):
    workshop.build()
    thesis = workshop.root / "out" / "00_first" / "thesis.tex"
    thesis.parent.mkdir(parents=True)
    thesis.write_text("years of work")
    with pytest.raises(LessonError, match="00_first is in the way: no run of lessons left it"):
        run()
    assert thesis.read_text() == "years of work"


@pytest.mark.usefixtures("no_kernel")
def test_a_damaged_notebook_is_refused_with_the_mending_command(workshop, run):
    path = workshop.build()[0]
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(LessonError, match=r"00_first\.ipynb is damaged .*run `python -m helpers build`"):
        run()


@pytest.mark.usefixtures("no_kernel")
def test_parameters_that_a_learner_mistyped_are_refused(workshop, run):
    path = workshop.build()[0]
    path.write_text(path.read_text(encoding="utf-8").replace("EPOCHS = 3", "EPOCHS = = 3"), encoding="utf-8")
    with pytest.raises(LessonError, match="the parameters cell is not Python"):
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
    assert left["parameters"] == {"SEED": 0, "EPOCHS": 7, "OUTPUT_DIR": "files"}
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
    assert "the scan is upside down" in result.reports[0].read_text(encoding="utf-8")


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
    assert run("00", variants=["solution"]).exit_code == 1
    assert "NotYetError: twice 2 is 4; yours gives 6" in metrics(workshop, "00_first")["error"]


MEET = """
# %%
import os
import time
from pathlib import Path

(Path(OUTPUT_DIR) / "here").touch()
start = time.monotonic()
while len(list(Path(OUTPUT_DIR).parents[1].rglob("files/here"))) < 2:
    assert time.monotonic() - start < 60, "nobody came"
    time.sleep(0.1)

# %%
from helpers.lessons.record import record

record("cores", len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0)
"""


def test_lessons_run_side_by_side_each_on_its_share_of_the_cores(workshop, run, capsys):
    for name in ("00_first", "03_second"):
        workshop.source(name, PARAMETERS + MEET)
    workshop.build()
    result = run(at_once=2)
    assert [(lesson.lesson, lesson.status) for lesson in result.lessons] == [
        ("00_first", "passed"),
        ("03_second", "passed"),
    ]
    cores = [metrics(workshop, name)["values"]["cores"] for name in ("00_first", "03_second")]
    assert sum(cores) <= max(2, len(machine.cores()))
    printed = capsys.readouterr().out
    assert all(printed.count(name) == 1 for name in ("00_first", "03_second"))


def test_a_lesson_that_fails_does_not_stop_its_neighbour(workshop, run):
    workshop.source("00_first", PARAMETERS + "\n# %%\nraise RuntimeError('the scan is upside down')\n")
    workshop.source("03_second", PARAMETERS + "\n# %%\nimport time\n\ntime.sleep(2)\n")
    workshop.build()
    assert [lesson.status for lesson in run(at_once=2).lessons] == ["failed", "passed"]


def test_both_variants_share_one_pool_and_each_has_its_report(workshop, run, papermill):
    workshop.build()
    result = run(variants=["student", "solution"])
    out = workshop.root / "out"
    assert result.reports == (out / "report.html", out / "solved" / "report.html")
    assert [(lesson.lesson, lesson.variant) for lesson in result.lessons] == [
        (name, variant) for variant in ("student", "solution") for name in ("00_first", "03_second")
    ]
    assert (out / "solved" / "03_second" / "metrics.json").is_file()
    assert all(lesson.reused for lesson in run(variants=["student", "solution"]).lessons)


def test_the_longest_lesson_begins_first(workshop, run, monkeypatch):
    workshop.build()
    begun = []

    def in_order(function, jobs, at_once):
        begun.extend(job.lesson for job in jobs)
        return ()

    monkeypatch.setattr("helpers.lessons.run.map_processes", in_order)
    workshop.profile(
        lessons={"00_first": {"parameters": {}, "seconds": 5}, "03_second": {"parameters": {}, "seconds": 9}}
    )
    run(at_once=2)
    assert begun == ["03_second", "00_first"]


def test_a_process_that_dies_fails_its_lesson_alone(workshop, run, papermill, monkeypatch):
    workshop.build()

    def one_dies(function, jobs, at_once):
        yield jobs[0], DeadProcessError("killed by signal 9")
        yield jobs[1], function(jobs[1])

    monkeypatch.setattr("helpers.lessons.run.map_processes", one_dies)
    assert sorted(lesson.status for lesson in run(at_once=2).lessons) == ["failed", "passed"]


@pytest.mark.parametrize(
    ("gpus", "cores", "memory", "at_once"),
    [([], 2, 24e9, 2), ([], 64, 512e9, 4), ([], 8, 7e9, 2), ([], 8, 1e9, 1), (["Tesla T4"], 8, 64e9, 1)],
)
def test_as_many_lessons_at_once_as_cores_and_memory_carry(monkeypatch, gpus, cores, memory, at_once):
    monkeypatch.setattr(machine, "gpus", lambda: gpus)
    monkeypatch.setattr(machine, "cores", lambda: list(range(cores)))
    monkeypatch.setattr(machine, "free_memory", lambda: memory)
    assert lessons_at_once() == at_once


# -- with papermill played by a test


@pytest.fixture
def given(papermill, monkeypatch):
    """The parameters that papermill was given, run by run."""
    seen, played = [], execution._papermill

    def play(notebook, copy, parameters, *rest):
        seen.append(parameters)
        return played(notebook, copy, parameters, *rest)

    monkeypatch.setattr(execution, "_papermill", play)
    return seen


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
    run("03", variants=[variant])
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


BANDS = {
    **{
        name: {"kind": "band", "better": "higher", "min": 0.5, "max": 0.7}
        for name in ("good", "bad", "missing", "best")
    },
    "effort": {"kind": "budget", "better": "lower", "max": 0.0},
}


def test_a_number_that_is_worse_than_its_band_or_missing_is_out_of_band(workshop, run, papermill, monkeypatch, capsys):
    workshop.build()
    workshop.baselines({"03_second": BANDS})
    recorded = {"good": 0.6, "bad": 0.4, "best": 0.8, "new": {"WT": 1}}
    monkeypatch.setattr("helpers.lessons.run.collect", lambda _: recorded)
    result = run("03")
    # A learner's own run ends well: another processor trains another network.
    assert (result.exit_code, result.regressed, result.lessons[0].status) == (0, True, "out of band")
    outside = "bad is 0.4; the band is 0.5 to 0.7\nmissing was not recorded; the band is 0.5 to 0.7"
    assert result.lessons[0].error == outside
    assert result.lessons[0].notes == (
        "Better than its band: best is 0.8; the band is 0.5 to 0.7",
        "No band: new.WT; see `python -m helpers baseline`",
    )
    assert all(note in capsys.readouterr().out for note in result.lessons[0].notes[:1])
    written = metrics(workshop, "03_second")
    assert (list(written["worse"]), list(written["improved"])) == (["bad", "missing"], ["best"])
    # Bands were taken on the data a run finds for itself, and with the seed that lessons have.
    assert not run("03", data=workshop.root).regressed
    assert not run("03", seed=3).regressed


def test_what_a_lesson_costs_counts_where_budgets_are_asked_for(workshop, run, papermill, monkeypatch):
    workshop.build()
    workshop.baselines({"03_second": {"effort": BANDS["effort"]}})
    monkeypatch.setattr("helpers.lessons.effort._of_children", iter((0.0, 1.0) * 2).__next__)
    assert not run("03").regressed
    regressed = run("03", budgets=True)
    assert regressed.lessons[0].error.startswith("effort is ")
    assert metrics(workshop, "03_second")["processor_seconds"] == 1.0


def test_a_seed_replaces_that_of_every_lesson(workshop, run, papermill, given):
    workshop.build()
    run(seed=7)
    assert [one["SEED"] for one in given] == [7, 7]
    run()
    assert "SEED" not in given[-1]


@pytest.mark.parametrize(("failed", "regressed", "status"), [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 1)])
def test_the_command_ends_with_1_where_a_number_has_regressed_only_if_asked(monkeypatch, failed, regressed, status):
    lessons = [LessonRun("a", "student", "passed", 1.0, None, False)]
    lessons += failed * [LessonRun("b", "student", "failed", 1.0, "why", False)]
    lessons += regressed * [LessonRun("c", "student", "out of band", 1.0, "why", False)]
    monkeypatch.setattr("helpers.lessons.run.run_lessons", lambda *_, **__: RunResult(tuple(lessons), (), False))
    assert CliRunner().invoke(app, ["run", "--regress"]).exit_code == status
    assert CliRunner().invoke(app, ["run"]).exit_code == failed


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
    assert stopped.reports[0].is_file()
    assert not (workshop.root / "out" / "03_second" / "metrics.json").exists()
    monkeypatch.setattr(execution, "_papermill", played)
    assert [lesson.reused for lesson in run().lessons] == [True, False]


def test_the_data_folder_reaches_the_lesson_that_declares_it(workshop, run, papermill, given):
    workshop.source("03_second", PARAMETERS + 'DATA_DIR = ""\n')
    workshop.build()
    run(data=workshop.root)
    assert given[-1]["DATA_DIR"] == str(workshop.root.resolve())
    assert metrics(workshop, "03_second")["parameters"]["DATA_DIR"] == workshop.root.name
    assert "DATA_DIR" not in metrics(workshop, "00_first")["parameters"]


def test_each_lesson_gets_the_data_it_needs(workshop, run, papermill, given, monkeypatch):
    entries = [{**ENTRIES[0], "needs": "brats"}, {**ENTRIES[1], "needs": "chest"}]
    workshop.manifest(entries)
    for name in ("00_first", "03_second"):
        workshop.source(name, PARAMETERS + 'DATA_DIR = ""\n')
    workshop.build()
    for need in ("brats", "chest"):
        monkeypatch.setattr(f"helpers.data.sources.{need}", lambda need=need: workshop.root / need)
    run()
    assert [one["DATA_DIR"] for one in given] == [str((workshop.root / need).resolve()) for need in ("brats", "chest")]


@pytest.mark.parametrize(("gpus", "said"), [([], True), (["Tesla T4", "Tesla T4"], False)])
def test_the_hours_are_said_before_a_long_run_without_gpu(workshop, run, papermill, monkeypatch, capsys, gpus, said):
    workshop.build()
    hours = {name: {"parameters": {}, "hours": {"cpu": 2, "t4x2": 0.5}} for name in ("00_first", "03_second")}
    workshop.profile(lessons=hours)
    monkeypatch.setattr("helpers.runtime.machine.gpus", lambda: gpus)
    run()
    printed = " ".join(capsys.readouterr().out.split())
    assert ("Expect about 4.0 hours for these 2 lessons (an estimate; 1.0 on Kaggle's two T4)" in printed) is said


@pytest.mark.parametrize("kind", ["DT_HALF", "DT_INT32"])
def test_what_tensorflow_says_on_its_own_is_left_out_and_errors_stay(kind):
    """oneDNN reports that it leaves a type to others as if it were an error; a GPU that fails to start is one."""
    noise = f"E0000 00:00:17.2 7210 util.cc:131] oneDNN supports {kind} only on platforms with AVX-512. Falling back\n"
    fault = "E0000 00:00:17.2 7210 cuda_platform.cc:51] failed call to cuInit\n"
    said = [{"output_type": "stream", "name": "stderr", "text": text} for text in (noise, noise + fault)]
    cell = {"outputs": said}
    execution._drop_start_messages({"cells": [cell]})
    assert [output["text"] for output in cell["outputs"]] == [fault]


def test_a_learners_copy_is_named_and_does_not_stop_the_run(workshop, run, papermill, capsys):
    path = workshop.build()[0]
    path.with_name("00_first-Copy1.ipynb").write_bytes(path.read_bytes())
    assert run().exit_code == 0
    assert "00_first-Copy1.ipynb is no lesson, and is not run." in capsys.readouterr().out
    assert [notebook.stem for notebook in papermill[0]] == ["00_first", "03_second"]


def test_damaged_numbers_of_an_earlier_run_are_named_and_stop_no_report(workshop, run, papermill, capsys):
    workshop.build()
    run()
    path = workshop.root / "out" / "00_first" / "metrics.json"
    path.write_bytes(path.read_bytes()[:100])
    assert run("03").exit_code == 0
    assert "metrics.json is damaged; the lesson counts as not run." in capsys.readouterr().out
    assert run("00").lessons[0].reused is False


@pytest.mark.parametrize("file", ["00_first.ipynb", "metrics.json"])
def test_a_full_disk_is_reported_in_one_line(workshop, run, papermill, monkeypatch, file):
    workshop.build()

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*((nbformat, "write") if file.endswith("ipynb") else ("helpers.lessons.run.write_text",)), full)
    with pytest.raises(DataError, match=r"00_first cannot be written: the disk.* is full"):
        run("00")


PRINT = """
# %%
import os
import sys

from helpers.lessons.record import record

print(os.getcwd(), DATA_DIR, OUTPUT_DIR + "/model.keras", sys.prefix)
record("place", OUTPUT_DIR)

# %%
open(os.path.join(OUTPUT_DIR, "none"))
"""


def test_nothing_that_a_run_leaves_names_a_folder_of_this_machine(workshop, run, capsys):
    data = workshop.root / "patients [old]"
    data.mkdir()
    workshop.source("00_first", PARAMETERS + 'DATA_DIR = ""\n' + PRINT)
    workshop.build()
    result = run("00", data=data)
    assert result.exit_code == 1
    out = workshop.root / "out"
    left = {path.name: path.read_text(encoding="utf-8") for path in out.rglob("*") if path.is_file()}
    assert {"00_first.ipynb", "metrics.json", "kernel.log", "report.html"} <= left.keys()
    for name, text in left.items():
        for folder in (workshop.root, Path(sys.prefix), Path.home(), Path(tempfile.gettempdir())):
            assert str(folder) not in text, name
    assert metrics(workshop, "00_first")["parameters"]["DATA_DIR"] == "patients [old]"
    assert metrics(workshop, "00_first")["values"] == {"place": "files"}
    assert "patients [old] files/model.keras" in left["00_first.ipynb"]
    assert "No such file or directory: 'files/none'" in metrics(workshop, "00_first")["error"]
