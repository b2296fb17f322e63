"""How a U-Net of brain tumours is built and trained, by names and numbers; no network is needed to check them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from helpers.runtime import options
from helpers.runtime.errors import DataError
from helpers.runtime.settings import check_share, check_whole

MAX_REACH = 4


@dataclass(frozen=True)
class Recipe:
    """Loss, augmentation, sampling and network of a training; lessons 04 and 05 measure the effect of each.

    Attributes:
        loss: a name in `helpers.runtime.options.LOSSES`.
        augmentation: a name in `helpers.runtime.options.AUGMENTATIONS`.
        focus: share of a batch that is drawn from slices with tumour, half of it from slices with enhancing tumour.
        batch_size: slices in a batch.
        normalisation: a name in `helpers.runtime.options.NORMALISATIONS`.
        residual: whether every two convolutions of the U-Net have a way round them.
        reach: neighbours of a slice to each side that the network sees as further channels (2.5-D).
        modality_dropout: chance of each modality of a slice to be missing in training; above 0 the model segments
            patients with any of its modalities.
        crop: share of the window's side that a step of the training sees, at a random place: small squares are more
            and other slices in the same time, and the network is the same for any size.
        decision: a name in `helpers.runtime.options.DECISIONS`: how probabilities become a mask.
    """

    loss: str = "dice+cross-entropy"
    augmentation: str = "usual"
    focus: float = 0.5
    batch_size: int = 16
    normalisation: str = "none"
    residual: bool = False
    reach: int = 0
    modality_dropout: float = 0.0
    crop: float = 1.0
    decision: str = "argmax"

    def __post_init__(self) -> None:
        options.check(options.LOSSES, self.loss, "loss")
        options.check(options.AUGMENTATIONS, self.augmentation, "augmentation")
        options.check(options.NORMALISATIONS, self.normalisation, "normalisation")
        options.check(options.DECISIONS, self.decision, "decision")
        check_share("focus", self.focus)
        check_share("modality_dropout", self.modality_dropout)
        check_share("crop", self.crop)
        check_whole("batch_size", self.batch_size, 1, example=16)
        check_whole("reach", self.reach, 0, MAX_REACH, example=1)
        if self.modality_dropout == 1:
            raise DataError(
                "modality_dropout is 1: every modality would be missing; give a share below 1, such as 0.2."
            )

    def crop_side(self, size: int, multiple: int = 16) -> int:
        """Pixels along each side of a crop: a multiple of what the network halves, one at least.

        >>> Recipe(crop=2 / 3).crop_side(96), Recipe(crop=2 / 3).crop_side(128), Recipe().crop_side(96)
        (64, 80, 96)

        Args:
            size: of the window, pixels.
            multiple: of which the side is one.
        """
        return min(size, max(multiple, round(self.crop * size / multiple) * multiple))

    def as_parameters(self) -> dict[str, Any]:
        """The recipe for the parameters of a training: without what is as in folders that did not name it."""
        return {name: value for name, value in asdict(self).items() if value != _UNNAMED.get(name, _NOTHING)}

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> "Recipe":
        """The recipe that the parameters in a `run.json` name, whichever version of this package wrote it.

        Args:
            parameters: of a `train brain`.
        """
        written = {**_UNNAMED, **parameters.get("recipe", {})}
        return cls(**{name: written[name] for name in cls.__annotations__ if name in written})


DEFAULT = Recipe(crop=0.67, decision="dice")
"""What `train brain` does unless told otherwise: the row of `helpers.tasks.brain.recipes` that holds at hospitals it
never saw. `Recipe()` is the row that it beats, and what lessons start from."""

_NOTHING = object()
_UNNAMED = {
    "normalisation": "none",
    "residual": False,
    "reach": 0,
    "modality_dropout": 0.0,
    "crop": 1.0,
    "decision": "argmax",
}
"""What older versions always did, and so did not write. Should a default change, this stays."""


def needed_modalities(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """The modalities without which a model cannot segment a patient; none of them where it was trained to do without.

    Args:
        parameters: of its `run.json`.
    """
    return () if Recipe.of(parameters).modality_dropout else tuple(parameters["modalities"])
