"""The whole state of a training in one file: the same command resumes a stopped training at the very step.

A `.keras` file holds a network, which is not all of a training. Adam has two moments of every weight, and counts its
steps; dropout draws from a seed state that advances with every batch; the learning rate, the order of the slices and
their augmentation follow from the number of the step. All of that is in the checkpoint. So a training that was killed
at any moment ends where it would have ended: the same weights, the same validation curve.
"""

import json
import os
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.npyio import NpzFile

from helpers.learn.older_versions import current_parameters
from helpers.runtime.backend import POLICIES
from helpers.runtime.disk import atomic_path
from helpers.runtime.errors import DataError
from helpers.runtime.json_files import check_json

if TYPE_CHECKING:
    import keras

_DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    NotImplementedError,  # of a zip: an unknown compression
    RuntimeError,  # of a zip: a password
    zipfile.BadZipFile,
    zlib.error,
)
_STATE = {
    "type": "object",
    "properties": {
        "parameters": {"type": "object", "description": "the parameters of a training"},
        "history": {
            "type": "array",
            "items": {"type": "object", "description": "a row"},
            "description": "a list of rows",
        },
        "step": {"type": "integer", "minimum": 0, "description": "a number of batches"},
        "finished": {"type": "boolean", "description": "true or false"},
        "precision": {"enum": list(POLICIES), "description": f"one of {', '.join(POLICIES)}"},
        "seconds": {"type": "number", "minimum": 0, "description": "a number of seconds"},
    },
    "required": ["parameters", "history", "step", "finished", "seconds"],
    "description": "the state of a training",
}


TIME_SHARE = 0.05
"""Share of the time that writing checkpoints may take: where one takes long, they are written more rarely."""


class Checkpoint:
    """The file `checkpoint.npz` of a training, from which the same command resumes.

    A training is made resumable by two lines: a `with` block that reaches from its start to the finished folder, and
    the checkpoint that `helpers.learn.training_loop.fit` is given.

        with Checkpoint(out, parameters, log) as checkpoint:
            store, network = …
            trainer.compile(optimizer, loss)
            batches = partial(training_batches, store, ids, 16, seed)  # a function that takes first_step
            fit(trainer, batches, steps, budget, checkpoint=checkpoint)
            scores = …

    The file is deleted when the block ends well; it stays when the block is left by an error, by Ctrl-C or SIGTERM, or
    when the process is killed.

    It holds all variables of the trainer, seed states included, and of its optimiser. So whatever changes in training
    must be a variable of a layer or a model that the trainer has as an attribute, and there before the first batch.

    Resuming is exact, to the bit, where the operations are deterministic: on a CPU; on a GPU with
    TF_DETERMINISTIC_OPS=1 in the environment, which costs speed. Elsewhere the result differs as that of any second run
    does.

    Args:
        folder: where the file lies; without one nothing is written.
        parameters: what identifies the training, as JSON can write it. Another training's file is refused.
        log: called with a line about the step from which the training is resumed.
        seconds: at least this long between two writes within an epoch, which is what a kill costs at most; 0 writes
            after every step, however long that takes.

    Attributes:
        history: one dict an epoch, of numbers and strings.
        step: batches that were learned from.
        finished: whether the training has come to its end.
    """

    def __init__(
        self,
        folder: str | os.PathLike | None = None,
        parameters: dict | None = None,
        log: Callable[[str], None] = print,
        seconds: float = 60.0,
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.path = None if folder is None else Path(folder) / "checkpoint.npz"
        self.parameters = json.loads(json.dumps(parameters or {}))  # as it is read back: lists for tuples
        self.log, self.seconds = log, seconds
        self.history: list[dict] = []
        self.step, self.finished = 0, False
        self._arrays: dict[str, np.ndarray] = {}  # read, and not yet handed to the trainer
        self._steps, self._written = 1, 0
        self._last, self._cost = time.monotonic(), 0.0  # when a file was written, and the seconds that it took

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.path and kind is None:
            self.path.unlink(missing_ok=True)
        if self.path and kind is not None and issubclass(kind, KeyboardInterrupt):  # SIGTERM is a kind of it
            after = f" after {self._words(self._written)}" if self._written else ""
            on = "goes on from there" if self.path.exists() else "begins anew, for there was nothing to keep yet"
            raise kind(f"Stopped{after}; the same command {on}.")

    @property
    def pending(self) -> bool:
        """Whether arrays were read that the trainer has not got yet."""
        return bool(self._arrays)

    def precision(self) -> str | None:
        """The Keras policy of the training in the file; None without one.

        A training ends in the precision it began in: on a CPU the faster one is measured, and a second measurement can
        have another result.

        Raises:
            DataError: the file is another training's, or damaged; found here before the training begins.
        """
        if not (self.path and self.path.exists()):
            return None
        with self._open() as file:
            return self._state(file).get("precision")

    def read(self, steps: int) -> float:
        """Read the file, if there is one.

        Args:
            steps: batches in an epoch, for the message.

        Returns:
            The seconds that were spent before.

        Raises:
            DataError: the file is another training's, or damaged.
        """
        self._steps = steps
        if not (self.path and self.path.exists()):
            return 0.0
        with self._open() as file:
            state = self._state(file)
            self._arrays = {name: file[name] for name in file.files if name != "state"}
        self.history[:] = state["history"]
        self.step, self.finished, seconds = state["step"], state["finished"], state["seconds"]
        self._written = self.step
        self.log(f"{'Trained already:' if self.finished else 'Going on after'} {self._words(self.step)}.")
        return seconds

    @contextmanager
    def _open(self) -> Iterator[NpzFile]:
        """The file; whatever it raises in the block is reported as its damage.

        Raises:
            DataError: the file is damaged.
        """
        try:
            with np.load(self.path) as file:
                yield file
        except DataError:
            raise
        except _DAMAGED as error:
            raise DataError(f"{self.path} is damaged ({error}). Delete it; the training then begins anew.") from error

    def _state(self, file: NpzFile) -> dict:
        """The state in an open file.

        Raises:
            DataError: it is another training's, or damaged.
        """
        state, cure = json.loads(file["state"].tobytes()), "Delete the file; the training then begins anew."
        check_json(state, f"{self.path} is damaged", _STATE, cure, finite=False)
        check_json({**state, "history": []}, f"{self.path} is damaged", cure=cure)  # rows may hold what is not finite
        if differ := differences(current_parameters(state["parameters"]), self.parameters):
            raise DataError(
                f"{self.path} keeps a training with other parameters ({differ}). Choose another folder, or delete the "
                "file."
            )
        return state

    def due(self, within_epoch: bool) -> bool:
        """Whether it is time to write the file: not so often that it takes more than `TIME_SHARE` of the time.

        Args:
            within_epoch: not before `seconds` have passed; the end of an epoch does not wait for them.
        """
        pause = max(self.seconds if within_epoch else 0.0, self._cost / TIME_SHARE)
        return not self.seconds or time.monotonic() - self._last >= pause

    def save(self, trainer: "keras.Model", seconds: float, within_epoch: bool) -> None:
        """Write the file, whole or not at all.

        Args:
            trainer: compiled and built.
            seconds: that the training has taken so far.
            within_epoch: save the sums of its metrics too; Keras sets these to zero when an epoch begins.

        Raises:
            DataError: the disk is full.
        """
        if not self.path:
            return
        import keras

        begun = time.monotonic()
        groups = {"variable": trainer.variables, "optimizer": trainer.optimizer.variables}
        if within_epoch:
            groups["metric"] = trainer.metrics_variables
        arrays = {
            f"{group}_{number:04d}": keras.ops.convert_to_numpy(variable)
            for group, variables in groups.items()
            for number, variable in enumerate(variables)
        }
        state = {
            "parameters": self.parameters,
            "precision": keras.mixed_precision.global_policy().name,
            "step": self.step,
            "finished": self.finished,
            "seconds": seconds,
            "history": self.history,
        }
        arrays["state"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
        with atomic_path(self.path, sum(array.nbytes for array in arrays.values())) as scratch:
            np.savez(scratch, **arrays)
        self._written, self._last = self.step, time.monotonic()
        self._cost = self._last - begun

    def restore(self, trainer: "keras.Model", optimizer: bool = True) -> None:
        """Assign the variables that were read to the trainer, and to its optimiser.

        Args:
            trainer: the network or the model that trains it.
            optimizer: whether to restore the optimiser too; without, the other arrays that were read are dropped: the
                training is at its end.

        Raises:
            DataError: the file holds another network.
        """
        if optimizer and not trainer.optimizer.built:  # TensorFlow builds it with the first batch, which is too late
            trainer.optimizer.build(trainer.trainable_variables)
        self._assign("variable", trainer.variables)
        if optimizer:
            self._assign("optimizer", trainer.optimizer.variables)
        else:
            self._arrays.clear()

    def restore_metrics(self, trainer: "keras.Model") -> None:
        """Add what was read to the sums of the metrics, so that those of a stopped epoch cover all of it.

        Args:
            trainer: after its first batch of this session.

        Raises:
            DataError: the file holds other metrics.
        """
        self._assign("metric", trainer.metrics_variables, add=True)

    def _assign(self, group: str, variables: Sequence["keras.Variable"], add: bool = False) -> None:
        import keras

        arrays = [self._arrays.pop(name) for name in sorted(self._arrays) if name.startswith(group)]
        if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
            raise DataError(
                f"{self.path} keeps another network: {len(arrays)} arrays there, {len(variables)} here, or of other "
                "shapes. Choose another folder, or delete the file."
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(keras.ops.convert_to_numpy(variable) + array if add else array)

    def _words(self, step: int) -> str:
        epochs, within = divmod(step, self._steps)
        return f"{epochs} epoch{'s' * (epochs != 1)}" + (f" and {within} of {self._steps} steps" if within else "")


def differences(found: dict, wanted: dict) -> str:
    """Which parameters differ, in words: "seed 0 there, 1 now"; empty where none does.

    A parameter that a version does not write counts as null, so a training of that version is known again.

    Args:
        found: the parameters of a file.
        wanted: those of the command.
    """
    names = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
    return ", ".join(f"{name} {found.get(name)!r} there, {wanted.get(name)!r} now" for name in names)
