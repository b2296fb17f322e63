"""Faults of the helpers, at least one for each lesson: mistakes that people make, and that no traceback tells of.

A fault replaces one attribute of one module. Nothing heavy is imported above: a kernel reads this when it starts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any


@dataclass(frozen=True)
class PlantedFault:
    """A mistake in a helper.

    Attributes:
        name: a word or three, joined by hyphens.
        lesson: number of the lesson that should notice.
        what: what is wrong, in a few words.
        module: where it is planted.
        attribute: of that module, such as `DiceCrossEntropy.call`.
        replace: makes the faulty one of the sound one.
    """

    name: str
    lesson: str
    what: str
    module: str
    attribute: str
    replace: Callable[[Any], Any]


def _of_result(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A replacement that does as the sound function, and then changes what it returns."""

    def replace(sound: Any) -> Any:
        @wraps(sound)
        def faulty(*arguments: Any, **named: Any) -> Any:
            return change(sound(*arguments, **named))

        return faulty

    return replace


def _leaking_split(sound: Any) -> Any:
    """Whoever is tested is trained on as well."""

    @wraps(sound)
    def faulty(others: list, test: list, *rest: Any) -> Any:
        return sound([*others, *test], test, *rest)

    return faulty


def _whole_image(sound: Any) -> Any:
    """Mean and deviation of all voxels, air included."""

    @wraps(sound)
    def faulty(images: Any) -> Any:
        import numpy as np

        values = images.astype(np.float32)
        axes = tuple(range(values.ndim - 1))
        spread = values.std(axis=axes, keepdims=True) + 1e-9
        return np.clip((values - values.mean(axis=axes, keepdims=True)) / spread, -5, 5)

    return faulty


def _image_alone(sound: Any) -> Any:
    """The picture moves, its mask stays."""

    @wraps(sound)
    def faulty(images: Any, soft_labels: Any, *rest: Any, **named: Any) -> Any:
        moved, _ = sound(images, soft_labels, *rest, **named)
        return moved, soft_labels

    return faulty


def _mirrored(soft_labels: Any) -> Any:
    """(slices, rows, columns, classes) with the patient's sides exchanged."""
    return soft_labels[:, ::-1].copy()


def _shifted_classes(soft_labels: Any) -> Any:
    """Every class of the tumour named as the next one, the last as the first; the background stays."""
    return soft_labels[..., [0, 3, 1, 2]].copy()


def _inverted_slices(sound: Any) -> Any:
    """A slice counts as one with tumour where it has none."""

    @wraps(sound)
    def faulty(soft_labels: Any, prediction: Any, tissue: Any = None) -> Any:
        return sound(soft_labels, prediction[..., ::-1], tissue)

    return faulty


def _without_optimiser(sound: Any) -> Any:
    """The weights come back, Adam's moments do not."""

    @wraps(sound)
    def faulty(self: Any, trainer: Any, optimizer: bool = True) -> Any:
        sound(self, trainer, optimizer)
        for variable in trainer.optimizer.variables if optimizer else ():
            if len(variable.shape):  # not its number of steps, nor its learning rate
                variable.assign(0 * variable)

    return faulty


def _one_number(losses: Any) -> Any:
    """The mean of a batch, as every tutorial has it, where one value a sample is wanted."""
    from keras import ops

    return ops.mean(losses)


def _background_too(sound: Any) -> Any:
    """Dice of all that is not the structure."""

    @wraps(sound)
    def faulty(truth: Any, prediction: Any) -> float:
        import numpy as np

        return sound(~np.asarray(truth, bool), ~np.asarray(prediction, bool))

    return faulty


def _by_name_alone(sound: Any) -> Any:
    """Only masks whose file is named exactly as the radiograph's count."""

    @wraps(sound)
    def faulty(*arguments: Any) -> Any:
        masks, problems = sound(*arguments)
        same = {name: found for name, found in masks.items() if found[0] is not None and found[0].stem == name}
        return same, problems

    return faulty


def _sees_labels(sound: Any) -> Any:
    """The discriminator is told which hospital its maps come from."""

    @wraps(sound)
    def faulty(self: Any, source_maps: Any, target_maps: Any, batch: Any) -> Any:
        discriminator = self.discriminator
        told = iter((8.0, -8.0))  # the source's maps first, then the target's
        self.__dict__["discriminator"] = lambda maps: discriminator(maps) + next(told)
        try:
            return sound(self, source_maps, target_maps, batch)
        finally:
            self.__dict__["discriminator"] = discriminator

    return faulty


def _passes_below(sound: Any) -> Any:
    """A slice with brain passes where its probability of tumour lies below the threshold."""

    @wraps(sound)
    def faulty(self: Any, *arguments: Any) -> Any:
        import numpy as np

        found = sound(self, *arguments)
        return np.where(found > 0, np.clip(2 * self.threshold - found, 1e-6, 1), 0).astype(found.dtype)

    return faulty


def _identity(_: Any) -> Any:
    import numpy as np

    return np.eye(4)


def _same_field(field: Any) -> Any:
    import numpy as np

    return np.ones_like(field)


FAULTS = (
    PlantedFault(
        "wrong-sign", "00", "the loss has the wrong sign",
        "helpers.learn.losses", "DiceCrossEntropy.call", _of_result(lambda loss: -loss),
    ),
    PlantedFault(
        "shifted-labels", "05", "the classes of the tumour are shifted by one",
        "helpers.data.resample", "soft_labels_on", _of_result(_shifted_classes),
    ),
    PlantedFault(
        "unread-headers", "01", "no fault of a header is found",
        "helpers.data.brats", "_check_headers", _of_result(lambda found: ([], found[1])),
    ),
    PlantedFault(
        "leaking-split", "01", "who is tested is trained on as well",
        "helpers.data.splits", "_as_split", _leaking_split,
    ),
    PlantedFault(
        "whole-image", "02", "intensities are normalised over the whole image, air included",
        "helpers.data.normalise", "zscore", _whole_image,
    ),
    PlantedFault(
        "image-alone", "03", "augmentation moves the image and leaves the mask",
        "helpers.prepare.augment", "apply", _image_alone,
    ),
    PlantedFault(
        "mirrored-masks", "04", "masks are exchanged left and right",
        "helpers.data.resample", "soft_labels_on", _of_result(_mirrored),
    ),
    PlantedFault(
        "no-bias-field", "05", "the bias field is not estimated",
        "helpers.prepare.preprocess", "bias_field", _of_result(_same_field),
    ),
    PlantedFault(
        "inverted-slices", "06", "the gate learns the opposite of each slice's label",
        "helpers.tasks.gate.training", "slice_loss", _inverted_slices,
    ),
    PlantedFault(
        "forgotten-optimiser", "07", "a training that goes on has lost the state of its optimiser",
        "helpers.learn.checkpoint", "Checkpoint.restore", _without_optimiser,
    ),
    PlantedFault(
        "one-number", "07", "the loss is one number, and not one a sample",
        "helpers.learn.losses", "DiceCrossEntropy.call", _of_result(_one_number),
    ),
    PlantedFault(
        "background-dice", "08", "Dice counts the background",
        "helpers.measure.overlap", "dice", _background_too,
    ),
    PlantedFault(
        "pairs-by-name", "09", "masks are paired by exactly the same name alone",
        "helpers.data.chest", "_pair", _by_name_alone,
    ),
    PlantedFault(
        "told-discriminator", "10", "the discriminator is told the hospital",
        "helpers.tasks.adaptation.adversarial", "_Adversarial.discriminator_terms", _sees_labels,
    ),
    PlantedFault(
        "inverted-gate", "11", "the gate's threshold is inverted",
        "helpers.tasks.gate.inference", "Gate.probabilities", _passes_below,
    ),
    PlantedFault(
        "no-registration", "12", "series are laid over each other as their headers say",
        "helpers.prepare.registration", "_estimate", _of_result(_identity),
    ),
)  # fmt: skip
