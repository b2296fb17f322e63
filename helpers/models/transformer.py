"""The vision transformer (ViT): an image as a sequence of patches (Dosovitskiy et al. 2021, arXiv 2010.11929).

The image is cut into patches, each becomes a token, a class token is put before them, learned position embeddings are
added, and blocks of self-attention and MLP exchange information between the tokens. A head reads the class token. Shape
"base" on (224, 224, 3) with 1,000 classes is ViT-B/16: 86,567,656 parameters.

A `.keras` file of these models loads without `custom_objects` wherever this module has been imported.
"""

from dataclasses import dataclass

import keras
from keras import layers, ops

_PACKAGE = "biomedseg"  # the registered name of these classes in .keras files
EPSILON = 1e-6
"""Of every layer norm, as in the paper's code."""


@dataclass(frozen=True)
class Shape:
    """The size of a vision transformer.

    Attributes:
        patch: pixels along each side of a patch; with a stem, the factor by which it downsamples the image.
        width: features of a token.
        depth: blocks.
        heads: attention heads of a block; they share the width.
        mlp: width of the MLP's hidden layer, in widths.
        stem: embed the patches with a few convolutions instead of one.
    """

    patch: int
    width: int
    depth: int
    heads: int
    mlp: int = 4
    stem: bool = False

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(
                f"a width of {self.width} cannot be split between {self.heads} heads; choose a divisor of it."
            )
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
    1 of two is the probability of the positive class.

    >>> model = transformer(size=32, channels=2, classes=2, shape=Shape(patch=8, width=16, depth=1, heads=2))
    >>> model.input_shape, model.output_shape
    ((None, 32, 32, 2), (None, 2))

    Args:
        size: pixels along each side; a multiple of the shape's patch.
        channels: input channels, one for each modality.
        classes: output classes; their probabilities sum to 1.
        shape: one of `SHAPES`, or a `Shape` of your own.
        dropout: fraction of the features dropped in training, after every attention, MLP and the position embeddings.

    Returns:
        A model from (batch, size, size, channels) to (batch, classes). Layers that other modules use are called
        `patches`, `class_token`, `positions`, `block_<i>_...`, `norm` (all tokens) and `head` (the logits).

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
    # float32 whatever the policy: 16 bits do not resolve probabilities near 1.
    x = layers.Dense(classes, kernel_initializer=_small(), dtype="float32", name="head")(x[:, 0])
    outputs = layers.Softmax(dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="transformer")


def stem(x: keras.KerasTensor, shape: Shape) -> keras.KerasTensor:
    """Convolutional patch embedding, (size, size, channels) to (size / patch, size / patch, width).

    A transformer has to learn locality, which a convolution has built in; so fewer images suffice. Features double as
    the image is halved (Xiao et al. 2021, "Early convolutions help transformers see better", arXiv 2106.14881).

    Args:
        x: (batch, size, size, channels).
        shape: the size of the transformer.

    Returns:
        (batch, size / patch, size / patch, width).
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
    """One pre-norm encoder block: self-attention, then an MLP, each with layer norm before and a residual connection.

    Args:
        x: (batch, tokens, width).
        shape: the size of the transformer.
        dropout: fraction of the features dropped in training.
        name: prefix of the names of the layers.

    Returns:
        (batch, tokens, width).
    """
    mixed = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_norm_1")(x)
    mixed = SelfAttention(shape.heads, name=f"{name}_attention")(mixed)
    x = x + layers.Dropout(dropout)(mixed)
    mlp = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_norm_2")(x)
    mlp = layers.Dense(shape.mlp * shape.width, activation="gelu", name=f"{name}_mlp_1")(mlp)  # exact, not by tanh
    mlp = layers.Dense(shape.width, name=f"{name}_mlp_2")(mlp)
    return x + layers.Dropout(dropout)(mlp)


@keras.saving.register_keras_serializable(package=_PACKAGE)
class SelfAttention(layers.Layer):
    """Multi-head self-attention, softmax(Q K^T / sqrt(d)) V in every head (Vaswani et al. 2017).

    From (batch, tokens, width) to the same shape; each head has width / heads = d features.

    Args:
        heads: number of heads, a divisor of the width.
        **options: of `keras.layers.Layer`.
    """

    def __init__(self, heads: int, **options: object) -> None:
        super().__init__(**options)
        self.heads = heads

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Create the four dense layers for tokens of a shape (batch, tokens, width)."""
        self.query, self.key, self.value, self.out = (
            layers.Dense(shape[-1], name=name, dtype=self.dtype_policy) for name in ("query", "key", "value", "out")
        )
        for dense in (self.query, self.key, self.value, self.out):
            dense.build(shape)

    def call(self, tokens: keras.KerasTensor) -> keras.KerasTensor:
        """Mix the tokens by attention: (batch, tokens, width) to the same shape."""
        mixed = ops.matmul(self.weigh(tokens), self._split(self.value(tokens)))  # (batch, heads, tokens, d)
        mixed = ops.transpose(mixed, (0, 2, 1, 3))  # (batch, tokens, heads, d)
        return self.out(ops.reshape(mixed, (-1, *tokens.shape[1:])))  # (batch, tokens, width)

    def weigh(self, tokens: keras.KerasTensor) -> keras.KerasTensor:
        """The attention weights, of each token (row) on each other (column).

        Args:
            tokens: (batch, tokens, width).

        Returns:
            (batch, heads, tokens, tokens), rows sum to 1.
        """
        query, key = self._split(self.query(tokens)), self._split(self.key(tokens))  # (batch, heads, tokens, d)
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) / query.shape[-1] ** 0.5
        return ops.softmax(scores, axis=-1)

    def _split(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """(batch, tokens, width) to (batch, heads, tokens, width / heads)."""
        _, tokens, width = x.shape
        return ops.transpose(ops.reshape(x, (-1, tokens, self.heads, width // self.heads)), (0, 2, 1, 3))

    def get_config(self) -> dict:
        """The arguments that make the layer again."""
        return {**super().get_config(), "heads": self.heads}


@keras.saving.register_keras_serializable(package=_PACKAGE)
class ClassToken(layers.Layer):
    """Puts one learned token before the patches: (batch, tokens, width) to (batch, 1 + tokens, width)."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Create the class token for tokens of a shape (batch, tokens, width)."""
        self.token = self.add_weight((1, 1, shape[-1]), initializer=_small(), name="token")

    def call(self, tokens: keras.KerasTensor) -> keras.KerasTensor:
        """Put the class token first: (batch, tokens, width) to (batch, 1 + tokens, width)."""
        token = ops.cast(self.token, tokens.dtype)
        return ops.concatenate([ops.repeat(token, ops.shape(tokens)[0], axis=0), tokens], axis=1)


@keras.saving.register_keras_serializable(package=_PACKAGE)
class Positions(layers.Layer):
    """Learned position embeddings, added to the tokens: (batch, tokens, width) to the same shape."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Create an embedding for every position of tokens of a shape (batch, tokens, width)."""
        self.table = self.add_weight((1, *shape[1:]), initializer=_small(), name="table")

    def call(self, tokens: keras.KerasTensor) -> keras.KerasTensor:
        """Add the embeddings: (batch, tokens, width) to the same shape."""
        return tokens + ops.cast(self.table, tokens.dtype)


def _small() -> keras.initializers.Initializer:
    return keras.initializers.TruncatedNormal(stddev=0.02)
