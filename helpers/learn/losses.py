"""What training makes small.

Every loss returns one value per sample, shape (batch,). A loss that returns a single number is not divided among the
devices of a `MirroredStrategy`: two devices then take steps twice as large, without a word. Truth comes as the share of
each class in a pixel, so soft edges are welcome; a one-hot mask is the special case of shares 0 and 1.

Most of a scan is background, and these losses are answers to that, one after the other: count rare classes more, count
easy pixels less, or count no pixels but how much two masks overlap. Call each with truth and probabilities, both
(batch, rows, columns, classes), class 0 the background.
"""

import keras
import numpy as np
from keras import ops

FLOOR = 1e-30
"""Probabilities are taken for at least this before their logarithm."""

CLASS_WEIGHTS = (0.8, 12.5, 7.7, 13.9)
"""Of background, core, oedema and enhancing tumour in `WeightedCrossEntropy`: `class_weights` of 20 BraTS patients, in
the slices that show brain, on the network's grid. The phantoms' are nearly the same."""

_PACKAGE = "biomedseg"  # the name under which .keras files find these classes again


def class_weights(pixels: np.ndarray) -> np.ndarray:
    """Weights that make rare classes count more: one over the square root of a class's share of all pixels, scaled so
    that the mean pixel weighs 1.

    One over the share itself would be fair to each class and cruel to the background: a tumour pixel would weigh a
    hundred times as much, and a false alarm nothing.

    Args:
        pixels: (classes,) counts over the training patients, as `Store.voxels_per_class` has them, each above 0.

    Raises:
        ValueError: a class has no pixel, so that its weight would be infinite.
    """
    pixels = np.asarray(pixels, float)
    if pixels.ndim != 1 or not (pixels > 0).all():
        raise ValueError(f"pixels per class are {pixels}; expected one positive count for each class.")
    share = pixels / pixels.sum()
    return share**-0.5 / (share * share**-0.5).sum()


@keras.saving.register_keras_serializable(package=_PACKAGE)
class CrossEntropy(keras.losses.Loss):
    """The mean over a sample's pixels of -sum(y * log(p)), the paper's section 5.3.1."""

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        return cross_entropy(y_true, y_pred)


@keras.saving.register_keras_serializable(package=_PACKAGE)
class WeightedCrossEntropy(keras.losses.Loss):
    """Cross-entropy in which each class counts by its weight.

    Args:
        weights: one for each class; of your own patients, `class_weights` gives them.
    """

    def __init__(self, weights: tuple[float, ...] = CLASS_WEIGHTS, **kwargs) -> None:
        super().__init__(**kwargs)
        self.weights = tuple(float(weight) for weight in weights)

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        return cross_entropy(y_true * ops.convert_to_tensor(self.weights, y_true.dtype), y_pred)

    def get_config(self) -> dict:
        return {**super().get_config(), "weights": self.weights}


@keras.saving.register_keras_serializable(package=_PACKAGE)
class Focal(keras.losses.Loss):
    """Cross-entropy times (1 - p)^2, so that pixels which are easy count little (Lin 2017, with gamma 2)."""

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        return cross_entropy(y_true * (1.0 - y_pred) ** 2, y_pred)


@keras.saving.register_keras_serializable(package=_PACKAGE)
class Dice(keras.losses.Loss):
    """Soft Dice over the foreground classes alone. On a slice without tumour it has next to nothing to pull on."""

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        return soft_dice_loss(y_true, y_pred)


@keras.saving.register_keras_serializable(package=_PACKAGE)
class Tversky(keras.losses.Loss):
    """Soft Dice in which a false negative costs more than a false positive (Salehi 2017)."""

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        return 1.0 - ops.mean(tversky_index(y_true, y_pred), axis=-1)


@keras.saving.register_keras_serializable(package=_PACKAGE)
class DiceCrossEntropy(keras.losses.Loss):
    """Soft Dice over the foreground classes plus cross-entropy, in equal parts.

    Dice looks at a whole structure, however small; cross-entropy gives every pixel a gradient where Dice, on a slice
    without tumour, has none. Alone, Dice stalled at 0.24 where the sum reached 0.72 (public screen in the course
    notes).
    """

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        return cross_entropy(y_true, y_pred) + soft_dice_loss(y_true, y_pred)


@keras.saving.register_keras_serializable(package=_PACKAGE)
class FocalTverskyCrossEntropy(keras.losses.Loss):
    """Tversky in which classes that lie badly count more, (1 - T)^0.75 (Abraham 2019), plus cross-entropy.

    The same public screen has it at 0.74, above Dice plus cross-entropy.
    """

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        # The power's slope is infinite where a class is perfect, so it starts a hair above 0.
        missing = ops.maximum(1.0 - tversky_index(y_true, y_pred), 1e-6)
        return cross_entropy(y_true, y_pred) + ops.mean(missing**0.75, axis=-1)


@keras.saving.register_keras_serializable(package=_PACKAGE)
class PrecomputedLoss(keras.losses.Loss):
    """What a training step has worked out already, (batch,): as a loss it is shared among replicas rightly."""

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        return y_pred


def cross_entropy(y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
    """Categorical cross-entropy, (batch, rows, columns, classes) twice to (batch,); natural logarithm."""
    y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
    # The usual floor of 1e-7 cuts the gradient off: in its first steps a U-Net learns "all is background" so well
    # that the other classes fall below the floor, and nothing ever pulls them back. float32 can hold far less.
    logs = ops.log(ops.clip(y_pred, FLOOR, 1.0))
    return ops.mean(-ops.sum(y_true * logs, axis=-1), axis=(1, 2))


def soft_dice_loss(y_true: keras.KerasTensor, y_pred: keras.KerasTensor, smooth: float = 1.0) -> keras.KerasTensor:
    """One minus the mean over the foreground classes of (2 sum(y p) + smooth) / (sum(y) + sum(p) + smooth).

    Sums run over one sample's pixels, in float32 (a 512 x 512 sum overflows float16). The background is left out: with
    it, an empty prediction looks a quarter right (fault 3 of the public kernel). `smooth` makes the Dice of an absent
    class that is not predicted 1.

    Returns:
        (batch,), each in [0, 1].
    """
    return 1.0 - ops.mean(tversky_index(y_true, y_pred, 0.5, 0.5, smooth / 2), axis=-1)


def tversky_index(
    y_true: keras.KerasTensor,
    y_pred: keras.KerasTensor,
    alpha: float = 0.3,
    beta: float = 0.7,
    smooth: float = 1.0,
) -> keras.KerasTensor:
    """(hit + smooth) / (hit + alpha * false positives + beta * false negatives + smooth) for each foreground class.

    With 0.5 and 0.5 it is Dice. Sums run over one sample's pixels, in float32.

    Args:
        alpha: weight of false positives, sum((1 - y) p). beta: of false negatives, sum(y (1 - p)). Salehi's 0.3 and
            0.7, which suit small lesions, by default.

    Returns:
        (batch, classes - 1), each in [0, 1].
    """
    y_true, y_pred = ops.cast(y_true[..., 1:], "float32"), ops.cast(y_pred[..., 1:], "float32")
    hit = ops.sum(y_true * y_pred, axis=(1, 2))  # (batch, classes - 1)
    false_positives, false_negatives = ops.sum(y_pred, axis=(1, 2)) - hit, ops.sum(y_true, axis=(1, 2)) - hit
    return (hit + smooth) / (hit + alpha * false_positives + beta * false_negatives + smooth)
