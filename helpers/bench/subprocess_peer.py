"""Measurement in a subprocess: cold starts, separate memory, and separate thread pools for a peer framework.

TensorFlow and PyTorch each have a thread pool, one thread per core, and their own OpenMP. In one process both pools
would compete, and loading the second OpenMP may fail. So each framework has its own process, and they take turns: while
one computes, the other waits for its next line of input.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

PEERS = Path(__file__).parent / "peers"
PYTHON = "COURSE_TORCH_PYTHON"
"""Environment variable with the path of a Python that has PyTorch and MONAI; the default is this interpreter."""
METRICS_PYTHON = "COURSE_METRICS_PYTHON"
"""The same for MedPy, MONAI, surface-distance and panoptica, whose requirements conflict with the course's."""

_PYTHONS = {"mask_metrics": METRICS_PYTHON}
_PACKAGES = {"mask_metrics": "medpy monai surface-distance panoptica"}


class NoPeerError(RuntimeError):
    """The peer's package is not installed; the message says how to install it."""


class OutOfMemoryError(RuntimeError):
    """The memory of the process, or of its device, did not suffice for a request; the process can go on."""


class Process:
    """A process that measures on request, see `peers/serve.py`; a context manager.

    Args:
        command: the program and its arguments.
        settings: arguments of the script's `begin`.
        environment: variables in addition to this process's.
        remedy: what to tell where a package is missing, after that it is.

    Attributes:
        info: the script's response to the settings.

    Raises:
        NoPeerError: a package is missing.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        settings: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
        remedy: str = "",
    ) -> None:
        self._remedy = remedy
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            errors="replace",
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # with what it starts itself, such as a compiler, it can be ended as one
        )
        try:
            self.info = self.ask(**settings)
        except BaseException:
            self.close()
            raise

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send one request and wait for its response.

        Args:
            request: arguments of the script's measuring function.

        Raises:
            NoPeerError: a package is missing.
            OutOfMemoryError: memory ran out.
            RuntimeError: the script failed; the message ends with its error output.
        """
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._process.wait()
            self._errors.seek(0)
            errors = self._errors.read().decode(errors="replace")[-2000:]
            name = " ".join(map(str, self._process.args[1:]))
            raise RuntimeError(f"The peer {name} failed. Its error output:\n{errors}")
        response = json.loads(line)
        if "missing" in response:
            raise NoPeerError(f"{response['missing']} is not installed{self._remedy}.")
        if "out_of_memory" in response:
            raise OutOfMemoryError(response["out_of_memory"])
        return response

    def kill(self) -> None:
        """End the process and those that it started, from another thread too: the request in progress fails."""
        if hasattr(os, "killpg"):  # not on Windows
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()

    def close(self) -> None:
        """End the process."""
        with suppress(BrokenPipeError):  # it has ended, and a request did not reach it
            self._process.stdin.close()
        self.kill()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Peer(Process):
    """A script in `peers/`, run by the Python that has the peers' packages.

    Args:
        script: its name, without `.py`.
        settings: arguments of the script's `begin`.
    """

    def __init__(self, script: str, **settings: Any) -> None:
        variable = _PYTHONS.get(script, PYTHON)
        packages = _PACKAGES.get(script, "'biomedseg-course[bench]'")
        command = [os.environ.get(variable) or sys.executable, PEERS / f"{script}.py"]
        remedy = f": pip install {packages}, or name a Python that has it in {variable}"
        super().__init__(command, settings, remedy=remedy)


def run_fresh(module: str, *arguments: object) -> dict[str, Any]:
    """Run `python -m module arguments` with this interpreter, and parse the JSON on the last line that it prints.

    Args:
        module: dotted name.
        arguments: converted to strings.

    Raises:
        RuntimeError: it failed; the message ends with its error output.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"python -m {module} failed. Its error output:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
