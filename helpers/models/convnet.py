"""A small plain convolutional network that classifies images: the baseline of the transformer."""

import keras
from keras import layers


def convnet(
    size: int = 96, channels: int = 3, classes: int = 2, filters: int = 16, dropout: float = 0.3
) -> keras.Model:
    """Four convolutions, each with batch normalisation, ReLU and max pooling; global average pooling; a head.

    Args:
        size: pixels along each side.
        channels: input channels, one for each modality.
        classes: output classes; their probabilities sum to 1.
        filters: features of the first convolution; each one after it has twice as many.
        dropout: fraction of the last features dropped in training.

    Returns:
        A model from (batch, size, size, channels) to (batch, classes).
    """
    inputs = keras.Input((size, size, channels))
    x = inputs
    for level in range(4):
        x = layers.Conv2D(filters * 2**level, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
        # Keras's own momentum, 0.99, leaves a third of the statistics where they began after a hundred steps.
        x = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x)))
    x = layers.Dropout(dropout)(layers.GlobalAveragePooling2D()(x))  # (8 * filters,)
    x = layers.Dense(classes, dtype="float32", name="head")(x)
    outputs = layers.Softmax(dtype="float32", name="probabilities")(x)  # float32 whatever the policy
    return keras.Model(inputs, outputs, name="convnet")
