"""Adversarial domain adaptation: a discriminator learns to classify the hospital, and the network learns to prevent it.

Three methods: the gradient is reversed (Ganin and Lempitsky 2015, arXiv 1409.7495); the target gets an encoder of its
own, which learns with the labels inverted (ADDA: Tzeng et al. 2017, arXiv 1702.05464); or the network's output is
compared instead of its features (AdaptSegNet: Tsai et al. 2018, arXiv 1802.10349).

A U-Net's skips bypass its bottleneck: features that are aligned at the bottleneck alone leave the skips unaligned. So
the discriminator takes the feature maps of several levels; which ones is an argument, and can be measured.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import layers, ops

from helpers.learn.augmented_model import augment, with_background
from helpers.learn.losses import DiceCrossEntropy
from helpers.tasks.adaptation.base import AdaptationModel, augment_unlabelled, source_part, target_part

LABEL_SMOOTHING = 0.9
"""Label of a source radiograph in the discriminator's loss, instead of 1 (one-sided label smoothing, Salimans et al.
2016)."""

FEATURES = 32
"""Features of the discriminator's first convolution."""

LEVELS = (2, 3, 4)
"""The levels of a U-Net's five feature maps that the discriminator takes, the last its bottleneck. The two finest show
every radiograph's own noise, which an encoder can hardly hide; with them, adaptation cost Dice where without them it
gained some (validation radiographs)."""

PATCHES = 16
"""The discriminator classifies patches, this many along each side at most (PatchGAN, Isola et al. 2017)."""


def skips_and_bottleneck(network: keras.Model) -> list[keras.KerasTensor]:
    """The feature maps that a U-Net's encoder passes to its decoder: the skips, the finest first, then the bottleneck.

    The bottleneck is taken before its dropout: a discriminator could tell two encoders apart by dropout alone.

    Args:
        network: as `helpers.models.unet` builds it.

    Raises:
        ValueError: the network is no U-Net.
    """
    maps = [layer.input for layer in network.layers if isinstance(layer, layers.MaxPooling2D | layers.Dropout)]
    if len(maps) < 2:
        raise ValueError(f"{network.name} is no U-Net: it has no skips. Adapt a model that `train lungs` left.")
    return maps


def encoder(network: keras.Model, levels: Sequence[int] | None = None) -> keras.Model:
    """The encoder of a U-Net, which gives the feature maps of some levels. It shares the network's weights.

    Args:
        network: as `helpers.models.unet` builds it.
        levels: numbers of the maps, 0 the first skip; all without.

    Raises:
        ValueError: there is no such level.
    """
    maps = skips_and_bottleneck(network)
    levels = range(len(maps)) if levels is None else sorted(levels)
    if not levels or not set(levels) <= set(range(len(maps))):
        raise ValueError(f"levels {[*levels]}; this network has 0 to {len(maps) - 1}, the last its bottleneck.")
    return keras.Model(network.input, [maps[level] for level in levels], name="encoder")


def reversal_schedule(fraction_spent: keras.KerasTensor) -> keras.KerasTensor:
    """2 / (1 + exp(-10 p)) - 1: from 0 to nearly 1 as the budget is spent (Ganin and Lempitsky, section 4).

    Args:
        fraction_spent: p, scalar from 0 to 1.
    """
    return 2 / (1 + ops.exp(-10.0 * fraction_spent)) - 1


def reverse_gradient(maps: keras.KerasTensor, strength: keras.KerasTensor | float) -> keras.KerasTensor:
    """The gradient reversal layer: the same values, in float32; their gradient times -strength.

    Args:
        maps: any shape, such as (batch, rows, columns, features).
        strength: scalar.

    Returns:
        The values of `maps`, in the same shape.

    Examples:
        >>> import tensorflow as tf
        >>> features = tf.Variable([1.0, 2.0])
        >>> with tf.GradientTape() as tape:
        ...     reversed_features = reverse_gradient(features, strength=0.5)
        >>> reversed_features.numpy()
        array([1., 2.], dtype=float32)
        >>> tape.gradient(reversed_features, features).numpy()
        array([-0.5, -0.5], dtype=float32)
    """
    maps = ops.cast(maps, "float32")  # in half precision the difference would not be the values
    return ops.stop_gradient((1 + strength) * maps) - strength * maps


def patch_bce(logits: keras.KerasTensor, label: keras.KerasTensor | float) -> keras.KerasTensor:
    """Binary cross-entropy of a discriminator's patches, the mean of each radiograph.

    Args:
        logits: (batch, rows, columns), of the patches.
        label: (batch,), of the radiographs, 1 for the source; or a scalar.

    Returns:
        (batch,).
    """
    patches = ops.softplus(logits) - ops.reshape(label, (-1, 1, 1)) * logits
    return ops.mean(patches, axis=(1, 2))


def patch_accuracy(logits: keras.KerasTensor, label: keras.KerasTensor) -> keras.KerasTensor:
    """The accuracy of a discriminator over the patches of each radiograph.

    Args:
        logits: (batch, rows, columns), of the patches.
        label: (batch,), of the radiographs, 1 for the source and 0 for the target.

    Returns:
        (batch,), each in [0, 1].
    """
    predicted = ops.cast(logits > 0, "float32")
    return ops.mean(1 - ops.abs(predicted - ops.reshape(label, (-1, 1, 1))), axis=(1, 2))


class Discriminator(layers.Layer):
    """A PatchGAN discriminator: classifies the patches of a radiograph by hospital, with logits above 0 for the source.

    It is downsampled as the encoder is, by strided convolutions, and each further map is concatenated where the
    resolution is the same. Convolutions are 4 by 4, with leaky ReLU, as in PatchGAN; without normalisation, which would
    make a radiograph's logits depend on the others in its batch.

    Args:
        features: of the first convolution.
        name: of the layer.
    """

    def __init__(self, features: int = FEATURES, name: str = "discriminator") -> None:
        super().__init__(name=name, dtype="float32")  # in half precision its loss is lost first
        self.features = features

    def build(self, shapes: Sequence[tuple[int | None, ...]]) -> None:
        """Make the weights.

        Args:
            shapes: of the maps, (batch, side, side, features), the finest first.

        Raises:
            ValueError: a map is not half as fine as one before it.
        """
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
        self.logit = self._convolution("logit", 3, depth, 1)

    def call(self, maps: Sequence[keras.KerasTensor], frozen: bool = False) -> keras.KerasTensor:
        """The logits of the patches, (batch, rows, columns).

        Args:
            maps: each (batch, side, side, features), the finest first, each half as fine as one before it.
            frozen: stop the gradient at the discriminator's own weights; it passes through to the maps.
        """
        x, waiting = maps[0], [*maps[1:]]
        for kernel, bias, stride in self.steps:
            x = _convolve(x, kernel, bias, stride, frozen)
            x = ops.maximum(x, 0.2 * x)  # leaky ReLU; TensorFlow warns that it cannot fuse its own
            if waiting and waiting[0].shape[1] == x.shape[1]:
                x = ops.concatenate([x, waiting.pop(0)], axis=-1)
        return _convolve(x, *self.logit, 1, frozen)[..., 0]

    def _convolution(self, name: str, side: int, depth: int, width: int) -> tuple[keras.Variable, keras.Variable]:
        kernel = self.add_weight(shape=(side, side, depth, width), initializer="he_normal", name=f"{name}_kernel")
        return kernel, self.add_weight(shape=(width,), initializer="zeros", name=f"{name}_bias")


def _convolve(x: Any, kernel: keras.Variable, bias: keras.Variable, stride: int, frozen: bool) -> keras.KerasTensor:
    kernel, bias = ops.convert_to_tensor(kernel), ops.convert_to_tensor(bias)
    if frozen:
        kernel, bias = ops.stop_gradient(kernel), ops.stop_gradient(bias)
    return ops.conv(ops.cast(x, "float32"), kernel, strides=stride, padding="same") + bias


class _Adversarial(AdaptationModel):
    """A method with a discriminator; `accuracy` is its accuracy over patches, one half by chance."""

    def __init__(self, network: keras.Model, weights: Mapping[str, float], maps: Sequence[keras.KerasTensor]) -> None:
        super().__init__(network, weights)
        self.discriminator = Discriminator()
        self.discriminator.build([tuple(part.shape) for part in maps])
        self.segmentation_loss = DiceCrossEntropy()

    def reported(self) -> tuple[str, ...]:
        """The names of the weighted terms, and the accuracy of the discriminator."""
        return (*self.term_weights, "accuracy")

    def discriminator_terms(
        self,
        source_maps: Sequence[keras.KerasTensor],
        target_maps: Sequence[keras.KerasTensor],
        batch: Mapping[str, keras.KerasTensor],
    ) -> dict[str, keras.KerasTensor]:
        """The discriminator's own loss and accuracy, half from each hospital.

        Args:
            source_maps: each (batch, side, side, features), of the source's radiographs.
            target_maps: the same of the target's.
            batch: has the labels `domain` and `target_domain`, (batch,).

        Returns:
            `discriminator` and `accuracy`, each (batch,).
        """
        domains = batch["domain"], batch["target_domain"]
        logits = self.discriminator(source_maps), self.discriminator(target_maps)
        return {
            "discriminator": sum(
                patch_bce(one, LABEL_SMOOTHING * domain) for one, domain in zip(logits, domains, strict=True)
            )
            / 2,
            "accuracy": sum(patch_accuracy(one, domain) for one, domain in zip(logits, domains, strict=True)) / 2,
        }


class GradientReversal(_Adversarial):
    """Gradient reversal: one network for both hospitals learns the source's masks, and to confuse the discriminator.

    Args:
        network: a U-Net from `helpers.models.unet`, trained at the source.
        levels: which maps the discriminator takes, see `encoder`.
        strength: of the reversed gradient, at the end of `reversal_schedule`.
    """

    def __init__(self, network: keras.Model, levels: Sequence[int] = LEVELS, strength: float = 0.1) -> None:
        maps = encoder(network, levels).outputs
        super().__init__(network, {"segmentation": 1.0, "discriminator": 1.0}, maps)
        self.network, self.strength = keras.Model(network.input, [*maps, *network.outputs]), strength

    def terms(self, batch: Mapping[str, keras.KerasTensor], training: bool) -> dict[str, keras.KerasTensor]:
        """The segmentation loss at the source, and the discriminator's terms on reversed gradients, each (batch,)."""
        images, soft_labels = augment(source_part(batch))
        *source_maps, probabilities = self.network(images, training=training)
        *target_maps, _ = self.network(augment_unlabelled(target_part(batch)), training=training)
        strength = self.strength * reversal_schedule(self.fraction_spent)
        reversed_maps = ([reverse_gradient(part, strength) for part in maps] for maps in (source_maps, target_maps))
        segmentation = self.segmentation_loss.call(soft_labels, with_background(probabilities))
        return {"segmentation": segmentation, **self.discriminator_terms(*reversed_maps, batch)}


class ADDA(_Adversarial):
    """Adversarial discriminative domain adaptation: an encoder for the target, beside the source's.

    It starts from the source's, and learns to give features that the discriminator takes for the source's. The decoder
    is not trained; afterwards it gets the features of the new encoder.

    Args:
        network: a U-Net trained at the source; its encoder is the one that learns, a copy of it is frozen.
        levels: which maps the discriminator takes, see `encoder`.
        strength: weight of the adversarial loss.
        anchor: weight of the segmentation loss at the source. Tzeng's is 0: nothing then ties the new encoder to what
            the decoder takes, and it drifts. With an anchor the whole network learns, and must still segment the
            source's radiographs.
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
        """The discriminator's terms, the adversarial loss, and with an anchor the segmentation loss, each (batch,)."""
        images, soft_labels = augment(source_part(batch))
        source_maps = _maps(self.source(images, training=False))
        target_maps = _maps(self.encoder(augment_unlabelled(target_part(batch)), training=training))
        terms = self.discriminator_terms(source_maps, [ops.stop_gradient(part) for part in target_maps], batch)
        terms["adversarial"] = patch_bce(self.discriminator(target_maps, frozen=True), ops.ones_like(batch["domain"]))
        if "segmentation" in self.term_weights:
            probabilities = self.network(images, training=training)
            terms["segmentation"] = self.segmentation_loss.call(soft_labels, with_background(probabilities))
        return terms


class OutputAlignment(_Adversarial):
    """Output-space adaptation: the discriminator takes predictions, not features; lungs have the same shape everywhere.

    Args:
        network: trained at the source.
        strength: weight of the adversarial loss beside the segmentation loss; AdaptSegNet has 0.001.
    """

    def __init__(self, network: keras.Model, strength: float = 0.01) -> None:
        super().__init__(network, {"segmentation": 1.0, "discriminator": 1.0, "adversarial": strength}, network.outputs)
        self.network = network

    def terms(self, batch: Mapping[str, keras.KerasTensor], training: bool) -> dict[str, keras.KerasTensor]:
        """The segmentation loss at the source, the discriminator's terms and the adversarial loss, each (batch,)."""
        images, soft_labels = augment(source_part(batch))
        source = self.network(images, training=training)
        target = self.network(augment_unlabelled(target_part(batch)), training=training)
        terms = self.discriminator_terms([ops.stop_gradient(source)], [ops.stop_gradient(target)], batch)
        terms["segmentation"] = self.segmentation_loss.call(soft_labels, with_background(source))
        terms["adversarial"] = patch_bce(self.discriminator([target], frozen=True), ops.ones_like(batch["domain"]))
        return terms


def _maps(maps: keras.KerasTensor | list[keras.KerasTensor]) -> list[keras.KerasTensor]:
    """A model with one output does not put it into a list."""
    return [*maps] if isinstance(maps, list | tuple) else [maps]
