"""Mean teacher: a network learns from radiographs without masks by agreeing with a steadier copy of itself.

The teacher's weights are the running mean of the student's (Tarvainen and Valpola 2017, arXiv 1703.01780). It looks at
a radiograph as it is; the student looks at it turned, stretched and shaded, and has to outline what the teacher
outlined, moved the same way. The source's masks keep both from agreeing on nonsense.
"""

from collections.abc import Mapping

import keras
from keras import ops

from helpers.learn.augmented_model import with_background
from helpers.learn.batches import xla_compiled
from helpers.learn.losses import DiceCrossEntropy
from helpers.prepare.augment import apply
from helpers.tasks.adaptation.base import (
    EMA_DECAY,
    AdaptationModel,
    augmentation_params,
    segmentation_loss,
    target_part,
)


@xla_compiled
def augment_pseudo_labelled(radiographs: Mapping[str, keras.KerasTensor], soft_labels: keras.KerasTensor) -> tuple:
    """Radiographs and what the teacher says of them, varied together."""
    return apply(ops.cast(radiographs["images"], "float32"), soft_labels, augmentation_params(radiographs))


class MeanTeacher(AdaptationModel):
    """A student that learns; its teacher is the running mean, which every adaptation keeps, and here takes part.

    Args:
        network: trained at the source; it becomes the student.
        strength: weight of agreement beside that of the source's masks.
        momentum: share of the teacher that stays, a step.
    """

    def __init__(self, network: keras.Model, strength: float = 1.0, momentum: float = EMA_DECAY) -> None:
        super().__init__(network, {"segmentation": 1.0, "agreement": strength}, momentum)
        self.student, self.loss_of_masks = network, DiceCrossEntropy()

    def terms(self, batch: Mapping[str, keras.KerasTensor], training: bool) -> dict[str, keras.KerasTensor]:
        radiographs = target_part(batch)
        said = with_background(self.ema_network(ops.cast(radiographs["images"], "float32"), training=False))
        images, soft_labels = augment_pseudo_labelled(radiographs, ops.stop_gradient(said))
        answer = with_background(self.student(images, training=training))
        return {
            "segmentation": segmentation_loss(self.student, batch, self.loss_of_masks, training),
            "agreement": self.loss_of_masks.call(soft_labels, answer),
        }
