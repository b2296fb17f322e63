"""What a fine-tuning begins with: given weights, how far each layer may move, and whom to rehearse.

A network that goes on learning at a new hospital forgets the old one. Three settings decide how much: the learning rate
of its encoder, the length of the training, and old patients who are shown again (rehearsal; Robins 1995).
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.data.brats import Patient
from helpers.data.chest import XRay
from helpers.data.out_of_distribution import merge_ranges
from helpers.learn.run_folder import patients_learned_from, read_run, run_digest
from helpers.runtime import options
from helpers.runtime.errors import DataError

STEPS = 20
"""Steps in an epoch of fine-tuning: a pass over one patient would be ten, over eight eighty."""

EPOCHS = 25
"""How long to fine-tune where no minutes are given; 500 steps, whatever the number of patients."""

SHARE = 1 / 3
"""The highest learning rate, as a share of that of a training from nothing: what is there shall not be washed away."""


@dataclass(frozen=True)
class Start:
    """What a fine-tuning begins with.

    Attributes:
        folder: of one finished training; its network is gone on with.
        layers: a name in `helpers.runtime.options.LAYERS`.
        rehearsed: patients that the model has learned from, shown again in half of each batch.
        threshold: of a gate, from patients that its network did not learn from; the first model's without.
    """

    folder: Path
    layers: str = "graded"
    rehearsed: tuple[Patient | XRay, ...] = ()
    threshold: float | None = None

    def __post_init__(self) -> None:
        options.check(options.LAYERS, self.layers, "layers")

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the rehearsed patients."""
        return tuple(sorted(one.id for one in self.rehearsed))

    def as_parameters(self) -> dict[str, Any]:
        """What identifies it, for the parameters of a training: the first model by its digest, not by its folder."""
        return {
            "began_with": run_digest(self.folder),
            "layers": self.layers,
            "rehearsed": list(self.ids),
            **({} if self.threshold is None else {"threshold": self.threshold}),
        }

    def with_provenance(self, provenance: Mapping[str, Any]) -> dict[str, Any]:
        """The entries of `run.json` about the patients of a training, with those that the first model learned from.

        Args:
            provenance: of the fine-tuning alone, as `helpers.learn.run_folder.training_provenance` gives it.
        """
        learned = {**patients_learned_from(self.folder), **provenance["learned_from"]}
        before = read_run(self.folder).get("statistics")
        if not before or "statistics" not in provenance:
            return {**provenance, "learned_from": learned}
        now = provenance["statistics"]
        fitted = sorted({*before["fitted_on"], *now["fitted_on"]})
        ranges = merge_ranges([before["ranges"], now["ranges"]])
        return {**provenance, "learned_from": learned, "statistics": {"fitted_on": fitted, "ranges": ranges}}


def encoder_rate(start: Start | None) -> float:
    """The learning rate of the encoder, as a share of that of the decoder; 1 for a training from nothing.

    Args:
        start: of the training; None for one from nothing.
    """
    return 1.0 if start is None else options.load(options.LAYERS, start.layers, "layers")


def check_start(folder: str | os.PathLike, needed: Sequence[str]) -> dict:
    """The parameters of a model to go on with.

    Args:
        folder: of a finished training.
        needed: the parameters that the network is built from.

    Returns:
        The parameters in its `run.json`.

    Raises:
        DataError: the folder holds no finished training; it lacks a parameter, or its radiographs are preprocessed by
            histogram matching.
    """
    run = read_run(folder)
    if missing := [name for name in needed if name not in run["parameters"]]:
        raise DataError(f"{folder}: its run.json lacks {', '.join(missing)}; begin with another model.")
    if run.get("prepare"):
        raise DataError(
            f"{folder} takes radiographs with other grey levels ({', '.join(run['prepare'])}); begin with a model that "
            "does not."
        )
    return run["parameters"]
