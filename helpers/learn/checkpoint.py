"""Never losing a run: a training that was stopped goes on at the very step, with the same command.

A `.keras` file holds a network, which is not all of a training. Adam keeps two moments of every weight, and counts its
steps; dropout draws from a seed state that moves on with every batch; the learning rate, the order of the slices and
their variation follow from the number of the step. All of that is in the checkpoint. So a training that was killed at
any moment ends where it would have ended: the same weights, the same validation curve.
"""

import json
import os
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from helpers.learn.budget import Budget
from helpers.runtime.disk import atomic_path
from helpers.runtime.errors import DataError
from helpers.runtime.interrupt import defer_interrupt

SECONDS = 60.0
"""Between two checkpoints within an epoch: what a kill costs at most."""

SHARE = 0.05
"""Of the time, that writing checkpoints may take: where one takes long, they come more rarely."""


_DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


class Checkpoint(keras.callbacks.Callback):
    """All there is of a training, in the file `checkpoint.npz`, so that the same command goes on with it.

    A training becomes one that is not lost by two lines: the block that reaches from its start to the finished folder,
    and `checkpoint.fit` instead of `trainer.fit`.

        with Checkpoint(out, parameters, say) as checkpoint:
            store, network = …
            trainer.compile(optimizer, loss)
            batches = partial(training_batches, store, ids, 16, seed)  # a function that takes first_step
            checkpoint.fit(trainer, batches, steps, budget, [Schedule(budget, steps), validate])
            scores = …

    What is told of each epoch, a callback appends to `checkpoint.history`. The file goes when the block ends well; it
    stays when the block is left by an error, by Ctrl-C, or by no exit at all.

    Kept are all variables of the trainer, seed states included, and of its optimiser. So whatever changes in training
    must be a variable of a layer or a model that the trainer has as an attribute, and there before the first batch.

    Going on is exact, to the bit, where the operations are: on a CPU; on a GPU with TF_DETERMINISTIC_OPS=1 in the
    environment, which costs speed. Elsewhere the end differs as that of any second run does.

    Args:
        folder: where the file lies; without one nothing is kept.
        parameters: what makes this training this one, as JSON can write it. Another training's file is refused.
        log: told that the training goes on, and from where.
        seconds: between two checkpoints within an epoch; 0 for one after every step, whatever that takes.

    Attributes:
        history: one dict an epoch, of numbers and words.
        step: batches that were learned from.
    """

    def __init__(
        self,
        folder: str | os.PathLike | None = None,
        parameters: dict | None = None,
        log: Callable[[str], None] = print,
        seconds: float = SECONDS,
    ) -> None:
        super().__init__()
        self.path = None if folder is None else Path(folder) / "checkpoint.npz"
        self.parameters = json.loads(json.dumps(parameters or {}))  # as it is read back: lists for tuples
        self.log, self.seconds = log, seconds
        self.history: list[dict] = []
        self.step, self.finished = 0, False
        self._arrays: dict[str, np.ndarray] = {}  # read, and not yet handed to the trainer
        self._kept, self._interrupts = 0, []
        self._saved, self._cost = time.monotonic(), 0.0

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self.path and kind is None:
            self.path.unlink(missing_ok=True)
        if self.path and kind is KeyboardInterrupt:
            after = f" after {self._words(self._kept)}" if self._kept else ""
            on = "goes on from there" if self.path.exists() else "begins anew, for there was nothing to keep yet"
            raise KeyboardInterrupt(f"Stopped{after}; the same command {on}.")

    def precision(self) -> str | None:
        """The Keras policy of the training that the file keeps; None without one.

        A training ends in the precision it began in: on a CPU the faster one is tried, and a second trial can have
        another answer.
        """
        if not (self.path and self.path.exists()):
            return None
        try:
            with np.load(self.path) as file:
                return json.loads(file["state"].tobytes())["precision"]
        except _DAMAGED:
            return None  # `fit` says what is wrong with it

    def fit(
        self,
        trainer: keras.Model,
        batches: Callable[..., object],
        steps: int,
        budget: Budget,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        """Train until the budget is spent, from where the file says, else from the start.

        Args:
            trainer: compiled.
            batches: called with `first_step`, gives what `trainer.fit` takes: batch `first_step` first. Batch number k
                must depend on k alone.
            steps: batches in an epoch.
            budget: seconds that were spent before are added to it; the time in between is not.
            callbacks: called as `trainer.fit` calls them. An epoch that is gone on with is a short one for Keras, of
                `params["steps"]` batches, and ends where it would have ended.

        Raises:
            DataError: the file is another training's, or damaged; or the disk is full.
        """
        self.steps, self.budget = steps, budget
        seconds = self._read()
        budget.resume(seconds, self.step / steps)
        if self.finished:
            self._restore("variable", trainer.variables)
            self._arrays.clear()
            return
        with defer_interrupt() as self._interrupts:  # until a step is done, so that nothing of it is lost
            while not self.finished:
                epoch, within = divmod(self.step, steps)
                trainer.fit(
                    batches(first_step=self.step),
                    initial_epoch=epoch,
                    epochs=epoch + 1 if within else budget.epochs or 1_000_000,
                    steps_per_epoch=steps - within,
                    callbacks=[*callbacks, self],
                    shuffle=False,  # the batches come shuffled
                    verbose=0,
                )

    def on_train_begin(self, logs: dict | None = None) -> None:
        if self._arrays:
            optimizer = self.model.optimizer
            if not optimizer.built:  # TensorFlow builds it with the first batch, which is too late
                optimizer.build(self.model.trainable_variables)
            self._restore("variable", self.model.variables)
            self._restore("optimizer", optimizer.variables)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._first = (epoch + 1) * self.steps - self.params["steps"]

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.step = self._first + batch + 1
        if self._arrays:
            self._restore("metric", self.model.metrics_variables, add=True)
        if batch + 1 == self.params["steps"]:
            return  # the end of the epoch follows at once, and is kept with its scores
        if self._interrupts:
            self._save()
            raise KeyboardInterrupt
        if self._due(self.seconds) and not self.model.stop_training:
            self._save()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        # numbers as they are read back, so that a history that was read goes on like one that was not
        self.history[:] = json.loads(json.dumps(self.history, default=lambda number: number.item()))
        self.finished = self.model.stop_training or self.budget.fraction_spent(self.step / self.steps) >= 1
        self.model.stop_training = self.finished
        if self._due(0) or self.finished or self._interrupts:
            self._save(within=False)
        if self._interrupts:
            raise KeyboardInterrupt

    def _due(self, seconds: float) -> bool:
        waited = time.monotonic() - self._saved
        return not self.seconds or waited >= max(seconds, self._cost / SHARE)

    def _save(self, within: bool = True) -> None:
        if not self.path:
            return
        begun, model = time.monotonic(), self.model
        groups = {"variable": model.variables, "optimizer": model.optimizer.variables}
        if within:  # half of an epoch's loss: Keras sets these to zero when an epoch begins
            groups["metric"] = model.metrics_variables
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
            "seconds": begun - self.budget.started,
            "history": self.history,
        }
        arrays["state"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
        with atomic_path(self.path, sum(array.nbytes for array in arrays.values())) as scratch:
            np.savez(scratch, **arrays)
        self._kept, self._saved = self.step, time.monotonic()
        self._cost = self._saved - begun

    def _read(self) -> float:
        """Take up what the file holds, if there is one; return the seconds that were spent before."""
        if not (self.path and self.path.exists()):
            return 0.0
        try:
            with np.load(self.path) as file:
                self._arrays = {name: file[name] for name in file.files}
            state = json.loads(self._arrays.pop("state").tobytes())
            held, self.history[:] = state["parameters"], state["history"]
            self.step, self.finished, seconds = state["step"], state["finished"], state["seconds"]
        except _DAMAGED as error:
            raise DataError(f"{self.path} is damaged ({error}). Delete it; the training then begins anew.") from error
        if held != self.parameters:
            raise DataError(
                f"{self.path} keeps a training with other parameters ({differences(held, self.parameters)}). Choose "
                "another folder, or delete the file."
            )
        self._kept = self.step
        self.log(f"{'Trained already:' if self.finished else 'Going on after'} {self._words(self.step)}.")
        return seconds

    def _restore(self, group: str, variables: Sequence[keras.Variable], add: bool = False) -> None:
        """Hand what was read to the variables; or add it, which makes the sums of a metric whole."""
        held = [self._arrays.pop(name) for name in sorted(self._arrays) if name.startswith(group)]
        if [array.shape for array in held] != [tuple(variable.shape) for variable in variables]:
            raise DataError(
                f"{self.path} keeps another network: {len(held)} arrays there, {len(variables)} here, or of other "
                "shapes. Choose another folder, or delete the file."
            )
        for variable, array in zip(variables, held, strict=True):
            variable.assign(keras.ops.convert_to_numpy(variable) + array if add else array)

    def _words(self, step: int) -> str:
        epochs, within = divmod(step, self.steps)
        return f"{epochs} epoch{'s' * (epochs != 1)}" + (f" and {within} of {self.steps} steps" if within else "")


def differences(held: dict, wanted: dict) -> str:
    """Which parameters differ, in words."""
    names = [name for name in {**held, **wanted} if held.get(name) != wanted.get(name)]
    return ", ".join(f"{name} {held.get(name)!r} there, {wanted.get(name)!r} now" for name in names)
