"""Trainings that several lessons need and none of them teaches: done once in a run of the course.

The runner gives its lessons a folder to share, one for each state of the code. Where there is none, as in a learner's
own Jupyter, a lesson trains by itself.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers.runtime.shared import built_once


def train_once(train: Callable[[Path], Any], own: Path, name: str, **made: Any) -> Path:
    """The folder of a training: one that another lesson of this run has done, else a new one.

    Args:
        train: trains, and writes into the folder that it is given.
        own: where to train if nothing is shared.
        name: of the training, for people; part of its folder's name.
        made: all that the training depends on but the code: data, split, sizes, seed; ready for JSON.

    Returns:
        `own`, or a folder that must not be written to.
    """
    if shared := built_once(name, made, train):
        return shared
    own.mkdir(parents=True, exist_ok=True)
    train(own)
    return own
