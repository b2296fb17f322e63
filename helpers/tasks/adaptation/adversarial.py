"""Adversarial adaptation: a discriminator learns to tell two hospitals apart, and the network learns to deny it that.

Three ways to do so, one after the other: the gradient is turned round (Ganin and Lempitsky 2015, arXiv 1409.7495); the
target gets an encoder of its own, which learns with the labels inverted (ADDA: Tzeng et al. 2017, arXiv 1702.05464); or
the network's output is compared instead of its features (AdaptSegNet: Tsai et al. 2018, arXiv 1802.10349).

A U-Net's skips bypass its bottleneck. What is aligned at the bottleneck alone, the image can go by. So the
discriminator sees several levels; which ones is an argument, and can be measured.
"""

from collections.abc import Mapping, Sequence

import keras
from keras import layers, ops

from helpers.learn.augmented_model import augment, with_background
from helpers.learn.losses import DiceCrossEntropy
from helpers.tasks.adaptation.base import AdaptationModel, augment_unlabelled, source_part, target_part

LABEL_SMOOTHING = 0.9
"""What the discriminator is told of a source radiograph instead of 1 (one-sided label smoothing, Salimans et al.
2016)."""

FEATURES = 32
"""Of the discriminator's first convolution."""

LEVELS = (2, 3, 4)
"""What the discriminator sees of a U-Net's five maps, the last its bottleneck. The two finest show every radiograph's
own grain, which an encoder can hardly hide; seen as well, they cost Dice where these gained some (validation
radiographs)."""

PATCHES = 16
"""The discriminator judges patches, this many along each side at most (PatchGAN, Isola et al. 2017)."""


def skips_and_bottleneck(network: keras.Model) -> list[keras.KerasTensor]:
    """What a `helpers.models.unet` hands from encoder to decoder: the skips from the top, then the bottleneck.

    The bottleneck is taken before its dropout: a discriminator would tell two encoders apart by dropout alone.

    Raises:
        ValueError: the network is no U-Net.
    """
    maps = [layer.input for layer in network.layers if isinstance(layer, layers.MaxPooling2D | layers.Dropout)]
    if len(maps) < 2:
        raise ValueError(f"{network.name} is no U-Net: it has no skips. Adapt a model that `train lungs` left.")
    return maps


def encoder(network: keras.Model, levels: Sequence[int] | None = None) -> keras.Model:
    """The part of a U-Net that gives the maps of these levels, 0 the first skip; of all without. It shares weights.

    Raises:
        ValueError: there is no such level.
    """
    maps = skips_and_bottleneck(network)
    levels = range(len(maps)) if levels is None else sorted(levels)
    if not levels or not set(levels) <= set(range(len(maps))):
        raise ValueError(f"levels {[*levels]}; this network has 0 to {len(maps) - 1}, the last its bottleneck.")
    return keras.Model(network.inputs, [maps[level] for level in levels], name="encoder")


def reversal_schedule(fraction_spent: keras.KerasTensor) -> keras.KerasTensor:
    """2 / (1 + exp(-10 p)) - 1: from 0 to nearly 1 as the budget is spent (Ganin and Lempitsky, section 4)."""
    return 2 / (1 + ops.exp(-10.0 * fraction_spent)) - 1


def reverse_gradient(maps: keras.KerasTensor, strength: keras.KerasTensor | float) -> keras.KerasTensor:
    """The same values, in float32; their gradient times -strength."""
    maps = ops.cast(maps, "float32")  # in half precision the difference would not be the values
    return ops.stop_gradient((1 + strength) * maps) - strength * maps


def patch_bce(logits: keras.KerasTensor, label: keras.KerasTensor | float) -> keras.KerasTensor:
    """Binary cross-entropy of a discriminator's patches, (batch, rows, columns), against one label a radiograph:
    (batch,)."""
    patches = ops.softplus(logits) - ops.reshape(label, (-1, 1, 1)) * logits
    return ops.mean(patches, axis=(1, 2))


def patch_accuracy(logits: keras.KerasTensor, label: keras.KerasTensor) -> keras.KerasTensor:
    """The share of patches that a discriminator gets right, (batch,)."""
    said = ops.cast(logits > 0, "float32")
    return ops.mean(1 - ops.abs(said - ops.reshape(label, (-1, 1, 1))), axis=(1, 2))


class Discriminator(layers.Layer):
    """Says of each patch of a radiograph which hospital it is from: a logit, above 0 for the source.

    It walks down as the encoder does: strided convolutions, and each further map joins where it is as fine as what was
    carried down. Convolutions are 4 by 4, with leaky ReLU, as in PatchGAN; without normalisation, which would let the
    radiographs of a batch speak of each other.

    Called with maps (batch, size, size, features), the finest first, each half as fine as one before it; returns
    (batch, rows, columns). With `frozen` the gradient passes through to the maps and stops at its own weights.
    """

    def __init__(self, features: int = FEATURES, name: str = "discriminator") -> None:
        super().__init__(name=name, dtype="float32")  # in half precision its loss is lost first
        self.features = features

    def build(self, shapes: Sequence[tuple[int | None, ...]]) -> None:
        sides, depths = [shape[1] for shape in shapes], [shape[-1] for shape in shapes]
        side, depth, waiting, number = sides[0], depths[0], [*zip(sides, depths, strict=True)][1:], 0
        self.steps = []
        while True:
            last = not waiting and side <= PATCHES
            width = self.features * 2 ** min(number, 2)
            self.steps.append((*self._convolution(f"convolution_{number}", 4, depth, width), 1 if last else 2))
            depth, number = width, number + 1
            if last:
                break
            side = -(-side // 2)
            if waiting and waiting[0][0] == side:
                depth += waiting.pop(0)[1]
            elif waiting and waiting[0][0] > side:
                raise ValueError(f"maps with sides {sides}; expected each to be half as fine as one before it.")
        self.verdict = self._convolution("verdict", 3, depth, 1)

    def call(self, maps: Sequence[keras.KerasTensor], frozen: bool = False) -> keras.KerasTensor:
        x, waiting = maps[0], [*maps[1:]]
        for kernel, bias, stride in self.steps:
            x = _convolve(x, kernel, bias, stride, frozen)
            x = ops.maximum(x, 0.2 * x)  # leaky ReLU, of which TensorFlow complains that it cannot fuse it
            if waiting and waiting[0].shape[1] == x.shape[1]:
                x = ops.concatenate([x, waiting.pop(0)], axis=-1)
        return _convolve(x, *self.verdict, 1, frozen)[..., 0]

    def _convolution(self, name: str, side: int, depth: int, width: int) -> tuple[keras.Variable, keras.Variable]:
        kernel = self.add_weight(shape=(side, side, depth, width), initializer="he_normal", name=f"{name}_kernel")
        return kernel, self.add_weight(shape=(width,), initializer="zeros", name=f"{name}_bias")


def _convolve(x, kernel, bias, stride: int, frozen: bool) -> keras.KerasTensor:
    kernel, bias = ops.convert_to_tensor(kernel), ops.convert_to_tensor(bias)
    if frozen:
        kernel, bias = ops.stop_gradient(kernel), ops.stop_gradient(bias)
    return ops.conv(ops.cast(x, "float32"), kernel, strides=stride, padding="same") + bias


class _Adversarial(AdaptationModel):
    """A method with a discriminator; `accuracy` is the share of patches it gets right, one half by chance."""

    def __init__(self, network: keras.Model, weights: Mapping[str, float], seen: Sequence[keras.KerasTensor]) -> None:
        super().__init__(network, weights)
        self.discriminator = Discriminator()
        self.discriminator.build([tuple(part.shape) for part in seen])
        self.loss_of_masks = DiceCrossEntropy()

    def reported(self) -> tuple[str, ...]:
        return (*self.term_weights, "accuracy")

    def discriminator_terms(
        self,
        here: Sequence[keras.KerasTensor],
        there: Sequence[keras.KerasTensor],
        batch: Mapping[str, keras.KerasTensor],
    ) -> dict[str, keras.KerasTensor]:
        """The discriminator's own loss and accuracy, half from each hospital."""
        domains = batch["domain"], batch["target_domain"]
        logits = self.discriminator(here), self.discriminator(there)
        return {
            "discriminator": sum(
                patch_bce(one, LABEL_SMOOTHING * domain) for one, domain in zip(logits, domains, strict=True)
            )
            / 2,
            "accuracy": sum(patch_accuracy(one, domain) for one, domain in zip(logits, domains, strict=True)) / 2,
        }


class GradientReversal(_Adversarial):
    """One network for both hospitals. It learns the masks of the source, and to spoil what the discriminator learns.

    Args:
        network: a U-Net from `helpers.models.unet`, trained at the source.
        levels: which maps the discriminator sees, see `encoder`.
        strength: of the reversed gradient, at the end of the ramp.
    """

    def __init__(self, network: keras.Model, levels: Sequence[int] = LEVELS, strength: float = 0.1) -> None:
        maps = encoder(network, levels).outputs
        super().__init__(network, {"segmentation": 1.0, "discriminator": 1.0}, maps)
        self.network, self.strength = keras.Model(network.inputs, [*maps, *network.outputs]), strength

    def terms(self, batch: Mapping[str, keras.KerasTensor], training: bool) -> dict[str, keras.KerasTensor]:
        images, soft_labels = augment(source_part(batch))
        *here, probabilities = self.network(images, training=training)
        *there, _ = self.network(augment_unlabelled(target_part(batch)), training=training)
        strength = self.strength * reversal_schedule(self.fraction_spent)
        turned = ([reverse_gradient(part, strength) for part in maps] for maps in (here, there))
        masks = self.loss_of_masks.call(soft_labels, with_background(probabilities))
        return {"segmentation": masks, **self.discriminator_terms(*turned, batch)}


class ADDA(_Adversarial):
    """Adversarial discriminative domain adaptation: an encoder for the target, beside the source's.

    It starts from the source's, and learns to be taken for it. The decoder takes no part; afterwards it reads the new
    encoder as it read the old one.

    Args:
        network: a U-Net trained at the source; its encoder is the one that learns, a copy of it stays as it was.
        levels: which maps the discriminator sees, see `encoder`.
        strength: weight of the deceiver's loss; next to an anchor it decides who wins.
        anchor: weight of the source's masks. Tzeng's is 0: nothing then ties the new encoder to what the decoder reads,
            and it drifts. With an anchor the whole network learns, and must still outline the source's radiographs.
    """

    def __init__(
        self, network: keras.Model, levels: Sequence[int] = LEVELS, strength: float = 1.0, anchor: float = 0.0
    ) -> None:
        target = encoder(network, levels)
        weights = {"discriminator": 1.0, "adversarial": strength}
        super().__init__(network, weights | ({"segmentation": anchor} if anchor else {}), target.outputs)
        self.encoder = target
        self.source = keras.models.clone_model(target)
        self.source.set_weights(target.get_weights())
        self.source.trainable = False
        if anchor:
            self.network = network

    def terms(self, batch: Mapping[str, keras.KerasTensor], training: bool) -> dict[str, keras.KerasTensor]:
        images, soft_labels = augment(source_part(batch))
        here = _maps(self.source(images, training=False))
        there = _maps(self.encoder(augment_unlabelled(target_part(batch)), training=training))
        terms = self.discriminator_terms(here, [ops.stop_gradient(part) for part in there], batch)
        terms["adversarial"] = patch_bce(self.discriminator(there, frozen=True), ops.ones_like(batch["domain"]))
        if "segmentation" in self.term_weights:
            probabilities = self.network(images, training=training)
            terms["segmentation"] = self.loss_of_masks.call(soft_labels, with_background(probabilities))
        return terms


class OutputAlignment(_Adversarial):
    """One network for both; the discriminator sees what it says, not how: lungs have the same shape everywhere.

    Args:
        network: trained at the source.
        strength: weight of the deceiver's loss beside that of the masks; AdaptSegNet has 0.001.
    """

    def __init__(self, network: keras.Model, strength: float = 0.01) -> None:
        super().__init__(network, {"segmentation": 1.0, "discriminator": 1.0, "adversarial": strength}, network.outputs)
        self.network = network

    def terms(self, batch: Mapping[str, keras.KerasTensor], training: bool) -> dict[str, keras.KerasTensor]:
        images, soft_labels = augment(source_part(batch))
        here = self.network(images, training=training)
        there = self.network(augment_unlabelled(target_part(batch)), training=training)
        terms = self.discriminator_terms([ops.stop_gradient(here)], [ops.stop_gradient(there)], batch)
        terms["segmentation"] = self.loss_of_masks.call(soft_labels, with_background(here))
        terms["adversarial"] = patch_bce(self.discriminator([there], frozen=True), ops.ones_like(batch["domain"]))
        return terms


def _maps(maps: keras.KerasTensor | list[keras.KerasTensor]) -> list[keras.KerasTensor]:
    """A model with one output does not put it into a list."""
    return [*maps] if isinstance(maps, list | tuple) else [maps]
