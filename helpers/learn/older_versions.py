"""Names that older versions of this package gave to parameters of a training, brought to those of today."""

from collections.abc import Mapping
from typing import Any


def current_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a training with the names of today, whichever version wrote them.

    Args:
        parameters: of a `run.json` or a checkpoint; those of the model that an adaptation began with are among them.
            They stay as they are.

    Returns:
        A copy. What is of another kind than it should be is left, for the schema to refuse.
    """
    current = {
        name: current_parameters(value) if name in ("adapted", "model") and isinstance(value, Mapping) else value
        for name, value in parameters.items()
    }
    if current.get("augmentation") == "films":
        current["augmentation"] = "xray"
    if isinstance(current.get("normalise"), bool):
        current["normalisation"] = "batch" if current.pop("normalise") else "none"
    return current
