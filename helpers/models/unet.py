"""The paper's U-Net, and Sharp U-Net, whose skip connections are sharpened.

An encoder halves the image four times while it doubles the features, a decoder doubles it back, and at every level a
skip connection passes the encoder's detail to the decoder. With the default sizes, (128, 128, 2) becomes (8, 8, 512)
and then (128, 128, 4), with 7,759,908 parameters (section 2 and 5.2 of the paper; Ronneberger et al. 2015).
"""

import math
from collections.abc import Callable

import keras
from keras import layers

from helpers.runtime import options

SHARPEN = [[[[-1.0]], [[-1.0]], [[-1.0]]], [[[-1.0]], [[8.0]], [[-1.0]]], [[[-1.0]], [[-1.0]], [[-1.0]]]]
"""The 3x3 Laplacian of Sharp U-Net (Zunair and Ben Hamza 2021, arXiv 2107.12461): a value against its neighbours."""

_GROUPS = 8


def no_normalisation(features: int) -> None:
    """None: the convolution has a bias instead, as in the paper.

    Args:
        features: of the convolution.
    """


def batch_normalisation(features: int) -> layers.Layer:
    """Batch normalisation (Ioffe and Szegedy 2015, arXiv 1502.03167): it remembers mean and deviation of its hospitals.

    Args:
        features: of the convolution.
    """
    # Keras's own momentum, 0.99, leaves a third of the statistics where they began after a hundred steps.
    return layers.BatchNormalization(momentum=0.9)


def instance_normalisation(features: int) -> layers.Layer:
    """Instance normalisation (Ulyanov et al. 2016, arXiv 1607.08022): mean and deviation of the slice at hand.

    Args:
        features: of the convolution.
    """
    return layers.GroupNormalization(groups=-1)


def group_normalisation(features: int) -> layers.Layer:
    """Group normalisation (Wu and He 2018, arXiv 1803.08494): as instance normalisation, over some features together.

    Args:
        features: of the convolution; they are parted into 8 groups, or as many as divide both.
    """
    return layers.GroupNormalization(groups=math.gcd(_GROUPS, features))


def unet(
    size: int = 128,
    channels: int = 2,
    classes: int = 4,
    filters: int = 32,
    depth: int = 4,
    dropout: float = 0.2,
    normalisation: str = "none",
    residual: bool = False,
) -> keras.Model:
    """The U-Net of the paper.

    >>> model = unet(size=32, channels=2, classes=4, filters=4, depth=2)
    >>> model.input_shape, model.output_shape
    ((None, 32, 32, 2), (None, 32, 32, 4))

    Args:
        size: pixels along each side; a multiple of 2 ** depth.
        channels: input channels, one for each modality.
        classes: output classes; their probabilities sum to 1 in every pixel. 1 gives the probability of one class
            against background, by a sigmoid, as the paper has it for lungs (section 6.3).
        filters: features of the first level; every level below has twice as many.
        depth: how often the image is halved.
        dropout: fraction of the bottleneck's features dropped in training.
        normalisation: a name in `helpers.runtime.options.NORMALISATIONS`, between every convolution and its ReLU; the
            paper has none.
        residual: add its input to what every two convolutions make of it, before the last ReLU (He et al. 2015, arXiv
            1512.03385), by way of a 1x1 convolution where the number of features changes; the paper does not.

    Returns:
        A model from (batch, size, size, channels) to (batch, size, size, classes).

    Raises:
        ValueError: the size is no multiple of 2 ** depth.
        DataError: there is no such normalisation.
    """
    return _build("unet", size, channels, classes, filters, depth, dropout, lambda skip: skip, normalisation, residual)


def sharp_unet(
    size: int = 128, channels: int = 2, classes: int = 4, filters: int = 32, depth: int = 4, dropout: float = 0.2
) -> keras.Model:
    """U-Net with a sharpening filter on every skip connection (Sharp U-Net, arXiv 2107.12461).

    The filter is a depthwise 3x3 convolution with the fixed kernel `SHARPEN`, which is not trained, so the number of
    trainable parameters is that of `unet`. Arguments, result and errors are those of `unet`.
    """
    return _build("sharp_unet", size, channels, classes, filters, depth, dropout, sharpen)


def _build(
    name: str,
    size: int,
    channels: int,
    classes: int,
    filters: int,
    depth: int,
    dropout: float,
    skip_filter: Callable[[keras.KerasTensor], keras.KerasTensor],
    normalisation: str = "none",
    residual: bool = False,
) -> keras.Model:
    """The network of `unet` with a filter on every skip connection.

    Raises:
        ValueError: the size is no multiple of 2 ** depth.
        DataError: there is no such normalisation.
    """
    normalise = options.load(options.NORMALISATIONS, normalisation, "normalisation")
    if size % 2**depth:
        raise ValueError(
            f"size {size} cannot be halved {depth} times; choose a multiple of {2**depth}, such as "
            f"{max(1, round(size / 2**depth)) * 2**depth}."
        )

    def convolution(x: keras.KerasTensor, features: int, side: int, relu: bool = True) -> keras.KerasTensor:
        return _convolution(x, features, side, normalise(features), relu)

    def two_convolutions(x: keras.KerasTensor, features: int) -> keras.KerasTensor:
        if not residual:
            return convolution(convolution(x, features, 3), features, 3)
        change = convolution(convolution(x, features, 3), features, 3, relu=False)
        return layers.ReLU()(layers.Add()([convolution(x, features, 1, relu=False), change]))

    inputs = keras.Input((size, size, channels))
    x, skips = inputs, []
    for level in range(depth):
        x = two_convolutions(x, filters * 2**level)  # (size, size, filters), then half as wide and twice as deep
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = two_convolutions(x, filters * 2**depth)  # (size / 16, size / 16, 16 * filters): the bottleneck
    x = layers.Dropout(dropout)(x)
    for level in reversed(range(depth)):
        x = layers.UpSampling2D()(x)  # nearest neighbour: every pixel becomes four
        x = convolution(x, filters * 2**level, 2)
        x = layers.Concatenate()([skip_filter(skips[level]), x])
        x = two_convolutions(x, filters * 2**level)
    # float32 whatever the policy: 16 bits do not resolve probabilities near 1.
    outputs = layers.Conv2D(classes, 1, activation="softmax" if classes > 1 else "sigmoid", dtype="float32")(x)
    return keras.Model(inputs, outputs, name=name)


def _convolution(
    x: keras.KerasTensor, features: int, side: int, normalisation: layers.Layer | None, relu: bool
) -> keras.KerasTensor:
    """A convolution, its normalisation if there is one, and a ReLU if asked: (batch, rows, columns, features)."""
    if normalisation is None:
        activation = "relu" if relu else None
        return layers.Conv2D(features, side, padding="same", activation=activation, kernel_initializer="he_normal")(x)
    x = layers.Conv2D(features, side, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    x = normalisation(x)
    return layers.ReLU()(x) if relu else x


def sharpen(x: keras.KerasTensor) -> keras.KerasTensor:
    """Filter each feature map with the fixed kernel `SHARPEN`.

    Args:
        x: (batch, rows, columns, features).

    Returns:
        The same shape.
    """
    kernel = keras.initializers.Constant(SHARPEN)  # (3, 3, 1, 1), the same for every feature
    return layers.DepthwiseConv2D(3, padding="same", use_bias=False, depthwise_initializer=kernel, trainable=False)(x)
