"""Losses of segmentation.

Every loss returns one value per sample, shape (batch,). A loss that returns a single number is not divided among the
devices of a `MirroredStrategy`: two devices then silently take steps twice as large. The ground truth comes as soft
labels, the fraction of each class in a pixel; a one-hot mask is the special case of fractions 0 and 1.

Most of a scan is background, and the losses deal with this class imbalance in different ways: they weight rare classes
more, easy pixels less, or measure the overlap of two masks. Call each with ground truth and probabilities, both (batch,
rows, columns, classes), class 0 the background.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

FLOOR = 1e-30
"""Probabilities are raised to at least this before their logarithm."""

CLASS_WEIGHTS = (0.8, 12.5, 7.7, 13.9)
"""Of background, core, oedema and enhancing tumour in `WeightedCrossEntropy`: `class_weights` of 20 BraTS patients, in
the slices that show brain, on the network's grid. The phantoms' are nearly the same."""

_PACKAGE = "biomedseg"  # the name under which .keras files find these classes again


def class_weights(pixels: np.ndarray) -> np.ndarray:
    """Class weights, 1 / sqrt(frequency), scaled so that the mean pixel weighs 1.

    With 1 / frequency a pixel of tumour would weigh a hundred times one of background, and a false positive next to
    nothing.

    Args:
        pixels: (classes,) counts over the training patients, as `Store.voxels_per_class` has them, each above 0.

    Returns:
        (classes,) float64.

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
    """Categorical cross-entropy: the mean over a sample's pixels of -sum(y * log(p)), the paper's section 5.3.1."""

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """The loss of each sample: (batch, rows, columns, classes) twice to (batch,)."""
        return cross_entropy(y_true, y_pred)


@keras.saving.register_keras_serializable(package=_PACKAGE)
class WeightedCrossEntropy(keras.losses.Loss):
    """Cross-entropy with a weight for each class.

    Args:
        weights: one for each class; for your own patients, `class_weights` gives them.
        kwargs: of `keras.losses.Loss`.
    """

    def __init__(self, weights: tuple[float, ...] = CLASS_WEIGHTS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.weights = tuple(float(weight) for weight in weights)

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """The loss of each sample: (batch, rows, columns, classes) twice to (batch,)."""
        return cross_entropy(y_true * ops.convert_to_tensor(self.weights, y_true.dtype), y_pred)

    def get_config(self) -> dict:
        """The arguments, for a `.keras` file."""
        return {**super().get_config(), "weights": self.weights}


@keras.saving.register_keras_serializable(package=_PACKAGE)
class Focal(keras.losses.Loss):
    """Focal loss, -sum(y (1 - p)^2 log(p)): easy pixels count little (Lin et al. 2017, gamma 2, arXiv 1708.02002)."""

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """The loss of each sample: (batch, rows, columns, classes) twice to (batch,)."""
        y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        return cross_entropy(y_true * (1.0 - y_pred) ** 2, y_pred)


@keras.saving.register_keras_serializable(package=_PACKAGE)
class Dice(keras.losses.Loss):
    """Soft Dice over the foreground classes alone. On a slice without tumour its gradient is next to nothing."""

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """The loss of each sample: (batch, rows, columns, classes) twice to (batch,)."""
        return soft_dice_loss(y_true, y_pred)


@keras.saving.register_keras_serializable(package=_PACKAGE)
class Tversky(keras.losses.Loss):
    """Tversky loss: a false negative costs more than a false positive (Salehi et al. 2017, arXiv 1706.05721)."""

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """The loss of each sample: (batch, rows, columns, classes) twice to (batch,)."""
        return 1.0 - ops.mean(tversky_index(y_true, y_pred), axis=-1)


@keras.saving.register_keras_serializable(package=_PACKAGE)
class DiceCrossEntropy(keras.losses.Loss):
    """Soft Dice over the foreground classes plus cross-entropy, in equal parts.

    Dice measures a whole structure, however small; cross-entropy gives every pixel a gradient where Dice, on a slice
    without tumour, has none. Alone, Dice stalled at 0.24 where the sum reached 0.72 (public screen in the course
    notes).
    """

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """The loss of each sample: (batch, rows, columns, classes) twice to (batch,)."""
        return cross_entropy(y_true, y_pred) + soft_dice_loss(y_true, y_pred)


@keras.saving.register_keras_serializable(package=_PACKAGE)
class FocalTverskyCrossEntropy(keras.losses.Loss):
    """Focal Tversky, the mean of (1 - T)^0.75 over the foreground classes, plus cross-entropy.

    The exponent makes classes that are segmented badly count more (Abraham and Khan 2019, arXiv 1810.07842). The public
    screen of `DiceCrossEntropy` has it at 0.74, above Dice plus cross-entropy.
    """

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """The loss of each sample: (batch, rows, columns, classes) twice to (batch,)."""
        # The power's slope is infinite where a class is perfect, so it starts a hair above 0.
        missing = ops.maximum(1.0 - tversky_index(y_true, y_pred), 1e-6)
        return cross_entropy(y_true, y_pred) + ops.mean(missing**0.75, axis=-1)


@keras.saving.register_keras_serializable(package=_PACKAGE)
class PrecomputedLoss(keras.losses.Loss):
    """A loss that the training step has computed already, (batch,): as a Keras loss it is averaged over replicas
    correctly.
    """

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """`y_pred`, (batch,); `y_true`, (batch,), is not used."""
        return y_pred


def cross_entropy(y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
    """Categorical cross-entropy, natural logarithm, the mean over a sample's pixels.

    Args:
        y_true: (batch, rows, columns, classes), soft labels.
        y_pred: (batch, rows, columns, classes), probabilities.

    Returns:
        (batch,) float32.
    """
    y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
    # Keras's floor of 1e-7 cuts the gradient off: in its first steps a U-Net learns "all is background" so well that
    # the other classes fall below the floor, and get no gradient ever after. float32 represents far smaller numbers.
    logs = ops.log(ops.clip(y_pred, FLOOR, 1.0))
    return ops.mean(-ops.sum(y_true * logs, axis=-1), axis=(1, 2))


def soft_dice_loss(y_true: keras.KerasTensor, y_pred: keras.KerasTensor, smooth: float = 1.0) -> keras.KerasTensor:
    """One minus the mean over the foreground classes of (2 sum(y p) + smooth) / (sum(y) + sum(p) + smooth).

    Sums run over one sample's pixels, in float32 (a 512 x 512 sum overflows float16). The background is left out: with
    it, an empty prediction seems a quarter right (fault 3 of the public kernel).

    Args:
        y_true: (batch, rows, columns, classes), soft labels, class 0 the background.
        y_pred: (batch, rows, columns, classes), probabilities.
        smooth: added to both sides; makes the Dice of an absent class that is not predicted 1.

    Returns:
        (batch,) float32, each in [0, 1].
    """
    return 1.0 - ops.mean(tversky_index(y_true, y_pred, 0.5, 0.5, smooth / 2), axis=-1)


def tversky_index(
    y_true: keras.KerasTensor,
    y_pred: keras.KerasTensor,
    alpha: float = 0.3,
    beta: float = 0.7,
    smooth: float = 1.0,
) -> keras.KerasTensor:
    """(TP + smooth) / (TP + alpha * FP + beta * FN + smooth) for each foreground class (Salehi et al. 2017).

    With 0.5 and 0.5 it is Dice. Sums run over one sample's pixels, in float32.

    Args:
        y_true: (batch, rows, columns, classes), soft labels, class 0 the background.
        y_pred: (batch, rows, columns, classes), probabilities.
        alpha: weight of false positives, sum((1 - y) p); Salehi's 0.3 by default.
        beta: weight of false negatives, sum(y (1 - p)); Salehi's 0.7, which suits small lesions, by default.
        smooth: added to both sides; makes the index of an absent class that is not predicted 1.

    Returns:
        (batch, classes - 1) float32, each in [0, 1].

    Examples:
        Four pixels of foreground, of which two are found, and no false positive:

        >>> truth, predicted = np.zeros((2, 1, 4, 4, 2), np.float32)
        >>> truth[0, 0, :, 1] = predicted[0, 0, :2, 1] = 1
        >>> np.asarray(tversky_index(truth, predicted, alpha=0.5, beta=0.5, smooth=0)).round(3)  # Dice
        array([[0.667]], dtype=float32)
        >>> np.asarray(tversky_index(truth, predicted, smooth=0)).round(3)  # 2 / (2 + 0.7 * 2)
        array([[0.588]], dtype=float32)
    """
    y_true, y_pred = ops.cast(y_true[..., 1:], "float32"), ops.cast(y_pred[..., 1:], "float32")
    true_positives = ops.sum(y_true * y_pred, axis=(1, 2))  # (batch, classes - 1)
    false_positives = ops.sum(y_pred, axis=(1, 2)) - true_positives
    false_negatives = ops.sum(y_true, axis=(1, 2)) - true_positives
    return (true_positives + smooth) / (true_positives + alpha * false_positives + beta * false_negatives + smooth)
