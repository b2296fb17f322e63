"""What can be chosen by name: losses, augmentations, networks of the gate, methods of adaptation.

Each name stands here once, with the line that the command line prints of it and the place of what it names, which is
imported when it is asked for: this module needs no Keras, so that `--help` answers at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from helpers.runtime.errors import DataError


@dataclass(frozen=True)
class Option:
    """Something that is chosen by name.

    Attributes:
        help: one line for the command line.
        path: where it is defined, as "module:attribute".
        tasks: of which commands it is an option; of all without.
    """

    help: str
    path: str
    tasks: tuple[str, ...] = ()

    def load(self) -> Any:
        """Import what the option names."""
        module, _, attribute = self.path.partition(":")
        return getattr(import_module(module), attribute)


_LOSSES, _AUGMENT, _GATE = "helpers.learn.losses", "helpers.prepare.augment", "helpers.tasks.gate.recipe"
_METHODS = "helpers.tasks.adaptation.methods"
_BRAIN, _XRAY = ("brain", "gate"), ("lungs", "adaptation")

LOSSES = {
    "cross-entropy": Option("mean over all pixels", f"{_LOSSES}:CrossEntropy"),
    "weighted-cross-entropy": Option("rare classes count more", f"{_LOSSES}:WeightedCrossEntropy"),
    "focal": Option("easy pixels count less", f"{_LOSSES}:Focal"),
    "dice": Option("soft Dice over the foreground", f"{_LOSSES}:Dice"),
    "tversky": Option("false negatives cost more than false positives", f"{_LOSSES}:Tversky"),
    "dice+cross-entropy": Option("both, in equal parts", f"{_LOSSES}:DiceCrossEntropy"),
    "focal-tversky+cross-entropy": Option("poorly segmented classes count more", f"{_LOSSES}:FocalTverskyCrossEntropy"),
}
"""Losses of the trainings, classes of `helpers.learn.losses`."""

AUGMENTATIONS = {
    "none": Option("as stored", f"{_AUGMENT}:NONE"),
    "usual": Option("geometry, contrast and noise", f"{_AUGMENT}:USUAL", _BRAIN),
    "all": Option("elastic, bias field, blur and low resolution too", f"{_AUGMENT}:ALL", _BRAIN),
    "scanners": Option("all, and twice as strong in intensity, with curves of it", f"{_AUGMENT}:SCANNERS", _BRAIN),
    "intensity": Option("gamma, contrast, brightness", f"{_AUGMENT}:INTENSITY", _XRAY),
    "xray": Option("geometry, intensity, noise and black bands", f"{_AUGMENT}:XRAY", _XRAY),
}
"""Augmentations, each a tuple of names in `helpers.prepare.augment.TRANSFORMS`."""

NETWORKS = {
    "compact": Option("a small transformer", f"{_GATE}:COMPACT", ("gate",)),
    "base": Option("ViT-B/16, for a GPU and ImageNet weights", f"{_GATE}:BASE", ("gate",)),
    "cnn": Option("a plain convolutional network, the baseline", f"{_GATE}:CNN", ("gate",)),
}
"""Networks of the gate, each a `helpers.tasks.gate.recipe.GateNetwork`."""

_UNET, _DECODING = "helpers.models.unet", "helpers.measure.decoding"

NORMALISATIONS = {
    "none": Option("as in the paper", f"{_UNET}:no_normalisation"),
    "batch": Option("over the batch; in inference by the means of training", f"{_UNET}:batch_normalisation"),
    "instance": Option("over each slice and feature; remembers no hospital", f"{_UNET}:instance_normalisation"),
    "group": Option("over each slice and a few features", f"{_UNET}:group_normalisation"),
}
"""What stands between a convolution and its ReLU."""

DECISIONS = {
    "argmax": Option("the most probable label of each voxel", f"{_DECODING}:argmax"),
    "dice": Option("the regions with the highest expected Dice", f"{_DECODING}:dice_thresholds"),
}
"""How probabilities become a mask."""

_LAYERS = "helpers.learn.layer_rates"

LAYERS = {
    "whole": Option("all layers at one rate", f"{_LAYERS}:WHOLE"),
    "graded": Option("the encoder at a tenth of the rate", f"{_LAYERS}:GRADED"),
    "decoder": Option("the decoder alone, the encoder is frozen", f"{_LAYERS}:FROZEN"),
}
"""How the layers of a model learn at a new hospital, each the encoder's share of the learning rate."""

_ORDERS = "helpers.tasks.finetuning.outline_first"

ORDERS = {
    "random": Option("by chance", f"{_ORDERS}:at_random"),
    "unsure": Option("whom the model is least sure of", f"{_ORDERS}:least_sure"),
    "different": Option("whoever is most different from those before", f"{_ORDERS}:most_different"),
}
"""Which patients to outline first."""

METHODS = {
    "histogram": Option("match the target's histogram to the source's", "helpers.prepare.histogram_matching:histogram"),
    "statistics": Option(
        "batch statistics of the target (AdaBN)", "helpers.tasks.adaptation.batch_statistics:adapt_statistics"
    ),
    "tent": Option("the normalisations learn to be sure at the target", f"{_METHODS}:TENT"),
    "fourier": Option("the source's radiographs in the target's style", f"{_METHODS}:FOURIER"),
    "reversal": Option("gradient reversal (DANN)", f"{_METHODS}:REVERSAL"),
    "adda": Option("adversarial discriminative adaptation", f"{_METHODS}:ADDA_FREE"),
    "adda+anchor": Option("ADDA, anchored by the source's masks", f"{_METHODS}:ADDA_ANCHORED"),
    "output": Option("adversary on outputs (AdaptSegNet)", f"{_METHODS}:OUTPUT"),
    "mean-teacher": Option("consistency with an EMA teacher", f"{_METHODS}:MEAN_TEACHER"),
    "sure-teacher": Option("the same, from sure pixels and plausible outlines alone", f"{_METHODS}:SURE_TEACHER"),
}
"""Methods of adaptation, from the plainest on; those that train are a `helpers.tasks.adaptation.methods.Method`."""

RENAMED = {"films": "xray", "films-mean-teacher": "xray-mean-teacher"}
"""Names that older versions of this package used, and files and commands may hold; they are still understood."""


def current_name(name: str) -> str:
    """The name that an option or an experiment has today."""
    return RENAMED.get(name, name)


def names(options: Mapping[str, Option], task: str) -> tuple[str, ...]:
    """The names that a task can choose from."""
    return tuple(name for name, option in options.items() if not option.tasks or task in option.tasks)


def load(options: Mapping[str, Option], name: str, kind: str) -> Any:
    """What a name stands for.

    Args:
        options: one of the tables above.
        name: of one of them.
        kind: what it is, for the message: "loss".

    Raises:
        DataError: there is no such name.
    """
    check(options, name, kind)
    return options[current_name(name)].load()


def check(options: Mapping[str, Option], name: str, kind: str) -> None:
    """See that a name is known, without importing what it names.

    Args:
        options: one of the tables above.
        name: of one of them.
        kind: what it is, for the message: "loss".

    Raises:
        DataError: there is no such name.
    """
    if current_name(name) not in options:
        raise DataError(f"{kind} {name!r} is not known; there are {', '.join(options)}.")
