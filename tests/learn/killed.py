"""Trainings that are killed (SIGKILL) again and again, and go on each time with the same command.

`python -m tests.learn.killed 20 gate` kills a training of the gate twenty times, compares it bit by bit with one that
was not killed, and prints where the kills struck. So for `brain`, `lungs`, and `adaptation` (or a method of it, such as
`reversal`); a third argument is the seed of the moments, else they are others each time. The trainings are those of the
command line, on phantoms, with a checkpoint after every step. Each session is a copy of the process that has imported
TensorFlow, and has not computed with it: an import would take several times as long as the training.
"""

import io
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from importlib import import_module
from pathlib import Path
from unittest import mock

import numpy as np

TRAINERS = ("brain", "gate", "lungs", "adaptation")
STEPS = {"brain": 5, "gate": 5, "lungs": 20, "adaptation": 20}
"""Steps in an epoch of each, about."""

ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def make_data(trainer: str, folder: Path) -> None:
    """Make the phantoms that a trainer learns from: `brats/` or `chest/` in the folder."""
    from helpers.data.phantoms.brats import make_brats
    from helpers.data.phantoms.chest import make_chest

    if trainer in ("brain", "gate"):
        make_brats(folder / "brats", patients=8, shape=(60, 60, 39), spacing=(4.0, 4.0, 155 / 39), seed=1)
    else:
        make_chest(folder / "chest", montgomery=12, shenzhen=12, size=96, seed=1)


def train(trainer: str, folder: Path, out: Path, epochs: int) -> None:
    """Train a tiny network as the command does, with a checkpoint after every step."""
    from helpers.learn import precision, run_folder
    from helpers.learn.budget import Budget
    from helpers.learn.checkpoint import Checkpoint
    from helpers.tasks.adaptation.commands import adapt
    from helpers.tasks.brain.commands import train_brain
    from helpers.tasks.gate.commands import train_gate
    from helpers.tasks.lungs.commands import train_lungs
    from tests.tasks.small import shallow_networks

    class Hasty(Checkpoint):
        """Writes after every step."""

        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, seconds=0)

    with (
        shallow_networks(),
        mock.patch.object(run_folder, "Checkpoint", Hasty),
        mock.patch.object(precision, "select_policy", return_value="float32"),  # else it is measured anew
        mock.patch.object(Budget, "of", side_effect=lambda *_, **__: Budget(epochs=epochs)),
    ):
        if trainer == "brain":
            train_brain(folder / "brats", out, size=32, filters=2)
        elif trainer == "gate":
            train_gate(folder / "brats", out, size=32)
        elif trainer == "lungs":
            site = "montgomery" if out.name == "source" else "both"
            train_lungs(folder / "chest", out, site, size=32, filters=2)
        else:
            method = "mean-teacher" if trainer == "adaptation" else trainer
            adapt(folder / "source", folder / "chest", "montgomery", "shenzhen", method, out)


class Session:
    """A training in a copy of this process, which must not have computed with TensorFlow.

    Args:
        arguments: of `train`.
    """

    def __init__(self, *arguments: object) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - open until the session has ended
        self._status = None
        sys.stdout.flush()
        self._process = os.fork()
        if not self._process:
            self._train(arguments)

    def _train(self, arguments: tuple) -> None:
        status = 1
        try:
            for stream in (1, 2):
                os.dup2(self._output.fileno(), stream)
            train(*arguments)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def poll(self) -> int | None:
        """Its status; None while it runs, minus the signal where it was killed."""
        if self._status is None:
            process, status = os.waitpid(self._process, os.WNOHANG)
            self._status = os.waitstatus_to_exitcode(status) if process else None
        return self._status

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        if self.poll() is None:
            os.kill(self._process, signal.SIGKILL)

    def wait(self) -> tuple[int, str]:
        """Its status, and what it printed."""
        while self.poll() is None:
            time.sleep(0.01)
        self._output.seek(0)
        return self.poll(), self._output.read().decode(errors="replace")


def train_and_kill(trainer: str, folder: Path, out: Path, epochs: int, kills: int, seed: int) -> list[str]:
    """Start the training, kill it (SIGKILL) at a random moment, start it again …, and leave it alone after `kills`.

    Most kills strike a moment after one to four changes of the folder, the others up to a second later.

    Returns:
        For each kill where it struck, in words.
    """
    rng, struck = random.Random(seed), []
    while True:
        session = Session(trainer, folder, out, epochs)
        if len(struck) < kills:
            _wait_for_changes(out, rng.randint(1, 4), session)
            time.sleep(rng.choice([0.06, 0.06, 0.06, 1.0]) * rng.random())
            session.kill()
        status, output = session.wait()
        if status == 0:
            return struck
        if status != -signal.SIGKILL:
            raise RuntimeError(f"The training failed by itself:\n{output}")
        struck.append(_where(out))


def end(out: Path) -> dict[str, np.ndarray | list | dict]:
    """How a training ended: every weight of its model, the history without the seconds, and the scores."""
    import h5py
    import pandas as pd

    found: dict[str, np.ndarray | list | dict] = {}

    def add(name: str, entry: object) -> None:
        if isinstance(entry, h5py.Dataset):
            found[name] = np.asarray(entry)

    with (
        zipfile.ZipFile(out / "model.keras") as archive,
        h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file,
    ):
        file.visititems(add)
    found["history"] = pd.read_csv(out / "history.csv").drop(columns="seconds").to_dict("records")
    scores = json.loads((out / "metrics.json").read_text())
    found["scores"] = {name: value for name, value in scores.items() if name != "run"}
    return found


def differences(whole: Path, killed: Path) -> list[str]:
    """The names of what differs between two ends, in any bit; none where they are the same."""
    one, other = end(whole), end(killed)
    if one.keys() != other.keys():
        return sorted(one.keys() ^ other.keys())
    return [name for name, value in one.items() if not _same(value, other[name])]


def _same(one: object, other: object) -> bool:
    return one.tobytes() == other.tobytes() if isinstance(one, np.ndarray) else str(one) == str(other)


def files_left(out: Path) -> list[str]:
    """What a finished training should not have left: scratch files, a lock, a checkpoint, slices."""
    names = [path.name for path in out.rglob("*")]
    return [name for name in names if name.startswith(".") or name in ("checkpoint.npz", "slices")]


def _where(out: Path) -> str:
    if (out / "metrics.json").exists():
        return "after the scores"
    writing = sorted({name.group(1) for path in out.rglob(".part-*") if (name := _PART.match(path.name))})
    during = f", {' and '.join(writing)} half written" if writing else ""
    if (out / "run.json").exists():
        return f"while it was scored{during}"
    try:
        with np.load(out / "checkpoint.npz") as file:
            state = json.loads(file["state"].tobytes())
    except FileNotFoundError:
        return f"before a step{during}"
    return f"after step {state['step']}{', the last' if state['finished'] else ''}{during}"


_PART = re.compile(r"\.part-[0-9a-f]+-\d+-[0-9a-f]+\.(.*)$")


def _wait_for_changes(out: Path, count: int, session: Session) -> None:
    """Wait until the checkpoint, or where there is none any file of the training, has changed so many times."""
    seen = _changed(out)
    while count and session.poll() is None:
        time.sleep(0.002)
        if (now := _changed(out)) != seen:
            seen, count = now, count - 1


def _changed(out: Path) -> int:
    for path in (out / "checkpoint.npz", out):
        try:
            return path.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return 0


def _main(kills: int, trainer: str, seed: int) -> int:
    os.environ.update(ENVIRONMENT)
    for task in ("adaptation", "brain", "gate"):  # the sessions are copies of this process
        import_module(f"helpers.tasks.{task}.commands")
    epochs = max(3, 3 * kills // STEPS.get(trainer, 20))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_data(trainer, folder)
        if trainer not in ("brain", "gate", "lungs"):
            train_and_kill("lungs", folder, folder / "source", 1, 0, 0)
        begun = time.monotonic()
        train_and_kill(trainer, folder, folder / "whole", epochs, 0, 0)
        print(f"{trainer}: {epochs} epochs in {time.monotonic() - begun:.0f} s, never stopped", flush=True)
        begun = time.monotonic()
        struck = train_and_kill(trainer, folder, folder / "killed", epochs, kills, seed)
        print(f"killed {len(struck)} times in {time.monotonic() - begun:.0f} s: {'; '.join(struck)}")
        different, left = differences(folder / "whole", folder / "killed"), files_left(folder / "killed")
        count = len(end(folder / "whole"))
        print(f"{count - len(different)} of {count} are the same, bit for bit: weights, history and scores")
        print("different:", *different or ["nothing"])
        print("files left:", *left or ["none"])
    return int(bool(different or left or len(struck) < kills))


if __name__ == "__main__":
    given = dict(enumerate(sys.argv[1:]))
    sys.exit(_main(int(given[0]), given.get(1, "brain"), int(given.get(2, time.time()))))
