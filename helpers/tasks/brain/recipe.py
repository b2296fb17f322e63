"""How a U-Net of brain tumours is trained, by names and numbers; no network is needed to check them."""

from dataclasses import dataclass

from helpers.runtime import options
from helpers.runtime.settings import check_share, check_whole


@dataclass(frozen=True)
class Recipe:
    """Loss, augmentation and sampling of a training; lesson 03 measures the effect of each.

    Attributes:
        loss: a name in `helpers.runtime.options.LOSSES`.
        augmentation: a name in `helpers.runtime.options.AUGMENTATIONS`.
        focus: share of a batch that is drawn from slices with tumour, half of it from slices with enhancing tumour.
        batch_size: slices in a batch.
    """

    loss: str = "dice+cross-entropy"
    augmentation: str = "usual"
    focus: float = 0.5
    batch_size: int = 16

    def __post_init__(self) -> None:
        options.check(options.LOSSES, self.loss, "loss")
        options.check(options.AUGMENTATIONS, self.augmentation, "augmentation")
        check_share("focus", self.focus)
        check_whole("batch_size", self.batch_size, 1, example=16)
