"""The vision transformer: an image as a sentence of patches (Dosovitskiy et al. 2021, arXiv 2010.11929).

The image is cut into squares, each becomes a token, a class token is put before them, learned positions are added, and
blocks of attention and MLP let the tokens tell each other what they see. A head reads the class token. Shape "base" on
(224, 224, 3) with 1,000 classes is ViT-B/16: 86,567,656 parameters.

A `.keras` file of these models loads without `custom_objects` wherever this module has been imported.
"""

from dataclasses import dataclass

import keras
from keras import layers, ops

_PACKAGE = "biomedseg"  # the name under which .keras files find these classes again
EPSILON = 1e-6
"""Of every layer norm, as in the paper's code."""


@dataclass(frozen=True)
class Shape:
    """What makes a vision transformer small or large.

    Attributes:
        patch: pixels along each side of a patch; with a stem, the factor by which it shrinks the image.
        width: features of a token.
        depth: blocks.
        heads: attention heads of a block; they share the width.
        mlp: width of the MLP's hidden layer, in widths.
        stem: find the patches with a few convolutions instead of one cut.
    """

    patch: int
    width: int
    depth: int
    heads: int
    mlp: int = 4
    stem: bool = False

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"a width of {self.width} cannot be shared by {self.heads} heads; choose a divisor of it.")
        if self.stem and self.patch & (self.patch - 1):
            raise ValueError(f"a stem halves the image again and again; patch {self.patch} is no power of 2.")


SHAPES = {
    "tiny": Shape(16, 192, 12, 3),  # 5.7 million parameters
    "small": Shape(16, 384, 12, 6),  # 22 million
    "base": Shape(16, 768, 12, 12),  # 87 million, the paper's ViT-B/16
    "compact": Shape(8, 128, 6, 4, mlp=2, stem=True),  # 1 million, for 96 pixels, a CPU and a few thousand slices
}


def transformer(
    size: int = 224, channels: int = 3, classes: int = 2, shape: str | Shape = "base", dropout: float = 0.0
) -> keras.Model:
    """A vision transformer that classifies images.

    The head is a softmax over classes, for two as for a thousand: one loss, cross-entropy, serves them all, and column
    1 of two is the probability of "yes".

    Args:
        size: pixels along each side; a multiple of the shape's patch.
        channels: input channels, one a modality.
        classes: output classes; their probabilities sum to 1.
        shape: one of `SHAPES`, or a `Shape` of your own.
        dropout: share of the features dropped in training, after every attention, every MLP and the positions.

    Returns:
        A model from (batch, size, size, channels) to (batch, classes). Its layers that other modules look for are
        called `patches`, `class_token`, `positions`, `block_<i>_...`, `norm` (all tokens) and `head` (the scores before
        the softmax).

    Raises:
        ValueError: an unknown shape, or a size that cannot be cut into its patches.
    """
    if isinstance(shape, str):
        if shape not in SHAPES:
            raise ValueError(f"shape {shape!r} is not known; there are {', '.join(SHAPES)}.")
        shape = SHAPES[shape]
    if size % shape.patch:
        nearest = max(1, round(size / shape.patch)) * shape.patch
        raise ValueError(f"{size} pixels cannot be cut into patches of {shape.patch}; choose a multiple, as {nearest}.")
    inputs = keras.Input((size, size, channels))
    x = inputs
    if shape.stem:
        x = stem(x, shape)  # (size / patch, size / patch, width)
    else:
        x = layers.Conv2D(shape.width, shape.patch, strides=shape.patch, name="patches")(x)
    x = layers.Reshape((-1, shape.width))(x)  # (patches, width), row by row
    x = ClassToken(name="class_token")(x)  # (1 + patches, width)
    x = Positions(name="positions")(x)
    x = layers.Dropout(dropout)(x)
    for i in range(shape.depth):
        x = block(x, shape, dropout, f"block_{i}")
    x = layers.LayerNormalization(epsilon=EPSILON, name="norm")(x)
    # float32 whatever the policy: probabilities near 1 have no neighbours in 16 bits.
    x = layers.Dense(classes, kernel_initializer=_small(), dtype="float32", name="head")(x[:, 0])
    outputs = layers.Softmax(dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="transformer")


def stem(x: keras.KerasTensor, shape: Shape) -> keras.KerasTensor:
    """Patches found by convolutions, (size, size, channels) to (size / patch, size / patch, width).

    A transformer has to learn that neighbours belong together; a convolution knows, which saves it images. Features
    double as the image is halved (Xiao et al. 2021, "Early convolutions help transformers see better", arXiv
    2106.14881).
    """
    halvings = shape.patch.bit_length() - 1
    for left in reversed(range(halvings)):
        for stride in (2, 1) if left else (2,):
            convolution = layers.Conv2D(
                max(16, shape.width // 2**left),
                3,
                stride,
                padding="same",
                use_bias=False,
                kernel_initializer="he_normal",
            )
            # Keras's own momentum, 0.99, needs hundreds of steps until the statistics are those of the images.
            x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(convolution(x)))
    return layers.Conv2D(shape.width, 1, name="patches")(x)


def block(x: keras.KerasTensor, shape: Shape, dropout: float, name: str) -> keras.KerasTensor:
    """One encoder block, (tokens, width) to the same: attention, then an MLP, each normed before and added after."""
    mixed = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_norm_1")(x)
    mixed = SelfAttention(shape.heads, name=f"{name}_attention")(mixed)
    x = x + layers.Dropout(dropout)(mixed)
    thought = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_norm_2")(x)
    thought = layers.Dense(shape.mlp * shape.width, activation="gelu", name=f"{name}_mlp_1")(thought)  # the exact one
    thought = layers.Dense(shape.width, name=f"{name}_mlp_2")(thought)
    return x + layers.Dropout(dropout)(thought)


@keras.saving.register_keras_serializable(package=_PACKAGE)
class SelfAttention(layers.Layer):
    """Every token asks, every token answers: softmax(Q K^T / sqrt(d)) V in several heads (Vaswani et al. 2017).

    From (batch, tokens, width) to the same; each head works on width / heads = d features.
    """

    def __init__(self, heads: int, **options: object) -> None:
        super().__init__(**options)
        self.heads = heads

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.query, self.key, self.value, self.out = (
            layers.Dense(shape[-1], name=name, dtype=self.dtype_policy) for name in ("query", "key", "value", "out")
        )
        for dense in (self.query, self.key, self.value, self.out):
            dense.build(shape)

    def call(self, tokens: keras.KerasTensor) -> keras.KerasTensor:
        mixed = ops.matmul(self.weigh(tokens), self._split(self.value(tokens)))  # (batch, heads, tokens, d)
        mixed = ops.transpose(mixed, (0, 2, 1, 3))  # (batch, tokens, heads, d)
        return self.out(ops.reshape(mixed, (-1, *tokens.shape[1:])))  # (batch, tokens, width)

    def weigh(self, tokens: keras.KerasTensor) -> keras.KerasTensor:
        """How much each token (row) takes from each other (column): (batch, heads, tokens, tokens), rows sum to 1."""
        query, key = self._split(self.query(tokens)), self._split(self.key(tokens))  # (batch, heads, tokens, d)
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) / query.shape[-1] ** 0.5
        return ops.softmax(scores, axis=-1)

    def _split(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """(batch, tokens, width) to (batch, heads, tokens, width / heads)."""
        _, tokens, width = x.shape
        return ops.transpose(ops.reshape(x, (-1, tokens, self.heads, width // self.heads)), (0, 2, 1, 3))

    def get_config(self) -> dict:
        return {**super().get_config(), "heads": self.heads}


@keras.saving.register_keras_serializable(package=_PACKAGE)
class ClassToken(layers.Layer):
    """Puts one learned token before the patches: (batch, tokens, width) to (batch, 1 + tokens, width)."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.token = self.add_weight((1, 1, shape[-1]), initializer=_small(), name="token")

    def call(self, tokens: keras.KerasTensor) -> keras.KerasTensor:
        token = ops.cast(self.token, tokens.dtype)
        return ops.concatenate([ops.repeat(token, ops.shape(tokens)[0], axis=0), tokens], axis=1)


@keras.saving.register_keras_serializable(package=_PACKAGE)
class Positions(layers.Layer):
    """Adds a learned vector to each token, so that the order of the patches is not lost; shapes stay."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.table = self.add_weight((1, *shape[1:]), initializer=_small(), name="table")

    def call(self, tokens: keras.KerasTensor) -> keras.KerasTensor:
        return tokens + ops.cast(self.table, tokens.dtype)


def _small() -> keras.initializers.Initializer:
    return keras.initializers.TruncatedNormal(stddev=0.02)
