"""Attention of a few tokens in a few heads, beside the fused attention of a language model.

The attention mask loss needs the softmax rows of the role tokens only: a few rows of four heads of one layer.
Everything they are made of passes by in the forward pass: a layer that is *watched* keeps its queries and
keys as they leave their projections (of which a fused kernel shows only the result), and nothing is computed
twice. Since they are the very tensors of the forward pass, rows are those of that pass also where the
projections are wrapped (LoRA with dropout), where weights are there only while their module runs (FSDP),
and where the layer is computed again in the backward pass (activation checkpointing, the non-reentrant kind).

It works for language models whose layers have `self_attn` with `q_proj` and `k_proj` and get rotary positions
as `position_embeddings`: Qwen2 in InternVL, and the text side of Qwen2.5-VL.

Legend of shape suffixes:
    B clips   L tokens   D width   R rows   H chosen heads   G key-value heads   Z width of a head
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(slots=True)
class SeenLayer:
    """What one layer worked with in one forward pass; empty before it.

    Attributes:
        attention: the layer's attention module.
        input_BLD: hidden states that go into the layer.
        queries_BLD: queries of all heads, before positions are put in.
        keys_BLD: the same of the keys.
        turns: cosines and sines (B, L, Z) of the rotary positions.
    """

    attention: Any
    input_BLD: Tensor | None = None
    queries_BLD: Tensor | None = None
    keys_BLD: Tensor | None = None
    turns: tuple[Tensor, Tensor] | None = None


@contextmanager
def watched(layers: Sequence[nn.Module]) -> Iterator[list[SeenLayer]]:
    """Keep what these layers work with in the forward pass inside the `with` block; one entry per layer.

    Only references are kept. Afterwards the layers are as before: in a later recomputation (activation
    checkpointing) nothing is kept again.
    """
    seen = [SeenLayer(layer.self_attn) for layer in layers]
    handles = []
    try:
        for layer, one in zip(layers, seen, strict=True):
            handles += _hooks(layer, one)
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _hooks(layer: nn.Module, seen: SeenLayer) -> Iterator[torch.utils.hooks.RemovableHandle]:
    def before_layer(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen.input_BLD = arguments[0] if arguments else named["hidden_states"]
        seen.turns = named["position_embeddings"]

    def after_queries(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
        seen.queries_BLD = output

    def after_keys(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
        seen.keys_BLD = output

    yield layer.register_forward_pre_hook(before_layer, with_kwargs=True)
    yield seen.attention.q_proj.register_forward_hook(after_queries)
    yield seen.attention.k_proj.register_forward_hook(after_keys)


def attention_rows(seen: SeenLayer, heads: Sequence[int], rows_R2: Tensor, allowed_RL: Tensor) -> Tensor:
    """Softmax attention (R, H, L) of chosen tokens in chosen heads of a layer that was watched.

    Products and softmax are in float32 whatever the model computes in, as fused kernels do. Nothing here
    waits for a GPU.

    Args:
        rows_R2: (clip, token) index pairs.
        allowed_RL: which tokens each row may read.

    Raises:
        ValueError: when the layer was not run, or keeps no graph for a backward pass that will come.
    """
    if seen.queries_BLD is None or seen.keys_BLD is None or seen.turns is None or seen.input_BLD is None:
        raise ValueError("the layer whose attention is wanted was not run while it was watched")
    if torch.is_grad_enabled() and seen.input_BLD.requires_grad and not seen.keys_BLD.requires_grad:
        raise ValueError(
            "reentrant activation checkpointing leaves nothing for the gradients of attention rows; "
            "enable it with use_reentrant=False"
        )
    attention, (cos_BLZ, sin_BLZ) = seen.attention, seen.turns
    size, (clip, token) = attention.head_dim, rows_R2.unbind(1)
    keys_BLGZ = seen.keys_BLD.unflatten(-1, (-1, size))
    queries_RZ = seen.queries_BLD[clip, token].unflatten(-1, (-1, size))
    group = queries_RZ.shape[1] // keys_BLGZ.shape[2]
    # Positions of one clip serve all, where the model hands them out once.
    cos_BLZ, sin_BLZ = (one.expand(len(keys_BLGZ), -1, -1) for one in (cos_BLZ, sin_BLZ))
    turned_BLGZ = turned(keys_BLGZ, cos_BLZ[:, :, None], sin_BLZ[:, :, None]).float()
    # Single heads are views: a list of numbers as an index would be sent to a GPU, which waits for it.
    keys_BHLZ = torch.stack([turned_BLGZ[:, :, head // group] for head in heads], 1)
    queries_RHZ = torch.stack([queries_RZ[:, head] for head in heads], 1)
    at_row = (cos_BLZ[clip, token][:, None], sin_BLZ[clip, token][:, None])
    queries_RHZ = turned(queries_RHZ, *at_row).float() * attention.scaling
    # Every row against every clip, then its own: cheaper than a copy of the keys for each row.
    scores_RBHL = torch.einsum("rhz,bhlz->rbhl", queries_RHZ, keys_BHLZ)
    scores_RHL = scores_RBHL[torch.arange(len(clip), device=clip.device), clip]
    return scores_RHL.masked_fill(~allowed_RL[:, None], float("-inf")).softmax(-1)


def turned(values: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Values (..., Z) with their rotary positions; the halves of Z are the two sides of the turned pairs."""
    first, second = values.chunk(2, -1)
    return values * cos + torch.cat([-second, first], -1) * sin
