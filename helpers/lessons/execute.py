"""Executes one lesson: from a notebook and its parameters to an executed copy, with times and errors."""

import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import helpers
from helpers.lessons.private_paths import machine_roots, without_roots
from helpers.runtime.errors import DataError
from helpers.runtime.json_files import import_jsonschema
from helpers.runtime.outputs import writable_folder
from helpers.runtime.shared import SHARED

LOG = "kernel.log"
"""File beside an executed lesson with what its kernel wrote to standard error."""

# papermill #511: a kernel's ports are chosen before it binds them, and sometimes another process is quicker.
START_RACE = "Kernel died before replying to kernel_info"


@dataclass(frozen=True)
class Execution:
    """The executed notebook, and why it failed; `error` is None when it ran to its end."""

    notebook: dict
    error: str | None

    @property
    def cells(self) -> list[dict[str, Any]]:
        """Place, first line and seconds of every code cell that ran."""
        return [
            {"cell": i, "line": cell["source"].partition("\n")[0], "seconds": round(_seconds(cell), 3)}
            for i, cell in enumerate(self.notebook["cells"])
            if cell["cell_type"] == "code" and _seconds(cell) is not None
        ]


def execute(
    notebook: Path,
    copy: Path,
    parameters: dict[str, Any],
    cell_timeout: int,
    strict: bool,
    roots: Mapping[Path, str] | None = None,
    trainings: Path | None = None,
) -> Execution:
    """Execute a notebook without a user, and write the executed copy, finished or not.

    The copy, the error and the kernel's messages name no folder of this machine (`helpers.lessons.private_paths`).

    Args:
        notebook: the lesson; it is not changed.
        copy: path of the executed copy; the kernel's messages go to `LOG` beside it.
        parameters: replace the values of its `parameters` cell.
        cell_timeout: seconds after which a cell counts as hung.
        strict: a failed exercise check stops the notebook.
        roots: further folders, and what is written for each.
        trainings: folder that the lesson shares with others, see `helpers.lessons.shared_training`.
    """
    import_jsonschema()  # which nbformat imports
    import nbformat

    settings = {
        "COURSE_STATIC": "1",  # a widget under papermill hangs until the time-out
        "COURSE_STRICT": "1" if strict else "0",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # The lesson works in a scratch folder, and still imports the helpers that run it.
        "PYTHONPATH": os.pathsep.join(filter(None, [_root(), os.environ.get("PYTHONPATH")])),
        SHARED: "" if trainings is None else str(trainings),
    }
    log = copy.with_name(LOG)
    with (
        TemporaryDirectory(prefix=f"{notebook.stem}-") as scratch,
        _home() as home,
        _environment(settings | home),
        _stderr_to(log),
    ):
        error = _papermill(notebook, copy, parameters, cell_timeout, scratch)
        if error and START_RACE in error:
            error = _papermill(notebook, copy, parameters, cell_timeout, scratch)
    if not copy.is_file():  # no kernel started, so nothing was written
        shutil.copy(notebook, copy)
    roots = {**machine_roots(), Path(scratch): ".", **(roots or {})}
    executed = nbformat.from_dict(without_roots(nbformat.read(copy, as_version=4), roots))
    _drop_start_messages(executed)
    nbformat.write(executed, copy)
    log.write_text(without_roots(log.read_text(encoding="utf-8", errors="replace"), roots), encoding="utf-8")
    return Execution(executed, without_roots(error or _left_early(executed), roots))


def _papermill(notebook: Path, copy: Path, parameters: dict[str, Any], cell_timeout: int, scratch: str) -> str | None:
    """Execute once; the error in full, or None."""
    import_jsonschema()  # which nbformat imports
    import papermill

    try:
        papermill.execute_notebook(
            notebook,
            copy,
            parameters,
            kernel_name="python3",
            execution_timeout=cell_timeout,
            cwd=scratch,
            progress_bar=False,
            shutdown_kernel="immediate",  # nothing is left to do, and TensorFlow takes a second to say goodbye
        )
    except papermill.PapermillException as error:
        return _without_colour(str(error))
    except Exception as error:  # nbclient's time-out and dead kernels have no common ancestor
        return _without_colour(f"{type(error).__name__}: {error}")
    return None


def _left_early(notebook: dict) -> str | None:
    """papermill calls a notebook that left through `sys.exit(0)` a success, with the rest of it unrun."""
    for i, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "code" or not cell["source"].strip():
            continue
        if any(output.get("ename") == "SystemExit" for output in cell["outputs"]):
            return f"Cell {i} left the notebook with sys.exit; the cells below it were not run."
        if cell["execution_count"] is None:
            return f"Cell {i} was never run."
    return None


def _seconds(cell: dict) -> float | None:
    return cell["metadata"].get("papermill", {}).get("duration")


def _without_colour(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text).strip()


def _root() -> str:
    return str(Path(helpers.__file__).parents[1])


# What TensorFlow's C++ writes to stderr before any setting of ours can reach it; and that oneDNN leaves types to other
# libraries on CPUs without AVX-512. That it reports as an error, once a process, with the first operation there is and
# of any type (float16, int32): no operation of ours is its cause, and a higher log level would hide true errors too.
_START_MESSAGE = re.compile(
    r"^(WARNING: All log messages before absl::InitializeLog|[IW]0000 00:00:|"
    r"E0000 .* oneDNN supports DT_\w+ only on platforms).*\n?",
    re.MULTILINE,
)


def _drop_start_messages(notebook: dict) -> None:
    """Take TensorFlow's start-up messages out of the executed copy, so that red text means something to read."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if output["output_type"] == "stream" and output["name"] == "stderr":
                output["text"] = _START_MESSAGE.sub("", output["text"])
        if "outputs" in cell:
            cell["outputs"] = [output for output in cell["outputs"] if output.get("text") != ""]


@contextmanager
def _home() -> Iterator[dict[str, str]]:
    """Where Jupyter and matplotlib write their own files: nothing is changed unless the home folder is closed to us."""
    try:
        writable_folder(Path.home())
    except (DataError, RuntimeError):
        with TemporaryDirectory(prefix="home-") as home:
            yield dict.fromkeys(("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "MPLCONFIGDIR"), home)
    else:
        yield {}


@contextmanager
def _stderr_to(log: Path) -> Iterator[None]:
    """Redirect stderr, which kernels inherit, to a file: their messages do not belong between the progress lines."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with log.open("wb") as file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """`settings` in the environment that the kernel inherits, and the old one again afterwards."""
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
