"""Mean teacher: a network learns from films without masks by agreeing with a steadier copy of itself.

The teacher's weights are the running mean of the student's (Tarvainen and Valpola 2017, arXiv 1703.01780). It looks at
a film as it is; the student looks at it turned, stretched and shaded, and has to outline what the teacher outlined,
moved the same way. The source's masks keep both from agreeing on nonsense.
"""

from collections.abc import Mapping

import keras
from keras import ops

from helpers.learn.adapting import MOMENTUM, Adapting, of_target, segmentation, variation
from helpers.learn.batches import fused
from helpers.learn.losses import DiceCrossEntropy
from helpers.learn.varied import with_background
from helpers.prepare.augment import apply


@fused
def moved(films: Mapping[str, keras.KerasTensor], shares: keras.KerasTensor) -> tuple:
    """Films and what the teacher says of them, varied together."""
    return apply(ops.cast(films["images"], "float32"), shares, variation(films))


class MeanTeacher(Adapting):
    """A student that learns; its teacher is the running mean, which every adaptation keeps, and here takes part.

    Args:
        network: trained at the source; it becomes the student.
        strength: weight of agreement beside that of the source's masks.
        momentum: share of the teacher that stays, a step.
    """

    def __init__(self, network: keras.Model, strength: float = 1.0, momentum: float = MOMENTUM) -> None:
        super().__init__(network, {"segmentation": 1.0, "agreement": strength}, momentum)
        self.student, self.loss_of_masks = network, DiceCrossEntropy()

    def terms(self, batch: Mapping[str, keras.KerasTensor], training: bool) -> dict[str, keras.KerasTensor]:
        films = of_target(batch)
        said = with_background(self.kept(ops.cast(films["images"], "float32"), training=False))
        images, shares = moved(films, ops.stop_gradient(said))
        answer = with_background(self.student(images, training=training))
        return {
            "segmentation": segmentation(self.student, batch, self.loss_of_masks, training),
            "agreement": self.loss_of_masks.call(shares, answer),
        }
