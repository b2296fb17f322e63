"""The training loop of every task: batches until the budget is spent, a row of history an epoch, a file to resume from.

What differs between tasks comes as arguments: what trains (a compiled model), its batches, and what is measured after
each epoch.
"""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from helpers.learn.budget import Budget
from helpers.learn.checkpoint import Checkpoint
from helpers.learn.learning_rate import LEARNING_RATE, WarmupCosine, current_learning_rate
from helpers.runtime.disk import write_text
from helpers.runtime.interrupt import defer_interrupt, raise_interrupt

Evaluate = Callable[[int, Mapping[str, float]], Mapping[str, Any]]
"""From the number of an epoch, and the metrics that Keras reports of it, to further columns of its row."""


def fit(
    trainer: keras.Model,
    batches: Callable[..., Any],
    steps: int,
    budget: Budget,
    evaluate: Evaluate | None = None,
    learning_rate: float = LEARNING_RATE,
    schedule: type[WarmupCosine] = WarmupCosine,
    checkpoint: Checkpoint | None = None,
    folder: str | os.PathLike | None = None,
    columns: Sequence[str] = ("loss",),
    before_training: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    log: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Train until the budget is spent, from the step of the checkpoint on, else from the start.

    The learning rate warms up, then falls along a cosine to zero as the budget is spent.

    Args:
        trainer: compiled.
        batches: called with `first_step`, gives what `trainer.fit` takes: batch `first_step` first. Batch number k must
            depend on k alone.
        steps: batches in an epoch.
        budget: seconds that were spent before are added to it; the time in between is not.
        evaluate: called after each epoch; its columns join the row.
        learning_rate: the highest.
        schedule: sets the learning rate before each step.
        checkpoint: saves the training, and resumes the one in its file; nothing is saved without.
        folder: receives `history.csv` after each epoch; the checkpoint's folder without.
        columns: of the row, in the line that is logged of an epoch.
        before_training: evaluate before the first step too, as epoch 0.
        callbacks: called as `trainer.fit` calls them. An epoch that is resumed is a short one for Keras, of
            `params["steps"]` batches, and ends where it would have ended.
        log: called with one line an epoch.

    Returns:
        One row an epoch: epoch, step (batches so far), what Keras reports, learning_rate, what `evaluate` gives,
        seconds.

    Raises:
        DataError: the checkpoint is another training's, or damaged; or the disk is full.
    """
    checkpoint = checkpoint or Checkpoint()
    budget.resume(checkpoint.read(steps), checkpoint.step / steps)
    if checkpoint.finished:
        checkpoint.restore(trainer, optimizer=False)
        return pd.DataFrame(checkpoint.history)
    folder = checkpoint.folder if folder is None else Path(folder)
    history = _History(checkpoint, budget, evaluate, folder, columns, before_training, log)
    before_saving = [schedule(budget, steps, learning_rate), history, *callbacks]
    with defer_interrupt() as interrupts:  # until a step is done, so that nothing of it is lost
        writer = _CheckpointWriter(checkpoint, budget, steps, interrupts)
        while not checkpoint.finished:
            epoch, within = divmod(checkpoint.step, steps)
            trainer.fit(
                batches(first_step=checkpoint.step),
                initial_epoch=epoch,
                epochs=epoch + 1 if within else budget.epochs or 1_000_000,
                steps_per_epoch=steps - within,
                callbacks=[*before_saving, writer],
                shuffle=False,  # the batches come shuffled
                verbose=0,
            )
    return pd.DataFrame(checkpoint.history)


class _History(keras.callbacks.Callback):
    """Adds a row to the history after each epoch, logs it, and writes the table."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        budget: Budget,
        evaluate: Evaluate | None,
        folder: Path | None,
        columns: Sequence[str],
        before_training: bool,
        log: Callable[[str], None],
    ) -> None:
        super().__init__()
        self.checkpoint, self.budget, self.evaluate, self.folder = checkpoint, budget, evaluate, folder
        self.columns, self.before_training, self.log = columns, before_training, log

    def on_train_begin(self, logs: dict | None = None) -> None:
        if self.before_training and not self.checkpoint.history and not self.checkpoint.step:
            self._add(0, {})

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._add(epoch + 1, logs or {})

    def _add(self, epoch: int, logs: Mapping[str, float]) -> None:
        row = {
            "epoch": epoch,
            "step": self.checkpoint.step,
            **{name: float(value) for name, value in logs.items()},
            "learning_rate": current_learning_rate(self.model),
            **(self.evaluate(epoch, logs) if self.evaluate else {}),
            "seconds": time.monotonic() - self.budget.started,
        }
        self.checkpoint.history.append(row)
        if self.folder:
            write_text(pd.DataFrame(self.checkpoint.history).to_csv(index=False), self.folder / "history.csv")
        metrics = ", ".join(f"{name} {row[name]:.3f}" for name in self.columns if name in row)
        self.log(f"epoch {epoch}: {metrics}, {self.budget.progress(epoch)}" if epoch else f"before training: {metrics}")


class _CheckpointWriter(keras.callbacks.Callback):
    """Counts steps, writes the checkpoint when one is due, and ends the training; the last of the callbacks."""

    def __init__(self, checkpoint: Checkpoint, budget: Budget, steps: int, interrupts: list[int]) -> None:
        super().__init__()
        self.checkpoint, self.budget, self.steps, self.interrupts = checkpoint, budget, steps, interrupts
        self._first = 0

    def on_train_begin(self, logs: dict | None = None) -> None:
        if self.checkpoint.pending:
            self.checkpoint.restore(self.model)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._first = (epoch + 1) * self.steps - self.params["steps"]

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.checkpoint.step = self._first + batch + 1
        if self.checkpoint.pending:
            self.checkpoint.restore_metrics(self.model)
        if batch + 1 == self.params["steps"]:
            return  # the end of the epoch follows at once, and is saved with its scores
        if self.interrupts:
            self._save()
            raise_interrupt(self.interrupts)
        if self.checkpoint.due(within_epoch=True) and not self.model.stop_training:
            self._save()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        # numbers as they are read back, so that a history that was read goes on like one that was not
        history = self.checkpoint.history
        history[:] = json.loads(json.dumps(history, default=lambda number: number.item()))
        spent = self.budget.fraction_spent(self.checkpoint.step / self.steps)
        self.checkpoint.finished = self.model.stop_training or spent >= 1
        self.model.stop_training = self.checkpoint.finished
        if self.checkpoint.due(within_epoch=False) or self.checkpoint.finished or self.interrupts:
            self._save(within_epoch=False)
        if self.interrupts:
            raise_interrupt(self.interrupts)

    def _save(self, within_epoch: bool = True) -> None:
        self.checkpoint.save(self.model, time.monotonic() - self.budget.started, within_epoch)
