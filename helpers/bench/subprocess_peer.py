"""Measuring in a process of its own: a start that is cold, memory that is nobody else's, a peer's thread pools.

TensorFlow and PyTorch each keep a pool of threads, one for each core, and an OpenMP of their own. In one process both
pools stand ready at once, and the second OpenMP to be loaded may refuse. So each framework has its process, and they
take turns: while one computes, the other waits for its next line of input.
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
"""Environment variable that names a Python which has PyTorch and MONAI; without it, this one is asked."""


class NoPeerError(RuntimeError):
    """The peer's package is not installed; the message says how to get it."""


class Peer:
    """A script in `peers/` that measures when asked; close it at the end, or use it in a `with`.

    Args:
        script: its name, without `.py`.
        settings: what it needs to begin.

    Attributes:
        told: its answer to the settings.

    Raises:
        NoPeerError: a package is missing.
    """

    def __init__(self, script: str, **settings: Any) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        self._process = subprocess.Popen(
            [os.environ.get(PYTHON) or sys.executable, PEERS / f"{script}.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        try:
            self.told = self.ask(**settings)
        except BaseException:
            self.close()
            raise

    def ask(self, **question: Any) -> dict[str, Any]:
        """One question, one answer.

        Raises:
            NoPeerError: a package is missing.
            RuntimeError: the script failed; the message ends with what it said.
        """
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._process.wait()
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"The peer {self._process.args[1]} failed. It said:\n{said}")
        answer = json.loads(line)
        if "missing" in answer:
            raise NoPeerError(
                f"{answer['missing']} is not installed: pip install 'biomedseg-course[bench]', or name a Python that "
                f"has it in {PYTHON}."
            )
        return answer

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
    """What `python -m module arguments` prints as JSON on its last line, run by this interpreter.

    Raises:
        RuntimeError: it failed; the message ends with what it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"python -m {module} failed. It said:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
