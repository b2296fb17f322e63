"""Mean teacher: self-training on radiographs without masks, with the pseudo-labels of an averaged copy of the network.

The teacher's weights are the exponential moving average (EMA) of the student's (Tarvainen and Valpola 2017, arXiv
1703.01780). It predicts on the radiograph as it is; the student gets the radiograph augmented, and has to predict what
the teacher predicted, deformed the same way. The segmentation loss at the source keeps both from agreeing on nonsense.
"""

from collections.abc import Mapping

import keras
from keras import ops

from helpers.learn.augmented_model import with_background
from helpers.learn.batches import xla_compiled
from helpers.learn.losses import DiceCrossEntropy
from helpers.prepare.augment import apply
from helpers.tasks.adaptation.base import (
    AdaptationModel,
    augmentation_params,
    segmentation_loss,
    target_part,
)
from helpers.tasks.adaptation.ema import EMA_DECAY


@xla_compiled
def augment_pseudo_labelled(radiographs: Mapping[str, keras.KerasTensor], soft_labels: keras.KerasTensor) -> tuple:
    """Radiographs and their pseudo-labels, augmented together.

    Args:
        radiographs: `images`, (batch, size, size, 1), and the augmentation parameters by name.
        soft_labels: (batch, size, size, 2), probabilities that the teacher predicts.

    Returns:
        Both augmented, float32, in the shapes they came in.
    """
    return apply(ops.cast(radiographs["images"], "float32"), soft_labels, augmentation_params(radiographs))


class MeanTeacher(AdaptationModel):
    """A student that learns from the pseudo-labels of its EMA, the teacher.

    Args:
        network: trained at the source; it becomes the student.
        strength: weight of the consistency loss (`agreement`) beside the segmentation loss.
        momentum: decay of the teacher's weights, a step.
        sure: the probability, of either class, that a pixel of the teacher needs to teach; with 0.5 all do. A pixel
            that it doubts teaches the student its own doubt, or its error (French et al. 2018, arXiv 1706.05208).
    """

    def __init__(
        self, network: keras.Model, strength: float = 1.0, momentum: float = EMA_DECAY, sure: float = 0.5
    ) -> None:
        super().__init__(network, {"segmentation": 1.0, "agreement": strength}, momentum)
        self.student, self.sure, self.segmentation_loss = network, sure, DiceCrossEntropy()

    def terms(self, batch: Mapping[str, keras.KerasTensor], training: bool) -> dict[str, keras.KerasTensor]:
        """The segmentation loss at the source and the consistency loss at the target, each (batch,)."""
        radiographs = target_part(batch)
        pseudo_labels = with_background(self.ema_network(ops.cast(radiographs["images"], "float32"), training=False))
        images, soft_labels = augment_pseudo_labelled(radiographs, ops.stop_gradient(pseudo_labels))
        predicted = with_background(self.student(images, training=training))
        if self.sure > 0.5:  # what is 0 in both adds nothing to Dice or cross-entropy
            teaches = ops.cast(ops.max(soft_labels, axis=-1, keepdims=True) >= self.sure, "float32")
            soft_labels, predicted = teaches * soft_labels, teaches * predicted
        return {
            "segmentation": segmentation_loss(self.student, batch, self.segmentation_loss, training),
            "agreement": self.segmentation_loss.call(soft_labels, predicted),
        }
