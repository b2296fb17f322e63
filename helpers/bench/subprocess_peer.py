"""Measurement in a subprocess: cold starts, separate memory, and separate thread pools for a peer framework.

TensorFlow and PyTorch each have a thread pool, one thread per core, and their own OpenMP. In one process both pools
would compete, and loading the second OpenMP may fail. So each framework has its own process, and they take turns: while
one computes, the other waits for its next line of input.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PEERS = Path(__file__).parent / "peers"
PYTHON = "COURSE_TORCH_PYTHON"
"""Environment variable with the path of a Python that has PyTorch and MONAI; the default is this interpreter."""
METRICS_PYTHON = "COURSE_METRICS_PYTHON"
"""The same for MedPy, MONAI, surface-distance and panoptica, whose requirements conflict with the course's."""

_PYTHONS = {"mask_metrics": METRICS_PYTHON}
_PACKAGES = {"mask_metrics": "medpy monai surface-distance panoptica"}


class NoPeerError(RuntimeError):
    """The peer's package is not installed; the message says how to install it."""


class Peer:
    """A script in `peers/` that measures on request; a context manager.

    Args:
        script: its name, without `.py`.
        settings: arguments of the script's `begin`.

    Attributes:
        info: the script's response to the settings.

    Raises:
        NoPeerError: a package is missing.
    """

    def __init__(self, script: str, **settings: Any) -> None:
        self._variable = _PYTHONS.get(script, PYTHON)
        self._packages = _PACKAGES.get(script, "'biomedseg-course[bench]'")
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        self._process = subprocess.Popen(
            [os.environ.get(self._variable) or sys.executable, PEERS / f"{script}.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            errors="replace",
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
            raise RuntimeError(f"The peer {self._process.args[1]} failed. Its error output:\n{errors}")
        response = json.loads(line)
        if "missing" in response:
            raise NoPeerError(
                f"{response['missing']} is not installed: pip install {self._packages}, or name a Python that has it "
                f"in {self._variable}."
            )
        return response

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
