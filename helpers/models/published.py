"""Checkpoint formats of published vision transformers: tensor names and shapes, mapped to ours.

A slot is our name of a tensor: `positions`, `patches/kernel`, `block_3/query/kernel`. A `Format` gives the name and
shape of each slot in a publisher's files.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Format:
    """The tensor names and shapes of one publisher.

    Attributes:
        title: the publisher, for messages.
        names: our name to theirs; `{i}` is the number of the block, from 0.
        torch: kernels are written output first; else as Keras has them, and attention with an axis for the heads.
    """

    title: str
    names: Mapping[str, str]
    torch: bool = False

    def name(self, slot: str) -> str:
        """The publisher's name of a slot.

        Args:
            slot: our name, such as `block_3/query/kernel`.
        """
        i = next(iter(re.findall(r"block_(\d+)/", slot)), "")
        theirs = self.names[re.sub(r"block_\d+/", "block_{i}/", slot)].format(i=i)
        return theirs.replace("encoder_block_0/", "encoder_block/")  # KerasHub: block, block_1, block_2 ...

    def shape(self, slot: str, ours: tuple[int, ...], heads: int) -> tuple[int, ...]:
        """The shape of the publisher's tensor for a slot.

        Args:
            slot: our name.
            ours: the shape of our tensor.
            heads: attention heads of a block.
        """
        if self.torch:
            return (ours[3], ours[2], ours[0], ours[1]) if len(ours) == 4 else ours[::-1] if len(ours) == 2 else ours
        if re.search(r"/(query|key|value)/", slot):
            return (*ours[:-1], heads, ours[-1] // heads)
        return (heads, ours[0] // heads, ours[1]) if slot.endswith("/out/kernel") else ours

    def ours(self, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The publisher's tensor in our order of axes.

        Args:
            array: the publisher's tensor; its shape is as `shape` gives it.
            shape: the shape of our tensor.
        """
        if self.torch and array.ndim in (2, 4):
            array = array.transpose((2, 3, 1, 0) if array.ndim == 4 else (1, 0))
        return array.reshape(shape)


def _names(outer: Mapping[str, str], inner: Mapping[str, str], block: str, ends: Mapping[str, str]) -> dict[str, str]:
    """Our name to the publisher's for every kernel, bias, gamma and beta; `inner` are the layers of a block."""
    layers = {**outer, **{f"block_{{i}}/{ours}": f"{block}{theirs}" for ours, theirs in inner.items()}}
    variables = {ours: ("gamma", "beta") if "norm" in ours else ("kernel", "bias") for ours in layers}
    return {
        f"{ours}/{variable}": f"{theirs}{ends[variable]}"
        for ours, theirs in layers.items()
        for variable in variables[ours]
    }


HUGGING_FACE = Format(
    "Hugging Face",
    {
        "class_token": "embeddings.cls_token",
        "positions": "embeddings.position_embeddings",
        **_names(
            {"patches": "embeddings.patch_embeddings.projection", "norm": "layernorm", "head": "classifier"},
            {
                "norm_1": "layernorm_before",
                "query": "attention.attention.query",
                "key": "attention.attention.key",
                "value": "attention.attention.value",
                "out": "attention.output.dense",
                "norm_2": "layernorm_after",
                "mlp_1": "intermediate.dense",
                "mlp_2": "output.dense",
            },
            "encoder.layer.{i}.",
            {"kernel": ".weight", "bias": ".bias", "gamma": ".weight", "beta": ".bias"},
        ),
    },
    torch=True,
)
GOOGLE = Format(
    "Google",
    {
        "class_token": "cls",
        "positions": "Transformer/posembed_input/pos_embedding",
        **_names(
            {"patches": "embedding", "norm": "Transformer/encoder_norm", "head": "head"},
            {
                "norm_1": "LayerNorm_0",
                **{name: f"MultiHeadDotProductAttention_1/{name}" for name in ("query", "key", "value", "out")},
                "norm_2": "LayerNorm_2",
                "mlp_1": "MlpBlock_3/Dense_0",
                "mlp_2": "MlpBlock_3/Dense_1",
            },
            "Transformer/encoderblock_{i}/",
            {"kernel": "/kernel", "bias": "/bias", "gamma": "/scale", "beta": "/bias"},
        ),
    },
)

_EMBEDDING, _ENCODER = "layers/vi_t_patching_and_embedding", "layers/vi_t_encoder"
KERAS_HUB = Format(
    "KerasHub",
    {
        "class_token": f"{_EMBEDDING}/vars/0",
        "positions": f"{_EMBEDDING}/position_embedding/vars/0",
        **_names(
            {"patches": f"{_EMBEDDING}/patch_embedding", "norm": f"{_ENCODER}/layer_norm", "head": "layers/dense"},
            {
                "norm_1": "layer_norm_1",
                "query": "mha/query_dense",
                "key": "mha/key_dense",
                "value": "mha/value_dense",
                "out": "mha/output_dense",
                "norm_2": "layer_norm_2",
                "mlp_1": "mlp/dense_1",
                "mlp_2": "mlp/dense_2",
            },
            f"{_ENCODER}/encoder_layers/vi_t_encoder_block_{{i}}/",
            {"kernel": "/vars/0", "bias": "/vars/1", "gamma": "/vars/0", "beta": "/vars/1"},
        ),
    },
)
