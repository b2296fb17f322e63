"""The paper's U-Net, and Sharp U-Net, whose skip connections are sharpened.

An encoder halves the image four times while it doubles the features, a decoder doubles it back, and at every level a
skip connection passes the encoder's detail to the decoder. With the default sizes, (128, 128, 2) becomes (8, 8, 512)
and then (128, 128, 4), with 7,759,908 parameters (section 2 and 5.2 of the paper; Ronneberger et al. 2015).
"""

from collections.abc import Callable

import keras
from keras import layers

SHARPEN = [[[[-1.0]], [[-1.0]], [[-1.0]]], [[[-1.0]], [[8.0]], [[-1.0]]], [[[-1.0]], [[-1.0]], [[-1.0]]]]
"""The 3x3 Laplacian of Sharp U-Net (Zunair and Ben Hamza 2021, arXiv 2107.12461): a value against its neighbours."""


def unet(
    size: int = 128,
    channels: int = 2,
    classes: int = 4,
    filters: int = 32,
    depth: int = 4,
    dropout: float = 0.2,
    normalise: bool = False,
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
        normalise: put batch normalisation (Ioffe and Szegedy 2015) between every convolution and its ReLU; the paper
            has none.

    Returns:
        A model from (batch, size, size, channels) to (batch, size, size, classes).

    Raises:
        ValueError: the size is no multiple of 2 ** depth.
    """
    return _build("unet", size, channels, classes, filters, depth, dropout, lambda skip: skip, normalise)


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
    normalise: bool = False,
) -> keras.Model:
    """The network of `unet` with a filter on every skip connection.

    Raises:
        ValueError: the size is no multiple of 2 ** depth.
    """
    if size % 2**depth:
        raise ValueError(
            f"size {size} cannot be halved {depth} times; choose a multiple of {2**depth}, such as "
            f"{max(1, round(size / 2**depth)) * 2**depth}."
        )

    def two_convolutions(x: keras.KerasTensor, features: int) -> keras.KerasTensor:
        return _convolution(_convolution(x, features, 3, normalise), features, 3, normalise)

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
        x = _convolution(x, filters * 2**level, 2, normalise)
        x = layers.Concatenate()([skip_filter(skips[level]), x])
        x = two_convolutions(x, filters * 2**level)
    # float32 whatever the policy: 16 bits do not resolve probabilities near 1.
    outputs = layers.Conv2D(classes, 1, activation="softmax" if classes > 1 else "sigmoid", dtype="float32")(x)
    return keras.Model(inputs, outputs, name=name)


def _convolution(x: keras.KerasTensor, features: int, side: int, normalise: bool) -> keras.KerasTensor:
    """A convolution with ReLU, and batch normalisation between them if asked: (batch, rows, columns, features)."""
    if not normalise:
        return layers.Conv2D(features, side, padding="same", activation="relu", kernel_initializer="he_normal")(x)
    x = layers.Conv2D(features, side, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    # Keras's own momentum, 0.99, leaves a third of the statistics where they began after a hundred steps.
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))


def sharpen(x: keras.KerasTensor) -> keras.KerasTensor:
    """Filter each feature map with the fixed kernel `SHARPEN`.

    Args:
        x: (batch, rows, columns, features).

    Returns:
        The same shape.
    """
    kernel = keras.initializers.Constant(SHARPEN)  # (3, 3, 1, 1), the same for every feature
    return layers.DepthwiseConv2D(3, padding="same", use_bias=False, depthwise_initializer=kernel, trainable=False)(x)
